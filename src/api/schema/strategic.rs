//! Strategic merge patches: merge patches whose lists merge by key where the schema says so, with directives.
//!
//! | directive | in | meaning |
//! |---|---|---|
//! | `$patch: replace` | an object, an item of a list | what is beside it is the whole value |
//! | `$patch: delete` | an object, an item of a list | it goes |
//! | `$retainKeys: [..]` | an object | fields that are not listed go |
//! | `$setElementOrder/FIELD: [..]` | the parent of a list | the order of the items that the patch knows |
//! | `$deleteFromPrimitiveList/FIELD: [..]` | the parent of a list | values that go |
//!
//! Source of the rules: k8s.io/apimachinery `pkg/util/strategicpatch/patch.go`.

use super::{Field, PatchRule, Schema};
use serde_json::{Map, Value};
use std::cmp::Ordering;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unknown patch type found: {0}")]
    Directive(String),
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoKey { item: String, key: String },
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    #[error("invalid patch format of setElementOrder list")]
    Order,
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    Mismatch { patch: String, order: String },
    #[error("delete patch type with no merge key defined")]
    DeleteWithoutKey,
}

/// The object after the patch.
pub fn apply(schema: &Schema, original: Map<String, Value>, patch: Map<String, Value>) -> Result<Value, Error> {
    Ok(Value::Object(merge(Some(schema), original, patch)?))
}

type Fields = Map<String, Value>;

fn merge(schema: Option<&Schema>, mut original: Fields, mut patch: Fields) -> Result<Fields, Error> {
    match patch.get(DIRECTIVE).map(|word| word.as_str().unwrap_or_default().to_string()).as_deref() {
        None => {}
        Some("replace") => {
            patch.remove(DIRECTIVE);
            return Ok(patch);
        }
        Some("delete") => return Ok(Fields::new()),
        Some("merge") => drop(patch.remove(DIRECTIVE)),
        Some(other) => return Err(Error::Directive(format!("map[$patch:{other}]"))),
    }
    retain(&mut original, &mut patch)?;
    order(schema, &mut original, &mut patch)?;
    for (name, change) in patch {
        if let Some(field) = name.strip_prefix(DELETE) {
            delete_values(&mut original, field, &change)?;
            continue;
        }
        let field = schema.and_then(|schema| schema.field(&name));
        let inner = schema.and_then(|schema| schema.child(&name));
        match (original.remove(&name), change) {
            (_, Value::Null) => {}
            (None, change) => drop(original.insert(name, without_directives(change))),
            (Some(Value::Object(old)), Value::Object(new)) => {
                let merged = if rule(field).replace { without_nulls(new) } else { merge(inner, old, new)? };
                original.insert(name, Value::Object(merged));
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let merged = if rule(field).merge { merge_lists(field, old, new)?.0 } else { new };
                original.insert(name, Value::Array(merged));
            }
            (Some(_), change) => drop(original.insert(name, without_directives(change))),
        }
    }
    Ok(original)
}

fn rule(field: Option<&Field>) -> &PatchRule {
    static NONE: PatchRule = PatchRule { merge: false, replace: false, retain_keys: false, key: None };
    field.map_or(&NONE, |field| &field.patch)
}

fn without_nulls(mut fields: Fields) -> Fields {
    fields.remove(DIRECTIVE);
    fields.retain(|_, value| !value.is_null());
    fields
}

/// Drops the fields of `original` that `$retainKeys` does not name.
fn retain(original: &mut Fields, patch: &mut Fields) -> Result<(), Error> {
    let Some(keys) = patch.remove(RETAIN) else { return Ok(()) };
    let keys = keys.as_array().ok_or(Error::RetainKeys)?;
    let names: Option<Vec<&str>> = keys.iter().map(Value::as_str).collect();
    let names = names.ok_or(Error::RetainKeys)?;
    let is_own = |name: &str| names.contains(&name) || name.starts_with(ORDER) || name.starts_with(DELETE);
    if patch.iter().any(|(name, value)| !value.is_null() && !is_own(name)) {
        return Err(Error::RetainKeys);
    }
    original.retain(|name, _| names.contains(&name.as_str()));
    Ok(())
}

