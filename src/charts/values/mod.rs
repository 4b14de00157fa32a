//! Values: what a chart's templates are filled with.
//!
//! A tree of JSON. Numbers that come from YAML or JSON are floats and those of `--set` are whole, as in Helm, because
//! templates can tell them apart.

mod coalesce;
mod set;

pub use coalesce::{GLOBAL, Warning, Warnings, coalesce, merge as merge_chart, tables};
pub use serde_json::Value;
pub use set::{Kind, parse_into};

use super::{Error, decode};

/// A table of values.
pub type Map = serde_json::Map<String, Value>;

/// The flags that set values, in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub struct ValueFlags {
    /// `-f`, `--values`: files, `-` for stdin, or addresses.
    pub files: Vec<String>,
    /// `--set-json`
    pub json: Vec<String>,
    /// `--set`
    pub set: Vec<String>,
    /// `--set-string`
    pub text: Vec<String>,
    /// `--set-file`
    pub from_file: Vec<String>,
    /// `--set-literal`
    pub literal: Vec<String>,
}

/// What reads a file, stdin or an address that a flag names.
pub type Source<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// The values that the flags give together, later ones over earlier ones: files, then JSON, `--set`, texts, files'
/// contents, literals.
pub fn merge(flags: &ValueFlags, read: Source) -> Result<Map, Error> {
    let mut base = Map::new();
    for file in &flags.files {
        let data = read(file).map_err(Error::Values)?;
        let table =
            load_values(&data).map_err(|problem| Error::Values(format!("failed to parse {file}: {problem}")))?;
        overlay(&mut base, table);
    }
    for text in &flags.json {
        if text.trim_start().starts_with('{') {
            match serde_json::from_str(text) {
                Ok(Value::Object(table)) => match go_json(Value::Object(table)) {
                    Value::Object(table) => overlay(&mut base, table),
                    _ => continue,
                },
                _ => return Err(Error::Values(format!("failed parsing --set-json data JSON: {text}"))),
            }
        } else {
            parse_into(text, Kind::Json, &mut base)
                .map_err(|_| Error::Values(format!("failed parsing --set-json data {text}")))?;
        }
    }
    let reader = |name: &str| read(name).map(|data| Value::from(String::from_utf8_lossy(&data).into_owned()));
    let kinds = [
        (&flags.set, Kind::Typed, "--set"),
        (&flags.text, Kind::Text, "--set-string"),
        (&flags.from_file, Kind::File(&reader), "--set-file"),
        (&flags.literal, Kind::Literal, "--set-literal"),
    ];
    for (texts, kind, flag) in kinds {
        for text in texts {
            parse_into(text, kind, &mut base)
                .map_err(|problem| Error::Values(format!("failed parsing {flag} data: {problem}")))?;
        }
    }
    Ok(base)
}

/// The tables of a YAML stream, later documents over earlier ones.
pub fn load_values(data: &[u8]) -> Result<Map, String> {
    let cannot = |problem: String| format!("cannot unmarshal yaml document: {problem}");
    let text = decode::text(data).map_err(cannot)?;
    let mut values = Map::new();
    for document in documents(&text) {
        let document = document.map_err(|problem| format!("error reading yaml document: {problem}"))?;
        let table = decode::yaml_table(document).map_err(cannot)?;
        if values.is_empty() {
            values = table;
        } else {
            overlay(&mut values, table);
        }
    }
    Ok(values)
}

/// The documents of a stream, as Kubernetes' reader cuts them: a line that begins with `---` ends one, and is part of the
/// next where there is none to end. Nothing but a comment may follow on the line; what else does is the last item.
pub fn documents(text: &str) -> Vec<Result<&str, String>> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---").map(str::trim) {
            if !rest.is_empty() && !rest.starts_with('#') {
                found.push(Err(format!("invalid Yaml document separator: {rest}")));
                return found;
            }
            if at > start {
                found.push(Ok(&text[start..at]));
                start = at + line.len();
            }
        }
        at += line.len();
    }
    if at > start {
        found.push(Ok(&text[start..]));
    }
    found
}

/// Lays `over` onto `base`: tables go into each other, everything else is replaced.
pub fn overlay(base: &mut Map, over: Map) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(over)) => overlay(inner, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The table at a path of names, if every part is one.
pub fn table<'a>(values: &'a Map, path: &str) -> Option<&'a Map> {
    path.split('.').try_fold(values, |table, name| match table.get(name) {
        Some(Value::Object(inner)) => Some(inner),
        _ => None,
    })
}

/// The value at a path of names, if it is there and no table.
pub fn at_path<'a>(values: &'a Map, path: &str) -> Option<&'a Value> {
    let (table, name) = match path.rsplit_once('.') {
        Some((path, name)) => (self::table(values, path)?, name),
        None => (values, path),
    };
    table.get(name).filter(|value| !value.is_object())
}

/// The value with every number as the float that Go's JSON reader makes of it.
pub fn go_json(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            number.as_f64().and_then(serde_json::Number::from_f64).map_or(Value::Number(number), Value::Number)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(go_json).collect()),
        Value::Object(table) => Value::Object(table.into_iter().map(|(key, value)| (key, go_json(value))).collect()),
        other => other,
    }
}

/// The value as it is written for people and in releases: floats without a fraction as whole numbers.
pub fn plain(value: &Value) -> Value {
    /// Floats beyond this are written with an exponent in Go.
    const LARGEST: f64 = 1e21;
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < LARGEST => {
                // Between 2^63 and 1e21 the shortest text of a float is still whole.
                format!("{float}").parse::<serde_json::Number>().map_or_else(|_| value.clone(), Value::Number)
            }
            _ => value.clone(),
        },
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::Object(table) => Value::Object(plain_table(table)),
        other => other.clone(),
    }
}

/// The same of a table.
pub fn plain_table(table: &Map) -> Map {
    table.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
}

/// Go's name of the value's type (`%T`).
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The value as Go's `%v` prints it.
pub fn go_display(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => super::chart::number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_display).collect::<Vec<_>>().join(" ")),
        Value::Object(table) => {
            let entries = table.iter().map(|(key, value)| format!("{key}:{}", go_display(value)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
    }
}

#[cfg(test)]
mod tests;
