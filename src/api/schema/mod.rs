//! What values of a kind look like: one type for built-in and custom kinds, and everything that is done by it.
//!
//! A [`Schema`] is a tree of shapes. Built-in types are written into the executable by the build script and read when they
//! are first asked for ([`builtin`]); [`structural::read`] makes one from the schema of a custom resource definition.
//! A kind's schema in a version is [`crate::api::Kind::schema_at`].
//!
//! What takes a schema:
//! * [`decode`]: JSON text or values into values; unknown fields are pruned and reported, types are checked as Go does.
//! * [`structural::fill_defaults`]: defaults of custom kinds.
//! * [`strategic`]: strategic merge patches.
//! * [`crate::api::fields`]: sets of fields, their managers, server-side apply.
//! * [`crate::api::openapi`]: the documents; it reads the text of built-in types, not these trees.
//!
//! In a custom schema, fields below a [`Shape::Builtin`] node (`metadata`, embedded resources) are pruned and checked as in
//! a built-in type; elsewhere in it a value of the wrong type stays, for validation to refuse.

mod blob;
pub mod decode;
pub mod strategic;
pub mod structural;

use serde_json::Value;
use std::borrow::Cow;

/// A string of a schema: part of the executable for built-in types.
pub type Name = Cow<'static, str>;

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub shape: Shape,
    /// Whether `null` is a value of its own (custom kinds only: in built-in ones it means absent).
    pub nullable: bool,
    /// The value of a missing field.
    pub default: Option<Box<Value>>,
    /// The only values that are allowed, if there are such.
    pub allowed: Option<Box<[Value]>>,
}

/// The shape of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Anything, kept as it is.
    Any,
    Text,
    /// Base64 text.
    Bytes,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    Int32,
    Int64,
    Float,
    Boolean,
    IntOrText,
    Quantity,
    /// Fields with names.
    Struct(Box<Struct>),
    /// Any names, values of one shape.
    Map(Box<Map>),
    List(Box<List>),
    /// A built-in type, by its place in the table.
    Builtin(Builtin),
}

/// An object with known fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Struct {
    /// In the order of names.
    pub fields: Box<[Field]>,
    /// Whether it is owned and replaced as a whole.
    pub atomic: bool,
    /// Whether fields that are not listed are kept (`x-kubernetes-preserve-unknown-fields`).
    pub open: bool,
    /// Whether it is a whole object of its own (`x-kubernetes-embedded-resource`); `fields` has its `apiVersion`, `kind`
    /// and `metadata`.
    pub embedded: bool,
}

/// A field of a [`Struct`].
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: Name,
    pub schema: Schema,
    pub required: bool,
    /// How strategic merge patches treat it.
    pub patch: PatchRule,
    /// Whether it is owned as a whole, where the field says something else than its type.
    pub atomic: Option<bool>,
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatchRule {
    /// Lists are merged, by `key` if there is one.
    pub merge: bool,
    /// An object is replaced as a whole.
    pub replace: bool,
    /// Fields of an object or of list items that the patch does not name are dropped if it lists those to retain.
    pub retain_keys: bool,
    pub key: Option<Name>,
}

/// An object with any keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub values: Schema,
    pub atomic: bool,
}

/// A list.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub items: Schema,
    pub kind: ListKind,
}

/// How items of a list are told apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ListKind {
    /// Not at all: the list is one value.
    #[default]
    Atomic,
    /// By their value.
    Set,
    /// By the values of these fields.
    Map(Box<[Name]>),
}

/// A built-in type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin(u16);

impl Builtin {
    /// The type's name, for example `io.k8s.api.core.v1.Pod`.
    pub fn name(self) -> &'static str {
        blob::name(self.0)
    }

    /// The type's schema.
    pub fn schema(self) -> &'static Schema {
        blob::schema(self.0)
    }

    /// The type of that name.
    pub fn find(name: &str) -> Option<Self> {
        blob::find(name).map(Self)
    }

    /// Every built-in type, in the order of names.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..blob::count()).map(Self)
    }
}

/// The schema of the built-in type of that name, as a reference to it.
pub fn builtin(name: &str) -> Option<&'static Schema> {
    Builtin::find(name).map(|found| blob::reference(found.0))
}

