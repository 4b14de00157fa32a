//! A release as Go's types have it, for templates of the user: fields by Go's names, each with its type.

use crate::charts::release::Release;
use crate::charts::template::{Element, Entries, Map, MapKind, Object, Value, parse_time};
use serde_json::Value as Json;
use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;

/// What a field is.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Int,
    Bool,
    Time,
    Bytes,
    /// A map of anything.
    Table,
    /// A map of texts.
    Texts,
    /// A list of texts.
    Words,
    /// A list of anything.
    List,
    /// A struct, or nothing.
    One(&'static Kind),
    /// A list of structs, and the name of its elements' type.
    Many(&'static Kind),
}

/// A struct of Helm's: the type's name, and its fields by Go's name and JSON's.
struct Kind {
    name: &'static str,
    fields: &'static [(&'static str, &'static str, Shape)],
}

use Shape::{Bool, Bytes, Int, List, Many, One, Table, Text, Texts, Time, Words};

static RELEASE: Kind = Kind {
    name: "*v1.Release",
    fields: &[
        ("Name", "name", Text),
        ("Info", "info", One(&INFO)),
        ("Chart", "chart", One(&CHART)),
        ("Config", "config", Table),
        ("Manifest", "manifest", Text),
        ("Hooks", "hooks", Many(&HOOK)),
        ("Version", "version", Int),
        ("Namespace", "namespace", Text),
        ("Labels", "labels", Texts),
        ("ApplyMethod", "apply_method", Text),
    ],
};

static INFO: Kind = Kind {
    name: "*v1.Info",
    fields: &[
        ("FirstDeployed", "first_deployed", Time),
        ("LastDeployed", "last_deployed", Time),
        ("Deleted", "deleted", Time),
        ("Description", "description", Text),
        ("Status", "status", Text),
        ("RollbackRevision", "rollback_revision", Int),
        ("Notes", "notes", Text),
        ("Resources", "resources", Table),
    ],
};

static HOOK: Kind = Kind {
    name: "*v1.Hook",
    fields: &[
        ("Name", "name", Text),
        ("Kind", "kind", Text),
        ("Path", "path", Text),
        ("Manifest", "manifest", Text),
        ("Events", "events", Words),
        ("LastRun", "last_run", One(&EXECUTION)),
        ("Weight", "weight", Int),
        ("DeletePolicies", "delete_policies", Words),
        ("OutputLogPolicies", "output_log_policies", Words),
    ],
};

static EXECUTION: Kind = Kind {
    name: "v1.HookExecution",
    fields: &[("StartedAt", "started_at", Time), ("CompletedAt", "completed_at", Time), ("Phase", "phase", Text)],
};

static CHART: Kind = Kind {
    name: "*v2.Chart",
    fields: &[
        ("Raw", "", Many(&FILE)),
        ("Metadata", "metadata", One(&METADATA)),
        ("Lock", "lock", One(&LOCK)),
        ("Templates", "templates", Many(&FILE)),
        ("Values", "values", Table),
        ("Schema", "schema", Bytes),
        ("SchemaModTime", "schemamodtime", Time),
        ("Files", "files", Many(&FILE)),
        ("ModTime", "modtime", Time),
    ],
};

static METADATA: Kind = Kind {
    name: "*v2.Metadata",
    fields: &[
        ("Name", "name", Text),
        ("Home", "home", Text),
        ("Sources", "sources", Words),
        ("Version", "version", Text),
        ("Description", "description", Text),
        ("Keywords", "keywords", Words),
        ("Maintainers", "maintainers", Many(&MAINTAINER)),
        ("Icon", "icon", Text),
        ("APIVersion", "apiVersion", Text),
        ("Condition", "condition", Text),
        ("Tags", "tags", Text),
        ("AppVersion", "appVersion", Text),
        ("Deprecated", "deprecated", Bool),
        ("Annotations", "annotations", Texts),
        ("KubeVersion", "kubeVersion", Text),
        ("Dependencies", "dependencies", Many(&DEPENDENCY)),
        ("Type", "type", Text),
    ],
};

static MAINTAINER: Kind =
    Kind { name: "*v2.Maintainer", fields: &[("Name", "name", Text), ("Email", "email", Text), ("URL", "url", Text)] };

static DEPENDENCY: Kind = Kind {
    name: "*v2.Dependency",
    fields: &[
        ("Name", "name", Text),
        ("Version", "version", Text),
        ("Repository", "repository", Text),
        ("Condition", "condition", Text),
        ("Tags", "tags", Words),
        ("Enabled", "enabled", Bool),
        ("ImportValues", "import-values", List),
        ("Alias", "alias", Text),
    ],
};

static LOCK: Kind = Kind {
    name: "*v2.Lock",
    fields: &[
        ("Generated", "generated", Time),
        ("Digest", "digest", Text),
        ("Dependencies", "dependencies", Many(&DEPENDENCY)),
    ],
};

static FILE: Kind = Kind {
    name: "*common.File",
    fields: &[("Name", "name", Text), ("Data", "data", Bytes), ("ModTime", "modtime", Time)],
};

/// A struct with its values.
struct Record {
    kind: &'static Kind,
    fields: Vec<(&'static str, Value)>,
}

/// A release for a template.
pub fn of(release: &Release) -> Result<Value, serde_json::Error> {
    let mut json = serde_json::to_value(release)?;
    json["labels"] = serde_json::to_value(&release.labels)?;
    Ok(record(&RELEASE, &json))
}

fn record(kind: &'static Kind, json: &Json) -> Value {
    let field = |(go, key, shape): &(&'static str, &str, Shape)| (*go, value(*shape, &json[*key]));
    Value::Object(Rc::new(Record { kind, fields: kind.fields.iter().map(field).collect() }))
}

fn value(shape: Shape, json: &Json) -> Value {
    let text = |json: &Json| Value::from(json.as_str().unwrap_or_default());
    let items = || json.as_array().map(Vec::as_slice).unwrap_or_default();
    match shape {
        Text => text(json),
        Int => Value::from(json.as_i64().unwrap_or_default()),
        Bool => json.as_bool().unwrap_or_default().into(),
        Time => Value::Time(Rc::new(moment(json.as_str().unwrap_or_default()))),
        Bytes => Value::Bytes(decoded(json.as_str().unwrap_or_default()).into()),
        Table => Value::from_table(json.as_object().unwrap_or(&serde_json::Map::new())),
        Texts => {
            let entries = json.as_object().into_iter().flatten();
            let entries: Entries = entries.map(|(key, value)| (key.as_str().into(), text(value))).collect();
            Value::Map(Map::of(MapKind::Of(Element::Str), entries))
        }
        Words => Value::list_of(Element::Str, items().iter().map(text).collect()),
        List => Value::list(items().iter().map(Value::from_json).collect()),
        One(kind) if json.is_null() && kind.name.starts_with('*') => Value::Nil,
        One(kind) => record(kind, json),
        Many(kind) => {
            Value::list_of(Element::Named(kind.name), items().iter().map(|item| record(kind, item)).collect())
        }
    }
}

/// A time of a record; one that is missing is Go's zero.
fn moment(text: &str) -> jiff::Zoned {
    let read = |text: &str| parse_time("2006-01-02T15:04:05.999999999Z07:00", text).ok();
    read(text).or_else(|| read("0001-01-01T00:00:00Z")).unwrap_or_default()
}

/// The bytes of a file, which are base64 in a record.
fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    // A record that can be read has no other.
    base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
}

impl Object for Record {
    fn type_name(&self) -> Cow<'static, str> {
        self.kind.name.into()
    }

    fn kind(&self) -> &'static str {
        if self.kind.name.starts_with('*') { "ptr" } else { "struct" }
    }

    fn field(&self, name: &str) -> Option<Value> {
        let own = |name: &str| self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone());
        // Methods of Helm's chart that tell what its metadata says.
        let told = |name: &str| match own("Metadata")? {
            Value::Object(metadata) => metadata.field(name),
            _ => None,
        };
        own(name).or_else(|| told(name).filter(|_| matches!(name, "Name" | "AppVersion")))
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        self.fields.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::{Offline, render_text};
    use serde_json::json;

    fn told(text: &str) -> Result<String, String> {
        let record = json!({
            "name": "web",
            "info": {"first_deployed": "2026-01-02T03:04:05.6Z", "status": "deployed"},
            "chart": {"metadata": {"apiVersion": "v2", "name": "app", "version": "1.2.3", "maintainers": [{"name": "a"}]}},
            "config": {"some_key": {"in-ner": 1}},
            "version": 3,
            "apply_method": "ssa",
        });
        let mut release: Release = serde_json::from_value(record).unwrap();
        release.labels.insert("team".into(), "blue".into());
        let data = Value::map_from([("Release", of(&release).unwrap())]);
        render_text("_", text, &data, &Offline).map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_sees_a_release_under_the_names_of_gos_fields() {
        let text = "{{with .Release}}{{.Name}} {{.Version}} {{.Info.Status}} {{.Info.FirstDeployed}} {{.Chart.Metadata.APIVersion}} \
                    {{.Chart.Name}} {{.Config.some_key}} {{.ApplyMethod}} {{.Labels.team}} {{range .Chart.Metadata.Maintainers}}{{.Name}}{{end}}\
                    {{.Info.Notes}}.{{end}}";
        let expected = "web 3 deployed 2026-01-02 03:04:05.6 +0000 UTC v2 app map[in-ner:1] ssa blue a.";
        assert_eq!(told(text).unwrap(), expected);
    }

    #[test]
    fn a_field_that_no_release_has_is_a_mistake() {
        let problem = told("{{.Release.Foo}}").unwrap_err();
        assert!(problem.ends_with("at <.Release.Foo>: can't evaluate field Foo in type interface {}"), "{problem}");
        let problem = told("{{.Release.Info.Foo}}").unwrap_err();
        assert!(problem.ends_with("at <.Release.Info.Foo>: can't evaluate field Foo in type *v1.Info"), "{problem}");
    }
}
