//! The kinds table. One entry per kind; routes, discovery, OpenAPI paths, columns, RBAC names and garbage collection are
//! derived from it. A custom resource becomes a `Kind` value at run time, so custom and built-in ones go one path.
//!
//! Source of names, scopes, verbs and subresources: the discovery documents of Kubernetes 1.36.

#[macro_use]
mod entry;
mod accounts;
mod admission;
mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod component;
mod config;
mod edit;
mod endpoints;
mod events;
mod extensions;
mod flowcontrol;
mod lease;
mod limits;
mod metrics;
mod namespace;
mod networking;
mod nodes;
mod old;
mod pod;
mod podspec;
mod policy;
pub mod print;
mod rbac;
mod reviews;
mod scheduling;
mod service;
mod storage;
mod volumes;

use super::custom::Custom;
use super::json_path::JsonPath;
use super::schema::{self, Schema};
pub use pod::qos_class;

use super::{Cause, Object};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// A list of names, borrowed for built-in kinds and owned for custom ones.
pub type Names = Cow<'static, [Cow<'static, str>]>;

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// A group and version under which a kind is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupVersion {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
}

impl GroupVersion {
    /// `group/version`, or the bare version in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    fn is(&self, group: &str, version: &str) -> bool {
        self.group == group && self.version == version
    }
}

/// A version beside the stored one. The functions change fields only: `apiVersion` is the caller's to set.
#[derive(Clone, Debug)]
pub struct Served {
    pub version: GroupVersion,
    /// The schema's name of this version.
    pub schema: Cow<'static, str>,
    /// Turns an object of this version into one of the stored version.
    pub to_stored: fn(&mut Object),
    /// Turns an object of the stored version into one of this version.
    pub from_stored: fn(&mut Object),
    /// What a client of this version is warned of; empty for none.
    pub warning: Cow<'static, str>,
    /// Says which faults of the stored version were none in this one.
    pub allows: Option<fn(&Cause) -> bool>,
}

/// What a replicated kind's `scale` subresource reads and writes: field paths as custom resources declare them,
/// for example `.spec.replicas`.
#[derive(Clone, Debug)]
pub struct ScalePaths {
    pub spec_replicas: Cow<'static, str>,
    pub status_replicas: Cow<'static, str>,
    /// A path to a label selector (an object, a plain map of labels, or the string form); empty where there is none.
    pub selector: Cow<'static, str>,
}

/// A path below an object, as discovery lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// For example `log`.
    pub name: Cow<'static, str>,
    /// The kind that it takes or gives.
    pub kind: Cow<'static, str>,
    /// The group and version of that kind, where they are not those of the object.
    pub version: Option<GroupVersion>,
    /// In discovery's order.
    pub verbs: &'static [&'static str],
}

/// Which changes raise `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The kind has none.
    None,
    /// A change below `spec`.
    Spec,
    /// A change of anything but `metadata` and, where it is a subresource, `status`.
    Body,
}

/// A column of the `Table` form.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: Cow<'static, str>,
    /// `string`, `integer`, `date`, …
    pub kind: Cow<'static, str>,
    pub format: Cow<'static, str>,
    pub description: Cow<'static, str>,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
    pub cell: Cell,
}

/// Where a column's cell comes from.
#[derive(Clone, Debug)]
pub enum Cell {
    /// The object's name.
    Name,
    /// Time since `metadata.creationTimestamp`, as kubectl prints it.
    Age,
    /// A JSONPath as custom resources declare it.
    JsonPath(JsonPath),
    /// A function over the object and the present time.
    With(fn(&Object, jiff::Timestamp) -> Value),
}

/// The pure functions of a kind. Every one has a default that does nothing.
///
/// The server owns `metadata`, keeps `status` apart from the main resource where it is a subresource, and counts
/// generations; none of that is repeated here.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Fills in defaults.
    pub default: fn(&mut Object),
    /// Sets what the server owns on a new object. Runs after the server has cleared `status`.
    pub prepare_create: fn(&mut Object),
    /// Carries over from the old object what an update may not change. Runs after the server has put the old `status` back.
    pub prepare_update: fn(new: &mut Object, old: &Object),
    /// What happens to an object when its deletion is first asked for.
    pub prepare_delete: fn(&mut Object),
    /// What is wrong with a new object.
    pub validate: fn(&Object) -> Vec<Cause>,
    /// What is wrong with a new object beyond what is wrong with any.
    pub validate_new: fn(&Object) -> Vec<Cause>,
    /// What is wrong with a change through a subresource (empty for none), immutable fields among it. `validate` runs as
    /// well.
    pub validate_update: fn(new: &Object, old: &Object, subresource: &str) -> Vec<Cause>,
    /// Field selectors beyond `metadata.name` and `metadata.namespace`: name and value.
    pub fields: fn(&Object) -> Vec<(&'static str, String)>,
    /// `Warning` headers for an accepted object.
    pub warnings: fn(&Object) -> Vec<String>,
}

