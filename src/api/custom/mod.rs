//! Custom kinds: from a CustomResourceDefinition to [`Kind`] values that take the same way as built-in ones.
//!
//! Every served version has a `Kind` of its own, because columns, scale and status may differ; all of a definition share one
//! [`Custom`]. What is made of schemas is made when a version is first used: most definitions of a cluster are never touched.
//!
//! Conversion: with strategy `None` versions differ in `apiVersion` alone. With `Webhook` somebody else converts, so that every
//! version is a kind that knows no other one: the server has objects converted on their way from and to the store.

mod check;
pub mod definition;
mod format;
mod structural;

use super::json_path::JsonPath;
use super::kinds::{
    ALL_VERBS, Cell, Column, Generation, GroupVersion, Kind, NO_RULES, Names, ScalePaths, Scope, Served,
};
use super::schema::{self, Schema};
use super::{Cause, Object};
use bytes::Bytes;
use check::Check;
use serde_json::{Value, json};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Where the definition's bytes are found when they are needed; nothing once it is gone.
pub type Source = Arc<dyn Fn() -> Option<Bytes> + Send + Sync>;

/// What is special to a custom kind.
pub struct Custom {
    /// The definition's name.
    pub name: String,
    /// Whether all objects that are stored were written by this very schema, so that their bytes can be copied.
    pub is_original: bool,
    /// Who converts between versions; nothing where they differ in name alone.
    pub conversion: Option<Conversion>,
    /// The version that objects are stored in.
    pub storage: String,
    versions: Box<[Version]>,
    source: Source,
}

/// Who converts objects, as a definition says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// `clientConfig` of a webhook.
    pub client: Value,
    /// Versions of reviews that it understands, the best first.
    pub reviews: Vec<String>,
}