impl From<Shape> for Schema {
    fn from(shape: Shape) -> Self {
        Self { shape, nullable: false, default: None, allowed: None }
    }
}

impl Schema {
    /// The schema itself, or that of the built-in type that it names.
    pub fn resolved(&self) -> &Schema {
        match self.shape {
            Shape::Builtin(named) => named.schema(),
            _ => self,
        }
    }

    /// The field of that name, if this is an object with such a field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match &self.resolved().shape {
            Shape::Struct(own) => own.field(name),
            _ => None,
        }
    }

    /// The schema of what is at `name` in an object: of a field, or of a map's values.
    pub fn child(&self, name: &str) -> Option<&Schema> {
        match &self.resolved().shape {
            Shape::Struct(own) => own.field(name).map(|field| &field.schema),
            Shape::Map(map) => Some(&map.values),
            _ => None,
        }
    }

    /// The schema of a list's items.
    pub fn items(&self) -> Option<&List> {
        match &self.resolved().shape {
            Shape::List(list) => Some(list),
            _ => None,
        }
    }

    /// The schema at a path of field names (items of lists are stepped into without a name).
    pub fn at(&self, path: &[&str]) -> Option<&Schema> {
        path.iter().try_fold(self, |schema, name| match &schema.resolved().shape {
            Shape::List(list) => list.items.child(name),
            _ => schema.child(name),
        })
    }
}

impl Struct {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let found = self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        Some(&self.fields[found])
    }

    /// An object with these fields.
    pub fn of(mut fields: Vec<Field>) -> Self {
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Self { fields: fields.into(), ..Self::default() }
    }
}

impl Field {
    /// A field that has nothing but a name and a schema.
    pub fn plain(name: impl Into<Name>, schema: Schema) -> Self {
        Self { name: name.into(), schema, required: false, patch: PatchRule::default(), atomic: None }
    }

    /// Whether the object in this field is owned as a whole.
    pub fn is_atomic(&self) -> bool {
        self.atomic.unwrap_or_else(|| match &self.schema.resolved().shape {
            Shape::Struct(own) => own.atomic,
            Shape::Map(map) => map.atomic,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::KINDS;

    #[test]
    fn every_served_version_has_a_schema_with_metadata() {
        for kind in KINDS {
            for version in kind.versions() {
                let name = kind.schema_in(&version.group, &version.version);
                let schema = builtin(name).unwrap_or_else(|| panic!("{name}"));
                assert!(schema.field("metadata").is_some(), "{name}");
            }
        }
    }

    #[test]
    fn every_type_of_the_table_can_be_read() {
        assert!(Builtin::all().count() > 400);
        for one in Builtin::all() {
            assert_eq!(Builtin::find(one.name()), Some(one));
            if let Shape::Struct(own) = &one.schema().shape {
                assert!(own.fields.is_sorted_by(|a, b| a.name < b.name), "{}", one.name());
            }
        }
        assert!(builtin("io.k8s.api.core.v1.Pid").is_none());
    }

    #[test]
    fn facts_of_lists_and_patches_are_there() {
        let pod = builtin("io.k8s.api.core.v1.Pod").unwrap();
        let ports = pod.at(&["spec", "containers"]).unwrap().items().unwrap().items.field("ports").unwrap();
        assert_eq!(
            ports.schema.items().unwrap().kind,
            ListKind::Map(["containerPort".into(), "protocol".into()].into())
        );
        assert_eq!(ports.patch.key.as_deref(), Some("containerPort"));
        let protocol = ports.schema.items().unwrap().items.field("protocol").unwrap();
        assert_eq!(protocol.schema.default.as_deref(), Some(&Value::from("TCP")));
        assert_eq!(protocol.schema.allowed.as_deref().map(<[_]>::len), Some(3));
        let volumes = pod.child("spec").unwrap().field("volumes").unwrap();
        assert!(volumes.patch.merge && volumes.patch.retain_keys);
        assert!(pod.child("spec").unwrap().field("nodeSelector").unwrap().is_atomic());
        let claim =
            builtin("io.k8s.api.core.v1.PersistentVolume").unwrap().child("spec").unwrap().field("claimRef").unwrap();
        assert!(!claim.is_atomic(), "the field says something else than its type");
    }
}
