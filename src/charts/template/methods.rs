//! Methods of values that have a Go type with methods: objects, times, durations, `.Values`.

use std::rc::Rc;

use super::error::Error;
use super::function::{Failure, Method, Type, failure};
use super::location::Location;
use super::time;
use super::value::{IntType, Map, MapKind, Value};

const fn method(name: &'static str, parameters: &'static [Type]) -> Method {
    Method { name, parameters, variadic: false }
}

static TIME: &[Method] = &[
    method("Add", &[Type::Duration]),
    method("AddDate", &[Type::Int, Type::Int, Type::Int]),
    method("After", &[Type::Time]),
    method("Before", &[Type::Time]),
    method("Compare", &[Type::Time]),
    method("Day", &[]),
    method("Equal", &[Type::Time]),
    method("Format", &[Type::Str]),
    method("GoString", &[]),
    method("Hour", &[]),
    method("IsDST", &[]),
    method("IsZero", &[]),
    method("Local", &[]),
    method("Location", &[]),
    method("MarshalJSON", &[]),
    method("MarshalText", &[]),
    method("Minute", &[]),
    method("Month", &[]),
    method("Nanosecond", &[]),
    method("Round", &[Type::Duration]),
    method("Second", &[]),
    method("String", &[]),
    method("Sub", &[Type::Time]),
    method("Truncate", &[Type::Duration]),
    method("UTC", &[]),
    method("Unix", &[]),
    method("UnixMicro", &[]),
    method("UnixMilli", &[]),
    method("UnixNano", &[]),
    method("Weekday", &[]),
    method("Year", &[]),
    method("YearDay", &[]),
];

static DURATION: &[Method] = &[
    method("Abs", &[]),
    method("Hours", &[]),
    method("Microseconds", &[]),
    method("Milliseconds", &[]),
    method("Minutes", &[]),
    method("Nanoseconds", &[]),
    method("Round", &[Type::Duration]),
    method("Seconds", &[]),
    method("String", &[]),
    method("Truncate", &[Type::Duration]),
];

static NAMED: &[Method] = &[method("String", &[])];

static VALUES: &[Method] =
    &[method("AsMap", &[]), method("PathValue", &[Type::Str]), method("Table", &[Type::Str]), method("YAML", &[])];

/// The method of a value by name.
pub(super) fn find(value: &Value, name: &str) -> Option<&'static Method> {
    let methods = match value {
        Value::Object(object) => object.methods(),
        Value::Time(_) => TIME,
        Value::Int(_, IntType::Duration) => DURATION,
        Value::Int(_, IntType::Month | IntType::Weekday) => NAMED,
        Value::Map(map) if map.kind == MapKind::Values => VALUES,
        _ => return None,
    };
    methods.iter().find(|method| method.name == name)
}

/// Why a method that exists cannot be called: templates take one value, or one and an error.
pub(super) fn refused(value: &Value, name: &str) -> Option<String> {
    const THREE: &str = "has 3 return values; should be 1 or 2";
    const SECOND: &str = "second return value should be error; is";
    match (value, name) {
        (Value::Time(_), "Clock" | "Date") => Some(format!("function {name} {THREE}")),
        (Value::Time(_), "ISOWeek" | "Zone") => Some(format!("invalid function signature for {name}: {SECOND} int")),
        (Value::Time(_), "ZoneBounds") => Some(format!("invalid function signature for {name}: {SECOND} time.Time")),
        _ => None,
    }
}

/// Calls a method that was found, with arguments that match it.
pub(super) fn call(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    match value {
        Value::Object(object) => object.call(name, arguments),
        Value::Time(time) => of_time(time, name, arguments),
        Value::Int(number, IntType::Duration) => Ok(of_duration(*number, name, arguments)),
        Value::Int(number, kind) => Ok(time::named_integer(*number, *kind).unwrap_or_default().into()),
        Value::Map(map) => of_values(map, name, arguments),
        _ => Ok(Value::Nil),
    }
}

