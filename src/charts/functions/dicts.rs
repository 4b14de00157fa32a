//! Maps: made, changed, merged.

use super::{fixed, is_empty, text_of, variadic};
use crate::charts::template::Type::{Any, Map as MapType, Str};
use crate::charts::template::{Call, Entries, Failure, Function, Map, MapKind, Value, failure};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    variadic("dict", &[Any], dict),
    fixed("get", &[MapType, Str], |call| Ok(call.map(0).get(&call.str(1)).unwrap_or_else(|| "".into()))),
    fixed("set", &[MapType, Str, Any], |call| {
        let map = call.map(0);
        if map.kind == MapKind::Nil {
            return failure("assignment to entry in nil map");
        }
        map.set(&*call.str(1), call.any(2).clone());
        Ok(map.into())
    }),
    fixed("unset", &[MapType, Str], |call| {
        let map = call.map(0);
        map.remove(&call.str(1));
        Ok(map.into())
    }),
    fixed("hasKey", &[MapType, Str], |call| Ok(call.map(0).contains(&call.str(1)).into())),
    variadic("pluck", &[Str, MapType], |call| {
        let key = call.str(0);
        Ok(Value::list((1..call.arguments.len()).filter_map(|index| call.map(index).get(&key)).collect()))
    }),
    variadic("keys", &[MapType], |call| {
        let mut keys = Vec::new();
        (0..call.arguments.len()).for_each(|index| call.map(index).each(|key, _| keys.push(key.to_string())));
        Ok(Value::strings(keys))
    }),
    variadic("pick", &[MapType, Str], |call| {
        let map = call.map(0);
        let keys = (1..call.arguments.len()).map(|index| call.str(index));
        Ok(Value::map_from(
            keys.filter_map(|key| map.get(&key).map(|value| (key.as_ref().into(), value)))
                .collect::<Vec<(String, _)>>(),
        ))
    }),
    variadic("omit", &[MapType, Str], |call| {
        let mut entries = call.map(0).entries();
        for index in 1..call.arguments.len() {
            entries.remove(&call.str(index));
        }
        Ok(Value::map(entries))
    }),
    fixed("values", &[MapType], |call| Ok(Value::list(call.map(0).view().values().cloned().collect()))),
    variadic("merge", &[MapType, MapType], |call| merge(call, false)),
    variadic("mustMerge", &[MapType, MapType], |call| merge(call, false)),
    variadic("mergeOverwrite", &[MapType, MapType], |call| merge(call, true)),
    variadic("mustMergeOverwrite", &[MapType, MapType], |call| merge(call, true)),
    fixed("deepCopy", &[Any], deep_copy),
    fixed("mustDeepCopy", &[Any], deep_copy),
    variadic("dig", &[Any], dig),
];

fn dict(call: &Call<'_>) -> Result<Value, Failure> {
    let mut entries = Entries::new();
    for pair in call.arguments.chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_else(|| "".into());
        match &pair[0] {
            Value::Str(key) => entries.insert(key.as_str().as_ref().into(), value),
            key => entries.insert(text_of(key).as_str().as_ref().into(), value),
        };
    }
    Ok(Value::map(entries))
}

fn merge(call: &Call<'_>, overwrite: bool) -> Result<Value, Failure> {
    let mut target = call.map(0);
    if target.kind == MapKind::Nil && call.arguments.len() > 1 {
        target = Map::new(Entries::new());
    }
    for index in 1..call.arguments.len() {
        merge_into(&target, &call.map(index), overwrite, 0);
    }
    Ok(target.into())
}

/// mergo's rules: what the target lacks or has empty is taken from the source, maps are merged, and with overwriting
/// all but maps is taken.
fn merge_into(target: &Map, source: &Map, overwrite: bool, depth: usize) {
    if target.same(source) || depth > 1000 {
        return;
    }
    for (key, value) in source.pairs() {
        let before = target.get(&key);
        if value.is_nil() {
            if overwrite {
                target.set(key, value);
            }
            continue;
        }
        let lacking = before.as_ref().is_none_or(is_empty);
        if let (Value::Map(source), Some(Value::Map(target))) = (&value, &before) {
            merge_into(target, source, overwrite, depth + 1);
            if !lacking {
                continue;
            }
        }
        if overwrite || lacking {
            target.set(key, value);
        }
    }
}

fn deep_copy(call: &Call<'_>) -> Result<Value, Failure> {
    if call.any(0).is_nil() {
        return failure("reflect: call of reflect.Value.Type on zero Value");
    }
    match call.any(0).deep_copy() {
        Some(copy) => Ok(copy),
        None => failure("deepCopy error: the value contains itself"),
    }
}

fn dig(call: &Call<'_>) -> Result<Value, Failure> {
    let Some((last, before)) = call.arguments.split_last().filter(|(_, before)| before.len() >= 2) else {
        return failure("dig needs at least three arguments");
    };
    let (default, keys) = (&before[before.len() - 1], &before[..before.len() - 1]);
    let conversion = |value: &Value, wanted: &str| {
        let got = if value.is_nil() { "nil".into() } else { value.type_name() };
        failure(format!("interface conversion: interface {{}} is {got}, not {wanted}"))
    };
    const MAP: &str = "map[string]interface {}";
    if !matches!(last, Value::Map(map) if matches!(map.kind, MapKind::Any | MapKind::Nil)) {
        return conversion(last, MAP);
    }
    for key in keys {
        if !matches!(key, Value::Str(_)) {
            return conversion(key, "string");
        }
    }
    let mut step = last.clone();
    for (index, key) in keys.iter().enumerate() {
        let map = match &step {
            Value::Map(map)
                if matches!(map.kind, MapKind::Any | MapKind::Nil) || map.kind == MapKind::Values && index > 0 =>
            {
                map.clone()
            }
            Value::Map(map) if map.kind == MapKind::Values => {
                return conversion(&Value::Map(map.clone()), MAP);
            }
            other => return conversion(other, MAP),
        };
        let Value::Str(key) = key else { continue };
        match map.get(&key.as_str()) {
            Some(value) => step = value,
            None => return Ok(default.clone()),
        }
    }
    Ok(step)
}
