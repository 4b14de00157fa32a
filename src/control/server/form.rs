//! In which form a client wants objects: as they are, as a `Table`, or their metadata alone.

use crate::api::{Kind, Object, table};
use serde_json::{Value, json};

/// The forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Plain,
    Table,
    Metadata,
}

impl Form {
    /// One object in this form. `with_header` is about a table's column definitions: the first event of a watch has them.
    pub fn object(self, kind: &Kind, object: Object, include: &str, with_header: bool) -> Value {
        match self {
            Form::Plain => Value::Object(object.0),
            Form::Metadata => metadata(&object, "PartialObjectMetadata"),
            Form::Table => {
                let version = object.resource_version().to_string();
                let mut table = table::of(kind, vec![object], include, jiff::Timestamp::now());
                table["metadata"] = json!({"resourceVersion": version});
                if !with_header {
                    table["columnDefinitions"] = Value::Null;
                }
                table
            }
        }
    }

    /// A list in this form; `list` is the list's metadata.
    pub fn list(self, kind: &Kind, api_version: &str, objects: Vec<Object>, list: Value, include: &str) -> Value {
        match self {
            Form::Plain => {
                json!({"kind": kind.list_kind, "apiVersion": api_version, "metadata": list, "items": objects})
            }
            Form::Metadata => {
                let items: Vec<Value> =
                    objects.iter().map(|object| metadata(object, "PartialObjectMetadata")).collect();
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": list, "items": items})
            }
            Form::Table => {
                let mut table = table::of(kind, objects, include, jiff::Timestamp::now());
                table["metadata"] = list;
                table
            }
        }
    }
}

fn metadata(object: &Object, kind: &str) -> Value {
    json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": object.0.get("metadata")})
}
