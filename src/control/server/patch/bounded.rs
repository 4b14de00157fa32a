//! JSON patches that cannot make much of little: what operations copy is added up, and nothing gets deeper than what can be read
//! again.
//!
//! Source of the first: k8s.io/apiserver `pkg/server/config.go` (`jsonpatch.AccumulatedCopySizeLimit`).

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

/// How much the copies of one patch may add, in bytes; the largest body.
const MOST_COPIED: usize = 3 << 20;
/// How deep an object may be. Readers of JSON take 128.
const DEEPEST: usize = 120;

/// Why a patch is not applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Inapplicable(#[from] json_patch::PatchError),
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy is {0}, exceeding the limit {MOST_COPIED}"
    )]
    TooMuch(usize),
    #[error("the patched object would be more than {DEEPEST} levels deep")]
    TooDeep,
}

/// Applies the operations one after the other.
pub fn apply(value: &mut Value, patch: &Patch) -> Result<(), Error> {
    let mut copied = 0;
    for operation in &patch.0 {
        let moved = match operation {
            PatchOperation::Add(add) => Some((&add.path, Some(&add.value))),
            PatchOperation::Replace(replace) => Some((&replace.path, Some(&replace.value))),
            PatchOperation::Copy(copy) => Some((&copy.path, copy.from.resolve(value).ok())),
            PatchOperation::Move(own) => Some((&own.path, own.from.resolve(value).ok())),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
        };
        if let Some((path, Some(moved))) = moved {
            if path.tokens().count() + depth(moved) > DEEPEST {
                return Err(Error::TooDeep);
            }
            if matches!(operation, PatchOperation::Copy(_)) {
                copied += size(moved);
                if copied > MOST_COPIED {
                    return Err(Error::TooMuch(copied));
                }
            }
        }
        json_patch::patch(value, std::slice::from_ref(operation))?;
    }
    Ok(())
}

/// How many levels a value has; values that get here have few.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// About how long a value is as text.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(list) => 2 + list.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(mut value: Value, patch: Value) -> Result<Value, Error> {
        apply(&mut value, &serde_json::from_value(patch).unwrap()).map(|()| value)
    }

    #[test]
    fn copies_are_added_up_and_depth_has_an_end() {
        let copy = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
        assert_eq!(applied(json!({"a": 1}), json!([copy("/a", "/b")])).unwrap(), json!({"a": 1, "b": 1}));
        let big = json!({"a": "x".repeat(1 << 20)});
        let many = json!([copy("/a", "/b"), copy("/a", "/c"), copy("/a", "/d")]);
        assert!(matches!(applied(big, many), Err(Error::TooMuch(_))));
        let deeper: Vec<Value> = (0..20).map(|n| copy("/z", &"/z".repeat((1 << n) + 1))).collect();
        assert!(matches!(applied(json!({"z": {}}), json!(deeper)), Err(Error::TooDeep)));
    }
}
