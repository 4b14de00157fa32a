//! In which form a client wants objects: as they are, as a `Table`, or their metadata alone.

use crate::api::{Kind, Object, table};
use http::{HeaderMap, header};
use serde_json::{Value, json};

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    Table,
    Metadata,
}

impl Form {
    /// The first form in `Accept` that is known.
    pub fn wanted(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        accept.split(',').find_map(Self::of_type).unwrap_or(Form::Plain)
    }

    fn of_type(media: &str) -> Option<Self> {
        let mut parts = media.split(';').map(str::trim);
        let kind = parts.next()?;
        if !matches!(kind, "application/json" | "application/yaml" | "*/*" | "application/*") {
            return None;
        }
        let shape = parts.find_map(|part| part.strip_prefix("as="));
        match shape {
            None => Some(Form::Plain),
            Some("Table") => Some(Form::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Form::Metadata),
            Some(_) => None,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        Form::wanted(&headers)
    }

    #[test]
    fn the_first_form_that_is_known_counts() {
        assert_eq!(wanted("application/json"), Form::Plain);
        assert_eq!(wanted("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), Form::Table);
        assert_eq!(wanted("application/vnd.kubernetes.protobuf;as=Table,application/json"), Form::Plain);
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(wanted(metadata), Form::Metadata);
    }
}
