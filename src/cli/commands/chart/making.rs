//! Flags of making a release: those of `install` and `upgrade`, and of `template`, which takes what `install` takes.

use super::operate::{self, Trying, Waiting, Writing};
use super::printing::{self, Show};
use super::rendering::Rendering;
use super::table::Format;
use super::{Outcome, Problem, Scope};
use crate::charts::release::source::ChartSource;
use crate::charts::release::{DryRun, Options, Release};
use crate::charts::{self, Offline};

/// What a release is made of, and how.
#[derive(clap::Args, Clone, Debug)]
pub struct Making {
    /// If set, rendered templates are not validated against the Kubernetes OpenAPI Schema
    #[arg(long)]
    disable_openapi_validation: bool,
    /// Roll back (or uninstall) the release upon failure; waits as --wait does
    #[arg(long, alias = "atomic")]
    rollback_on_failure: bool,
    /// If set, no CRDs will be installed
    #[arg(long)]
    skip_crds: bool,
    /// Labels that would be added to release metadata, separated by comma
    #[arg(short, long, value_delimiter = ',')]
    labels: Vec<String>,
    /// Ignore the check for helm annotations and take ownership of the existing resources
    #[arg(long)]
    pub take_ownership: bool,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    pub rendering: Rendering,
}

impl Making {
    /// What the flags ask for.
    pub fn options(&self) -> Result<Options, Problem> {
        let mut options = Options {
            no_validation: self.disable_openapi_validation,
            rollback_on_failure: self.rollback_on_failure,
            skip_crds: self.skip_crds,
            labels: operate::labels(&self.labels)?,
            take_ownership: self.take_ownership,
            ..Options::default()
        };
        self.writing.apply(&mut options)?;
        self.waiting.apply(&mut options)?;
        Ok(options)
    }
}

/// What a new release is asked for besides.
#[derive(clap::Args, Clone, Debug)]
pub struct Installing {
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
    /// Object updates run in the server instead of the client
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    server_side: Option<bool>,
    #[command(flatten)]
    pub making: Making,
}

impl Installing {
    /// What the flags ask for.
    pub fn options(&self) -> Result<Options, Problem> {
        Ok(Options {
            create_namespace: self.create_namespace,
            replace: self.replace,
            server_side: self.server_side,
            ..self.making.options()?
        })
    }

    /// The name of the release and what the chart is called, from the arguments of a command; `unnamed` is the name where
    /// none is said.
    pub fn name_and_chart(&self, arguments: &[String], unnamed: Option<&str>) -> Result<(String, String), Problem> {
        let template = self.name_template.as_deref().unwrap_or_default();
        let (name, chart) = match arguments {
            [_, _, more @ ..] if !more.is_empty() => {
                let more = more.join(", ");
                return Err(Problem(format!("expected at most two arguments, unexpected arguments: {more}")));
            }
            [_, _, ..] if self.generate_name => {
                return Err(Problem("cannot set --generate-name and also specify a name".into()));
            }
            [_, _, ..] if !template.is_empty() => {
                return Err(Problem("cannot set --name-template and also specify a name".into()));
            }
            [name, chart, ..] => (name.clone(), chart),
            [chart] if !template.is_empty() => (charts::release_name(template, &Offline)?, chart),
            [chart] => match unnamed {
                Some(unnamed) => (unnamed.to_string(), chart),
                None if self.generate_name => (generated(chart), chart),
                None => return Err(Problem("must either provide a name or specify --generate-name".into())),
            },
            [] => return Err(Problem("must either provide a name or specify --generate-name".into())),
        };
        Ok((name, chart.clone()))
    }
}

/// The chart's file name up to its first dot, and the time.
fn generated(chart: &str) -> String {
    let base = chart.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let base = if base.is_empty() || base == "." { "chart" } else { base };
    let base = base.split('.').next().unwrap_or(base);
    format!("{base}-{}", jiff::Timestamp::now().as_second())
}

/// What is told of a release that was made, or would be.
#[derive(clap::Args, Clone, Debug)]
pub struct Telling {
    #[command(flatten)]
    pub trying: Trying,
    /// If set, render subchart notes along with the parent
    #[arg(long)]
    render_subchart_notes: bool,
    /// If set, do not show notes in the output
    #[arg(long)]
    hide_notes: bool,
    /// Hide Kubernetes Secrets when also using the --dry-run flag
    #[arg(long)]
    hide_secret: bool,
    /// Prints the output in the specified format: table, json or yaml
    #[arg(short, long, default_value = "table")]
    pub output: Format,
}

impl Telling {
    /// Secrets can be hidden only where nothing is applied.
    pub fn check(&self, options: &Options) -> Outcome {
        if self.hide_secret && options.dry_run == DryRun::None {
            return Err(Problem("hiding Kubernetes secrets requires a dry-run mode".into()));
        }
        Ok(())
    }

    /// The chart with the values that were given.
    pub fn source(&self, making: &Making, reference: &str, scope: &Scope) -> Result<ChartSource, Problem> {
        let mut source = making.rendering.source(reference, scope)?;
        source.subchart_notes = self.render_subchart_notes;
        source.hide_secret = self.hide_secret;
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn named(words: &str, unnamed: Option<&str>) -> Result<(String, String), String> {
        let command = Installing::augment_args(clap::Command::new("x").no_binary_name(true));
        let (flags, arguments): (Vec<&str>, Vec<&str>) = words.split(' ').partition(|word| word.starts_with('-'));
        let installing = Installing::from_arg_matches(&command.get_matches_from(flags)).unwrap();
        let arguments: Vec<String> = arguments.into_iter().map(String::from).collect();
        installing.name_and_chart(&arguments, unnamed).map_err(|Problem(text)| text)
    }

    #[test]
    fn a_name_is_said_made_from_a_template_or_generated() {
        let pair = |name: &str| Ok((name.to_string(), "./app".to_string()));
        assert_eq!(named("web ./app", None), pair("web"));
        assert_eq!(named("./app --name-template={{`made`}}", None), pair("made"));
        assert_eq!(named("./app", Some("release-name")), pair("release-name"));
        assert!(named("./app --generate-name", None).unwrap().0.starts_with("app-1"));
        // A template that is empty is none, wherever it is said.
        for unnamed in [None, Some("release-name")] {
            assert_eq!(named("web ./app --name-template=", unnamed), pair("web"));
            let told = named("web ./app --name-template=x", unnamed).unwrap_err();
            assert_eq!(told, "cannot set --name-template and also specify a name");
            let told = named("web ./app --generate-name", unnamed).unwrap_err();
            assert_eq!(told, "cannot set --generate-name and also specify a name");
            let told = named("web ./app more words", unnamed).unwrap_err();
            assert_eq!(told, "expected at most two arguments, unexpected arguments: more, words");
        }
        assert_eq!(named("./app", None).unwrap_err(), "must either provide a name or specify --generate-name");
    }
}
