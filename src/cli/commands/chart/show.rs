//! `show`: what is in a chart.

use super::flags::ChartOptions;
use super::{Outcome, Problem, Scope, exactly};
use crate::api::json_path::JsonPath;
use crate::charts::{Chart, decode, values};
use serde_json::Value;

/// Show information of a chart
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Show all information of the chart
    All(Flags),
    /// Show the chart's definition
    Chart(Flags),
    /// Show the chart's CRDs
    Crds(Flags),
    /// Show the chart's README
    Readme(Flags),
    /// Show the chart's values
    Values(ValuesFlags),
}

#[derive(clap::Args)]
struct Flags {
    /// The chart
    #[arg(value_name = "CHART")]
    arguments: Vec<String>,
    /// Use development versions, too
    #[arg(long)]
    devel: bool,
    #[command(flatten)]
    chart: ChartOptions,
}

#[derive(clap::Args)]
struct ValuesFlags {
    #[command(flatten)]
    flags: Flags,
    /// Supply a JSONPath expression to filter the output
    #[arg(long)]
    jsonpath: Option<String>,
}

/// Prints a part of a chart.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    let (word, flags, path) = match &arguments.part {
        Part::All(flags) => ("all", flags, None),
        Part::Chart(flags) => ("chart", flags, None),
        Part::Crds(flags) => ("crds", flags, None),
        Part::Readme(flags) => ("readme", flags, None),
        Part::Values(flags) => ("values", &flags.flags, flags.jsonpath.as_deref()),
    };
    exactly(1, &flags.arguments, &format!("show {word}"), "[CHART] [flags]")?;
    let chart = Chart::load(&flags.chart.locate(&flags.arguments[0], flags.devel, scope)?)?;
    let all = word == "all";
    let mut out = String::new();
    if all || word == "chart" {
        out.push_str(&format!("{}\n", decode::to_yaml(&serde_json::to_value(&chart.metadata)?)));
    }
    if all || word == "values" {
        out.push_str(&shown_values(&chart, all, path)?);
    }
    if all || word == "readme" {
        let is_readme =
            |name: &str| ["readme.md", "readme.txt", "readme"].iter().any(|known| name.eq_ignore_ascii_case(known));
        if let Some(file) = chart.files.iter().find(|file| is_readme(&file.name)) {
            out.push_str(if all { "---\n" } else { "" });
            out.push_str(&format!("{}\n", file.text()));
        }
    }
    if all || word == "crds" {
        for crd in chart.crds() {
            let text = String::from_utf8_lossy(&crd.data);
            out.push_str(if text.starts_with("---") { "" } else { "---\n" });
            out.push_str(&format!("{text}\n"));
        }
    }
    scope.print(&out);
    Ok(())
}

fn shown_values(chart: &Chart, all: bool, path: Option<&str>) -> Result<String, Problem> {
    let Some(file) = chart.raw_file("values.yaml") else { return Ok(String::new()) };
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        let values = values::plain(&Value::Object(chart.values.clone()));
        return selected(path, &values);
    }
    let line = if all { "---\n" } else { "" };
    Ok(format!("{line}{}\n", file.text()))
}

/// A text in which `{…}` is replaced by what the path finds.
fn selected(template: &str, values: &Value) -> Result<String, Problem> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (path, after) =
            after.split_once('}').ok_or_else(|| format!("error parsing jsonpath {template}: unclosed action"))?;
        let found = JsonPath::parse(path).map_err(|error| format!("error parsing jsonpath {template}: {error}"))?;
        let texts = found.find(values).into_iter().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        out.push_str(&texts.collect::<Vec<_>>().join(" "));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