/// Rules of a kind that has none of its own.
pub const NO_RULES: Rules = Rules {
    default: |_| {},
    prepare_create: |_| {},
    prepare_update: |_, _| {},
    prepare_delete: |_| {},
    validate: |_| Vec::new(),
    validate_new: |_| Vec::new(),
    validate_update: |_, _, _| Vec::new(),
    fields: |_| Vec::new(),
    warnings: |_| Vec::new(),
};

/// Every verb of a stored kind, in discovery's order.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Verbs of a kind that is measured and never stored.
pub const READ_ONLY: &[&str] = &["get", "list"];

/// The only verb of a kind that is asked and never stored, a review for example.
pub const CREATE_ONLY: &[&str] = &["create"];

/// Verbs of `status` and `scale`.
pub const PART_VERBS: &[&str] = &["get", "patch", "update"];

/// One kind of object.
#[derive(Clone)]
pub struct Kind {
    pub kind: Cow<'static, str>,
    pub list_kind: Cow<'static, str>,
    pub plural: Cow<'static, str>,
    pub singular: Cow<'static, str>,
    pub short: Names,
    pub categories: Names,
    pub scope: Scope,
    /// The version it is stored in, first in discovery.
    pub stored: GroupVersion,
    /// Further versions, in discovery's order. Their group may be another one (events).
    pub served: Cow<'static, [Served]>,
    /// Verbs of the main resource, in discovery's order.
    pub verbs: &'static [&'static str],
    /// Whether there is a `status` subresource.
    pub status: bool,
    pub scale: Option<ScalePaths>,
    /// Subresources beside `status` and `scale`.
    pub others: Cow<'static, [Subresource]>,
    pub generation: Generation,
    /// The schema's name in the built-in schema table, for example `io.k8s.api.core.v1.Pod`; custom kinds carry their own.
    pub schema: Cow<'static, str>,
    /// What only a custom kind has.
    pub custom: Option<Arc<Custom>>,
    pub columns: Cow<'static, [Column]>,
    pub rules: Rules,
}

/// A kind for as long as it is needed: one that is part of the server, or one that a definition added and that goes with the
/// last who uses it.
#[derive(Clone)]
pub enum KindRef {
    BuiltIn(&'static Kind),
    Custom(Arc<Kind>),
}

impl KindRef {
    /// Whether both are the very same kind, not one that took its place.
    pub fn is_same(&self, other: &Kind) -> bool {
        std::ptr::eq(&**self, other)
    }
}

impl std::ops::Deref for KindRef {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        match self {
            KindRef::BuiltIn(kind) => kind,
            KindRef::Custom(kind) => kind,
        }
    }
}

impl Kind {
    /// Whether objects of this kind live in a namespace.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether objects are kept. Reviews and bindings are answered and forgotten, metrics are measured.
    pub fn is_stored(&self) -> bool {
        self.verbs.contains(&"get") && self.verbs.contains(&"create")
    }

    /// The group of the stored version.
    pub fn group(&self) -> &str {
        &self.stored.group
    }

    /// Every version that it is served in, the stored one first.
    pub fn versions(&self) -> impl Iterator<Item = &GroupVersion> {
        std::iter::once(&self.stored).chain(self.served.iter().map(|served| &served.version))
    }

    /// The further version of that name, or nothing for the stored one and for those it is not served in.
    pub fn served_as(&self, group: &str, version: &str) -> Option<&Served> {
        self.served.iter().find(|served| served.version.is(group, version))
    }

    /// What clients of a version are warned of.
    pub fn old_warning(&self, group: &str, version: &str) -> Option<&str> {
        let served = self.served_as(group, version)?;
        (!served.warning.is_empty()).then_some(&*served.warning)
    }

    /// Whether a version is kept in a group that the kind has left: names that stand for many kinds lead to it only once.
    pub fn has_left(&self, group: &str, version: &str) -> bool {
        self.stored.group != group && self.old_warning(group, version).is_some()
    }

    /// The schema's name in a version that it is served in.
    pub fn schema_in(&self, group: &str, version: &str) -> &str {
        self.served_as(group, version).map_or(&self.schema, |served| &served.schema)
    }

    /// The schema in a version that it is served in; nothing for a custom kind without one.
    pub fn schema_at(&self, group: &str, version: &str) -> Option<&Schema> {
        match &self.custom {
            Some(custom) => custom.schema(version),
            None => schema::builtin(self.schema_in(group, version)),
        }
    }

    /// The schema of the stored version.
    pub fn stored_schema(&self) -> Option<&Schema> {
        self.schema_at(&self.stored.group, &self.stored.version)
    }

