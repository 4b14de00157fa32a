//! Two values side by side, or one with a set of fields, by the schema.
//!
//! Source: sigs.k8s.io/structured-merge-diff `typed/{compare,merge,remove,tofieldset}.go`.

use super::set::{Set, field};
use crate::api::schema::{Field, List, ListKind, Schema, Shape, Struct};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a value is owned.
#[derive(Clone, Copy)]
pub enum Type<'a> {
    /// As a whole.
    Leaf,
    /// Field by field.
    Struct(&'a Struct),
    /// Key by key.
    Map(&'a Schema),
    /// Item by item.
    List(&'a List),
    /// As its value shows: objects key by key, everything else as a whole.
    Any,
}

impl<'a> Type<'a> {
    /// How values of a schema are owned.
    pub fn of(schema: &'a Schema) -> Self {
        Self::with(schema, None)
    }

    /// `atomic` is what the field says, where it says something else than its type.
    fn with(schema: &'a Schema, atomic: Option<bool>) -> Self {
        match &schema.resolved().shape {
            Shape::Any => Type::Any,
            Shape::Struct(own) if !atomic.unwrap_or(own.atomic) => Type::Struct(own),
            Shape::Map(map) if !atomic.unwrap_or(map.atomic) => Type::Map(&map.values),
            Shape::List(list) if list.kind != ListKind::Atomic => Type::List(list),
            _ => Type::Leaf,
        }
    }

    fn field(self, name: &str) -> Option<&'a Field> {
        match self {
            Type::Struct(own) => own.field(name),
            _ => None,
        }
    }

    /// How what is at a key is owned.
    fn child(self, name: &str) -> Type<'a> {
        match self {
            Type::Struct(own) => own.field(name).map_or(Type::Any, |field| Type::with(&field.schema, field.atomic)),
            Type::Map(values) => Type::of(values),
            _ => Type::Any,
        }
    }

    /// Whether the value is gone into as a map. An absent value fits everything.
    fn takes_map(self, value: Option<&Value>) -> bool {
        matches!(self, Type::Struct(_) | Type::Map(_) | Type::Any)
            && value.is_none_or(|value| value.is_object() || value.is_null())
    }

    fn list(self, value: Option<&Value>) -> Option<&'a List> {
        match self {
            Type::List(list) if value.is_none_or(|value| value.is_array() || value.is_null()) => Some(list),
            _ => None,
        }
    }
}

fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object).filter(|map| !map.is_empty())
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The step to an item of a list; nothing for an item without a key.
pub fn step(list: &List, item: &Value) -> Option<String> {
    match &list.kind {
        ListKind::Set if !item.is_object() && !item.is_array() && !item.is_null() => Some(format!("v:{item}")),
        ListKind::Map(keys) => {
            let fields = item.as_object()?;
            let mut own = BTreeMap::new();
            for key in keys {
                let default = || list.items.field(key).and_then(|field| field.schema.default.as_deref());
                if let Some(value) = fields.get(key.as_ref()).or_else(default) {
                    own.insert(key.as_ref(), value);
                }
            }
            let text = serde_json::to_string(&own).ok()?;
            (!own.is_empty()).then(|| format!("k:{text}"))
        }
        _ => None,
    }
}

/// What is different between an old and a new value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Changes {
    /// What was added or modified.
    pub fn touched(mut self) -> Set {
        self.modified.add(self.added);
        self.modified
    }

    fn put(&mut self, step: &str, below: Changes) {
        self.added.put(step, below.added);
        self.modified.put(step, below.modified);
        self.removed.put(step, below.removed);
    }

    /// What differs between two values that are owned as a whole.
    fn leaf(old: Option<&Value>, new: Option<&Value>) -> Self {
        let mut changes = Changes::default();
        match (old, new) {
            (None, _) => changes.added.own = true,
            (_, None) => changes.removed.own = true,
            (old, new) => changes.modified.own = old != new,
        }
        changes
    }
}

/// Compares two objects.
pub fn compare_objects(at: Type, old: &Map<String, Value>, new: &Map<String, Value>) -> Changes {
    let mut changes = Changes::default();
    compare_maps(at, Some(old), Some(new), &mut changes);
    changes
}

