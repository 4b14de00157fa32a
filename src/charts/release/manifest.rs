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
        let value = decode::yaml(document).map_err(|error| Error::text(format!("error parsing : {error}")))?;
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

/// Objects of kinds that the cluster serves, and the others: of those there can be none, because what a definition of a kind
/// made goes with it.
pub async fn served(cluster: &Cluster, objects: Vec<Object>) -> Result<(Vec<Object>, Vec<Object>), Error> {
    let (mut served, mut others) = (Vec::with_capacity(objects.len()), Vec::new());
    for object in objects {
        // One without a kind is for `place` to complain of.
        let is_named = !object.kind().is_empty() && !object.api_version().is_empty();
        match is_named && cluster.kind(object.api_version(), object.kind()).await?.is_none() {
            true => others.push(object),
            false => served.push(object),
        }
    }
    Ok((served, others))
}

/// Objects with their places.
pub async fn place(cluster: &Cluster, objects: Vec<Object>) -> Result<Vec<Item>, Error> {
    let (mut items, mut errors) = (Vec::with_capacity(objects.len()), Vec::new());
    for mut object in objects {
        if let Some(problem) = unset(&object).or_else(|| mistyped(&object)) {
            errors.push(problem);
            continue;
        }
        let (kind, version) = (object.kind(), object.api_version());
        let Some(found) = cluster.kind(version, kind).await? else {
            errors.push(format!(
                "resource mapping not found for name: {:?} namespace: {:?} from \"\": no matches for kind {kind:?} in version \
                 {version:?}\nensure CRDs are installed first",
                object.name(),
                object.namespace(),
            ));
            continue;
        };
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
    match errors.len() {
        0 => Ok(items),
        1 => Err(Error::Other(errors.remove(0))),
        _ => Err(Error::Other(format!("[{}]", errors.join(", ")))),
    }
}

/// The fields that every object must have.
fn unset(object: &Object) -> Option<String> {
    let problem = |field: &&str| match object.at(&[*field]) {
        Some(Value::String(own)) if !own.is_empty() => None,
        None | Some(Value::Null | Value::String(_)) => Some(format!("{field} not set")),
        Some(_) => Some(format!("{field} isn't string type")),
    };
    let problems: Vec<String> = ["apiVersion", "kind"].iter().filter_map(problem).collect();
    let problem = match &problems[..] {
        [] => return None,
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    };
    Some(format!("error validating \"\": error validating data: {problem}"))
}

/// Metadata that are no texts: `name: y` is a boolean.
fn mistyped(object: &Object) -> Option<String> {
    const TEXTS: &[&str] = &["name", "generateName", "namespace"];
    const TABLES: &[&str] = &["labels", "annotations"];
    let metadata = object.at(&["metadata"])?.as_object()?;
    let wrong = |value: &Value| (!value.is_string() && !value.is_null()).then(|| decode::json_type(value));
    let text = |field: &&'static str| Some((*field, wrong(metadata.get(*field)?)?));
    let entry = |field: &&'static str| Some((*field, metadata.get(*field)?.as_object()?.values().find_map(wrong)?));
    let (field, found) = TEXTS.iter().find_map(text).or_else(|| TABLES.iter().find_map(entry))?;
    Some(format!(
        "unable to decode \"\": json: cannot unmarshal {found} into Go struct field ObjectMeta.metadata.{field} of type string"
    ))
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

    #[tokio::test]
    async fn objects_without_their_first_fields_or_with_a_name_that_is_no_text_are_refused() {
        let cluster = Cluster::new(crate::client::mock::Mock::default().client(), "one");
        for (text, wanted) in [
            (
                "kind: Pod\napiVersion: 1\n",
                "error validating \"\": error validating data: apiVersion isn't string type",
            ),
            ("kind: Pod\n", "error validating \"\": error validating data: apiVersion not set"),
            ("a: b\n", "error validating \"\": error validating data: [apiVersion not set, kind not set]"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: y}\n",
                "unable to decode \"\": json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string",
            ),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {x: 5}}\n",
                "unable to decode \"\": json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type \
                 string",
            ),
        ] {
            assert_eq!(items(&cluster, text).await.unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn numbers_are_those_that_helm_reads() {
        let object = &objects("apiVersion: v1\nkind: Pod\nspec: {mode: 0644, many: 1000000, part: 1.5}\n").unwrap()[0];
        assert_eq!(object.at(&["spec"]).unwrap(), &serde_json::json!({"mode": 420, "many": 1000000, "part": 1.5}));
    }
}
