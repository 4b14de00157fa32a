//! From what the user calls a chart to what is rendered: flags of every command that renders one.

use super::flags::{ChartOptions, ValueOptions};
use super::{Problem, Scope};
use crate::charts::release::source::{ChartSource, PostRenderer};
use crate::charts::values::Map;
use crate::charts::{Chart, dependencies};
use std::path::Path;
use std::sync::Arc;

/// Flags of rendering a chart.
#[derive(clap::Args, Clone, Debug)]
pub struct Rendering {
    /// Use development versions, too
    #[arg(long)]
    devel: bool,
    /// Update dependencies if they are missing before installing the chart
    #[arg(long)]
    dependency_update: bool,
    /// If set, disables JSON schema validation
    #[arg(long)]
    pub skip_schema_validation: bool,
    /// Enable DNS lookups when rendering templates
    #[arg(long)]
    pub enable_dns: bool,
    /// An executable that changes the rendered manifests: text in, text out
    #[arg(long)]
    post_renderer: Option<String>,
    /// An argument to the post-renderer (can specify multiple)
    #[arg(long, allow_hyphen_values = true)]
    post_renderer_args: Vec<String>,
    #[command(flatten)]
    values: ValueOptions,
    #[command(flatten)]
    chart: ChartOptions,
}

impl Rendering {
    /// The chart that is meant, and the values that are given.
    pub fn read(&self, reference: &str, scope: &Scope) -> Result<(Chart, Map), Problem> {
        let path = self.chart.locate(reference, self.devel, scope)?;
        let given = self.values.merge(scope)?;
        Ok((load(&path, self.dependency_update, &self.chart, scope)?, given))
    }

    /// The same, for a cluster.
    pub fn source(&self, reference: &str, scope: &Scope) -> Result<ChartSource, Problem> {
        let (chart, given) = self.read(reference, scope)?;
        Ok(self.filled(chart, given))
    }

    /// A chart with its values, rendered as the flags say.
    pub fn filled(&self, chart: Chart, given: Map) -> ChartSource {
        let mut source = ChartSource::new(chart, given);
        source.skip_schema = self.skip_schema_validation;
        source.enable_dns = self.enable_dns;
        source.warn = |text| super::aside(format_args!("{text}"));
        source.post_renderer = self.post_renderer();
        source
    }

    /// The program that `--post-renderer` names, if it names one.
    pub fn post_renderer(&self) -> Option<PostRenderer> {
        let program = self.post_renderer.clone().filter(|program| !program.is_empty())?;
        let words = self.post_renderer_args.clone();
        Some(Arc::new(move |text| pipe(&program, &words, text)))
    }
}

/// A chart that can be installed, with all the charts that it needs.
pub fn load(path: &Path, update: bool, options: &ChartOptions, scope: &Scope) -> Result<Chart, Problem> {
    let chart = Chart::open(path)?;
    if !matches!(chart.metadata.kind.as_str(), "" | "application") {
        return Err(Problem(format!("{} charts are not installable", chart.metadata.kind)));
    }
    if chart.metadata.deprecated {
        scope.log("WARN", "this chart is deprecated");
    }
    let Err(missing) = dependencies::check(&chart) else { return Ok(chart) };
    if !update {
        let problem = "an error occurred while checking for chart dependencies. You may need to run 'helm dependency \
                       build' to fetch missing dependencies";
        return Err(Problem(format!("{problem}: {missing}")));
    }
    let say = |text: &str| super::aside(format_args!("{text}"));
    options.reaching.fill(path, scope, &say)?;
    let again = Chart::open(path);
    again.map_err(|error| Problem(format!("failed reloading chart after repo update: {error}")))
}

/// Runs a program with a text as its stdin and returns its stdout.
fn pipe(program: &str, words: &[String], text: String) -> Result<String, String> {
    use std::process::{Command, Stdio};
    let problem = |error: std::io::Error| format!("error while running command {program}: {error}");
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(problem)?;
    let stdin = child.stdin.take();
    // A program that answers before it has read everything must not block on this side.
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        // A program that does not read to the end is free to do so.
        stdin.map(|mut stdin| stdin.write_all(text.as_bytes()).ok())
    });
    let output = child.wait_with_output().map_err(problem)?;
    // The thread ends with the pipe.
    writer.join().ok();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let status = output.status.to_string().replace("exit status: ", "exit status ");
        return Err(format!("error while running command {program}. error output:\n{said}: {status}"));
    }
    if output.stdout.iter().all(u8::is_ascii_whitespace) {
        return Err(format!("post-renderer {program:?} produced empty output"));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