/// Compares two values; at least one is there.
pub fn compare(at: Type, old: Option<&Value>, new: Option<&Value>) -> Changes {
    let mut changes = Changes::default();
    if at.takes_map(old) && at.takes_map(new) {
        let (before, after) = (entries(old), entries(new));
        if before.is_none() && after.is_none() {
            return Changes::leaf(old, new);
        }
        compare_maps(at, before, after, &mut changes);
    } else if let (Some(list), Some(_)) = (at.list(old), at.list(new)) {
        if items(old).is_empty() && items(new).is_empty() {
            return Changes::leaf(old, new);
        }
        compare_items(list, items(old), items(new), &mut changes);
    } else {
        return Changes::leaf(old, new);
    }
    changes.added.own = old.is_none();
    changes.removed.own = new.is_none();
    changes
}

fn compare_maps(at: Type, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, changes: &mut Changes) {
    for (name, before) in old.into_iter().flatten() {
        let after = new.and_then(|map| map.get(name));
        put_field(changes, name, compare(at.child(name), Some(before), after));
    }
    for (name, after) in new.into_iter().flatten() {
        if old.is_none_or(|map| !map.contains_key(name)) {
            put_field(changes, name, compare(at.child(name), None, Some(after)));
        }
    }
}

/// Nearly always there is nothing to put; the step is written only if there is.
fn put_field(changes: &mut Changes, name: &str, below: Changes) {
    if !(below.added.is_empty() && below.modified.is_empty() && below.removed.is_empty()) {
        changes.put(&field(name), below);
    }
}

fn compare_items(list: &List, old: &[Value], new: &[Value], changes: &mut Changes) {
    let mut sides: BTreeMap<String, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in old {
        step(list, item).into_iter().for_each(|step| sides.entry(step).or_default().0.push(item));
    }
    for item in new {
        step(list, item).into_iter().for_each(|step| sides.entry(step).or_default().1.push(item));
    }
    let at = Type::of(&list.items);
    for (step, (old, new)) in sides {
        match (old.as_slice(), new.as_slice()) {
            ([] | [_], [] | [_]) => changes.put(&step, compare(at, old.first().copied(), new.first().copied())),
            // Items that share a key are owned together, as one value.
            ([_, _, ..], [_, _, ..]) if old != new => changes.modified.put(&step, Set::leaf()),
            ([_, _, ..], [_, _, ..]) => {}
            ([_, _, ..], _) => {
                let mut below = new.first().map(|new| compare(at, None, Some(new))).unwrap_or_default();
                below.removed.own = true;
                changes.put(&step, below);
            }
            (_, _) => {
                let mut below = old.first().map(|old| compare(at, Some(old), None)).unwrap_or_default();
                below.added.own = true;
                changes.put(&step, below);
            }
        }
    }
}

/// The fields that a value names.
pub fn fields_of(at: Type, value: &Value) -> Set {
    let mut set = Set::default();
    if at.takes_map(Some(value)) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let mut below = fields_of(at.child(name), value);
            below.own |= value.is_null() || value.as_object().is_some_and(Map::is_empty) || at.field(name).is_none();
            set.put(&field(name), below);
        }
    } else if let Some(list) = at.list(Some(value)) {
        let inner = Type::of(&list.items);
        for item in items(Some(value)) {
            let Some(step) = step(list, item) else { continue };
            let mut below = fields_of(inner, item);
            below.own = true;
            // Of items that share a key only the key is owned.
            let below = if set.below.contains_key(&step) { Set::leaf() } else { below };
            set.put(&step, below);
        }
    } else {
        set.own = true;
    }
    set
}

/// The set with every named field on the way to what it has.
pub fn with_named(at: Type, set: &Set) -> Set {
    let mut all = Set { own: set.own, below: BTreeMap::new() };
    for (step, below) in &set.below {
        let (kind, rest) = step.split_once(':').unwrap_or_default();
        let inner = match (kind, at) {
            ("f", at) => at.child(rest),
            ("k", Type::List(list)) => Type::of(&list.items),
            _ => Type::Any,
        };
        let mut below = with_named(inner, below);
        below.own |= kind == "f" && at.field(rest).is_some();
        all.below.insert(step.clone(), below);
    }
    all
}

/// The value without the fields of a set.
pub fn remove(at: Type, value: &Value, set: &Set) -> Option<Value> {
    if set.below.is_empty() {
        return Some(value.clone());
    }
    match value {
        Value::Object(map) if at.takes_map(Some(value)) => {
            let mut left = Map::new();
            for (name, value) in map {
                match set.below.get(&field(name)) {
                    Some(below) if below.own => {}
                    Some(below) => left.extend(remove(at.child(name), value, below).map(|value| (name.clone(), value))),
                    None => drop(left.insert(name.clone(), value.clone())),
                }
            }
            (!left.is_empty() || map.is_empty()).then_some(Value::Object(left))
        }
        Value::Array(all) => {
            let Some(list) = at.list(Some(value)) else { return Some(value.clone()) };
            let inner = Type::of(&list.items);
            let kept = |item: &Value| match step(list, item).and_then(|step| set.below.get(&step)) {
                Some(below) if below.own => None,
                Some(below) => remove(inner, item, below),
                None => Some(item.clone()),
            };
            let left: Vec<Value> = all.iter().filter_map(kept).collect();
            (!left.is_empty() || all.is_empty()).then_some(Value::Array(left))
        }
        _ => Some(value.clone()),
    }
}

