//! The rules of ownership.
//!
//! * An update takes the fields that it changes from everybody else.
//! * An apply owns the fields that it names. A field that another manager has with another value is a conflict, unless the
//!   apply is forced. A field that it named last time and does not name any more goes, if nobody else has it.
//!
//! Source: sigs.k8s.io/structured-merge-diff `merge/update.go`, k8s.io/apimachinery `pkg/util/managedfields/internal`.

use super::managers::{self, Manager, Operation, Said};
use super::set::Set;
use super::walk::{self, Changes, Type};
use crate::api::schema::Schema;
use crate::api::{Kind, Object};
use serde_json::Value;

/// The annotation in which `kubectl apply` keeps what was applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Who manages what was there before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Fields of `metadata` that nobody manages.
const UNMANAGED: &[&str] = &[
    "f:name",
    "f:namespace",
    "f:creationTimestamp",
    "f:selfLink",
    "f:uid",
    "f:clusterName",
    "f:generation",
    "f:managedFields",
    "f:resourceVersion",
];

/// Who writes, and how.
pub struct Writer<'a> {
    pub kind: &'a Kind,
    /// Group and version of the request.
    pub group: &'a str,
    pub version: &'a str,
    pub manager: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, seconds.
    pub now: String,
}

/// Fields that another manager has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub manager: Manager,
    pub path: String,
}

/// All conflicts of an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl std::fmt::Display for Conflicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [one] = self.0.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {}", one.manager.printed(), one.path);
        }
        let mut lines = Vec::new();
        let mut last = String::new();
        for conflict in &self.0 {
            let manager = conflict.manager.printed();
            if manager != last {
                lines.push(format!("conflicts with {manager}:"));
                last = manager;
            }
            lines.push(format!("- {}", conflict.path));
        }
        write!(f, "Apply failed with {} conflicts: {}", self.0.len(), lines.join("\n"))
    }
}

/// Why nothing is applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Conflicts(Conflicts),
    /// The configuration cannot be merged: the path and what is wrong there.
    #[error("failed to merge config: {0}")]
    Merge(String),
    /// The kind has no schema by which fields could be owned.
    #[error("the kind has no schema")]
    NoSchema,
}

impl Writer<'_> {
    fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    fn schema(&self) -> Option<&Schema> {
        self.kind.schema_at(self.group, self.version)
    }

    fn entry(&self, operation: Operation, fields: Set) -> Manager {
        Manager {
            name: if self.manager.is_empty() { "unknown".into() } else { self.manager.to_string() },
            operation,
            api_version: self.api_version(),
            subresource: self.subresource.into(),
            time: self.now.clone(),
            fields,
        }
    }

    /// Fields that this writer cannot change, and so does not own.
    fn drop_unowned(&self, set: &mut Set) {
        if set.is_empty() {
            return;
        }
        match self.subresource {
            "" if self.kind.status => set.cut(&["status"]),
            "status" => set.cut(&["spec"]),
            _ => {}
        }
        set.below.remove("f:apiVersion");
        set.below.remove("f:kind");
        if let Some(metadata) = set.below.get_mut("f:metadata") {
            metadata.own = false;
            metadata.below.retain(|step, _| !UNMANAGED.contains(&step.as_str()));
            if metadata.is_empty() {
                set.below.remove("f:metadata");
            }
        }
    }
}

/// An object in one of the versions of its kind.
struct Versions<'a> {
    kind: &'a Kind,
}