/// Merges the lists that the patch gives an order for, and takes them out of the patch.
fn order(schema: Option<&Schema>, original: &mut Fields, patch: &mut Fields) -> Result<(), Error> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER)).cloned().collect();
    for directive in directives {
        let Some(Value::Array(wanted)) = patch.remove(&directive) else { return Err(Error::Order) };
        let name = &directive[ORDER.len()..];
        let field = schema.and_then(|schema| schema.field(name));
        let key = rule(field).key.as_deref();
        if key.is_some() && wanted.iter().any(|item| !item.is_object()) {
            return Err(Error::Order);
        }
        // A null takes the list away; that is the ordinary way of a patch.
        if patch.get(name).is_some_and(Value::is_null) {
            continue;
        }
        let (old, new) = (take_list(original, name)?, take_list(patch, name)?);
        check_order(new.as_deref().unwrap_or_default(), &wanted, key)?;
        let server_order = old.clone().unwrap_or_default();
        let (merged, server_order) = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => (old, server_order),
            (None, Some(new)) => (list_without_directives(new), server_order),
            (Some(old), Some(new)) if rule(field).merge => merge_lists(field, old, new)?,
            (Some(_), Some(new)) => (new, server_order),
        };
        original.insert(name.to_string(), Value::Array(in_order(merged, &wanted, &server_order, key)));
    }
    Ok(())
}

/// The items of a patch must stand in the order that it gives.
fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Error> {
    let is_same = |a: &Value, b: &Value| place(std::slice::from_ref(a), b, key).is_some();
    let mut rest = order.iter();
    let items = patch.iter().filter(|item| item.get(DIRECTIVE).is_none());
    if !order.is_empty() && !items.into_iter().all(|item| rest.any(|wanted| is_same(wanted, item))) {
        let text = |list: &[Value]| Value::from(list.to_vec()).to_string();
        return Err(Error::Mismatch { patch: text(patch), order: text(order) });
    }
    Ok(())
}

fn take_list(fields: &mut Fields, name: &str) -> Result<Option<Vec<Value>>, Error> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => Err(Error::Order),
    }
}

fn delete_values(original: &mut Fields, field: &str, values: &Value) -> Result<(), Error> {
    let values = values.as_array().ok_or(Error::PrimitiveList)?;
    if let Some(list) = original.get_mut(field).and_then(Value::as_array_mut) {
        list.retain(|item| !values.contains(item));
    }
    Ok(())
}

/// Merges two lists: by key, or, for lists of plain values, as sets. Returns the order of the server's items, too: where the
/// patch deletes some, those that it adds stand at their end, as upstream has it.
fn merge_lists(field: Option<&Field>, old: Vec<Value>, new: Vec<Value>) -> Result<(Vec<Value>, Vec<Value>), Error> {
    if new.is_empty() {
        return Ok((old.clone(), old));
    }
    let server_order = old.clone();
    if !old.iter().chain(&new).any(Value::is_object) {
        let mut merged = old;
        for item in &new {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok((in_order(merged, &new, &server_order, None), server_order));
    }
    let key = rule(field).key.as_deref().ok_or(Error::DeleteWithoutKey)?;
    let items = field.and_then(|field| field.schema.items()).map(|list| &list.items);
    let (mut merged, new, is_whole) = special_items(old, new, key)?;
    if is_whole {
        return Ok((new, server_order));
    }
    let is_shorter = merged.len() < server_order.len();
    let wanted = new.clone();
    for item in new {
        let value = key_of(&item, key)?.clone();
        let found = merged.iter_mut().find(|own| own.get(key) == Some(&value));
        match (found, item) {
            (Some(own), Value::Object(change)) => {
                let before = own.as_object().cloned().unwrap_or_default();
                *own = Value::Object(merge(items, before, change)?);
            }
            (_, item) => merged.push(without_directives(item)),
        }
    }
    let server_order = match is_shorter {
        true => merged.iter().take(server_order.len()).cloned().collect(),
        false => server_order,
    };
    Ok((in_order(merged, &wanted, &server_order, Some(key)), server_order))
}

fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, Error> {
    item.get(key).ok_or_else(|| Error::NoKey { item: item.to_string(), key: key.into() })
}

/// Takes items with `$patch` out of the patch and does what they say; the flag says that the patch is the whole list.
fn special_items(mut old: Vec<Value>, new: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>, bool), Error> {
    let mut left = Vec::with_capacity(new.len());
    let mut is_whole = false;
    for item in new {
        match item.get(DIRECTIVE).map(|word| word.as_str().unwrap_or_default()) {
            None => left.push(item),
            Some("delete") => {
                let value = key_of(&item, key)?;
                old.retain(|own| own.get(key) != Some(value));
            }
            Some("replace") => is_whole = true,
            Some(other) => return Err(Error::Directive(format!("map[$patch:{other}]"))),
        }
    }
    Ok((old, left, is_whole))
}

/// The place of an item in a list, by key or by value.
fn place(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|own| match key {
        Some(key) => own.get(key).is_some() && own.get(key) == item.get(key),
        None => own == item,
    })
}

