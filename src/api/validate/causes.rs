//! The vocabulary of validation: a place in an object, and what is wrong there.
//!
//! Source of reasons and wording: k8s.io/apimachinery `pkg/util/validation/field/errors.go`.

use crate::api::quantity::Quantity;
use crate::api::{Cause, Object};
use serde_json::Value;

static NULL: Value = Value::Null;

/// One step from a place to a place below it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A place in an object: the value there and how it was reached. Cheap to make; the path is put together only when it is
/// told of.
#[derive(Clone, Copy)]
pub struct At<'a> {
    value: &'a Value,
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

impl<'a> At<'a> {
    /// A field of the whole object.
    pub fn top(object: &'a Object, field: &'a str) -> Self {
        Self { value: object.0.get(field).unwrap_or(&NULL), parent: None, step: Step::Field(field) }
    }

    /// A place with a value of its own, for what is no part of the object as it is written.
    pub fn named(field: &'a str, value: &'a Value) -> Self {
        Self { value, parent: None, step: Step::Field(field) }
    }

    /// A field.
    pub fn at<'s>(&'s self, field: &'s str) -> At<'s> {
        At { value: self.value.get(field).unwrap_or(&NULL), parent: Some(self), step: Step::Field(field) }
    }

    /// An entry of a map; its path has the key in brackets.
    pub fn key<'s>(&'s self, key: &'s str) -> At<'s> {
        At { value: self.value.get(key).unwrap_or(&NULL), parent: Some(self), step: Step::Key(key) }
    }

    /// The items of a list, none where there is no list.
    pub fn items<'s>(&'s self) -> impl Iterator<Item = At<'s>> {
        let list = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().enumerate().map(|(index, value)| At { value, parent: Some(self), step: Step::Index(index) })
    }

    /// The entries of a map, none where there is no map.
    pub fn entries<'s>(&'s self) -> impl Iterator<Item = (&'s str, At<'s>)> {
        let map = self.value.as_object().into_iter().flatten();
        map.map(|(key, value)| (key.as_str(), At { value, parent: Some(self), step: Step::Key(key) }))
    }

    /// The value, null where there is none.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether there is nothing.
    pub fn is_missing(&self) -> bool {
        self.value.is_null()
    }

    /// Whether there is nothing, or an empty text, list or map.
    pub fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        }
    }

    /// The text, empty where there is none.
    pub fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// The number, if there is one.
    pub fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether it is true.
    pub fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    /// The quantity, if there is one.
    pub fn quantity(&self) -> Option<Quantity> {
        Quantity::from_json(self.value).ok()
    }

    /// How many items or entries there are.
    pub fn count(&self) -> usize {
        match self.value {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        }
    }

    /// The path as users read it, for example `spec.containers[0].name`.
    pub fn path(&self) -> String {
        let mut path = self.parent.map(At::path).unwrap_or_default();
        match self.step {
            Step::Field(field) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path += field;
            }
            Step::Index(index) => path += &format!("[{index}]"),
            Step::Key(key) => path += &format!("[{key}]"),
        }
        path
    }
}

/// What is wrong with an object, in the order in which it was found.
#[derive(Debug, Default)]
pub struct Causes(Vec<Cause>);

impl Causes {
    /// Everything that was found.
    pub fn into_list(self) -> Vec<Cause> {
        self.0
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, reason: &str, at: &At<'_>, what: String, detail: &str) {
        let message = if detail.is_empty() { what } else { format!("{what}: {detail}") };
        self.0.push(Cause { reason: reason.into(), message, field: at.path() });
    }

    /// A value that must be there.
    pub fn required(&mut self, at: &At<'_>, detail: &str) {
        self.push("FieldValueRequired", at, "Required value".into(), detail);
    }

    /// The value there is wrong.
    pub fn invalid(&mut self, at: &At<'_>, detail: &str) {
        self.invalid_as(at, at.value, detail);
    }

    /// A value is wrong that is told of in another form than it is written in.
    pub fn invalid_as(&mut self, at: &At<'_>, value: &Value, detail: &str) {
        self.push("FieldValueInvalid", at, format!("Invalid value: {}", shown(value)), detail);
    }

    /// The value there is wrong in each of these ways.
    pub fn each(&mut self, at: &At<'_>, wrong: Vec<String>) {
        wrong.iter().for_each(|detail| self.invalid(at, detail));
    }

    /// The value there is none of those that are known.
    pub fn unsupported(&mut self, at: &At<'_>, known: &[&str]) {
        let list: Vec<String> = known.iter().map(|one| format!("\"{one}\"")).collect();
        let detail = if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        self.push("FieldValueNotSupported", at, format!("Unsupported value: {}", shown(at.value)), &detail);
    }

