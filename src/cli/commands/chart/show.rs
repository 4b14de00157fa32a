//! `show`: what is in a chart.

use super::flags::ChartOptions;
use super::jsonpath::Template;
use super::{Outcome, Problem, Scope, exactly};
use crate::charts::{Chart, decode};
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
    let (word, flags, template) = match &arguments.part {
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
        out.push_str(&shown_values(&chart, all, template)?);
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

fn shown_values(chart: &Chart, all: bool, template: Option<&str>) -> Result<String, Problem> {
    let Some(file) = chart.raw_file("values.yaml") else { return Ok(String::new()) };
    let Some(template) = template.filter(|template| !template.is_empty()) else {
        let line = if all { "---\n" } else { "" };
        return Ok(format!("{line}{}\n", file.text()));
    };
    let read = Template::parse(template).map_err(|why| format!("error parsing jsonpath {template}: {why}"))?;
    // One that asks for what is not there prints nothing at all, and is no error of the command.
    Ok(read.print(&Value::Object(chart.values.clone())).unwrap_or_default())
}