/// Items that `wanted` names in its order; the others as the server has them, in front of what they stood in front of.
fn in_order(merged: Vec<Value>, wanted: &[Value], server: &[Value], key: Option<&str>) -> Vec<Value> {
    let (mut known, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(wanted, item, key).is_some());
    known.sort_by_key(|item| place(wanted, item, key));
    others.sort_by_key(|item| place(server, item, key));
    let mut out = Vec::with_capacity(known.len() + others.len());
    let (mut known, mut others) = (known.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(one), Some(other)) = (known.peek(), others.peek()) {
        let stands_before = match (place(server, other, key), place(server, one, key)) {
            (Some(other), Some(one)) => other.cmp(&one) == Ordering::Less,
            _ => false,
        };
        out.extend(if stands_before { others.next() } else { known.next() });
    }
    out.extend(known);
    out.extend(others);
    out
}

/// A value that was not there before: what would change something else has nothing to change.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(fields) if fields.get(DIRECTIVE).is_some_and(|word| word == "delete") => {
            Value::Object(Fields::new())
        }
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(name, value)| !is_directive(name) && !value.is_null())
                .map(|(name, value)| (name, without_directives(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list_without_directives(list)),
        other => other,
    }
}

fn list_without_directives(list: Vec<Value>) -> Vec<Value> {
    let is_special = |item: &Value| item.get(DIRECTIVE).is_some_and(|word| word != "merge");
    list.into_iter().filter(|item| !is_special(item)).map(without_directives).collect()
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE || name == RETAIN || name.starts_with(ORDER) || name.starts_with(DELETE)
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    fn spec(original: Value, patch: Value) -> Result<Value, Error> {
        let schema = builtin("io.k8s.api.core.v1.PodSpec").unwrap();
        apply(schema, fields(original), fields(patch))
    }

    fn patched(original: Value, patch: Value) -> Value {
        spec(original, patch).unwrap()
    }

    #[test]
    fn items_merge_by_key_and_keep_their_places() {
        let original = json!({"containers": [{"name": "a", "image": "1", "tty": true}, {"name": "b", "image": "1"}]});
        let patch = json!({"containers": [{"name": "a", "image": "2"}, {"name": "c", "image": "3"}]});
        let wanted = json!({"containers": [
            {"name": "a", "image": "2", "tty": true}, {"name": "c", "image": "3"}, {"name": "b", "image": "1"}]});
        assert_eq!(patched(original, patch), wanted);
    }

    #[test]
    fn null_deletes_a_field_and_other_lists_are_replaced() {
        let original = json!({"nodeName": "n", "containers": [{"name": "a", "command": ["x", "y"]}]});
        let patch = json!({"nodeName": null, "containers": [{"name": "a", "command": ["z"]}]});
        assert_eq!(patched(original, patch), json!({"containers": [{"name": "a", "command": ["z"]}]}));
    }

    #[test]
    fn an_item_is_deleted_and_a_list_replaced_by_directive() {
        let original = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let patch = json!({"containers": [{"name": "a", "$patch": "delete"}]});
        assert_eq!(patched(original.clone(), patch), json!({"containers": [{"name": "b"}]}));
        let patch = json!({"containers": [{"$patch": "replace"}, {"name": "c"}]});
        assert_eq!(patched(original, patch), json!({"containers": [{"name": "c"}]}));
    }

    #[test]
    fn an_object_is_replaced_or_emptied_by_directive() {
        let original = json!({"securityContext": {"runAsUser": 1, "fsGroup": 2}});
        let patch = json!({"securityContext": {"runAsUser": 3, "$patch": "replace"}});
        assert_eq!(patched(original.clone(), patch), json!({"securityContext": {"runAsUser": 3}}));
        assert_eq!(patched(original, json!({"securityContext": {"$patch": "delete"}})), json!({"securityContext": {}}));
    }

    #[test]
    fn keys_that_are_not_retained_go() {
        let original = json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]});
        let patch =
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]});
        let wanted = json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}, {"name": "w", "emptyDir": {}}]});
        assert_eq!(patched(original.clone(), patch), wanted);
        let patch = json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name"]}]});
        assert_eq!(spec(original, patch), Err(Error::RetainKeys));
    }

    #[test]
    fn the_order_that_the_patch_gives_counts() {
        let original = json!({"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}]});
        let patch = json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
            "containers": [{"name": "c", "image": "3"}]});
        let merged = patched(original, patch);
        let names: Vec<&str> =
            merged["containers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["c", "server", "b", "a"]);
        assert!(merged.get("$setElementOrder/containers").is_none());
    }

    #[test]
    fn what_is_added_stands_where_the_list_ended_when_something_is_deleted() {
        let original = json!({"containers": [{"name": "1"}, {"name": "2"}, {"name": "4"}]});
        let patch = json!({"$setElementOrder/containers": [{"name": "2"}, {"name": "3"}],
            "containers": [{"name": "3"}, {"name": "1", "$patch": "delete"}]});
        let wanted = json!({"containers": [{"name": "2"}, {"name": "4"}, {"name": "3"}]});
        assert_eq!(patched(original, patch), wanted);
    }

    #[test]
    fn a_patch_keeps_its_own_order() {
        let order =
            |items: Value| json!({"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": items});
        let original = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let wrong = order(json!([{"name": "b", "image": "1"}, {"name": "a", "image": "1"}]));
        assert!(spec(original.clone(), wrong).unwrap_err().to_string().contains("doesn't match $setElementOrder list"));
        spec(original, order(json!([{"name": "b", "image": "1"}]))).unwrap();
    }

    #[test]
    fn an_order_without_a_change_only_sorts() {
        let original = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]});
        let patch = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]});
        assert_eq!(patched(original, patch), json!({"containers": [{"name": "b"}, {"name": "a", "image": "1"}]}));
    }

    #[test]
    fn plain_values_merge_as_a_set_and_are_deleted_by_value() {
        let schema = builtin("io.k8s.api.core.v1.Pod").unwrap();
        let original = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {"finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"]}});
        let merged = apply(schema, fields(original), fields(patch)).unwrap();
        assert_eq!(merged, json!({"metadata": {"finalizers": ["c", "a"]}}));
    }

    #[test]
    fn what_is_new_comes_without_directives_and_nulls() {
        let patch = json!({"affinity": {"nodeAffinity": null, "podAffinity": {"$patch": "replace"}},
            "volumes": [{"name": "v", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]}, {"name": "w", "$patch": "delete"}]});
        assert_eq!(
            patched(json!({}), patch),
            json!({"affinity": {"podAffinity": {}}, "volumes": [{"name": "v", "emptyDir": {}}]})
        );
    }

    #[test]
    fn a_wrong_patch_says_what_is_wrong() {
        let original = json!({"containers": [{"name": "a"}]});
        let missing = spec(original.clone(), json!({"containers": [{"image": "x"}]})).unwrap_err();
        assert!(missing.to_string().ends_with("does not contain declared merge key: name"));
        assert!(matches!(spec(original.clone(), json!({"$patch": "other"})), Err(Error::Directive(_))));
        assert_eq!(spec(original, json!({"$setElementOrder/containers": 1})), Err(Error::Order));
    }
}
