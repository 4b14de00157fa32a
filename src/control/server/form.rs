//! In which form a client wants objects: as they are, as a `Table`, or their metadata alone.

use crate::api::{Kind, Object, table};
use serde::Deserialize;
use serde_json::value::RawValue;
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

/// A serialized object as its metadata alone: the bytes between are copied as they are. Nothing if it has none.
pub fn metadata_of(object: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let parts: Parts = serde_json::from_slice(object).ok()?;
    let head = br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#;
    Some([head, parts.metadata.get().as_bytes(), b"}"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_metadata_is_what_the_form_says() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"metadata": "x"},
            "metadata": {"name": "a", "labels": {"one": "\"}"}, "ownerReferences": [{"uid": "1"}]}});
        let copied: Value = serde_json::from_slice(&metadata_of(object.to_string().as_bytes()).unwrap()).unwrap();
        let object = Object::from_value(object).unwrap();
        assert_eq!(copied, metadata(&object, "PartialObjectMetadata"));
        assert!(metadata_of(b"{\"kind\":\"Status\"}").is_none());
    }
}
