//! Kubernetes' own functions: of lists and of regular expressions; those of quantities, URLs and addresses have files of their
//! own.
//!
//! Source: k8s.io/apiserver `pkg/cel/library/{lists,regex}.go`.

use super::{authorizer, budget, formats, network, number};
use crate::base::regexp;
use cel::common::types::{DYN_TYPE, INT_TYPE, LIST_TYPE, STRING_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, Value};
use regex::Regex;
use std::cmp::Ordering;
use std::sync::Arc;

/// The largest machine that a pattern is made into, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// Declares all of them.
pub fn add(env: &mut Env) -> Result<(), DeclarationError> {
    budget::add(env)?;
    for (name, arguments, function) in [
        ("isSorted", vec![], is_sorted as cel::common::functions::Function),
        ("sum", vec![], sum),
        ("min", vec![], least),
        ("max", vec![], most),
        ("indexOf", vec![DYN_TYPE], first_index),
        ("lastIndexOf", vec![DYN_TYPE], last_index),
    ] {
        env.add_member_overload(name, &format!("list_{name}"), LIST_TYPE, arguments, function)?;
    }
    member(env, "find", STRING_TYPE, vec![STRING_TYPE], find)?;
    member(env, "findAll", STRING_TYPE, vec![STRING_TYPE], find_all)?;
    env.add_member_overload("findAll", "string_findAll_int", STRING_TYPE, vec![STRING_TYPE, INT_TYPE], find_all)?;
    number::add(env)?;
    network::add(env)?;
    formats::add(env)?;
    authorizer::add(env)
}

/// Declares a function of a value, of which there is one with this name.
pub fn member(
    env: &mut Env,
    name: &str,
    of: Type,
    arguments: Vec<Type>,
    function: cel::common::functions::Function,
) -> Result<(), DeclarationError> {
    env.add_member_overload(name, &format!("kubernetes_{name}"), of, arguments, function)
}

/// Arguments as values that can be looked at.
pub fn values(arguments: &[CowVal]) -> Result<Vec<Value>, ExecutionError> {
    arguments.iter().map(|argument| Value::try_from(argument.as_ref())).collect()
}

/// What a function gives back.
pub fn given<'b, 'v>(value: Value) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let boxed: Result<Box<dyn Val>, _> = value.try_into();
    boxed.map(CowVal::Owned).map_err(|_| ExecutionError::function_error("", "a value without a form"))
}

/// A text among arguments.
pub fn text(value: Option<&Value>) -> Result<Arc<String>, ExecutionError> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(ExecutionError::function_error("", "no such overload")),
    }
}

fn list(arguments: &[CowVal]) -> Result<Arc<Vec<Value>>, ExecutionError> {
    match values(arguments)?.into_iter().next() {
        Some(Value::List(list)) => Ok(list),
        _ => Err(ExecutionError::function_error("", "no such overload")),
    }
}

fn compared(one: &Value, other: &Value) -> Result<Ordering, ExecutionError> {
    one.partial_cmp(other).ok_or_else(|| ExecutionError::function_error("", "values cannot be compared"))
}

fn is_sorted<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let list = list(&arguments)?;
    for pair in list.windows(2) {
        if compared(&pair[0], &pair[1])? == Ordering::Greater {
            return given(Value::Bool(false));
        }
    }
    given(Value::Bool(true))
}

fn sum<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let overflow = || ExecutionError::function_error("sum", "integer overflow");
    let mut total = Value::Int(0);
    for (index, item) in list(&arguments)?.iter().enumerate() {
        total = match (total, item) {
            (_, item @ (Value::Int(_) | Value::Float(_) | Value::UInt(_))) if index == 0 => item.clone(),
            (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or_else(overflow)?),
            (Value::UInt(a), Value::UInt(b)) => Value::UInt(a.checked_add(*b).ok_or_else(overflow)?),
            (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
            _ => return Err(ExecutionError::function_error("sum", "no such overload")),
        };
    }
    given(total)
}

fn extreme<'b, 'v>(name: &str, arguments: &[CowVal], wanted: Ordering) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let list = list(arguments)?;
    let mut items = list.iter();
    let empty = || ExecutionError::function_error(name, format!("{name} called on empty list"));
    let mut best = items.next().ok_or_else(empty)?;
    for item in items {
        if compared(item, best)? == wanted {
            best = item;
        }
    }
    given(best.clone())
}

fn least<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    extreme("min", &arguments, Ordering::Less)
}

fn most<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    extreme("max", &arguments, Ordering::Greater)
}

fn index<'b, 'v>(arguments: &[CowVal], last: bool) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let wanted = values(arguments)?.into_iter().nth(1).unwrap_or(Value::Null);
    let list = list(arguments)?;
    let found =
        if last { list.iter().rposition(|item| *item == wanted) } else { list.iter().position(|item| *item == wanted) };
    given(Value::Int(found.map_or(-1, |index| index as i64)))
}

fn first_index<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    index(&arguments, false)
}

fn last_index<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    index(&arguments, true)
}

fn pattern(text: &str) -> Result<Regex, ExecutionError> {
    let machine = regexp::compile(text, LARGEST_PATTERN);
    machine.map_err(|error| ExecutionError::function_error("find", format!("Illegal regex: {error}")))
}

fn find<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(&arguments)?;
    let (whole, machine) = (text(values.first())?, pattern(&text(values.get(1))?)?);
    let found = machine.find(&whole).map_or("", |found| found.as_str());
    given(Value::String(Arc::new(found.into())))
}

fn find_all<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(&arguments)?;
    let (whole, machine) = (text(values.first())?, pattern(&text(values.get(1))?)?);
    let most = match values.get(2) {
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let found = machine.find_iter(&whole).take(most).map(|found| Value::String(Arc::new(found.as_str().into())));
    given(Value::List(Arc::new(found.collect())))
}