impl Versions<'_> {
    fn schema(&self, api_version: &str) -> Option<&Schema> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.kind.versions().find(|own| own.group == group && own.version == version)?;
        self.kind.schema_at(group, version)
    }

    /// The object, which is in the stored version, in another one; nothing if the kind is not served in it.
    fn in_version(&self, object: &Object, api_version: &str) -> Option<Value> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let mut object = object.clone();
        if let Some(served) = self.kind.served_as(group, version) {
            (served.from_stored)(&mut object);
            object.set(&["apiVersion"], api_version);
        } else if self.kind.stored.api_version() != api_version {
            return None;
        }
        object.remove(&["metadata", "managedFields"]);
        Some(Value::Object(object.0))
    }

    fn to_stored(&self, value: Value, api_version: &str) -> Object {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let mut object = Object::from_value(value).unwrap_or_default();
        if let Some(served) = self.kind.served_as(group, version) {
            (served.to_stored)(&mut object);
            object.set(&["apiVersion"], self.kind.stored.api_version());
        }
        object
    }

    fn convert(&self, value: &Value, from: &str, to: &str) -> Option<Value> {
        if from == to {
            return Some(value.clone());
        }
        self.in_version(&self.to_stored(value.clone(), from), to)
    }
}

/// What differs between two objects, by version.
struct Comparisons<'a> {
    versions: Versions<'a>,
    writer: &'a Writer<'a>,
    old: &'a Object,
    new: &'a Object,
    done: Vec<(String, Option<Changes>)>,
}

impl<'a> Comparisons<'a> {
    fn new(writer: &'a Writer<'a>, old: &'a Object, new: &'a Object) -> Self {
        Self { versions: Versions { kind: writer.kind }, writer, old, new, done: Vec::new() }
    }

    /// The differences in a version; nothing if it is not served any more.
    fn get(&mut self, api_version: &str) -> Option<&Changes> {
        if !self.done.iter().any(|(done, _)| done == api_version) {
            let changes = self.compare(api_version);
            self.done.push((api_version.to_string(), changes));
        }
        self.done.iter().find(|(done, _)| done == api_version).and_then(|(_, changes)| changes.as_ref())
    }

    /// The differences in a version, when nothing else is asked for any more.
    fn last(mut self, api_version: &str) -> Option<Changes> {
        self.get(api_version);
        self.done.into_iter().find(|(done, _)| done == api_version).and_then(|(_, changes)| changes)
    }

    fn compare(&self, api_version: &str) -> Option<Changes> {
        let at = Type::of(self.versions.schema(api_version)?);
        let mut changes = if self.writer.kind.stored.api_version() == api_version {
            walk::compare_objects(at, &self.old.0, &self.new.0)
        } else {
            let old = self.versions.in_version(self.old, api_version)?;
            let new = self.versions.in_version(self.new, api_version)?;
            walk::compare(at, Some(&old), Some(&new))
        };
        for set in [&mut changes.added, &mut changes.modified, &mut changes.removed] {
            self.writer.drop_unowned(set);
        }
        Some(changes)
    }
}

/// Notes an update: `new` is what will be stored, `old` what is, both in the stored version; a new object has no old one.
/// A client may bring managers of its own along, except through a subresource.
pub fn update(writer: &Writer, old: Option<&Object>, new: &mut Object) {
    let given = if writer.subresource.is_empty() { managers::read(new) } else { Said::Nothing };
    let mut all = match given {
        Said::These(managers) => managers,
        Said::Reset => Vec::new(),
        Said::Nothing => old.map(managers::of).unwrap_or_default(),
    };
    if writer.schema().is_none() || (old.is_some() && all.is_empty()) {
        // What nobody tracked from the start is tracked from the first apply on.
        managers::write(new, all);
        return;
    }
    let nothing = Object::default();
    note(writer, old.unwrap_or(&nothing), new, &mut all);
    managers::write(new, all);
}

/// Gives the writer what it changed and takes it from the others.
fn note(writer: &Writer, old: &Object, new: &Object, all: &mut Vec<Manager>) {
    let mut comparisons = Comparisons::new(writer, old, new);
    all.retain_mut(|manager| match comparisons.get(&manager.api_version) {
        Some(changes) => {
            for set in [&changes.added, &changes.modified, &changes.removed] {
                manager.fields.subtract(set);
            }
            !manager.fields.is_empty()
        }
        None => false,
    });
    let api_version = writer.api_version();
    let touched = comparisons.last(&api_version).map(Changes::touched).unwrap_or_default();
    if !touched.is_empty() {
        let mut own = writer.entry(Operation::Update, touched);
        match all.iter_mut().find(|manager| manager.is(&own)) {
            Some(before) => {
                before.fields.add(std::mem::take(&mut own.fields));
                before.time = own.time;
            }
            None => all.push(own),
        }
    }
    managers::cap(all);
}

