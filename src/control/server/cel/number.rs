//! Quantities: `quantity("1Gi").isGreaterThan(quantity("500Mi"))`.
//!
//! Source: k8s.io/apiserver `pkg/cel/library/quantity.go`.

use super::library::{given, member, text, values};
use crate::api::quantity::Quantity;
use cel::common::types::{DYN_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::objects::Opaque;
use cel::{DeclarationError, Env, ExecutionError, Value};
use std::cmp::Ordering;
use std::sync::Arc;

/// A quantity in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Amount(Quantity);

impl Opaque for Amount {
    fn runtime_type_name(&self) -> &str {
        "kubernetes.Quantity"
    }
}

/// Declares the functions.
pub fn add(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("quantity", "string_to_quantity", vec![STRING_TYPE], quantity)?;
    env.add_overload("isQuantity", "is_quantity_string", vec![STRING_TYPE], is_quantity)?;
    member(env, "isGreaterThan", DYN_TYPE, vec![DYN_TYPE], is_greater)?;
    member(env, "isLessThan", DYN_TYPE, vec![DYN_TYPE], is_less)?;
    member(env, "compareTo", DYN_TYPE, vec![DYN_TYPE], compare)?;
    member(env, "asInteger", DYN_TYPE, vec![], as_integer)?;
    member(env, "isInteger", DYN_TYPE, vec![], is_integer)?;
    member(env, "asApproximateFloat", DYN_TYPE, vec![], as_float)?;
    member(env, "sign", DYN_TYPE, vec![], sign)?;
    member(env, "add", DYN_TYPE, vec![DYN_TYPE], plus)?;
    member(env, "sub", DYN_TYPE, vec![DYN_TYPE], minus)
}

fn wrong() -> ExecutionError {
    ExecutionError::function_error("quantity", "no such overload")
}

fn amount(value: Option<&Value>) -> Result<Quantity, ExecutionError> {
    match value {
        Some(Value::Opaque(opaque)) => opaque.downcast_ref::<Amount>().map(|own| own.0).ok_or_else(wrong),
        // An integer can be added as it is.
        Some(Value::Int(number)) => number.to_string().parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn quantity<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let own = text(values(&arguments)?.first())?;
    let parsed = own.parse::<Quantity>().map_err(|error| ExecutionError::function_error("quantity", error))?;
    given(Value::Opaque(Arc::new(Amount(parsed))))
}

fn is_quantity<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(text(values(&arguments)?.first())?.parse::<Quantity>().is_ok()))
}

fn ordering(arguments: &[CowVal]) -> Result<Ordering, ExecutionError> {
    let values = values(arguments)?;
    Ok(amount(values.first())?.cmp(&amount(values.get(1))?))
}

fn is_greater<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(ordering(&arguments)? == Ordering::Greater))
}

fn is_less<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(ordering(&arguments)? == Ordering::Less))
}

fn compare<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Int(ordering(&arguments)? as i64))
}

fn own(arguments: &[CowVal]) -> Result<Quantity, ExecutionError> {
    amount(values(arguments)?.first())
}

fn as_integer<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let own = own(&arguments)?;
    if !own.is_whole() {
        return Err(ExecutionError::function_error("asInteger", "cannot convert value to integer"));
    }
    given(Value::Int(own.units()))
}

fn is_integer<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(own(&arguments)?.is_whole()))
}

fn as_float<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let own = own(&arguments)?;
    given(Value::Float(if own.is_whole() { own.units() as f64 } else { own.milli() as f64 / 1000.0 }))
}

fn sign<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Int(own(&arguments)?.sign().into()))
}

fn joined<'b, 'v>(
    arguments: &[CowVal],
    join: fn(Quantity, Quantity) -> Quantity,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(arguments)?;
    let total = join(amount(values.first())?, amount(values.get(1))?);
    given(Value::Opaque(Arc::new(Amount(total))))
}

fn plus<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    joined(&arguments, Quantity::plus)
}

fn minus<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    joined(&arguments, Quantity::minus)
}
