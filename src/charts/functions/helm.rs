//! Helm's own functions, and sprig's that it replaces.

use super::json::{self, Style};
use super::{fixed, toml};
use crate::charts::template::Type::{Any, Str};
use crate::charts::template::{Call, Failure, Function, IntType, Value, failure, fraction, parse_float, time};
use crate::charts::values::Warning;
use crate::charts::yaml;

const JSON: Style = Style { html: true, pretty: false };

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("include", &[Str, Any], |call| call.engine.include(&call.text(0), call.any(1)).map(Value::from)),
    fixed("tpl", &[Str, Any], |call| call.engine.tpl(&call.text(0), call.any(1)).map(Value::from)),
    fixed("required", &[Str, Any], required),
    fixed("fail", &[Str], fail),
    fixed("lookup", &[Str, Str, Str, Str], |call| {
        let host = call.engine.host();
        host.lookup(&call.str(0), &call.str(1), &call.str(2), &call.str(3)).or_else(failure)
    }),
    fixed("getHostByName", &[Str], |call| Ok(call.engine.host().resolve(&call.str(0)).into())),
    fixed("toYaml", &[Any], |call| Ok(yaml::try_encode(call.any(0)).map(cut_line).unwrap_or_default().into())),
    fixed("mustToYaml", &[Any], |call| yaml::try_encode(call.any(0)).map(cut_line).map(Value::from).or_else(failure)),
    fixed("toYamlPretty", &[Any], |call| Ok(cut_line(yaml::encode_pretty(call.any(0))).into())),
    fixed("fromYaml", &[Str], |call| {
        Ok(map_or_error(
            decoded(call, Value::map(Default::default())).and_then(|value| with_context(json::into_map(value))),
        ))
    }),
    fixed("fromYamlArray", &[Str], |call| {
        Ok(list_or_error(decoded(call, Value::list(Vec::new())).and_then(|value| with_context(json::into_list(value)))))
    }),
    fixed("toJson", &[Any], |call| Ok(json::encode(call.any(0), JSON).unwrap_or_default().into())),
    fixed("mustToJson", &[Any], |call| json::encode(call.any(0), JSON).map(Value::from).or_else(failure)),
    fixed("fromJson", &[Str], |call| Ok(json::decode_map(&call.text(0)).into())),
    fixed("fromJsonArray", &[Str], |call| Ok(json::decode_list(&call.text(0)))),
    fixed("toToml", &[Any], |call| Ok(toml::encode(not_nil(call)?).unwrap_or_else(|error| error).into())),
    fixed("mustToToml", &[Any], |call| toml::encode(not_nil(call)?).map(Value::from).or_else(failure)),
    fixed("fromToml", &[Str], |call| Ok(map_or_error(toml::decode(&call.str(0))))),
    fixed("mustToDuration", &[Any], |call| duration(call.any(0)).map(duration_value).or_else(failure)),
    fixed("durationSeconds", &[Any], |call| Ok(float(call, 1_000_000_000))),
    fixed("durationMinutes", &[Any], |call| Ok(float(call, 60_000_000_000))),
    fixed("durationHours", &[Any], |call| Ok(float(call, HOUR))),
    fixed("durationDays", &[Any], |call| Ok(Value::Float(hours(call) / 24.0))),
    fixed("durationWeeks", &[Any], |call| Ok(Value::Float(hours(call) / 24.0 / 7.0))),
    fixed("durationMilliseconds", &[Any], |call| Ok(whole(call, 1_000_000))),
    fixed("durationMicroseconds", &[Any], |call| Ok(whole(call, 1_000))),
    fixed("durationNanoseconds", &[Any], |call| Ok(whole(call, 1))),
    fixed("durationRoundTo", &[Any, Any], |call| Ok(to_unit(call, time::round_duration))),
    fixed("durationTruncateTo", &[Any, Any], |call| Ok(to_unit(call, crate::charts::template::truncated))),
];

/// Go's encoder cannot ask nothing for its type.
fn not_nil<'c>(call: &'c Call<'_>) -> Result<&'c Value, Failure> {
    match call.any(0) {
        Value::Nil => failure("reflect: call of reflect.Value.Type on zero Value"),
        value => Ok(value),
    }
}

const HOUR: i64 = 3_600_000_000_000;

/// Helm finds the message of `fail` and `required` in the engine's error by these.
fn marked(message: &str) -> String {
    format!("HELM_ERR_START{message}HELM_ERR_END")
}

