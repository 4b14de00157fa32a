//! Releases as Helm prints them: `status`, lists and histories, as text, JSON or YAML.

use super::Problem;
use super::table::Format;
use crate::charts::release::Release;
use crate::charts::{self, decode, values};
use serde::Serialize;
use serde_json::Value;
use std::io::IsTerminal;

/// What is shown of a release.
#[derive(Clone, Copy, Debug, Default)]
pub struct Show {
    /// Values, hooks and manifest too.
    pub everything: bool,
    /// The chart's name and versions too.
    pub metadata: bool,
    pub hide_notes: bool,
    pub colour: bool,
}

/// JSON as Go writes it: one line.
pub fn json(value: &impl Serialize) -> Result<String, Problem> {
    Ok(decode::to_json(value)? + "\n")
}

/// YAML as Helm writes it: names in their order.
pub fn yaml(value: &impl Serialize) -> Result<String, Problem> {
    let text = decode::to_yaml(&serde_json::to_value(value)?);
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// A value in a form that is asked for, `table` for people.
pub fn formatted(format: Format, value: &impl Serialize, table: impl FnOnce() -> String) -> Result<String, Problem> {
    match format {
        Format::Table => Ok(table()),
        Format::Json => json(value),
        Format::Yaml => yaml(value),
    }
}

/// Whether stdout shows colours: `--color`, `HELM_COLOR`, `NO_COLOR`, a terminal.
pub fn is_coloured(word: &str) -> bool {
    let own = std::env::var("HELM_COLOR").unwrap_or_default();
    match if word == "auto" && !own.is_empty() { own.as_str() } else { word } {
        "never" => false,
        "always" => true,
        _ => std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty()) && std::io::stdout().is_terminal(),
    }
}

/// A text in a colour of the terminal.
pub fn paint(text: &str, colour: u8, is_on: bool) -> String {
    if is_on { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_string() }
}

/// The colour of a status, 0 for none.
pub fn status_colour(status: &str) -> u8 {
    match status {
        "deployed" => 32,
        "failed" | "unknown" => 31,
        "uninstalling" => 33,
        other if other.starts_with("pending-") => 33,
        _ => 0,
    }
}

/// A release as `status`, `install` and `get all` print it.
pub fn release(release: &Release, show: Show) -> String {
    let mut text = String::new();
    let info = &release.info;
    let status = info.status.word();
    let mut line = |name: &str, value: &str| text += &format!("{name}: {value}\n");
    line("NAME", &release.name);
    if let Some(at) = info.last_deployed {
        line("LAST DEPLOYED", &at.ansi_c());
    }
    line("NAMESPACE", &paint(&release.namespace, 36, show.colour));
    line("STATUS", &paint(status, status_colour(status), show.colour && status_colour(status) > 0));
    line("REVISION", &release.version.to_string());
    if show.metadata {
        let chart = release.chart.clone().unwrap_or_default();
        line("CHART", chart.name());
        line("VERSION", chart.version());
        line("APP_VERSION", chart.app_version());
    }
    line("DESCRIPTION", &info.description);
    if !info.resources.is_empty() {
        text += &format!("RESOURCES:\n{}\n", resources(release));
    }
    text += &tests(release);
    if show.everything {
        text += &values(release);
    }
    if show.everything || info.description.eq_ignore_ascii_case("Dry run complete") {
        text += "HOOKS:\n";
        for hook in &release.hooks {
            text += &format!("---\n# Source: {}\n{}\n", hook.path, hook.manifest);
        }
        text += &format!("MANIFEST:\n{}\n", release.manifest);
    }
    if !show.hide_notes && !info.notes.is_empty() {
        text += &format!("NOTES:\n{}\n", info.notes.trim());
    }
    text
}

fn values(release: &Release) -> String {
    let (given, computed) = (Value::Object(release.config.clone()), computed(release));
    let yaml = |value: &Value| format!("{}\n", decode::to_yaml(value).trim_end());
    // Go's nil map: nothing was given.
    let given = if release.config.is_empty() { Value::Null } else { given };
    format!("USER-SUPPLIED VALUES:\n{}\nCOMPUTED VALUES:\n{}\n", yaml(&given), yaml(&computed))
}

/// The values that a release's templates saw: those that were given, over its chart's own.
pub fn computed(release: &Release) -> Value {
    let mut chart = charts::Chart::default();
    if let Some(Value::Object(values)) = release.chart.as_ref().map(|chart| &chart.values) {
        chart.values = values.clone();
    }
    // Only the values of a subchart can be wrong, and a record holds none.
    let computed = values::coalesce(&chart, release.config.clone(), &mut values::Warnings::new());
    Value::Object(computed.unwrap_or_default())
}