/// The live value with a configuration laid over it. An error names the place of items that share a key.
pub fn merge(at: Type, live: Option<&Value>, config: Option<&Value>) -> Result<Option<Value>, String> {
    if at.takes_map(live) && at.takes_map(config) && (entries(live).is_some() || entries(config).is_some()) {
        let (before, after) = (entries(live), entries(config));
        let mut out = Map::new();
        for (name, live) in before.into_iter().flatten() {
            let merged = merge(at.child(name), Some(live), after.and_then(|map| map.get(name)));
            out.extend(merged.map_err(|path| format!(".{name}{path}"))?.map(|value| (name.clone(), value)));
        }
        for (name, config) in after.into_iter().flatten() {
            if !out.contains_key(name) {
                let merged = merge(at.child(name), None, Some(config));
                out.extend(merged.map_err(|path| format!(".{name}{path}"))?.map(|value| (name.clone(), value)));
            }
        }
        return Ok((!out.is_empty()).then_some(Value::Object(out)));
    }
    match (at.list(live), at.list(config)) {
        (Some(list), Some(_)) if !(items(live).is_empty() && items(config).is_empty()) => {
            let merged = merge_items(list, items(live), items(config))?;
            Ok((!merged.is_empty()).then_some(Value::Array(merged)))
        }
        _ => Ok(config.or(live).cloned()),
    }
}

/// Items of both lists: those that both have in the order of the configuration, the others where they were.
fn merge_items(list: &List, live: &[Value], config: &[Value]) -> Result<Vec<Value>, String> {
    let at = Type::of(&list.items);
    let steps = |items: &[Value]| items.iter().map(|item| step(list, item)).collect::<Vec<_>>();
    let (left, right) = (steps(live), steps(config));
    let mut after: BTreeMap<&str, &Value> = BTreeMap::new();
    for (index, (step, item)) in right.iter().zip(config).enumerate() {
        let step = step.as_deref().ok_or_else(|| format!(": element {index}: {}", no_key(list, item)))?;
        if after.insert(step, item).is_some() {
            return Err(format!(": duplicate entries for key {}", super::set::printed_step(step)));
        }
    }
    let mut before: BTreeMap<&str, Option<&Value>> = BTreeMap::new();
    for (step, item) in left.iter().zip(live) {
        // Of live items that share a key none can be merged with.
        if let Some(step) = step {
            before.entry(step).and_modify(|own| *own = None).or_insert(Some(item));
        }
    }
    let mut shared = right.iter().flatten().map(String::as_str).filter(|step| before.contains_key(step));
    let mut next = shared.next();
    let mut done: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let both = |step: &str| merge(at, before.get(step).copied().flatten(), after.get(step).copied());
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        let (mine, theirs) = (left.get(l).map(Option::as_deref), right.get(r).and_then(Option::as_deref));
        if let Some(None) = mine {
            out.push(live[l].clone());
            l += 1;
            continue;
        }
        let mine = mine.flatten();
        if let (Some(mine), Some(theirs)) = (mine, theirs) {
            if mine == theirs {
                done.insert(mine);
                out.extend(both(mine)?);
                (l, r) = (l + 1, r + 1);
                next = shared.next();
                continue;
            }
            // It comes later, in the order of the configuration.
            if after.contains_key(mine) && next.is_some_and(|next| next != mine) {
                l += 1;
                continue;
            }
        }
        if let Some(mine) = mine {
            if !after.contains_key(mine) {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if done.contains(mine) {
                l += 1;
            }
        }
        if let Some(theirs) = theirs {
            done.insert(theirs);
            out.extend(both(theirs)?);
            r += 1;
            if next == Some(theirs) {
                next = shared.next();
            }
        }
    }
    Ok(out)
}

