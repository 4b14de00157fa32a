//! A set of field paths, as a trie whose steps are written as in `fieldsV1`.
//!
//! | step | of |
//! |---|---|
//! | `f:name` | a field, or a key of a map |
//! | `k:{"name":"a"}` | an item of a list, by the fields that are its key |
//! | `v:"a"` | an item of a list, by its value |
//! | `i:0` | an item of a list, by its place |

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A set of paths below one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Whether the place itself is in the set.
    pub own: bool,
    pub below: BTreeMap<String, Set>,
}

impl Set {
    /// The set of the place alone.
    pub fn leaf() -> Self {
        Self { own: true, below: BTreeMap::new() }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }

    /// Adds what is below a step, unless that is nothing.
    pub fn put(&mut self, step: &str, below: Set) {
        if !below.is_empty() {
            self.below.insert(step.to_string(), below);
        }
    }

    /// Adds everything of another set.
    pub fn add(&mut self, other: Set) {
        self.own |= other.own;
        for (step, below) in other.below {
            match self.below.entry(step) {
                Entry::Occupied(mut here) => here.get_mut().add(below),
                Entry::Vacant(free) => drop(free.insert(below)),
            }
        }
    }

    /// Both sets together.
    pub fn union(mut self, other: &Set) -> Set {
        self.add(other.clone());
        self
    }

    /// Takes the paths of another set away.
    pub fn subtract(&mut self, other: &Set) {
        self.own &= !other.own;
        for (step, below) in &other.below {
            if let Some(here) = self.below.get_mut(step) {
                here.subtract(below);
                if here.is_empty() {
                    self.below.remove(step);
                }
            }
        }
    }

    /// This set without the paths of another one.
    pub fn without(mut self, other: &Set) -> Set {
        self.subtract(other);
        self
    }

    /// The paths that are in both.
    pub fn intersection(&self, other: &Set) -> Set {
        let mut both = Set { own: self.own && other.own, below: BTreeMap::new() };
        for (step, below) in &self.below {
            if let Some(there) = other.below.get(step) {
                both.put(step, below.intersection(there));
            }
        }
        both
    }

    /// Takes a field away with everything below it.
    pub fn cut(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let step = format!("f:{first}");
        if rest.is_empty() {
            self.below.remove(&step);
        } else if let Some(below) = self.below.get_mut(&step) {
            below.cut(rest);
            if below.is_empty() {
                self.below.remove(&step);
            }
        }
    }

    /// Every path as it is printed, for example `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.collect(&mut String::new(), &mut all);
        all
    }

    fn collect(&self, path: &mut String, all: &mut Vec<String>) {
        if self.own {
            all.push(path.clone());
        }
        for (step, below) in &self.below {
            let length = path.len();
            path.push_str(&printed_step(step));
            below.collect(path, all);
            path.truncate(length);
        }
    }

    /// Reads `fieldsV1`.
    pub fn from_fields(fields: Value) -> Set {
        let Value::Object(fields) = fields else { return Set::default() };
        // An empty object is the path that leads to it; at the root it is nothing.
        let mut set = Set::default();
        for (step, below) in fields {
            if step == "." {
                set.own = true;
                continue;
            }
            let is_leaf = below.as_object().is_none_or(Map::is_empty);
            set.below.insert(step, if is_leaf { Set::leaf() } else { Set::from_fields(below) });
        }
        set
    }

    /// Writes `fieldsV1`.
    pub fn into_fields(self) -> Value {
        let mut fields = Map::new();
        if self.own && !self.below.is_empty() {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        fields.extend(self.below.into_iter().map(|(step, below)| (step, below.into_fields())));
        Value::Object(fields)
    }
}

/// The step to a field.
pub fn field(name: &str) -> String {
    let mut step = String::with_capacity(name.len() + 2);
    step.push_str("f:");
    step.push_str(name);
    step
}

/// A step as it is printed, for example `[name="a"]`.
pub fn printed_step(step: &str) -> String {
    let (kind, rest) = step.split_once(':').unwrap_or(("f", step));
    match kind {
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        "v" => format!("[={rest}]"),
        "i" => format!("[{rest}]"),
        _ => format!(".{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(fields: Value) -> Set {
        Set::from_fields(fields)
    }

    #[test]
    fn fields_are_written_as_they_were_read() {
        let fields =
            json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}, "f:d": {"k:{\"name\":\"x\"}": {".": {}, "v:\"y\"": {}}}});
        assert_eq!(set(fields.clone()).into_fields(), fields);
        assert!(set(json!({})).is_empty());
    }

    #[test]
    fn sets_are_added_taken_away_and_crossed_by_path() {
        let a = set(json!({"f:a": {}, "f:b": {".": {}, "f:c": {}, "f:d": {}}}));
        let b = set(json!({"f:b": {"f:c": {}, "f:e": {}}, "f:a": {"f:x": {}}}));
        assert_eq!(a.intersection(&b), set(json!({"f:b": {"f:c": {}}})));
        assert_eq!(a.clone().without(&b), set(json!({"f:a": {}, "f:b": {".": {}, "f:d": {}}})));
        let both = a.union(&b);
        let wanted = json!({"f:a": {".": {}, "f:x": {}}, "f:b": {".": {}, "f:c": {}, "f:d": {}, "f:e": {}}});
        assert_eq!(both, set(wanted));
    }

    #[test]
    fn a_field_is_cut_with_all_below() {
        let mut own = set(json!({"f:metadata": {"f:name": {}}, "f:status": {".": {}, "f:x": {}}}));
        own.cut(&["status"]);
        own.cut(&["metadata", "name"]);
        assert!(own.is_empty());
    }

    #[test]
    fn paths_print_as_kubectl_shows_them() {
        let fields = json!({"f:spec": {"f:replicas": {}, "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:name": {}}}},
            "f:finalizers": {"v:\"x\"": {}}});
        let wanted = [".finalizers[=\"x\"]", ".spec.ports[port=80,protocol=\"TCP\"].name", ".spec.replicas"];
        assert_eq!(set(fields).paths(), wanted);
    }
}