/// One version of a custom kind.
struct Version {
    name: String,
    status: bool,
    /// Said to every client of a deprecated version.
    warning: Option<String>,
    /// Fields to select by, with their paths.
    fields: Box<[(String, JsonPath)]>,
    compiled: OnceLock<Compiled>,
    /// What somebody else makes of the schema.
    rules: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// What is made of the schema of a version.
struct Compiled {
    schema: Schema,
    check: Check,
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The kinds of a definition whose names are accepted: one for every served version.
pub fn kinds(definition: &Object, source: Source) -> Vec<(String, Kind)> {
    let versions = list(definition.at(&["spec", "versions"]));
    let generation = definition.at(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(1);
    let custom = Arc::new(Custom {
        name: definition.name().to_string(),
        is_original: generation <= 1
            && list(definition.at(&["status", "storedVersions"])).len() <= 1
            && conversion(definition).is_none(),
        conversion: conversion(definition),
        storage: storage(versions).to_string(),
        versions: versions.iter().map(|version| Version::read(definition, version)).collect(),
        source,
    });
    let served = versions.iter().filter(|version| version["served"] == true);
    served.map(|version| (text(version, "name").to_string(), kind(definition, version, versions, &custom))).collect()
}

fn kind(definition: &Object, version: &Value, versions: &[Value], custom: &Arc<Custom>) -> Kind {
    let names = definition.at(&["status", "acceptedNames"]).unwrap_or(&Value::Null);
    let group = definition.text(&["spec", "group"]);
    let has_webhook = custom.conversion.is_some();
    let stored = if has_webhook { text(version, "name") } else { custom.storage.as_str() };
    let name = |field: &str| Cow::Owned(text(names, field).to_string());
    let schema_name = |version: &str| {
        let reversed: Vec<&str> = group.rsplit('.').collect();
        Cow::Owned(format!("{}.{version}.{}", reversed.join("."), text(names, "kind")))
    };
    let group_version =
        |version: &str| GroupVersion { group: group.to_string().into(), version: version.to_string().into() };
    let is_other = |version: &&Value| version["served"] == true && text(version, "name") != stored && !has_webhook;
    let others = versions.iter().filter(is_other);
    let served: Vec<Served> = others
        .map(|version| Served {
            version: group_version(text(version, "name")),
            schema: schema_name(text(version, "name")),
            to_stored: |_| {},
            from_stored: |_| {},
            warning: "".into(),
            allows: None,
        })
        .collect();
    let parts = &version["subresources"];
    Kind {
        kind: name("kind"),
        list_kind: name("listKind"),
        plural: name("plural"),
        singular: name("singular"),
        short: all(&names["shortNames"]),
        categories: all(&names["categories"]),
        scope: if definition.text(&["spec", "scope"]) == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
        stored: group_version(stored),
        served: served.into(),
        verbs: ALL_VERBS,
        status: parts["status"].is_object(),
        scale: scale(&parts["scale"]),
        others: Cow::Borrowed(&[]),
        generation: Generation::Body,
        schema: schema_name(stored),
        custom: Some(custom.clone()),
        columns: columns(list(version.get("additionalPrinterColumns"))).into(),
        rules: NO_RULES,
    }
}

fn storage(versions: &[Value]) -> &str {
    versions.iter().find(|version| version["storage"] == true).map_or("", |version| text(version, "name"))
}

fn conversion(definition: &Object) -> Option<Conversion> {
    let own = definition.at(&["spec", "conversion"]).filter(|own| own["strategy"] == "Webhook")?;
    let reviews = list(own["webhook"].get("conversionReviewVersions")).iter().filter_map(Value::as_str);
    Some(Conversion { client: own["webhook"]["clientConfig"].clone(), reviews: reviews.map(String::from).collect() })
}

fn scale(value: &Value) -> Option<ScalePaths> {
    let path = |field: &str| Cow::Owned(text(value, field).to_string());
    value.is_object().then(|| ScalePaths {
        spec_replicas: path("specReplicasPath"),
        status_replicas: path("statusReplicasPath"),
        selector: path("labelSelectorPath"),
    })
}

/// The columns of a version; without any, objects show their age.
fn columns(own: &[Value]) -> Vec<Column> {
    const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created.";
    let name = Column {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        description: "Name must be unique within a namespace.".into(),
        priority: 0,
        cell: Cell::Name,
    };
    let age = [json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": AGE})];
    let own = if own.is_empty() { &age } else { own };
    let columns = own.iter().filter_map(|column| {
        let path = text(column, "jsonPath");
        let described = match text(column, "description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            own => own.to_string(),
        };
        Some(Column {
            name: text(column, "name").to_string().into(),
            kind: text(column, "type").to_string().into(),
            format: text(column, "format").to_string().into(),
            description: described.into(),
            priority: column["priority"].as_i64().unwrap_or(0) as i32,
            // A path that this server cannot read is refused when the definition is written.
            cell: Cell::JsonPath(JsonPath::parse(path).ok()?),
        })
    });
    std::iter::once(name).chain(columns).collect()
}

impl Version {
    fn read(definition: &Object, version: &Value) -> Self {
        let name = text(version, "name").to_string();
        let default = || {
            let (group, kind) = (definition.text(&["spec", "group"]), definition.text(&["spec", "names", "kind"]));
            format!("{group}/{name} {kind} is deprecated")
        };
        let own = version["deprecationWarning"].as_str().map(String::from);
        let warning = (version["deprecated"] == true).then(|| own.unwrap_or_else(default));
        let fields = list(version.get("selectableFields")).iter().filter_map(|field| {
            let path = text(field, "jsonPath");
            Some((path.trim_start_matches('.').to_string(), JsonPath::parse(path).ok()?))
        });
        let (status, fields) = (version["subresources"]["status"].is_object(), fields.collect());
        Self { status, warning, fields, compiled: OnceLock::new(), rules: OnceLock::new(), name }
    }
}

impl Custom {
    fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    fn compiled(&self, name: &str) -> Option<&Compiled> {
        let version = self.version(name)?;
        Some(version.compiled.get_or_init(|| {
            let open_api = self.open_api(name);
            let schema = open_api.as_ref().map_or_else(schema::structural::untyped, schema::structural::kind);
            Compiled { schema, check: Check::compile(&open_api.unwrap_or_default()) }
        }))
    }

    /// What somebody else makes of the schema of a version: made once, and kept with it.
    pub fn rules(
        &self,
        version: &str,
        make: impl FnOnce(&Value) -> Arc<dyn Any + Send + Sync>,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        let own = self.version(version)?;
        Some(own.rules.get_or_init(|| make(&self.open_api(version).unwrap_or_default())).clone())
    }

    /// The schema of a version as the definition has it.
    pub fn open_api(&self, version: &str) -> Option<Value> {
        let definition: Value = serde_json::from_slice(&(self.source)()?).ok()?;
        let versions = definition["spec"]["versions"].as_array()?;
        let own = versions.iter().find(|own| own["name"] == version)?;
        own["schema"].get("openAPIV3Schema").filter(|schema| schema.is_object()).cloned()
    }

    /// The schema of a version.
    pub fn schema(&self, version: &str) -> Option<&Schema> {
        self.compiled(version).map(|compiled| &compiled.schema)
    }

    /// Every version that the definition names.
    pub fn version_names(&self) -> impl Iterator<Item = &str> {
        self.versions.iter().map(|version| version.name.as_str())
    }

    /// What clients of a version are warned of.
    pub fn warning(&self, version: &str) -> Option<&str> {
        self.version(version)?.warning.as_deref()
    }

    /// Fills in what is missing.
    pub fn default(&self, version: &str, object: &mut Object) {
        let Some(compiled) = self.compiled(version) else { return };
        let mut value = Value::Object(std::mem::take(&mut object.0));
        schema::structural::fill_defaults(&compiled.schema, &mut value);
        object.0 = Object::from_value(value).unwrap_or_default().0;
    }

    /// An object that an older schema let pass, as this one has it: what is unknown goes, what is missing comes.
    pub fn renew(&self, version: &str, object: &mut Object) {
        if let Some(schema) = self.schema(version) {
            let value = Value::Object(object.0.clone());
            // An object whose metadata cannot be read stays as it is: it was taken once.
            if let Ok(decoded) = schema::decode::value(schema, value)
                && let Some(pruned) = Object::from_value(decoded.value)
            {
                *object = pruned;
            }
        }
        self.default(version, object);
    }

    /// What is wrong with an object, or with its status if that is what is written.
    pub fn faults(&self, version: &str, object: &mut Object, old: Option<&Object>, subresource: &str) -> Vec<Cause> {
        let Some(compiled) = self.compiled(version) else { return Vec::new() };
        if subresource == "status" {
            let check = compiled.check.property("status");
            let before = old.and_then(|old| old.0.get("status"));
            let status = object.0.get("status");
            return check.zip(status).map_or_else(Vec::new, |(check, status)| check.run(status, before, "status"));
        }
        compiled.check.whole(object, old)
    }

    /// Whether a version keeps its status apart.
    pub fn has_status(&self, version: &str) -> bool {
        self.version(version).is_some_and(|version| version.status)
    }

    /// Fields to select by, with their values in an object: those of every version.
    pub fn fields(&self, object: &Object) -> Vec<(String, String)> {
        if self.versions.iter().all(|version| version.fields.is_empty()) {
            return Vec::new();
        }
        let mut found: Vec<(String, String)> = Vec::new();
        for (name, path) in self.versions.iter().flat_map(|version| &version.fields) {
            let at = path.find_in(object).first().map_or(String::new(), |value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            if !found.iter().any(|(known, _)| known == name) {
                found.push((name.clone(), at));
            }
        }
        found
    }

    /// The names of [`Custom::fields`].
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.versions.iter().flat_map(|version| &version.fields).map(|(name, _)| name.as_str())
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn all(names: &Value) -> Names {
    list(Some(names)).iter().filter_map(|name| Some(Cow::Owned(name.as_str()?.to_string()))).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests;
