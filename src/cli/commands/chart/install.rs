//! `install`: makes a release of a chart.

use super::flags::{ChartOptions, ValueOptions};
use super::operate::{self, Waiting, Writing};
use super::printing::{self, Show};
use super::session::Session;
use super::table::Format;
use super::{Outcome, Problem, Scope, at_least, template};
use crate::charts::release::source::{ChartSource, PostRenderer};
use crate::charts::release::{DryRun, Options, Release};
use crate::charts::{self, Offline};
use std::sync::Arc;

/// Install a chart
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release, and the chart: a path, an archive, REPO/NAME or an address
    #[arg(value_name = "NAME] [CHART")]
    arguments: Vec<String>,
    /// Generate the name (and omit the NAME parameter)
    #[arg(short, long)]
    generate_name: bool,
    /// Specify template used to name the release
    #[arg(long)]
    name_template: Option<String>,
    /// Create the release namespace if not present
    #[arg(long)]
    create_namespace: bool,
    /// Reuse the given name, only if that name is a deleted release which remains in the history
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    values: ValueOptions,
    #[command(flatten)]
    chart: ChartOptions,
}

/// Flags that `install` and `upgrade` share.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// Use development versions, too
    #[arg(long)]
    pub devel: bool,
    /// Update dependencies if they are missing before installing the chart
    #[arg(long)]
    pub dependency_update: bool,
    /// If set, rendered templates are not validated against the Kubernetes OpenAPI Schema
    #[arg(long)]
    pub disable_openapi_validation: bool,
    /// Roll back (or uninstall) the release upon failure; waits as --wait does
    #[arg(long, alias = "atomic")]
    pub rollback_on_failure: bool,
    /// If set, no CRDs will be installed
    #[arg(long)]
    pub skip_crds: bool,
    /// If set, render subchart notes along with the parent
    #[arg(long)]
    pub render_subchart_notes: bool,
    /// If set, disables JSON schema validation
    #[arg(long)]
    pub skip_schema_validation: bool,
    /// Labels that would be added to release metadata, separated by comma
    #[arg(short, long, value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Enable DNS lookups when rendering templates
    #[arg(long)]
    pub enable_dns: bool,
    /// If set, do not show notes in the output
    #[arg(long)]
    pub hide_notes: bool,
    /// Hide Kubernetes Secrets when also using the --dry-run flag
    #[arg(long)]
    pub hide_secret: bool,
    /// Ignore the check for helm annotations and take ownership of the existing resources
    #[arg(long)]
    pub take_ownership: bool,
    /// An executable that changes the rendered manifests: text in, text out
    #[arg(long)]
    pub post_renderer: Option<String>,
    /// An argument to the post-renderer (can specify multiple)
    #[arg(long, allow_hyphen_values = true)]
    pub post_renderer_args: Vec<String>,
    /// Prints the output in the specified format: table, json or yaml
    #[arg(short, long, default_value = "table")]
    pub output: Format,
}

impl Common {
    /// Puts what the flags say into `options`.
    pub fn apply(&self, options: &mut Options) -> Result<(), Problem> {
        options.no_validation = self.disable_openapi_validation;
        options.rollback_on_failure = self.rollback_on_failure;
        options.skip_crds = self.skip_crds;
        options.labels = operate::labels(&self.labels)?;
        options.take_ownership = self.take_ownership;
        Ok(())
    }

    /// The chart with the values that were given.
    pub fn source(
        &self,
        reference: &str,
        chart: &ChartOptions,
        values: &ValueOptions,
        scope: &Scope,
    ) -> Result<ChartSource, Problem> {
        let path = chart.locate(reference, self.devel, scope)?;
        let given = values.merge(scope)?;
        let chart = template::load(&path, self.dependency_update, chart, scope)?;
        let mut source = ChartSource::new(chart, given);
        source.subchart_notes = self.render_subchart_notes;
        source.skip_schema = self.skip_schema_validation;
        source.enable_dns = self.enable_dns;
        source.hide_secret = self.hide_secret;
        source.warn = |text| super::aside(format_args!("{text}"));
        source.post_renderer = post_renderer(self.post_renderer.as_deref(), &self.post_renderer_args);
        Ok(source)
    }

