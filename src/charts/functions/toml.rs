//! TOML as Helm reads and writes it.

use crate::charts::template::{Element, Entries, Map, Value, format_float};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Writes a map as BurntSushi's encoder does: values before tables, tables indented by their depth.
pub(super) fn encode(value: &Value) -> Result<String, String> {
    let value = value.underlying();
    let mut out = String::new();
    let map = match &*value {
        Value::Map(map) => map,
        list @ Value::List(_) if is_table(list) => {
            return Err("toml: top-level values must be Go maps or structs".into());
        }
        other => return inline(&mut out, other, 0).map(|()| out),
    };
    table(&mut out, &map.entries(), &mut Vec::new())?;
    Ok(out)
}

/// Reads a document; numbers stay what they are.
pub(super) fn decode(text: &str) -> Result<Map, String> {
    let read = |error: toml::de::Error| {
        super::toml_words::problem(text).unwrap_or_else(|| format!("toml: {}", error.message()))
    };
    let table: toml::Table = toml::from_str(text).map_err(read)?;
    let places = DeTable::parse(text).map_err(read)?;
    Ok(Map::new(entries_of(&table, Some(places.get_ref()))))
}

fn entries_of(table: &toml::Table, places: Option<&DeTable<'_>>) -> Entries {
    let place = |key: &str| places.and_then(|places| places.get(key));
    table.iter().map(|(key, value)| (key.as_str().into(), from_toml(value, place(key)))).collect()
}

/// A value; where it stands tells rows of `[[tables]]`, which have a type of their own, from lists in brackets.
fn from_toml(value: &toml::Value, place: Option<&Spanned<DeValue<'_>>>) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => Value::int64(*number),
        toml::Value::Float(number) => Value::Float(*number),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(moment) => time(moment),
        toml::Value::Array(items) => {
            let places = place.and_then(|place| place.get_ref().as_array());
            let item = |at: usize| places.and_then(|places| places.get(at));
            // All of such rows stand where the header of the first one does.
            let is_rows = item(0).zip(place).is_some_and(|(first, all)| first.span() == all.span());
            let element = if is_rows { Element::Maps } else { Element::Any };
            Value::list_of(element, items.iter().enumerate().map(|(at, one)| from_toml(one, item(at))).collect())
        }
        toml::Value::Table(table) => Value::map(entries_of(table, place.and_then(|place| place.get_ref().as_table()))),
    }
}

/// A moment as Go's decoder has it: parts that are missing are zero, and zones that are missing have names of their own.
fn time(moment: &toml::value::Datetime) -> Value {
    let date = moment.date.map_or((0, 1, 1), |date| (date.year as i16, date.month as i8, date.day as i8));
    let clock = moment.time.map_or((0, 0, 0, 0), |time| {
        (time.hour as i8, time.minute as i8, time.second.unwrap_or(0) as i8, time.nanosecond.unwrap_or(0) as i32)
    });
    let zone = match (moment.offset, moment.date, moment.time) {
        (Some(toml::value::Offset::Z), ..) => Some(jiff::tz::TimeZone::UTC),
        (Some(toml::value::Offset::Custom { minutes }), ..) => {
            jiff::tz::Offset::from_seconds(i32::from(minutes) * 60).ok().map(jiff::tz::Offset::to_time_zone)
        }
        (None, Some(_), Some(_)) => crate::charts::template::time::named_zone("datetime-local", 0),
        (None, Some(_), None) => crate::charts::template::time::named_zone("date-local", 0),
        _ => crate::charts::template::time::named_zone("time-local", 0),
    };
    let civil = jiff::civil::Date::new(date.0, date.1, date.2)
        .and_then(|date| Ok(date.to_datetime(jiff::civil::Time::new(clock.0, clock.1, clock.2, clock.3)?)));
    match civil.and_then(|civil| civil.to_zoned(zone.unwrap_or(jiff::tz::TimeZone::UTC))) {
        Ok(zoned) => Value::Time(std::rc::Rc::new(zoned)),
        Err(_) => moment.to_string().into(),
    }
}

/// Whether a value is written as a table of its own, or a row of them.
fn is_table(value: &Value) -> bool {
    match &*value.underlying() {
        Value::Map(_) => true,
        Value::List(list) => !list.is_empty() && list.iter().all(|item| matches!(item, Value::Map(_))),
        _ => false,
    }
}

fn table(out: &mut String, entries: &Entries, path: &mut Vec<String>) -> Result<(), String> {
    if path.len() > 500 {
        return Err("toml: the value contains itself".into());
    }
    let indent = "  ".repeat(path.len());
    let is_there = |value: &Value| !value.is_nil() && !matches!(value, Value::Map(map) if map.is_nil());
    for (key, value) in entries.iter().filter(|(_, value)| is_there(value) && !is_table(value)) {
        out.push_str(&format!("{indent}{} = ", quoted_key(key)));
        inline(out, value, 0)?;
        out.push('\n');
    }
    for (key, value) in entries.iter().filter(|(_, value)| is_there(value) && is_table(value)) {
        path.push(quoted_key(key));
        match &*value.underlying() {
            Value::Map(map) => header(out, path, ("[", "]"), &map.entries())?,
            Value::List(list) => {
                for item in list.iter() {
                    if let Value::Map(map) = item {
                        header(out, path, ("[[", "]]"), &map.entries())?;
                    }
                }
            }
            _ => {}
        }
        path.pop();
    }
    Ok(())
}

fn header(out: &mut String, path: &mut Vec<String>, brackets: (&str, &str), entries: &Entries) -> Result<(), String> {
    let rows = brackets.0.len() == 2;
    if !out.is_empty() && (path.len() == 1 || rows) {
        out.push('\n');
    }
    let indent = "  ".repeat(path.len() - 1);
    out.push_str(&format!("{indent}{}{}{}\n", brackets.0, path.join("."), brackets.1));
    table(out, entries, path)
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.to_string() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            letter if letter < ' ' || letter == '\u{7f}' => out.push_str(&format!("\\u{:04x}", letter as u32)),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    let text = format_float(number, 'g', None);
    if text.contains(['e', '.']) { text } else { format!("{text}.0") }
}

fn inline(out: &mut String, value: &Value, depth: usize) -> Result<(), String> {
    if depth > 500 {
        return Err("toml: the value contains itself".into());
    }
    match &*value.underlying() {
        Value::Bool(truth) => out.push_str(&truth.to_string()),
        Value::Int(number, crate::charts::template::IntType::Duration) => {
            out.push_str(&quoted(&crate::charts::template::time::duration_text(*number)));
        }
        Value::Int(number, _) => out.push_str(&number.to_string()),
        Value::Uint(number, _) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&float(*number)),
        Value::Str(text) => out.push_str(&quoted(&text.as_str())),
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                inline(out, item, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (index, (key, item)) in map.entries().iter().filter(|(_, item)| !item.is_nil()).enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(&format!("{} = ", quoted_key(key)));
                inline(out, item, depth + 1)?;
            }
            out.push('}');
        }
        Value::Time(moment) => out.push_str(&crate::charts::template::time::rfc3339(moment)),
        Value::Nil => return Err("toml: cannot encode array with nil element".into()),
        Value::Bytes(bytes) => {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            out.push_str(&format!("[{}]", numbers.join(", ")));
        }
        Value::Object(object) if object.is_text() => out.push_str(&quoted(&object.text().unwrap_or_default())),
        other => return Err(format!("unsupported type: {}", other.type_name())),
    }
    Ok(())
}