/// Applies a configuration, which is in the version of the request. `live` is the stored object, in the stored version, or
/// nothing if there is none. Returns the object to be stored, its managers noted, and whether anything but them changed.
pub fn apply(writer: &Writer, live: Option<&Object>, config: &Value, force: bool) -> Result<Object, Error> {
    match try_apply(writer, live, config, force) {
        Err(Error::Conflicts(conflicts)) if writer.manager == "kubectl" => {
            let left = conflicts_beyond_last_applied(writer, live, conflicts);
            if left.0.is_empty() { try_apply(writer, live, config, true) } else { Err(Error::Conflicts(left)) }
        }
        other => other,
    }
}

fn try_apply(writer: &Writer, live: Option<&Object>, config: &Value, force: bool) -> Result<Object, Error> {
    let schema = writer.schema().ok_or(Error::NoSchema)?;
    let at = Type::of(schema);
    let versions = Versions { kind: writer.kind };
    let api_version = writer.api_version();
    let empty = Object::default();
    let old = live.unwrap_or(&empty);
    let mut all = managers::of(old);
    if all.is_empty() {
        let first = Writer { manager: BEFORE_FIRST_APPLY, now: writer.now.clone(), ..*writer };
        note(&first, &empty, old, &mut all);
    }
    let before = versions.in_version(old, &api_version).ok_or(Error::NoSchema)?;
    let merged = walk::merge(at, Some(&before), Some(config)).map_err(Error::Merge)?.unwrap_or_else(|| before.clone());
    let mut named = walk::fields_of(at, config);
    writer.drop_unowned(&mut named);
    let own = writer.entry(Operation::Apply, named);
    let last = all.iter().position(|manager| manager.is(&own)).map(|at| all.swap_remove(at));
    let time = last.as_ref().map(|last| last.time.clone());
    all.push(own.clone());
    let pruned = match last.filter(|last| !last.fields.is_empty()) {
        Some(last) => prune(&versions, &api_version, merged, &all, &last),
        None => merged,
    };
    let mut new = versions.to_stored(pruned, &api_version);
    let mut comparisons = Comparisons::new(writer, old, &new);
    take(&mut comparisons, &own, &mut all, force)?;
    // Who applies the same again changed nothing: its time stays.
    if let Some(time) = time.filter(|_| before == versions.in_version(&new, &api_version).unwrap_or_default()) {
        all.iter_mut().filter(|manager| manager.is(&own)).for_each(|manager| manager.time.clone_from(&time));
    }
    managers::write(&mut new, all);
    if writer.manager == "kubectl" {
        renew_last_applied(&mut new, config);
    }
    Ok(new)
}

/// Takes what an apply changes from the others, or says who is in the way.
fn take(comparisons: &mut Comparisons, own: &Manager, all: &mut Vec<Manager>, force: bool) -> Result<(), Error> {
    let mut conflicts = Vec::new();
    let mut left = Vec::with_capacity(all.len());
    for mut manager in std::mem::take(all) {
        if manager.is(own) {
            left.push(manager);
            continue;
        }
        // A version that is not served any more leaves nobody to ask.
        let Some(changes) = comparisons.get(&manager.api_version) else { continue };
        let conflict = manager.fields.intersection(&changes.clone().touched());
        conflicts.extend(conflict.paths().into_iter().map(|path| Conflict { manager: manager.clone(), path }));
        manager.fields.subtract(&conflict);
        manager.fields.subtract(&changes.removed);
        left.push(manager);
    }
    if !force && !conflicts.is_empty() {
        conflicts.sort_by_key(|conflict| (conflict.manager.printed(), conflict.path.clone()));
        return Err(Error::Conflicts(Conflicts(conflicts)));
    }
    *all = left;
    Ok(())
}

