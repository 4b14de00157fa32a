//! Objects as the rows of a `Table`, the form that `kubectl get` prints.
//!
//! Source: k8s.io/apimachinery `pkg/apis/meta/v1/types.go` (Table) and `pkg/util/duration/duration.go` (ages).

use super::Object;
use super::kinds::{Cell, Column, Kind};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The table of `objects`; `include` says what a row carries of its object: `Object`, `None`, else its metadata.
pub fn of(kind: &Kind, objects: Vec<Object>, include: &str, now: Timestamp) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(kind, object, include, now)).collect();
    let definitions: Vec<Value> = columns(kind).iter().map(definition).collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": definitions, "rows": rows})
}

/// A kind without columns of its own has a name and an age.
fn columns(kind: &Kind) -> &[Column] {
    use std::borrow::Cow::Borrowed;
    const PLAIN: &[Column] = &[
        Column {
            name: Borrowed("Name"),
            kind: Borrowed("string"),
            format: Borrowed("name"),
            description: Borrowed("Name of the object"),
            priority: 0,
            cell: Cell::Name,
        },
        Column {
            name: Borrowed("Age"),
            kind: Borrowed("string"),
            format: Borrowed(""),
            description: Borrowed("Time since the object was created"),
            priority: 0,
            cell: Cell::Age,
        },
    ];
    if kind.columns.is_empty() { PLAIN } else { &kind.columns }
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.kind, "format": column.format,
        "description": column.description, "priority": column.priority,
    })
}

fn row(kind: &Kind, object: Object, include: &str, now: Timestamp) -> Value {
    let cells: Vec<Value> = columns(kind).iter().map(|column| cell(column, &object, now)).collect();
    let carried = match include {
        "None" => Value::Null,
        "Object" => Value::Object(object.0),
        _ => {
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.0.get("metadata")})
        }
    };
    json!({"cells": cells, "object": carried})
}

fn cell(column: &Column, object: &Object, now: Timestamp) -> Value {
    match &column.cell {
        Cell::Name => json!(object.name()),
        Cell::Age => json!(age(object.text(&["metadata", "creationTimestamp"]), now)),
        Cell::JsonPath(path) => {
            let found = path.find_in(object);
            found.first().map_or(Value::Null, |value| shown(&column.kind, value, now))
        }
        Cell::With(function) => function(object, now),
    }
}

/// A value in a column of a custom kind; null where it is of another type than the column.
///
/// Source: k8s.io/apiextensions-apiserver `pkg/registry/customresource/tableconvertor`.
fn shown(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("integer", Value::Number(number)) => json!(number.as_i64().or(number.as_f64().map(|float| float as i64))),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("string", Value::String(_)) => value.clone(),
        ("string", Value::Null) => Value::Null,
        ("string", other) => json!(other.to_string()),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(_) => json!(age(text, now)),
            Err(_) => json!("<invalid>"),
        },
        _ => Value::Null,
    }
}

/// How long ago a timestamp of the API was, as kubectl prints it.
pub fn age(timestamp: &str, now: Timestamp) -> String {
    match timestamp.parse::<Timestamp>() {
        Ok(then) => human_duration(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".into(),
    }
}

/// Seconds in the shortest form that is still exact enough: `5s`, `3m20s`, `45m`, `7h12m`, `12h`, `2d3h`, `30d`, `1y20d`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |first: i64, a: &str, second: i64, b: &str| match second {
        0 => format!("{first}{a}"),
        _ => format!("{first}{a}{second}{b}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if hours < 3 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => pair(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_does() {
        let cases = [
            (5, "5s"),
            (119, "119s"),
            (200, "3m20s"),
            (2700, "45m"),
            (10_799, "179m"),
            (26_000, "7h13m"),
            (90_000, "25h"),
            (183_600, "2d3h"),
            (2_592_000, "30d"),
            (-5, "<invalid>"),
            (-1, "0s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text);
        }
    }
}
