//! Numbers: sprig's sums in integers and in decimals.

use super::decimal::Decimal;
use super::{fixed, variadic};
use crate::charts::template::Type::{Any, Float, Int};
use crate::charts::template::{
    self, Call, Element, Failure, Function, IntType, Value, failure, parse_float, parse_int,
};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("atoi", &[template::Type::Str], |call| Ok(Value::from(atoi(&call.str(0))))),
    fixed("int", &[Any], |call| Ok(Value::from(to_int(call.any(0))))),
    fixed("int64", &[Any], |call| Ok(Value::int64(to_int(call.any(0))))),
    fixed("float64", &[Any], |call| Ok(to_float(call.any(0)).into())),
    fixed("toDecimal", &[Any], |call| {
        let text = template::display(call.any(0));
        Ok(Value::int64(parse_int(&text, 8).unwrap_or(0)))
    }),
    fixed("add1", &[Any], |call| Ok(Value::int64(to_int(call.any(0)).wrapping_add(1)))),
    variadic("add", &[Any], |call| Ok(fold(0, call.arguments, i64::wrapping_add))),
    fixed("sub", &[Any, Any], |call| Ok(Value::int64(to_int(call.any(0)).wrapping_sub(to_int(call.any(1)))))),
    variadic("mul", &[Any, Any], |call| Ok(fold(to_int(call.any(0)), call.rest(1), i64::wrapping_mul))),
    fixed("div", &[Any, Any], |call| divided(call, i64::wrapping_div)),
    fixed("mod", &[Any, Any], |call| divided(call, i64::wrapping_rem)),
    variadic("max", &[Any, Any], |call| Ok(fold(to_int(call.any(0)), call.rest(1), i64::max))),
    variadic("biggest", &[Any, Any], |call| Ok(fold(to_int(call.any(0)), call.rest(1), i64::max))),
    variadic("min", &[Any, Any], |call| Ok(fold(to_int(call.any(0)), call.rest(1), i64::min))),
    variadic("maxf", &[Any, Any], |call| Ok(fold_floats(call, larger))),
    variadic("minf", &[Any, Any], |call| Ok(fold_floats(call, smaller))),
    fixed("add1f", &[Any], |call| decimals(to_float(call.any(0)), &[Value::from(1)], Decimal::add)),
    variadic("addf", &[Any], |call| decimals(0.0, call.arguments, Decimal::add)),
    variadic("subf", &[Any, Any], |call| decimals(to_float(call.any(0)), call.rest(1), Decimal::sub)),
    variadic("mulf", &[Any, Any], |call| decimals(to_float(call.any(0)), call.rest(1), Decimal::mul)),
    variadic("divf", &[Any, Any], |call| decimals(to_float(call.any(0)), call.rest(1), Decimal::div)),
    fixed("floor", &[Any], |call| Ok(to_float(call.any(0)).floor().into())),
    fixed("ceil", &[Any], |call| Ok(to_float(call.any(0)).ceil().into())),
    variadic("round", &[Any, Int, Float], round),
    fixed("until", &[Int], |call| {
        let count = call.int(0);
        until_step(0, count, if count < 0 { -1 } else { 1 }).map(list)
    }),
    fixed("untilStep", &[Int, Int, Int], |call| until_step(call.int(0), call.int(1), call.int(2)).map(list)),
    variadic("seq", &[Int], seq),
];

/// The longest list of numbers that is made.
const LONGEST: i64 = 1 << 22;

fn atoi(text: &str) -> i64 {
    match parse_int(text, 10) {
        Ok(number) => number,
        Err(template::Bad::Syntax) => 0,
        Err(template::Bad::Range) if text.starts_with('-') => i64::MIN,
        Err(template::Bad::Range) => i64::MAX,
    }
}

/// A float as an integer; what does not fit is what x86 makes of it.
fn whole(number: f64) -> i64 {
    if (i64::MIN as f64..-(i64::MIN as f64)).contains(&number) { number as i64 } else { i64::MIN }
}