fn of_time(moment: &Rc<jiff::Zoned>, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    let number = |index: usize| match arguments.get(index) {
        Some(Value::Int(number, _)) => *number,
        _ => 0,
    };
    let other = match arguments.first() {
        Some(Value::Time(other)) => other.clone(),
        _ => moment.clone(),
    };
    let time_value = |moment: jiff::Zoned| Value::Time(Rc::new(moment));
    let duration = |nanoseconds: i64| Value::Int(nanoseconds, IntType::Duration);
    Ok(match name {
        "Add" => time_value(time::add(moment, number(0))),
        "AddDate" => {
            let moved = time::add_date(moment, number(0), number(1), number(2));
            time_value(moved.ok_or_else(|| Error::new("time: year out of range"))?)
        }
        "After" => (**moment > *other).into(),
        "Before" => (**moment < *other).into(),
        "Equal" => (**moment == *other).into(),
        "Compare" => Value::from(moment.cmp(&other) as i64),
        "Day" => Value::from(i64::from(moment.day())),
        "Format" => match arguments.first() {
            Some(Value::Str(layout)) => time::format(moment, &layout.as_str()).into(),
            _ => "".into(),
        },
        "GoString" => time::go_source(moment).into(),
        "IsDST" => moment.time_zone().to_offset_info(moment.timestamp()).dst().is_dst().into(),
        "Location" => Value::Object(Rc::new(Location(time::location(moment)))),
        "MarshalJSON" => Value::Bytes(format!("\"{}\"", time::rfc3339(moment)).into_bytes().into()),
        "MarshalText" => Value::Bytes(time::rfc3339(moment).into_bytes().into()),
        "Hour" => Value::from(i64::from(moment.hour())),
        "IsZero" => (moment.timestamp() == time::zero().timestamp()).into(),
        "Local" => time_value(moment.with_time_zone(time::local())),
        "Minute" => Value::from(i64::from(moment.minute())),
        "Month" => Value::Int(moment.month().into(), IntType::Month),
        "Nanosecond" => Value::from(i64::from(moment.subsec_nanosecond())),
        "Round" | "Truncate" => {
            let since = time::between(&time::zero(), moment);
            let unit = number(0);
            let moved = if name == "Round" { time::round_duration(since, unit) } else { truncated(since, unit) };
            time_value(time::add(moment, moved - since))
        }
        "Second" => Value::from(i64::from(moment.second())),
        "String" => time::go_string(moment).into(),
        "Sub" => duration(time::between(&other, moment)),
        "UTC" => time_value(moment.with_time_zone(jiff::tz::TimeZone::UTC)),
        "Unix" => Value::int64(time::unix(moment, 1_000_000_000)),
        "UnixMicro" => Value::int64(time::unix(moment, 1_000)),
        "UnixMilli" => Value::int64(time::unix(moment, 1_000_000)),
        "UnixNano" => Value::int64(time::unix(moment, 1)),
        "Weekday" => Value::Int(time::weekday(moment), IntType::Weekday),
        "Year" => Value::from(i64::from(moment.year())),
        "YearDay" => Value::from(i64::from(moment.day_of_year())),
        _ => Value::Nil,
    })
}

/// `Duration.Truncate`.
pub fn truncated(nanoseconds: i64, unit: i64) -> i64 {
    if unit <= 0 { nanoseconds } else { nanoseconds - nanoseconds % unit }
}

fn of_duration(nanoseconds: i64, name: &str, arguments: &[Value]) -> Value {
    let unit = match arguments.first() {
        Some(Value::Int(unit, _)) => *unit,
        _ => 0,
    };
    let duration = |nanoseconds: i64| Value::Int(nanoseconds, IntType::Duration);
    match name {
        "Abs" => duration(nanoseconds.saturating_abs()),
        "Hours" => Value::Float(fraction(nanoseconds, 3_600_000_000_000)),
        "Minutes" => Value::Float(fraction(nanoseconds, 60_000_000_000)),
        "Seconds" => Value::Float(fraction(nanoseconds, 1_000_000_000)),
        "Milliseconds" => Value::int64(nanoseconds / 1_000_000),
        "Microseconds" => Value::int64(nanoseconds / 1_000),
        "Nanoseconds" => Value::int64(nanoseconds),
        "Round" => duration(time::round_duration(nanoseconds, unit)),
        "Truncate" => duration(truncated(nanoseconds, unit)),
        _ => time::duration_text(nanoseconds).into(),
    }
}

/// A duration in a unit: whole part and rest are divided apart, as Go does.
pub fn fraction(nanoseconds: i64, unit: i64) -> f64 {
    (nanoseconds / unit) as f64 + (nanoseconds % unit) as f64 / unit as f64
}

fn of_values(map: &Map, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    let path = match arguments.first() {
        Some(Value::Str(path)) => path.as_str().into_owned(),
        _ => String::new(),
    };
    match name {
        "AsMap" => Ok(Value::Map(map.with_kind(MapKind::Any))),
        "YAML" => Ok(crate::charts::yaml::encode(&Value::Map(map.clone())).into()),
        "Table" => path.split('.').try_fold(map.clone(), |table, part| subtable(&table, part)).map(Value::Map),
        _ => path_value(map, &path),
    }
}

fn subtable(map: &Map, name: &str) -> Result<Map, Failure> {
    match map.get(name) {
        Some(Value::Map(table)) => Ok(table.with_kind(MapKind::Values)),
        _ => failure(format!("{} is not a table", super::quote::quote(name.as_bytes(), false))),
    }
}

fn path_value(map: &Map, path: &str) -> Result<Value, Failure> {
    if path.is_empty() {
        return failure("YAML path cannot be empty");
    }
    let (tables, key) = path.rsplit_once('.').map_or((None, path), |(tables, key)| (Some(tables), key));
    let missing = || failure(format!("{} is not a value", super::quote::quote(key.as_bytes(), false)));
    let table = match tables {
        None => Ok(map.clone()),
        Some(tables) => tables.split('.').try_fold(map.clone(), |table, part| subtable(&table, part)),
    };
    match table.ok().and_then(|table| table.get(key)) {
        Some(Value::Map(_)) | None => missing(),
        Some(value) => Ok(value),
    }
}
