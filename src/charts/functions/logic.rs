//! Defaults and choices.

use super::{fixed, is_empty, variadic};
use crate::charts::template::Type::{Any, Bool};
use crate::charts::template::{Function, Value};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    variadic("default", &[Any, Any], |call| Ok(if is_empty(call.any(1)) { call.any(0) } else { call.any(1) }.clone())),
    fixed("empty", &[Any], |call| Ok(is_empty(call.any(0)).into())),
    variadic("coalesce", &[Any], |call| {
        Ok(call.arguments.iter().find(|value| !is_empty(value)).cloned().unwrap_or(Value::Nil))
    }),
    variadic("all", &[Any], |call| Ok(call.arguments.iter().all(|value| !is_empty(value)).into())),
    variadic("any", &[Any], |call| Ok(call.arguments.iter().any(|value| !is_empty(value)).into())),
    fixed("ternary", &[Any, Any, Bool], |call| Ok(if call.bool(2) { call.any(0) } else { call.any(1) }.clone())),
];
