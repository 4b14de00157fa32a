//! `graph`: a picture (SVG) of what a chart makes, or of what a release has on the cluster.

use super::flags::{ChartOptions, ValueOptions};
use super::session::Session;
use super::{Outcome, Problem, Scope, at_least};
use crate::charts::{self, Capabilities, Error, Offline, ReleaseOptions, repository};
use std::path::Path;

/// Draw a release on the cluster, or what a chart would make, as SVG: objects, which uses and which owns which
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of a release; or a chart, with a name before it
    #[arg(value_name = "NAME] [CHART")]
    arguments: Vec<String>,
    /// Write the picture to a file instead of stdout
    #[arg(short, long)]
    output: Option<String>,
    /// Draw the objects of this revision of a release
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    revision: i64,
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
    let picture = match arguments.arguments.as_slice() {
        [word] if arguments.is_release(word)? => of_release(word, arguments.revision, scope)?,
        _ => of_chart(&arguments, scope)?,
    };
    match arguments.output.as_deref().filter(|path| !path.is_empty() && *path != "-") {
        Some(path) => {
            // It may be a device or a pipe, which is written to and not replaced.
            std::fs::write(path, picture).map_err(|error| Error::io("open", Path::new(path), &error))?;
        }
        None => scope.print(&picture),
    }
    Ok(())
}

impl Arguments {
    /// A single word that is no path and no chart of a repository names a release.
    fn is_release(&self, word: &str) -> Result<bool, Problem> {
        let is_word = !word.contains('/') && self.chart.repo.as_deref().unwrap_or_default().is_empty();
        Ok(is_word && repository::locate_local(word)?.is_none())
    }
}

fn of_release(name: &str, revision: i64, scope: &Scope) -> Result<String, Problem> {
    let session = Session::open(scope, false)?;
    let (release, objects) = session.run(session.actions.objects(name, revision))?;
    let status = release.info.status.word();
    let title = format!("{name} ({}), revision {}: {status}", release.chart_label(), release.version);
    Ok(charts::graph::svg_of_objects(&title, objects))
}

fn of_chart(arguments: &Arguments, scope: &Scope) -> Result<String, Problem> {
    let (name, reference) = match arguments.arguments.as_slice() {
        [name, chart, ..] => (name.as_str(), chart),
        [chart] => ("release-name", chart),
        [] => return Ok(String::new()),
    };
    let path = arguments.chart.locate(reference, arguments.devel, scope)?;
    let given = arguments.values.merge(scope)?;
    let mut chart = super::rendering::load(&path, false, &arguments.chart, scope)?;
    let options = ReleaseOptions { name: name.into(), namespace: scope.namespace(), ..ReleaseOptions::default() };
    let rendered = charts::template::on_stack(|| {
        charts::render(&mut chart, &given, &options, &Capabilities::default(), &Offline)
    })??;
    let title = format!("{name} ({} {})", chart.name(), chart.metadata.version);
    Ok(charts::graph::svg(&title, &rendered))
}
