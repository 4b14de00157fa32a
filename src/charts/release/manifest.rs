//! Manifests as text: documents turned into objects with a place.

use super::cluster::{Cluster, Item};
use super::error::Error;
use crate::api::Object;
use crate::charts::manifests::split;
use crate::charts::{decode, values};
use serde_json::Value;

/// Every object of a text, lists opened.
pub fn objects(text: &str) -> Result<Vec<Object>, Error> {
    let mut found = Vec::new();
    for document in split(text) {
        let value = decode::yaml(document)
            .map_err(|error| Error::text(format!("error parsing : error converting YAML to JSON: {error}")))?;
        if !value.is_null() {
            add(values::plain(&value), &mut found)?;
        }
    }
    Ok(found)
}

fn add(value: Value, found: &mut Vec<Object>) -> Result<(), Error> {
    let Some(object) = Object::from_value(value) else {
        return Err(Error::text("error parsing : a document is no object"));
    };
    if object.kind().ends_with("List")
        && let Some(Value::Array(items)) = object.at(&["items"])
    {
        return items.clone().into_iter().try_for_each(|item| add(item, found));
    }
    found.push(object);
    Ok(())
}

/// The objects of a text with their places; those without a namespace go to the cluster's own.
pub async fn items(cluster: &Cluster, text: &str) -> Result<Vec<Item>, Error> {
    place(cluster, objects(text)?).await
}

/// Objects with their places.
pub async fn place(cluster: &Cluster, objects: Vec<Object>) -> Result<Vec<Item>, Error> {
    let (mut items, mut errors) = (Vec::with_capacity(objects.len()), Vec::new());
    for mut object in objects {
        match (object.kind(), object.api_version()) {
            ("", _) => errors.push("Object 'Kind' is missing in the manifest".to_string()),
            (_, "") => errors.push("Object 'apiVersion' is missing in the manifest".to_string()),
            (kind, version) => match cluster.kind(version, kind).await? {
                None => errors.push(format!(
                    "resource mapping not found for name: {:?} namespace: {:?} from \"\": no matches for kind {kind:?} in version \
                     {version:?}\nensure CRDs are installed first",
                    object.name(),
                    object.namespace(),
                )),
                Some(found) => {
                    let namespace = match (found.namespaced, object.namespace()) {
                        (false, _) => String::new(),
                        (true, "") => cluster.namespace().to_string(),
                        (true, own) => own.to_string(),
                    };
                    if found.namespaced {
                        object.set(&["metadata", "namespace"], namespace.as_str());
                    }
                    items.push(Item { kind: found, namespace, name: object.name().to_string(), object });
                }
            },
        }
    }
    match errors.len() {
        0 => Ok(items),
        1 => Err(Error::Other(errors.remove(0))),
        _ => Err(Error::Other(format!("[{}]", errors.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_opened() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n";
        let names: Vec<String> = objects(text).unwrap().iter().map(|object| object.name().to_string()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn numbers_are_those_that_helm_reads() {
        let object = &objects("apiVersion: v1\nkind: Pod\nspec: {mode: 0644, many: 1000000, part: 1.5}\n").unwrap()[0];
        assert_eq!(object.at(&["spec"]).unwrap(), &serde_json::json!({"mode": 420, "many": 1000000, "part": 1.5}));
    }
}