fn no_key(list: &List, item: &Value) -> String {
    match &list.kind {
        ListKind::Map(keys) if item.is_object() => {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                keys.join(" ")
            )
        }
        ListKind::Map(_) => "associative list with keys may not have non-map elements".into(),
        _ => "associative list without keys has an element that's a map type".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::schema::builtin;
    use serde_json::json;

    fn pod() -> Type<'static> {
        Type::of(builtin("io.k8s.api.core.v1.Pod").unwrap())
    }

    fn set(value: Value) -> Set {
        Set::from_fields(value)
    }

    #[test]
    fn what_was_added_changed_and_removed_is_told_by_path() {
        let old = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "1"}]}});
        let new = json!({"metadata": {"labels": {"a": "2"}, "annotations": {"x": "y"}},
            "spec": {"containers": [{"name": "a", "image": "1", "command": ["c"]}, {"name": "b"}]}});
        let changes = compare(pod(), Some(&old), Some(&new));
        assert_eq!(changes.modified, set(json!({"f:metadata": {"f:labels": {"f:a": {}}}})));
        assert_eq!(changes.removed, set(json!({"f:spec": {"f:nodeName": {}}})));
        let added = json!({"f:metadata": {"f:annotations": {".": {}, "f:x": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:command": {}}, "k:{\"name\":\"b\"}": {".": {}, "f:name": {}}}}});
        assert_eq!(changes.added, set(added));
        assert_eq!(compare(pod(), Some(&old), Some(&old)), Changes::default());
    }

    #[test]
    fn keys_of_items_take_their_defaults() {
        let spec = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}});
        let wanted = json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {},
            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}});
        assert_eq!(fields_of(pod(), &spec), set(wanted));
    }

    #[test]
    fn atomic_values_are_one_field_and_empty_maps_are_fields() {
        let spec = json!({"metadata": {"finalizers": ["f"], "labels": {}}, "spec": {"nodeSelector": {"a": "b"}, "securityContext": {},
            "volumes": [{"name": "v", "emptyDir": {}}], "containers": []}});
        let wanted = json!({"f:metadata": {"f:finalizers": {"v:\"f\"": {}}, "f:labels": {}},
            "f:spec": {"f:nodeSelector": {}, "f:securityContext": {},
                "f:volumes": {"k:{\"name\":\"v\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}}}});
        assert_eq!(fields_of(pod(), &spec), set(wanted));
    }

    #[test]
    fn fields_of_a_set_are_removed_and_what_is_empty_goes() {
        let spec = json!({"spec": {"nodeName": "n", "containers": [{"name": "a", "image": "1"}, {"name": "b"}], "volumes": [{"name": "v"}]}});
        let gone = set(
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}, "k:{\"name\":\"b\"}": {".": {}, "f:name": {}}},
            "f:volumes": {"k:{\"name\":\"v\"}": {}}}}),
        );
        assert_eq!(
            remove(pod(), &spec, &gone),
            Some(json!({"spec": {"nodeName": "n", "containers": [{"name": "a"}]}}))
        );
    }

    fn merged_names(live: &[&str], config: &[&str]) -> String {
        let list = |names: &[&str]| {
            let items: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"spec": {"containers": items}})
        };
        let merged = merge(pod(), Some(&list(live)), Some(&list(config))).unwrap().unwrap();
        let names = merged["spec"]["containers"].as_array().unwrap().iter();
        names.map(|item| item["name"].as_str().unwrap()).collect::<Vec<_>>().join("")
    }

    #[test]
    fn merged_lists_take_the_order_of_the_configuration() {
        let cases = [
            (&["a", "b"][..], &["b", "a"][..], "ba"),
            (&["a", "b", "c"], &["c"], "abc"),
            (&["a", "b", "c"], &["d", "b"], "adbc"),
            (&["a"], &["b", "a"], "ba"),
            (&[], &["a", "b"], "ab"),
            (&["a", "b", "c", "d"], &["d", "a"], "bcda"),
        ];
        for (live, config, wanted) in cases {
            assert_eq!(merged_names(live, config), wanted, "{live:?} {config:?}");
        }
    }

    #[test]
    fn items_that_share_a_key_cannot_be_applied() {
        let config = json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}});
        let error = merge(pod(), None, Some(&config)).unwrap_err();
        assert_eq!(error, ".spec.containers: duplicate entries for key [name=\"a\"]");
    }

    #[test]
    fn named_fields_on_the_way_become_members() {
        let own = set(
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}}}, "f:metadata": {"f:labels": {"f:a": {}}}}),
        );
        let wanted = json!({"f:spec": {".": {}, "f:containers": {".": {}, "k:{\"name\":\"a\"}": {"f:image": {}}}},
            "f:metadata": {".": {}, "f:labels": {".": {}, "f:a": {}}}});
        assert_eq!(with_named(pod(), &own), set(wanted));
    }
}