/// Removes what a manager applied last time, does not apply now and nobody else has.
fn prune(versions: &Versions, api_version: &str, merged: Value, all: &[Manager], last: &Manager) -> Value {
    let Some(schema) = versions.schema(&last.api_version) else { return merged };
    let Some(merged) = versions.convert(&merged, api_version, &last.api_version) else { return merged };
    let at = Type::of(schema);
    let gone =
        |from: &Value, set: &Set| walk::remove(at, from, set).unwrap_or_else(|| Value::Object(Default::default()));
    let named = |value: &Value| walk::with_named(at, &walk::fields_of(at, value));
    let last_named = walk::with_named(at, &last.fields);
    let mut pruned = gone(&merged, &last_named);
    let mut served: Vec<&str> = all.iter().map(|manager| manager.api_version.as_str()).collect();
    served.sort_unstable_by_key(|version| (*version != last.api_version, *version));
    served.dedup();
    for version in served {
        let fields = all.iter().filter(|manager| manager.api_version == version).map(|manager| &manager.fields);
        let owned = fields.fold(Set::default(), Set::union);
        pruned = add_back(versions, &merged, pruned, (&last.api_version, version), &owned);
    }
    // What goes was applied by this manager before: nothing that only hung on it goes along.
    let dangling = named(&merged).without(&named(&pruned)).intersection(&last_named);
    let left = gone(&merged, &dangling);
    versions.convert(&left, &last.api_version, api_version).unwrap_or(left)
}

/// Puts back what was pruned although a manager of `version` owns it. `merged` and `pruned` are in `own`.
fn add_back(versions: &Versions, merged: &Value, pruned: Value, (own, version): (&str, &str), owned: &Set) -> Value {
    let Some(schema) = versions.schema(version) else { return pruned };
    let (Some(whole), Some(rest)) = (versions.convert(merged, own, version), versions.convert(&pruned, own, version))
    else {
        return pruned;
    };
    let at = Type::of(schema);
    let named = |set: &Set| walk::with_named(at, set);
    let there = named(&walk::fields_of(at, &rest)).union(&named(owned));
    let gone = named(&walk::fields_of(at, &whole)).without(&there);
    let left = walk::remove(at, &whole, &gone).unwrap_or_else(|| Value::Object(Default::default()));
    versions.convert(&left, version, own).unwrap_or(pruned)
}

/// The conflicts that are none when `kubectl apply` changes over to the server: fields that are as it applied them last.
fn conflicts_beyond_last_applied(writer: &Writer, live: Option<&Object>, conflicts: Conflicts) -> Conflicts {
    let allowed = live.and_then(|live| last_applied_fields(writer, live)).unwrap_or_default().paths();
    Conflicts(conflicts.0.into_iter().filter(|conflict| !allowed.contains(&conflict.path)).collect())
}

fn last_applied_fields(writer: &Writer, live: &Object) -> Option<Set> {
    let text = live.text(&["metadata", "annotations", LAST_APPLIED]);
    let applied: Value = serde_json::from_str(text).ok()?;
    let api_version = writer.api_version();
    if applied["apiVersion"] != api_version.as_str() {
        return None;
    }
    let at = Type::of(writer.schema()?);
    let live = Versions { kind: writer.kind }.in_version(live, &api_version)?;
    let changes = walk::compare(at, Some(&applied), Some(&live));
    Some(walk::fields_of(at, &applied).without(&changes.modified).without(&changes.added).without(&changes.removed))
}

/// Keeps the annotation of an object that has it, so that `kubectl apply` can change back.
fn renew_last_applied(object: &mut Object, config: &Value) {
    if object.text(&["metadata", "annotations", LAST_APPLIED]).is_empty() {
        return;
    }
    let mut config = Object::from_value(config.clone()).unwrap_or_default();
    config.remove(&["metadata", "annotations", LAST_APPLIED]);
    let text = serde_json::to_string(&config).unwrap_or_default() + "\n";
    object.set(&["metadata", "annotations", LAST_APPLIED], text);
}

#[cfg(test)]
mod tests;