    /// Prints what became of a release.
    pub fn print(&self, release: &Release, scope: &Scope) -> Outcome {
        let show = Show {
            everything: scope.globals.debug,
            metadata: false,
            hide_notes: self.hide_notes,
            colour: printing::is_coloured(&scope.globals.color),
        };
        scope.print(&printing::formatted(self.output, release, || printing::release(release, show))?);
        Ok(())
    }
}

/// The program that `--post-renderer` names, if it names one.
pub fn post_renderer(program: Option<&str>, words: &[String]) -> Option<PostRenderer> {
    let program = program.filter(|program| !program.is_empty())?.to_string();
    let words = words.to_vec();
    Some(Arc::new(move |text| pipe(&program, &words, text)))
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

/// Installs a chart.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.arguments, "install", "[NAME] [CHART] [flags]")?;
    let failed = |Problem(text)| Problem(format!("INSTALLATION FAILED: {text}"));
    let mut options = Options::default();
    arguments.writing.apply(&mut options)?;
    options.server_side = operate::only_switch(arguments.writing.server_side.as_deref())?;
    arguments.waiting.apply(&mut options)?;
    arguments.common.apply(&mut options)?;
    options.create_namespace = arguments.create_namespace;
    options.replace = arguments.replace;
    check_hiding(&arguments.common, &options).map_err(failed)?;
    let (name, reference) = name_and_chart(&arguments).map_err(failed)?;
    let made = arguments.common.source(&reference, &arguments.chart, &arguments.values, scope);
    let mut source = made.map_err(failed)?;
    let opened = match options.dry_run {
        DryRun::Client => Session::offline(scope),
        DryRun::None | DryRun::Server => Session::open(scope, false),
    };
    let session = opened.map_err(Problem::not_reached).map_err(failed)?;
    let installing = session.actions.install(&name, &mut source, &options);
    let release = session.run_on(&name, installing).map_err(Problem::not_reached).map_err(failed)?;
    arguments.common.print(&release, scope)
}

/// Secrets can be hidden only where nothing is applied.
pub fn check_hiding(common: &Common, options: &Options) -> Outcome {
    if common.hide_secret && options.dry_run == DryRun::None {
        return Err(Problem("hiding Kubernetes secrets requires a dry-run mode".into()));
    }
    Ok(())
}

fn name_and_chart(arguments: &Arguments) -> Result<(String, String), Problem> {
    let template = arguments.name_template.as_deref().unwrap_or_default();
    match arguments.arguments.as_slice() {
        [_, _, more @ ..] if !more.is_empty() => {
            Err(Problem(format!("expected at most two arguments, unexpected arguments: {}", more.join(", "))))
        }
        [_, _, ..] if arguments.generate_name => {
            Err(Problem("cannot set --generate-name and also specify a name".into()))
        }
        [_, _, ..] if !template.is_empty() => Err(Problem("cannot set --name-template and also specify a name".into())),
        [name, chart, ..] => Ok((name.clone(), chart.clone())),
        [chart] if !template.is_empty() => Ok((charts::release_name(template, &Offline)?, chart.clone())),
        [chart] if arguments.generate_name => Ok((generated(chart), chart.clone())),
        _ => Err(Problem("must either provide a name or specify --generate-name".into())),
    }
}

/// The chart's file name up to its first dot, and the time.
fn generated(chart: &str) -> String {
    let base = chart.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let base = if base.is_empty() || base == "." { "chart" } else { base };
    let base = base.split('.').next().unwrap_or(base);
    format!("{base}-{}", jiff::Timestamp::now().as_second())
}
