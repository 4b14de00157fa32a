//! How a chart's own values fill up those that were given, through all its subcharts.
//!
//! Source of the rules: Helm `pkg/chart/common/util/coalesce.go`. Given values win; a given null takes a default away
//! (or, when merging, stays); `global` goes down into every subchart.

use super::{Map, Value, go_display, go_type};
use crate::charts::Chart;
use crate::charts::template::is_print;

/// The table that every subchart gets.
pub const GLOBAL: &str = "global";

/// What was odd, in Helm's words, for the user to read.
pub type Warnings = Vec<Warning>;

/// A line of Helm's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `INFO` or `WARN`.
    level: &'static str,
    text: String,
    /// More words, each `name=value`.
    attributes: String,
}

impl Warning {
    /// Something that is only told.
    pub fn info(text: String) -> Self {
        Self { level: "INFO", text, attributes: String::new() }
    }

    /// Something that may be wrong.
    pub fn warn(text: &str) -> Self {
        Self { level: "WARN", ..Self::info(text.into()) }
    }

    /// The same with one more word.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let is_plain = |letter: char| letter != ' ' && is_print(letter) && !"=\"".contains(letter);
        let value = if !value.is_empty() && value.chars().all(is_plain) { value.into() } else { format!("{value:?}") };
        self.attributes += &format!(" {name}={value}");
        self
    }

    /// What it is about, without level and more words.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "level={} msg={:?}{}", self.level, self.text, self.attributes)
    }
}

/// The values that the templates of a chart see: the given ones, filled up with the chart's and its subcharts'.
pub fn coalesce(chart: &Chart, given: Map, warnings: &mut Warnings) -> Result<Map, String> {
    Coalesce { merge: false, warnings }.chart(chart, given, "")
}

/// The same, but nulls are kept: what is merged now may be coalesced later.
pub fn merge(chart: &Chart, given: Map, warnings: &mut Warnings) -> Result<Map, String> {
    Coalesce { merge: true, warnings }.chart(chart, given, "")
}

/// Fills `into` up with what `from` has; with `merge` nulls are kept.
pub fn tables(into: &mut Map, from: &Map, merge: bool, warnings: &mut Warnings) {
    Coalesce { merge, warnings }.tables(into, from, "", merge, false);
}

struct Coalesce<'a> {
    merge: bool,
    warnings: &'a mut Warnings,
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}

