//! The kinds table. One entry per kind; routes, discovery, OpenAPI paths, columns, RBAC names and garbage collection are
//! derived from it. A custom resource becomes a `Kind` value at run time, so custom and built-in ones go one path.

use super::{Cause, Object};
use std::borrow::Cow;

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

/// What a replicated kind's `scale` subresource reads and writes: field paths from the object's root.
#[derive(Clone, Debug)]
pub struct ScalePaths {
    pub spec_replicas: Cow<'static, str>,
    pub status_replicas: Cow<'static, str>,
    /// A path to a label selector (object or its string form); empty where there is none.
    pub selector: Cow<'static, str>,
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
    JsonPath(String),
    /// A function over the object.
    With(fn(&Object) -> serde_json::Value),
}

/// The pure functions of a kind. Every one has a default that does nothing.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Fills in defaults.
    pub default: fn(&mut Object),
    /// Sets what the server owns on a new object (clears `status`, `metadata.generation = 1`, …).
    pub prepare_create: fn(&mut Object),
    /// Carries over from the old object what an update may not change (status on the main resource, and so on).
    pub prepare_update: fn(new: &mut Object, old: &Object),
    /// What is wrong with a new object.
    pub validate: fn(&Object) -> Vec<Cause>,
    /// What is wrong with a change, immutable fields among it. `validate` runs as well.
    pub validate_update: fn(new: &Object, old: &Object) -> Vec<Cause>,
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
    validate: |_| Vec::new(),
    validate_update: |_, _| Vec::new(),
    fields: |_| Vec::new(),
    warnings: |_| Vec::new(),
};

/// One kind of object.
#[derive(Clone)]
pub struct Kind {
    pub kind: Cow<'static, str>,
    pub list_kind: Cow<'static, str>,
    pub plural: Cow<'static, str>,
    pub singular: Cow<'static, str>,
    pub short: Cow<'static, [Cow<'static, str>]>,
    pub categories: Cow<'static, [Cow<'static, str>]>,
    pub scope: Scope,
    /// The version it is stored in, first in discovery.
    pub stored: GroupVersion,
    /// Verbs of the main resource, in discovery's order.
    pub verbs: &'static [&'static str],
    /// Whether there is a `status` subresource.
    pub status: bool,
    pub scale: Option<ScalePaths>,
    /// The schema's name in the built-in schema table, for example `io.k8s.api.core.v1.Pod`; custom kinds carry their own.
    pub schema: Cow<'static, str>,
    pub columns: Cow<'static, [Column]>,
    pub rules: Rules,
}

/// Every built-in kind.
pub static KINDS: &[Kind] = &[];
