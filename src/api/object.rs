//! An API object as JSON, with names for the parts that every object has.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An object of any kind. Everything but what selection needs stays as it was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Object(pub Map<String, Value>);

impl Object {
    /// The object in `value`, or nothing if it is no JSON object.
    pub fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    /// The value at a path of field names, for example `["spec", "replicas"]`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, field| value.get(field))
    }

    /// The string at a path, or the empty string, which the API does not tell apart from a missing one.
    pub fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The value at a path, where missing objects on the way are made.
    pub fn entry(&mut self, path: &[&str]) -> &mut Value {
        let (first, rest) = path.split_first().expect("a path has at least one field");
        let mut value = self.0.entry(*first).or_insert(Value::Null);
        for field in rest {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            value = &mut value[*field];
        }
        value
    }

    /// Puts `value` at a path, where missing objects on the way are made.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        *self.entry(path) = value.into();
    }

    /// Takes the value at a path away and returns it.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        match path {
            [] => None,
            [field] => self.0.remove(*field),
            [first, middle @ .., last] => {
                let start = self.0.get_mut(*first)?;
                let parent = middle.iter().try_fold(start, |value, field| value.get_mut(field))?;
                parent.as_object_mut()?.remove(*last)
            }
        }
    }

    /// `apiVersion`, for example `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.text(&["apiVersion"])
    }

    /// `kind`, for example `Deployment`.
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }

    /// `metadata.namespace`, empty for objects of the cluster.
    pub fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.text(&["metadata", "uid"])
    }

    /// `metadata.resourceVersion`.
    pub fn resource_version(&self) -> &str {
        self.text(&["metadata", "resourceVersion"])
    }

    /// Whether deletion was asked for and something still holds the object.
    pub fn is_terminating(&self) -> bool {
        self.at(&["metadata", "deletionTimestamp"]).is_some_and(|value| !value.is_null())
    }

    /// `metadata.labels` as pairs.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(&["metadata", "labels"])
    }

    /// `metadata.annotations` as pairs.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(&["metadata", "annotations"])
    }

    /// `metadata.finalizers`.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        let list = self.at(&["metadata", "finalizers"]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    fn pairs(&self, path: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let map = self.at(path).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_missing_string_reads_as_empty() {
        assert_eq!(object(json!({"metadata": {}})).name(), "");
    }

    #[test]
    fn setting_makes_the_way_and_removing_leaves_the_rest() {
        let mut pod = Object::default();
        pod.set(&["spec", "nodeName"], "one");
        pod.set(&["spec", "hostNetwork"], true);
        assert_eq!(pod.remove(&["spec", "nodeName"]), Some(json!("one")));
        assert_eq!(pod, object(json!({"spec": {"hostNetwork": true}})));
        assert_eq!(pod.remove(&["status", "phase"]), None);
    }

    #[test]
    fn pairs_and_lists_skip_what_is_no_string() {
        let pod = object(json!({"metadata": {"labels": {"a": "b", "c": 1}, "finalizers": ["x", 2]}}));
        assert_eq!(pod.labels().collect::<Vec<_>>(), [("a", "b")]);
        assert_eq!(pod.finalizers().collect::<Vec<_>>(), ["x"]);
    }
}