    /// The value there is there already.
    pub fn duplicate(&mut self, at: &At<'_>) {
        self.duplicate_as(at, at.value);
    }

    /// A value is there already that is told of in another form than it is written in.
    pub fn duplicate_as(&mut self, at: &At<'_>, value: &Value) {
        self.push("FieldValueDuplicate", at, format!("Duplicate value: {}", shown(value)), "");
    }

    /// The value there names something that is not there.
    pub fn not_found(&mut self, at: &At<'_>) {
        self.push("FieldValueNotFound", at, format!("Not found: {}", shown(at.value)), "");
    }

    /// Something may not be there, or may not change.
    pub fn forbidden(&mut self, at: &At<'_>, detail: &str) {
        self.push("FieldValueForbidden", at, "Forbidden".into(), detail);
    }

    /// More bytes than may be.
    pub fn too_long(&mut self, at: &At<'_>, most: usize) {
        self.push("FieldValueTooLong", at, "Too long".into(), &format!("may not be more than {most} bytes"));
    }

    /// One of a few words; one must be there.
    pub fn one_of(&mut self, at: &At<'_>, known: &[&str]) {
        if at.text().is_empty() {
            self.required(at, "");
        } else {
            self.optional_of(at, known);
        }
    }

    /// One of a few words, or nothing.
    pub fn optional_of(&mut self, at: &At<'_>, known: &[&str]) {
        if !at.text().is_empty() && !known.contains(&at.text()) {
            self.unsupported(at, known);
        }
    }

    /// A number that is not below zero, or nothing.
    pub fn not_negative(&mut self, at: &At<'_>) {
        if at.number().is_some_and(|number| number < 0) {
            self.invalid(at, "must be greater than or equal to 0");
        }
    }

    /// A number within bounds, or nothing.
    pub fn within(&mut self, at: &At<'_>, least: i64, most: i64) {
        if at.number().is_some_and(|number| !(least..=most).contains(&number)) {
            self.invalid(at, &format!("must be between {least} and {most}, inclusive"));
        }
    }

    /// Text that must be there and is judged by a rule for names.
    pub fn name(&mut self, at: &At<'_>, rule: fn(&str) -> Vec<String>) {
        if at.text().is_empty() {
            self.required(at, "");
        } else {
            self.each(at, rule(at.text()));
        }
    }

    /// A value that may not change.
    pub fn immutable(&mut self, new: &At<'_>, old: &At<'_>) {
        if !same(new.value, old.value) {
            self.invalid(new, "field is immutable");
        }
    }
}

/// Whether two values mean the same: nothing and empty are not told apart.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let covers = |a: &serde_json::Map<String, Value>, b: &serde_json::Map<String, Value>| {
                a.iter().all(|(key, value)| same(value, b.get(key).unwrap_or(&NULL)))
            };
            covers(a, b) && covers(b, a)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b || (is_nothing(a) && is_nothing(b)),
    }
}

/// Whether a value says nothing: there is none, or only nothing below it.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
        _ => false,
    }
}

/// A value as causes tell of it: text in quotes, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".into(),
        other => other.to_string(),
    }
}

/// Runs a check and gives back what it found.
pub fn collect(check: impl FnOnce(&mut Causes)) -> Vec<Cause> {
    let mut causes = Causes::default();
    check(&mut causes);
    causes.into_list()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_and_values_are_told_as_upstream_does() {
        let object = Object::from_value(json!({"spec": {"list": [{"a.b/c": 1}], "word": "x"}})).unwrap();
        let spec = At::top(&object, "spec");
        let list = spec.at("list");
        let item = list.items().next().unwrap();
        assert_eq!(item.key("a.b/c").path(), "spec.list[0][a.b/c]");
        let found = collect(|causes| {
            causes.required(&spec.at("gone"), "");
            causes.invalid(&spec.at("word"), "is wrong");
            causes.unsupported(&spec.at("word"), &["a", "b"]);
            causes.invalid(&list, "is wrong");
        });
        let messages: Vec<&str> = found.iter().map(|cause| cause.message.as_str()).collect();
        let wanted = [
            "Required value",
            "Invalid value: \"x\": is wrong",
            "Unsupported value: \"x\": supported values: \"a\", \"b\"",
            "Invalid value: [{\"a.b/c\":1}]: is wrong",
        ];
        assert_eq!(messages, wanted);
    }

    #[test]
    fn nothing_and_empty_are_the_same() {
        assert!(same(&json!({"a": null, "b": {"d": null}}), &json!({"c": []})));
        assert!(!same(&json!({"a": 0}), &json!({})));
    }
}
