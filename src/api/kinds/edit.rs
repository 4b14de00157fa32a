//! Small edits of JSON that defaults are made of. A field that is missing, `null`, or empty where Kubernetes' own type
//! cannot tell empty from missing, counts as absent.

use serde_json::{Map, Value};

/// A JSON object's fields.
pub(super) type Fields = Map<String, Value>;

/// The object at `field`, made if it is not there.
pub(super) fn object<'a>(map: &'a mut Fields, field: &str) -> &'a mut Fields {
    let value = map.entry(field).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made just above")
}

/// The object at `field`, if there is one.
pub(super) fn child<'a>(map: &'a mut Fields, field: &str) -> Option<&'a mut Fields> {
    map.get_mut(field)?.as_object_mut()
}

/// The objects in the list at `field`.
pub(super) fn each<'a>(map: &'a mut Fields, field: &str) -> impl Iterator<Item = &'a mut Fields> {
    let list = map.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// The string at `field`, empty if there is none.
pub(super) fn text<'a>(map: &'a Fields, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether `field` is missing or `null`.
pub(super) fn is_absent(map: &Fields, field: &str) -> bool {
    map.get(field).is_none_or(Value::is_null)
}

/// Sets a field that is missing. For fields whose type is a pointer: 0 and "" are values.
pub(super) fn missing(map: &mut Fields, field: &str, value: impl Into<Value>) {
    if is_absent(map, field) {
        map.insert(field.into(), value.into());
    }
}

/// Sets a field that is missing or zero: 0, "" and `false` count as absent.
pub(super) fn zero(map: &mut Fields, field: &str, value: impl Into<Value>) {
    let is_zero = match map.get(field) {
        None | Some(Value::Null) | Some(Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(_) => false,
    };
    if is_zero {
        map.insert(field.into(), value.into());
    }
}

/// Copies the entries of one map that another one does not have.
pub(super) fn fill(map: &mut Fields, field: &str, from: &Fields) {
    if from.is_empty() {
        return;
    }
    let target = object(map, field);
    for (key, value) in from {
        target.entry(key).or_insert_with(|| value.clone());
    }
}