fn tests(release: &Release) -> String {
    let tests: Vec<_> = release.hooks.iter().filter(|hook| hook.events.iter().any(|event| event == "test")).collect();
    if tests.is_empty() {
        return "TEST SUITE: None\n".into();
    }
    let mut text = String::new();
    for hook in tests {
        let Some(started) = hook.last_run.started_at else { continue };
        let completed = hook.last_run.completed_at.map_or("Mon Jan  1 00:00:00 0001".into(), |at| at.ansi_c());
        text += &format!(
            "TEST SUITE:     {}\nLast Started:   {}\nLast Completed: {completed}\nPhase:          {}\n",
            hook.name,
            started.ansi_c(),
            hook.last_run.phase
        );
    }
    text
}

fn resources(release: &Release) -> String {
    let mut text = String::new();
    for (kind, objects) in &release.info.resources {
        text += &format!("==> {kind}\n");
        let mut last = Vec::new();
        for object in objects {
            text += &object_table(object, &mut last);
        }
        text.push('\n');
    }
    text
}

/// A `Table` of the server as kubectl prints it; the head is left out where it is that of the table before.
fn object_table(table: &Value, last: &mut Vec<String>) -> String {
    let columns: Vec<&Value> = table["columnDefinitions"].as_array().into_iter().flatten().collect();
    let shown: Vec<usize> =
        (0..columns.len()).filter(|place| columns[*place]["priority"].as_i64().unwrap_or(0) == 0).collect();
    let head: Vec<String> =
        shown.iter().map(|place| columns[*place]["name"].as_str().unwrap_or_default().to_uppercase()).collect();
    let mut rows = Vec::new();
    if head != *last && !head.is_empty() {
        rows.push(head.clone());
    }
    if !head.is_empty() {
        *last = head;
    }
    for row in table["rows"].as_array().into_iter().flatten() {
        let cell = |place: &usize| match &row["cells"][*place] {
            Value::String(text) => text.clone(),
            Value::Null => "<none>".into(),
            other => other.to_string(),
        };
        rows.push(shown.iter().map(cell).collect());
    }
    aligned(&rows)
}

/// Columns with three blanks between, as Go's tabwriter sets them for kubectl.
fn aligned(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| (width(column).unwrap_or(0) + 3).max(6)).collect();
    let mut text = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (place, cell) in row.iter().enumerate() {
            text += &if place == last { cell.clone() } else { format!("{cell:width$}", width = widths[place]) };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mock() -> Release {
        serde_json::from_value(json!({
            "name": "flummoxed-chickadee", "namespace": "default", "version": 1,
            "info": {"last_deployed": "2016-01-16T00:00:00Z", "status": "deployed", "notes": "release notes\n"},
        }))
        .unwrap()
    }

    #[test]
    fn a_status_is_printed_as_by_helm() {
        let wanted = "NAME: flummoxed-chickadee\nLAST DEPLOYED: Sat Jan 16 00:00:00 2016\nNAMESPACE: default\nSTATUS: deployed\n\
                      REVISION: 1\nDESCRIPTION: \nTEST SUITE: None\nNOTES:\nrelease notes\n";
        assert_eq!(release(&mock(), Show::default()), wanted);
    }

    #[test]
    fn json_keeps_the_order_of_helms_fields_and_escapes_as_go() {
        let mut mock = mock();
        mock.info.notes = "<&>".into();
        let wanted = "{\"name\":\"flummoxed-chickadee\",\"info\":{\"last_deployed\":\"2016-01-16T00:00:00Z\",\"status\":\"deployed\",\
                      \"notes\":\"\\u003c\\u0026\\u003e\"},\"version\":1,\"namespace\":\"default\"}\n";
        assert_eq!(json(&mock).unwrap(), wanted);
    }

    #[test]
    fn tables_of_the_server_are_aligned_and_share_a_head() {
        let table = |name: &str| {
            json!({"columnDefinitions": [{"name": "Name"}, {"name": "Hidden", "priority": 1}, {"name": "Age"}],
                "rows": [{"cells": [name, "x", "1m"]}]})
        };
        let mut last = Vec::new();
        assert_eq!(object_table(&table("web"), &mut last), "NAME   AGE\nweb    1m\n");
        assert_eq!(object_table(&table("other"), &mut last), "other   1m\n");
    }

    #[test]
    fn computed_values_are_those_that_the_templates_saw() {
        let release: Release = serde_json::from_value(json!({
            "config": {"a": {"x": 1}, "gone": null},
            "chart": {"metadata": {"name": "app"},
                "values": {"a": {"x": 2, "y": 3, "z": null}, "gone": 4, "b": 5, "c": null, "d": {"e": null, "f": 6}}},
        }))
        .unwrap();
        assert_eq!(computed(&release), json!({"a": {"x": 1, "y": 3}, "b": 5, "d": {"f": 6}}));
    }
}
