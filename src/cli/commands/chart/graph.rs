//! `graph`: a picture (SVG) of what a chart makes.

use super::flags::{ChartOptions, ValueOptions};
use super::{Outcome, Scope, at_least};
use crate::charts::{self, Capabilities, Error, Offline, ReleaseOptions};
use std::path::Path;

/// Draw what a chart makes as SVG: objects, and which uses which
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release, and the chart
    #[arg(value_name = "NAME] [CHART")]
    arguments: Vec<String>,
    /// Write the picture to a file instead of stdout
    #[arg(short, long)]
    output: Option<String>,
    /// Use development versions, too
    #[arg(long)]
    devel: bool,
    #[command(flatten)]
    values: ValueOptions,
    #[command(flatten)]
    chart: ChartOptions,
}

/// Draws a chart.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.arguments, "graph", "[NAME] [CHART] [flags]")?;
    let (name, reference) = match arguments.arguments.as_slice() {
        [name, chart, ..] => (name.as_str(), chart),
        [chart] => ("release-name", chart),
        [] => return Ok(()),
    };
    let path = arguments.chart.locate(reference, arguments.devel, scope)?;
    let given = arguments.values.merge(scope)?;
    let mut chart = super::template::load(&path, false, &arguments.chart, scope)?;
    let options = ReleaseOptions { name: name.into(), namespace: scope.namespace(), ..ReleaseOptions::default() };
    let rendered = charts::template::on_stack(|| {
        charts::render(&mut chart, &given, &options, &Capabilities::default(), &Offline)
    })??;
    let title = format!("{name} ({} {})", chart.name(), chart.metadata.version);
    let picture = charts::graph::svg(&title, &rendered);
    match arguments.output.as_deref().filter(|path| !path.is_empty() && *path != "-") {
        Some(path) => {
            std::fs::write(path, picture).map_err(|error| Error::io("open", Path::new(path), &error))?;
        }
        None => scope.print(&picture),
    }
    Ok(())
}
