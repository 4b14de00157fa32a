//! Dates and durations as sprig has them.

use std::rc::Rc;

use jiff::{Timestamp, Zoned};

use super::fixed;
use crate::charts::template::Type::{Any, Str, Time};
use crate::charts::template::{Call, Failure, Function, IntType, Value, failure, parse_time, time};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("now", &[], |call| Ok(moment_value(call.engine.host().now()))),
    fixed("date", &[Str, Any], |call| in_zone(call, &call.str(0), call.any(1), "Local")),
    fixed("dateInZone", &[Str, Any, Str], |call| in_zone(call, &call.str(0), call.any(1), &call.str(2))),
    fixed("date_in_zone", &[Str, Any, Str], |call| in_zone(call, &call.str(0), call.any(1), &call.str(2))),
    fixed("htmlDate", &[Any], |call| in_zone(call, "2006-01-02", call.any(0), "Local")),
    fixed("htmlDateInZone", &[Any, Str], |call| in_zone(call, "2006-01-02", call.any(0), &call.str(1))),
    fixed("dateModify", &[Str, Time], |call| Ok(modified(call).unwrap_or_else(|_| call.any(1).clone()))),
    fixed("date_modify", &[Str, Time], |call| Ok(modified(call).unwrap_or_else(|_| call.any(1).clone()))),
    fixed("mustDateModify", &[Str, Time], |call| modified(call).or_else(failure)),
    fixed("must_date_modify", &[Str, Time], |call| modified(call).or_else(failure)),
    fixed("ago", &[Any], ago),
    fixed("duration", &[Any], |call| {
        let seconds = match call.any(0) {
            Value::Str(text) => crate::charts::template::parse_int(&text.as_str(), 10).unwrap_or(0),
            Value::Int(seconds, IntType::Int64) => *seconds,
            _ => 0,
        };
        Ok(time::duration_text(seconds.wrapping_mul(1_000_000_000)).into())
    }),
    fixed("durationRound", &[Any], |call| Ok(rounded(call).into())),
    fixed("toDate", &[Str, Str], |call| {
        Ok(moment_value(parse_time(&call.str(0), &call.str(1)).unwrap_or_else(|_| time::zero())))
    }),
    fixed("mustToDate", &[Str, Str], |call| parse_time(&call.str(0), &call.str(1)).map(moment_value).or_else(failure)),
    fixed("unixEpoch", &[Time], |call| match call.any(0) {
        Value::Time(moment) => Ok(time::unix(moment, 1_000_000_000).to_string().into()),
        _ => Ok("".into()),
    }),
];

fn moment_value(moment: Zoned) -> Value {
    Value::Time(Rc::new(moment))
}

/// A time, or seconds since 1970; anything else is now.
fn moment(call: &Call<'_>, value: &Value) -> Zoned {
    match value {
        Value::Time(moment) => (**moment).clone(),
        Value::Int(seconds, IntType::Int | IntType::Int32 | IntType::Int64) => {
            Timestamp::from_second(*seconds).unwrap_or_default().to_zoned(time::local())
        }
        _ => call.engine.host().now(),
    }
}

fn in_zone(call: &Call<'_>, layout: &str, value: &Value, zone: &str) -> Result<Value, Failure> {
    let zone = time::zone(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    Ok(time::format(&moment(call, value).with_time_zone(zone), layout).into())
}

fn modified(call: &Call<'_>) -> Result<Value, String> {
    let by = time::parse_duration(&call.str(0))?;
    match call.any(1) {
        Value::Time(moment) => Ok(moment_value(time::add(moment, by))),
        other => Ok(other.clone()),
    }
}

fn ago(call: &Call<'_>) -> Result<Value, Failure> {
    let since = time::between(&moment(call, call.any(0)), &call.engine.host().now());
    Ok(time::duration_text(time::round_duration(since, 1_000_000_000)).into())
}

/// The largest unit of a duration.
fn rounded(call: &Call<'_>) -> String {
    let nanoseconds = match call.any(0) {
        Value::Str(text) => time::parse_duration(&text.as_str()).unwrap_or(0),
        Value::Int(nanoseconds, IntType::Int64) => *nanoseconds,
        Value::Time(moment) => time::between(moment, &call.engine.host().now()),
        _ => 0,
    };
    const HOUR: u64 = 3_600_000_000_000;
    const UNITS: [(u64, &str); 6] = [
        (HOUR * 24 * 365, "y"),
        (HOUR * 24 * 30, "mo"),
        (HOUR * 24, "d"),
        (HOUR, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
    ];
    let size = nanoseconds.unsigned_abs();
    let unit = UNITS.iter().find(|(unit, _)| size > *unit);
    unit.map_or_else(|| "0s".into(), |(unit, name)| format!("{}{name}", size / unit))
}