impl Coalesce<'_> {
    fn chart(&mut self, chart: &Chart, mut values: Map, prefix: &str) -> Result<Map, String> {
        self.own(chart, &mut values, prefix);
        for subchart in &chart.dependencies {
            let name = subchart.name();
            let mut table = match values.remove(name) {
                None => Map::new(),
                Some(Value::Object(table)) => table,
                Some(other) => return Err(format!("type mismatch on {name}: {}", as_bool_verb(&other))),
            };
            let inner = joined(prefix, chart.name());
            self.globals(&mut table, &values, &inner);
            let table = self.chart(subchart, table, &inner)?;
            values.insert(name.to_string(), Value::Object(table));
        }
        Ok(values)
    }

    /// The chart's own defaults.
    fn own(&mut self, chart: &Chart, values: &mut Map, prefix: &str) {
        let prefix = joined(prefix, chart.name());
        for (key, default) in &chart.values {
            match values.get_mut(key) {
                Some(Value::Null) if !self.merge => {
                    values.remove(key);
                }
                Some(Value::Object(given)) => match default {
                    Value::Object(default) => {
                        // What is meant for a subchart may hold nulls that take away the subchart's defaults later.
                        let merge = self.merge || chart.dependencies.iter().any(|subchart| subchart.name() == key);
                        self.tables(given, default, &joined(&prefix, key), merge, !merge);
                    }
                    Value::Null => {}
                    _ => self
                        .warnings
                        .push(Warning::info(format!("warning: skipped value for {prefix}.{key}: Not a table."))),
                },
                Some(_) => {}
                None if self.merge => {
                    values.insert(key.clone(), default.clone());
                }
                None if default.is_null() => {}
                None => {
                    values.insert(key.clone(), without_nulls(default));
                }
            }
        }
    }

    /// With `clean`, nulls of `from` do not count.
    fn tables(&mut self, into: &mut Map, from: &Map, prefix: &str, merge: bool, clean: bool) {
        for (key, default) in from {
            if clean && default.is_null() {
                continue;
            }
            let full = || joined(prefix, key);
            match (into.get_mut(key), default) {
                (None, _) => {
                    into.insert(key.clone(), if clean { without_nulls(default) } else { default.clone() });
                }
                (Some(Value::Null), default) if !merge && !default.is_null() => {
                    into.remove(key);
                }
                (Some(Value::Null), _) => {}
                (Some(Value::Object(given)), Value::Object(default)) => {
                    self.tables(given, default, &full(), merge, clean);
                }
                (Some(_), Value::Object(_)) => {
                    let value = go_display(default);
                    self.warn(format!("cannot overwrite table with non table for {} ({value})", full()));
                }
                (Some(Value::Object(_)), default) if !default.is_null() => {
                    let value = go_display(default);
                    self.warn(format!("destination for {} is a table. Ignoring non-table value ({value})", full()));
                }
                _ => {}
            }
        }
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(Warning::info(format!("warning: {text}")));
    }

    /// The parent's globals go into a subchart's table and win there.
    fn globals(&mut self, table: &mut Map, parent: &Map, prefix: &str) {
        if table.get(GLOBAL).is_some_and(|own| !own.is_object()) {
            return self.warn(format!("skipping globals because destination {GLOBAL} is not a table."));
        }
        if parent.get(GLOBAL).is_some_and(|from| !from.is_object()) {
            return self.warn(format!("skipping globals because source {GLOBAL} is not a table."));
        }
        let mut globals = match table.remove(GLOBAL) {
            Some(Value::Object(globals)) => globals,
            _ => Map::new(),
        };
        if let Some(Value::Object(from)) = parent.get(GLOBAL) {
            self.fill_globals(&mut globals, from, prefix);
        }
        table.insert(GLOBAL.to_string(), Value::Object(globals));
    }

    fn fill_globals(&mut self, globals: &mut Map, from: &Map, prefix: &str) {
        for (key, value) in from {
            let merged = match (globals.get(key), value) {
                (Some(Value::Object(own)), Value::Object(value)) => {
                    let mut merged = value.clone();
                    self.tables(&mut merged, own, &joined(prefix, key), true, false);
                    Value::Object(merged)
                }
                (Some(_), Value::Object(_)) => {
                    self.warnings
                        .push(Warning::info(format!("Conflict: cannot merge map onto non-map for {key:?}. Skipping.")));
                    continue;
                }
                (Some(Value::Object(_)), _) => {
                    self.warnings.push(Warning::info(format!("key {key} is table. Skipping")));
                    continue;
                }
                _ => value.clone(),
            };
            globals.insert(key.clone(), merged);
        }
    }
}

/// A copy without nulls in its tables; lists stay as they are.
fn without_nulls(value: &Value) -> Value {
    let Value::Object(table) = value else { return value.clone() };
    let kept = table.iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
}

/// Go's `%t`, which Helm uses on what is no boolean.
fn as_bool_verb(value: &Value) -> String {
    fn inner(value: &Value) -> String {
        match value {
            Value::Null => "<nil>".into(),
            Value::Object(table) => {
                let entries = table.iter().map(|(key, value)| format!("%!t(string={key}):{}", inner(value)));
                format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
            }
            other => as_bool_verb(other),
        }
    }
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Null => "%!t(<nil>)".into(),
        Value::Array(items) => format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(" ")),
        other => format!("%!t({}={})", go_type(other), go_display(other)),
    }
}
