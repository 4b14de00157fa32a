//! How a table entry is written: what a kind has unless its entry says otherwise, and macros for the usual parts.

use super::*;

/// A kind without anything of its own. Entries name what differs.
pub(super) const PLAIN: Kind = Kind {
    kind: Cow::Borrowed(""),
    list_kind: Cow::Borrowed(""),
    plural: Cow::Borrowed(""),
    singular: Cow::Borrowed(""),
    short: Cow::Borrowed(&[]),
    categories: Cow::Borrowed(&[]),
    scope: Scope::Namespaced,
    stored: GroupVersion { group: Cow::Borrowed(""), version: Cow::Borrowed("") },
    served: Cow::Borrowed(&[]),
    verbs: ALL_VERBS,
    status: false,
    scale: None,
    others: Cow::Borrowed(&[]),
    generation: Generation::None,
    schema: Cow::Borrowed(""),
    custom: None,
    columns: Cow::Borrowed(columns::NAME_AND_AGE),
    rules: NO_RULES,
};

/// `.spec.replicas`, `.status.replicas` and `.spec.selector`, as all built-in replicated kinds have them.
pub(super) const REPLICAS: Option<ScalePaths> = Some(ScalePaths {
    spec_replicas: Cow::Borrowed(".spec.replicas"),
    status_replicas: Cow::Borrowed(".status.replicas"),
    selector: Cow::Borrowed(".spec.selector"),
});

/// Columns that many kinds share.
pub(super) mod columns {
    use super::*;

    /// The object's name, first in every table.
    pub const NAME: Column = Column {
        name: Cow::Borrowed("Name"),
        kind: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        description: Cow::Borrowed("Name of the object, unique among those of its kind in its namespace."),
        priority: 0,
        cell: Cell::Name,
    };

    /// Time since the object was made.
    pub const AGE: Column = Column {
        name: Cow::Borrowed("Age"),
        kind: Cow::Borrowed("string"),
        format: Cow::Borrowed(""),
        description: Cow::Borrowed("Time since the object was made."),
        priority: 0,
        cell: Cell::Age,
    };

    /// What a kind without columns of its own shows.
    pub const NAME_AND_AGE: &[Column] = &[NAME, AGE];
}

/// One entry: scope, group/version, schema prefix, kind, plural, singular, then the fields that differ from `PLAIN`.
macro_rules! kind {
    ($scope:ident, $group:literal / $version:literal, $schema:literal, $kind:literal, $plural:literal, $singular:literal
     $(, $field:ident: $value:expr)* $(,)?) => {
        $crate::api::kinds::Kind {
            kind: std::borrow::Cow::Borrowed($kind),
            list_kind: std::borrow::Cow::Borrowed(concat!($kind, "List")),
            plural: std::borrow::Cow::Borrowed($plural),
            singular: std::borrow::Cow::Borrowed($singular),
            scope: $crate::api::kinds::Scope::$scope,
            stored: $crate::api::kinds::GroupVersion {
                group: std::borrow::Cow::Borrowed($group),
                version: std::borrow::Cow::Borrowed($version),
            },
            schema: std::borrow::Cow::Borrowed(concat!($schema, ".", $version, ".", $kind)),
            $($field: $value,)*
            ..$crate::api::kinds::entry::PLAIN
        }
    };
}

/// A list of names.
macro_rules! names {
    ($($name:literal),* $(,)?) => { std::borrow::Cow::Borrowed(&[$(std::borrow::Cow::Borrowed($name)),*]) };
}

/// A list of subresources: name, kind (with a group and version of its own where needed), verbs.
macro_rules! subresources {
    ($($name:literal: $kind:literal $(in $group:literal / $version:literal)? $verbs:expr),* $(,)?) => {
        std::borrow::Cow::Borrowed(&[$($crate::api::kinds::Subresource {
            name: std::borrow::Cow::Borrowed($name),
            kind: std::borrow::Cow::Borrowed($kind),
            version: subresources!(@version $($group / $version)?),
            verbs: $verbs,
        }),*])
    };
    (@version $group:literal / $version:literal) => {
        Some($crate::api::kinds::GroupVersion {
            group: std::borrow::Cow::Borrowed($group),
            version: std::borrow::Cow::Borrowed($version),
        })
    };
    (@version) => { None };
}