/// `cast.ToInt64`: numbers, booleans and texts of numbers in Go's notation; 0 for anything else.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(_, IntType::Duration) => 0,
        Value::Int(number, _) => *number,
        Value::Uint(number, _) => *number as i64,
        Value::Float(number) => whole(*number),
        Value::Bool(truth) => i64::from(*truth),
        Value::Str(text) => parse_int(without_zeros(&text.as_str()), 0).unwrap_or(0),
        _ => 0,
    }
}

/// Cuts `.000` off.
fn without_zeros(text: &str) -> &str {
    let cut = text.trim_end_matches('0');
    match cut.strip_suffix('.') {
        Some(whole) if cut.len() < text.len() => whole,
        _ => text,
    }
}

/// `cast.ToFloat64`.
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Int(_, IntType::Duration) => 0.0,
        Value::Int(number, _) => *number as f64,
        Value::Uint(number, _) => *number as f64,
        Value::Float(number) => *number,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Str(text) => parse_float(&text.as_str()).unwrap_or(0.0),
        _ => 0.0,
    }
}

fn fold(start: i64, values: &[Value], step: fn(i64, i64) -> i64) -> Value {
    Value::int64(values.iter().fold(start, |number, value| step(number, to_int(value))))
}

fn divided(call: &Call<'_>, step: fn(i64, i64) -> i64) -> Result<Value, Failure> {
    match to_int(call.any(1)) {
        0 => failure("runtime error: integer divide by zero"),
        by => Ok(Value::int64(step(to_int(call.any(0)), by))),
    }
}

/// `math.Max`: not-a-number wins.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// `math.Min`: not-a-number wins.
fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

fn fold_floats(call: &Call<'_>, step: fn(f64, f64) -> f64) -> Value {
    call.rest(1).iter().fold(to_float(call.any(0)), |number, value| step(number, to_float(value))).into()
}

fn decimals(
    start: f64,
    values: &[Value],
    step: fn(Decimal, Decimal) -> Result<Decimal, Failure>,
) -> Result<Value, Failure> {
    let mut result = Decimal::new(start)?;
    for value in values {
        result = step(result, Decimal::new(to_float(value))?)?;
    }
    Ok(result.to_float().into())
}

fn round(call: &Call<'_>) -> Result<Value, Failure> {
    let on = if call.arguments.len() > 2 { call.float(2) } else { 0.5 };
    let power = 10f64.powf(call.int(1) as f64);
    let digit = power * to_float(call.any(0));
    let rounded = if digit.fract() >= on { digit.ceil() } else { digit.floor() };
    Ok((rounded / power).into())
}

fn until_step(start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Failure> {
    if stop < start && step >= 0 || stop >= start && step <= 0 {
        return Ok(Vec::new());
    }
    if (i128::from(stop) - i128::from(start)) / i128::from(step) > i128::from(LONGEST) {
        return failure("runtime error: makeslice: len out of range");
    }
    let mut numbers = Vec::new();
    let mut number = start;
    while if step > 0 { number < stop } else { number > stop } {
        numbers.push(number);
        number = number.saturating_add(step);
    }
    Ok(numbers)
}

fn list(numbers: Vec<i64>) -> Value {
    Value::list_of(Element::Int, numbers.into_iter().map(Value::from).collect())
}

fn seq(call: &Call<'_>) -> Result<Value, Failure> {
    let (start, end, step) = match call.arguments.len() {
        1 => (1, call.int(0), None),
        2 => (call.int(0), call.int(1), None),
        3 => (call.int(0), call.int(2), Some(call.int(1))),
        _ => return Ok("".into()),
    };
    let towards = if end < start { -1 } else { 1 };
    if step.is_some_and(|step| end < start && step > 0) {
        return Ok("".into());
    }
    let numbers = until_step(start, end.saturating_add(towards), step.unwrap_or(towards))?;
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Ok(texts.join(" ").into())
}