fn required(call: &Call<'_>) -> Result<Value, Failure> {
    let value = call.any(1);
    let missing = matches!(value, Value::Nil) || matches!(value, Value::Str(text) if text.is_empty());
    if !missing {
        return Ok(value.clone());
    }
    if call.engine.host().lint() {
        let text = if matches!(value, Value::Nil) { "missing required value" } else { "missing required values" };
        call.engine.host().warn(&Warning::warn(text).with("message", &call.str(0)));
        return Ok("".into());
    }
    failure(marked(&call.str(0)))
}

fn fail(call: &Call<'_>) -> Result<Value, Failure> {
    if call.engine.host().lint() {
        call.engine.host().warn(&Warning::info("funcMap fail".into()).with("message", &call.str(0)));
        return Ok("".into());
    }
    failure(marked(&call.str(0)))
}

/// Without the newline at the end.
fn cut_line(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

/// A YAML text; nothing leaves Helm's empty map or list as it is.
fn decoded(call: &Call<'_>, empty: Value) -> Result<Value, String> {
    let value = call.engine.decode(&call.text(0), yaml::decode)?;
    Ok(if value.is_nil() { empty } else { value })
}

/// What `sigs.k8s.io/yaml` puts before the error of the JSON decoder.
fn with_context<T>(result: Result<T, String>) -> Result<T, String> {
    result.map_err(|error| format!("error unmarshaling JSON: while decoding JSON: {error}"))
}

/// Helm gives an error as the map's `Error`.
fn map_or_error<M: Into<Value>>(result: Result<M, String>) -> Value {
    match result {
        Ok(map) => map.into(),
        Err(error) => Value::map_from([("Error", Value::from(error))]),
    }
}

/// Helm gives an error as the only element.
fn list_or_error(result: Result<Value, String>) -> Value {
    result.unwrap_or_else(|error| Value::list(vec![error.into()]))
}

fn duration_value(nanoseconds: i64) -> Value {
    Value::Int(nanoseconds, IntType::Duration)
}

/// Helm's `asDuration`: durations, texts of them, and numbers of seconds.
fn duration(value: &Value) -> Result<i64, String> {
    match value {
        Value::Int(nanoseconds, IntType::Duration) => Ok(*nanoseconds),
        Value::Int(seconds, _) => from_seconds(i128::from(*seconds)),
        Value::Uint(seconds, _) => from_seconds(i128::from(*seconds)),
        Value::Float(seconds) => from_float(*seconds),
        Value::Str(text) => {
            let text = text.as_str();
            let trimmed = text.trim();
            if trimmed.is_empty() {
                return Err("empty duration".into());
            }
            if let Ok(nanoseconds) = time::parse_duration(trimmed) {
                return Ok(nanoseconds);
            }
            match parse_float(trimmed) {
                Ok(seconds) => from_float(seconds),
                Err(_) => {
                    Err(format!("could not parse duration {}", crate::charts::template::quote(text.as_bytes(), false)))
                }
            }
        }
        Value::Nil => Err("invalid duration".into()),
        other => Err(format!("unsupported duration type {}", other.type_name())),
    }
}

fn from_seconds(seconds: i128) -> Result<i64, String> {
    i64::try_from(seconds * 1_000_000_000).map_err(|_| format!("duration seconds overflow: {seconds}"))
}

fn from_float(seconds: f64) -> Result<i64, String> {
    let shown = || crate::charts::template::format_float(seconds, 'g', None);
    if !seconds.is_finite() {
        return Err(format!("invalid duration seconds: {}", shown()));
    }
    if seconds.abs() > i64::MAX as f64 / 1e9 {
        return Err(format!("duration seconds overflow: {}", shown()));
    }
    Ok((seconds * 1e9) as i64)
}

fn float(call: &Call<'_>, unit: i64) -> Value {
    Value::Float(duration(call.any(0)).map_or(0.0, |nanoseconds| fraction(nanoseconds, unit)))
}

fn hours(call: &Call<'_>) -> f64 {
    duration(call.any(0)).map_or(0.0, |nanoseconds| fraction(nanoseconds, HOUR))
}

fn whole(call: &Call<'_>, unit: i64) -> Value {
    Value::int64(duration(call.any(0)).map_or(0, |nanoseconds| nanoseconds / unit))
}

fn to_unit(call: &Call<'_>, round: fn(i64, i64) -> i64) -> Value {
    match (duration(call.any(0)), duration(call.any(1))) {
        (Ok(nanoseconds), Ok(unit)) => duration_value(round(nanoseconds, unit)),
        (Ok(nanoseconds), Err(_)) => duration_value(nanoseconds),
        _ => duration_value(0),
    }
}