    /// Every subresource with what discovery says of it, in the order of names.
    pub fn subresources(&self) -> Vec<Subresource> {
        let mut all = self.others.to_vec();
        if self.status {
            let kind = self.kind.clone();
            all.push(Subresource { name: "status".into(), kind, version: None, verbs: PART_VERBS });
        }
        if self.scale.is_some() {
            let version = GroupVersion { group: "autoscaling".into(), version: "v1".into() };
            all.push(Subresource {
                name: "scale".into(),
                kind: "Scale".into(),
                version: Some(version),
                verbs: PART_VERBS,
            });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Whether the kind counts generations: a new object has generation 1.
    pub fn has_generation(&self) -> bool {
        self.generation != Generation::None
    }

    /// Whether a change raises `metadata.generation`.
    pub fn raises_generation(&self, new: &Object, old: &Object) -> bool {
        match self.generation {
            Generation::None => false,
            Generation::Spec => new.0.get("spec") != old.0.get("spec"),
            Generation::Body => {
                let counts = |field: &str| field != "metadata" && !(self.status && field == "status");
                let differs = |a: &Object, b: &Object| a.0.iter().any(|(k, v)| counts(k) && b.0.get(k) != Some(v));
                differs(new, old) || differs(old, new)
            }
        }
    }
}

/// The kind that a path names, in any version it is served in.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.plural == plural && kind.versions().any(|served| served.is(group, version)))
}

/// The kind that an object names, in any version it is served in.
pub fn find_kind(group: &str, version: &str, name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.kind == name && kind.versions().any(|served| served.is(group, version)))
}

/// Every built-in kind.
pub static KINDS: &[Kind] = &[
    pod::BINDING,
    component::COMPONENT_STATUS,
    config::CONFIG_MAP,
    endpoints::ENDPOINTS,
    events::EVENT,
    limits::LIMIT_RANGE,
    namespace::NAMESPACE,
    nodes::NODE,
    volumes::PERSISTENT_VOLUME_CLAIM,
    volumes::PERSISTENT_VOLUME,
    pod::POD,
    pod::POD_TEMPLATE,
    apps::REPLICATION_CONTROLLER,
    limits::RESOURCE_QUOTA,
    config::SECRET,
    accounts::SERVICE_ACCOUNT,
    service::SERVICE,
    apps::CONTROLLER_REVISION,
    apps::DAEMON_SET,
    apps::DEPLOYMENT,
    apps::REPLICA_SET,
    apps::STATEFUL_SET,
    batch::CRON_JOB,
    batch::JOB,
    autoscaling::HORIZONTAL_POD_AUTOSCALER,
    policy::POD_DISRUPTION_BUDGET,
    networking::INGRESS,
    networking::INGRESS_CLASS,
    networking::IP_ADDRESS,
    networking::NETWORK_POLICY,
    networking::SERVICE_CIDR,
    rbac::CLUSTER_ROLE,
    rbac::CLUSTER_ROLE_BINDING,
    rbac::ROLE,
    rbac::ROLE_BINDING,
    storage::CSI_DRIVER,
    storage::CSI_NODE,
    storage::CSI_STORAGE_CAPACITY,
    storage::STORAGE_CLASS,
    storage::VOLUME_ATTACHMENT,
    storage::VOLUME_ATTRIBUTES_CLASS,
    lease::LEASE,
    endpoints::ENDPOINT_SLICE,
    scheduling::PRIORITY_CLASS,
    nodes::RUNTIME_CLASS,
    admission::MUTATING_ADMISSION_POLICY,
    admission::MUTATING_ADMISSION_POLICY_BINDING,
    admission::MUTATING_WEBHOOK_CONFIGURATION,
    admission::VALIDATING_ADMISSION_POLICY,
    admission::VALIDATING_ADMISSION_POLICY_BINDING,
    admission::VALIDATING_WEBHOOK_CONFIGURATION,
    extensions::CUSTOM_RESOURCE_DEFINITION,
    extensions::API_SERVICE,
    certificates::CERTIFICATE_SIGNING_REQUEST,
    flowcontrol::FLOW_SCHEMA,
    flowcontrol::PRIORITY_LEVEL_CONFIGURATION,
    metrics::NODE_METRICS,
    metrics::POD_METRICS,
    reviews::SELF_SUBJECT_REVIEW,
    reviews::TOKEN_REVIEW,
    reviews::LOCAL_SUBJECT_ACCESS_REVIEW,
    reviews::SELF_SUBJECT_ACCESS_REVIEW,
    reviews::SELF_SUBJECT_RULES_REVIEW,
    reviews::SUBJECT_ACCESS_REVIEW,
];

#[cfg(test)]
mod tests;
