//! Cells of tables: the short forms in which kubectl shows durations, lists and absent values.
//!
//! Source: k8s.io/apimachinery `pkg/util/duration`, pkg/printers/internalversion/printers.go.

use super::{Cell, Column};
use crate::api::Object;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a column shows for a value that is not there.
pub(super) const NONE: &str = "<none>";

/// A column that is always shown.
pub(super) const fn column(
    name: &'static str,
    kind: &'static str,
    description: &'static str,
    cell: fn(&Object, Timestamp) -> Value,
) -> Column {
    with_priority(0, name, kind, description, cell)
}

/// A column of `-o wide`.
pub(super) const fn wide(
    name: &'static str,
    kind: &'static str,
    description: &'static str,
    cell: fn(&Object, Timestamp) -> Value,
) -> Column {
    with_priority(1, name, kind, description, cell)
}

const fn with_priority(
    priority: i32,
    name: &'static str,
    kind: &'static str,
    description: &'static str,
    cell: fn(&Object, Timestamp) -> Value,
) -> Column {
    Column {
        name: Cow::Borrowed(name),
        kind: Cow::Borrowed(kind),
        format: Cow::Borrowed(""),
        description: Cow::Borrowed(description),
        priority,
        cell: Cell::With(cell),
    }
}

/// A number of seconds as kubectl shows it: `5s`, `3m20s`, `4h`, `2d3h`, `1y40d`.
pub fn human_duration(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |big: i64, unit: &str, small: i64, part: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{part}") }
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / 60, "m", seconds % 60, "s"),
        600..10_800 => format!("{}m", seconds / 60),
        10_800..28_800 => two(seconds / HOUR, "h", seconds % HOUR / 60, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(seconds / YEAR, "y", seconds % YEAR / DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// Time since an RFC 3339 moment, `<unknown>` if it is none.
pub fn since(moment: &str, now: Timestamp) -> String {
    match moment.parse::<Timestamp>() {
        Ok(then) => human_duration(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".into(),
    }
}

/// Seconds from one RFC 3339 moment to another.
pub(super) fn seconds_between(start: &str, end: &str) -> Option<i64> {
    Some(end.parse::<Timestamp>().ok()?.as_second() - start.parse::<Timestamp>().ok()?.as_second())
}

/// The string at a path as it is.
pub(super) fn text(object: &Object, path: &[&str]) -> Value {
    object.text(path).into()
}

/// The string at a path, or `<none>`.
pub(super) fn text_or_none(object: &Object, path: &[&str]) -> Value {
    or_none(object.text(path))
}

/// A string, or `<none>` for an empty one.
pub(super) fn or_none(text: impl Into<String>) -> Value {
    let text = text.into();
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// The whole number at a path, or 0.
pub(super) fn number(object: &Object, path: &[&str]) -> i64 {
    object.at(path).and_then(Value::as_i64).unwrap_or_default()
}

/// The list at a path, or none.
pub(super) fn list<'a>(object: &'a Object, path: &[&str]) -> &'a [Value] {
    object.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The number of entries of a map or list at a path.
pub(super) fn count(object: &Object, path: &[&str]) -> usize {
    match object.at(path) {
        Some(Value::Array(list)) => list.len(),
        Some(Value::Object(map)) => map.len(),
        _ => 0,
    }
}

/// A whole number or a percentage, as it is written.
pub(super) fn number_or_percent(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A string field of a value, or the empty string.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `True` or `False`; absent is `False`.
pub(super) fn flag(object: &Object, path: &[&str]) -> bool {
    object.at(path).and_then(Value::as_bool).unwrap_or_default()
}

/// The strings of a list, joined by commas.
pub(super) fn joined(list: &[Value]) -> String {
    list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

/// Labels as `a=b,c=d`, or `<none>`.
pub(super) fn labels(map: Option<&Map<String, Value>>) -> String {
    let mut pairs: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort();
    if pairs.is_empty() { NONE.into() } else { pairs.join(",") }
}

/// A label selector as `a=b,c in (d,e)`, or `<none>`.
pub(super) fn selector(value: Option<&Value>) -> String {
    let Some(selector) = value.filter(|value| value.is_object()) else { return NONE.into() };
    let mut terms: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for wanted in selector["matchExpressions"].as_array().into_iter().flatten() {
        let mut values: Vec<&str> =
            wanted["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort();
        let (key, values) = (field(wanted, "key"), values.join(","));
        terms.push(match field(wanted, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    terms.sort();
    if terms.is_empty() { NONE.into() } else { terms.join(",") }
}

/// The names (or another field) of a spec's containers, joined by commas.
pub(super) fn containers(spec: Option<&Value>, name: &str) -> Value {
    let list = spec.and_then(|spec| spec.get("containers")).and_then(Value::as_array);
    list.into_iter().flatten().map(|container| field(container, name)).collect::<Vec<_>>().join(",").into()
}

/// The first few of a list, with `+ N more...` for the rest; `none` for an empty one.
pub(super) fn shortened(all: &[String], shown: usize, none: &str) -> String {
    if all.is_empty() {
        return none.into();
    }
    let first = all[..all.len().min(shown)].join(",");
    if all.len() > shown { format!("{first} + {} more...", all.len() - shown) } else { first }
}

/// Addresses of a load balancer's status: an address or a host name each.
pub(super) fn load_balancer(object: &Object) -> Vec<String> {
    let ingress = list(object, &["status", "loadBalancer", "ingress"]).iter();
    let mut seen = Vec::new();
    for entry in ingress {
        let address = if field(entry, "ip").is_empty() { field(entry, "hostname") } else { field(entry, "ip") };
        if !address.is_empty() && !seen.iter().any(|known| known == address) {
            seen.push(address.to_string());
        }
    }
    seen
}

/// Whether a condition of the status has a value.
pub(super) fn condition<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    list(object, &["status", "conditions"]).iter().find(|condition| condition["type"] == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        let wanted = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (601, "10m"),
            (179 * 60, "179m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (47 * 3600, "47h"),
            (50 * 3600, "2d2h"),
            (8 * 86_400, "8d"),
            (400 * 86_400, "400d"),
            (800 * 86_400, "2y70d"),
            (9 * 365 * 86_400, "9y"),
        ];
        for (seconds, text) in wanted {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn selectors_read_as_they_are_typed() {
        let value = json!({"matchLabels": {"b": "c"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "DoesNotExist"}]});
        assert_eq!(selector(Some(&value)), "!d,a in (x,y),b=c");
        assert_eq!(selector(Some(&json!({}))), "<none>");
    }
}
