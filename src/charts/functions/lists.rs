//! Lists: made, cut, searched. Each function has a twin whose name starts with `must`; both fail alike.

use super::math::to_int;
use super::{NIL_POINTER, deep_equal, fixed, is_empty, items, variadic};
use crate::charts::template::Type::{Any, Int};
use crate::charts::template::{Call, Element, Failure, Function, List, Value, failure};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    variadic("list", &[Any], |call| Ok(Value::list(call.arguments.to_vec()))),
    variadic("tuple", &[Any], |call| Ok(Value::list(call.arguments.to_vec()))),
    fixed("append", &[Any, Any], append),
    fixed("mustAppend", &[Any, Any], append),
    fixed("push", &[Any, Any], append),
    fixed("mustPush", &[Any, Any], append),
    fixed("prepend", &[Any, Any], prepend),
    fixed("mustPrepend", &[Any, Any], prepend),
    fixed("first", &[Any], first),
    fixed("mustFirst", &[Any], first),
    fixed("last", &[Any], last),
    fixed("mustLast", &[Any], last),
    fixed("rest", &[Any], rest),
    fixed("mustRest", &[Any], rest),
    fixed("initial", &[Any], initial),
    fixed("mustInitial", &[Any], initial),
    fixed("reverse", &[Any], reverse),
    fixed("mustReverse", &[Any], reverse),
    fixed("compact", &[Any], compact),
    fixed("mustCompact", &[Any], compact),
    fixed("uniq", &[Any], uniq),
    fixed("mustUniq", &[Any], uniq),
    variadic("without", &[Any, Any], without),
    variadic("mustWithout", &[Any, Any], without),
    fixed("has", &[Any, Any], has),
    fixed("mustHas", &[Any, Any], has),
    variadic("slice", &[Any, Any], slice),
    variadic("mustSlice", &[Any, Any], slice),
    variadic("concat", &[Any], concat),
    fixed("chunk", &[Int, Any], chunk),
    fixed("mustChunk", &[Int, Any], chunk),
];

/// The elements of a list, or what is said of something that is none.
fn elements(value: &Value, says: &str) -> Result<Vec<Value>, Failure> {
    if value.is_nil() {
        return failure(NIL_POINTER);
    }
    match items(value) {
        Some(items) => Ok(items.into_owned()),
        None => failure(format!("{says} {}", value.kind())),
    }
}

fn append(call: &Call<'_>) -> Result<Value, Failure> {
    let mut list = elements(call.any(0), "Cannot push on type")?;
    list.push(call.any(1).clone());
    Ok(Value::list(list))
}

fn prepend(call: &Call<'_>) -> Result<Value, Failure> {
    let mut list = elements(call.any(0), "Cannot prepend on type")?;
    list.insert(0, call.any(1).clone());
    Ok(Value::list(list))
}

fn first(call: &Call<'_>) -> Result<Value, Failure> {
    Ok(elements(call.any(0), "Cannot find first on type")?.into_iter().next().unwrap_or(Value::Nil))
}

fn last(call: &Call<'_>) -> Result<Value, Failure> {
    Ok(elements(call.any(0), "Cannot find last on type")?.pop().unwrap_or(Value::Nil))
}

fn rest(call: &Call<'_>) -> Result<Value, Failure> {
    let mut list = elements(call.any(0), "Cannot find rest on type")?;
    if list.is_empty() {
        return Ok(Value::nil_list(Element::Any));
    }
    list.remove(0);
    Ok(Value::list(list))
}

fn initial(call: &Call<'_>) -> Result<Value, Failure> {
    let mut list = elements(call.any(0), "Cannot find initial on type")?;
    if list.pop().is_none() {
        return Ok(Value::nil_list(Element::Any));
    }
    Ok(Value::list(list))
}

fn reverse(call: &Call<'_>) -> Result<Value, Failure> {
    let mut list = elements(call.any(0), "Cannot find reverse on type")?;
    list.reverse();
    Ok(Value::list(list))
}

fn compact(call: &Call<'_>) -> Result<Value, Failure> {
    let list = elements(call.any(0), "Cannot compact on type")?;
    Ok(Value::list(list.into_iter().filter(|item| !is_empty(item)).collect()))
}

fn uniq(call: &Call<'_>) -> Result<Value, Failure> {
    let mut unique: Vec<Value> = Vec::new();
    for item in elements(call.any(0), "Cannot find uniq on type")? {
        if !unique.iter().any(|other| deep_equal(&item, other)) {
            unique.push(item);
        }
    }
    Ok(Value::list(unique))
}

fn without(call: &Call<'_>) -> Result<Value, Failure> {
    let list = elements(call.any(0), "Cannot find without on type")?;
    let omitted = call.rest(1);
    Ok(Value::list(list.into_iter().filter(|item| !omitted.iter().any(|other| deep_equal(item, other))).collect()))
}

fn has(call: &Call<'_>) -> Result<Value, Failure> {
    if call.any(1).is_nil() {
        return Ok(false.into());
    }
    match items(call.any(1)) {
        Some(items) => Ok(items.iter().any(|item| deep_equal(call.any(0), item)).into()),
        None => failure(format!("Cannot find has on type {}", call.any(1).kind())),
    }
}

fn slice(call: &Call<'_>) -> Result<Value, Failure> {
    let list = elements(call.any(0), "list should be type of slice or array but")?;
    let length = list.len() as i64;
    if length == 0 {
        return Ok(Value::Nil);
    }
    let start = if call.arguments.len() > 1 { to_int(call.any(1)) } else { 0 };
    let end = if call.arguments.len() > 2 { to_int(call.any(2)) } else { length };
    if start < 0 || start > end || end > length {
        return failure("reflect.Value.Slice: slice index out of bounds");
    }
    let items = list[start as usize..end as usize].to_vec();
    let element = match call.any(0) {
        Value::List(list) => list.element,
        _ => Element::Any,
    };
    Ok(Value::List(List { element, nil: false, items }.into()))
}

fn concat(call: &Call<'_>) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for list in call.arguments {
        if list.is_nil() {
            return failure(NIL_POINTER);
        }
        match items(list) {
            Some(items) => all.extend_from_slice(&items),
            None => return failure(format!("Cannot concat type {} as list", list.kind())),
        }
    }
    Ok(if all.is_empty() { Value::nil_list(Element::Any) } else { Value::list(all) })
}

fn chunk(call: &Call<'_>) -> Result<Value, Failure> {
    let list = elements(call.any(1), "Cannot chunk type")?;
    let Some(size) = usize::try_from(call.int(0)).ok().filter(|size| *size > 0) else {
        return failure("runtime error: makeslice: len out of range");
    };
    Ok(Value::list_of(Element::Lists, list.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect()))
}
