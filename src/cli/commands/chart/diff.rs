//! `diff`: what an upgrade, a rollback or another revision would change, without changing anything.

use super::operate::Reusing;
use super::printing;
use super::rendering::Rendering;
use super::session::Session;
use super::{Outcome, Problem, Scope, at_least, exactly};
use crate::charts::release::diff::{Change, Compare, Kind, Line, manifests};
use crate::charts::release::{DryRun, Error, Options};

/// Show what would change
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What an upgrade would change
    Upgrade(Box<Upgrade>),
    /// What a rollback would change
    Rollback {
        /// The name of the release, and the revision
        #[arg(value_name = "RELEASE] [REVISION")]
        arguments: Vec<String>,
        #[command(flatten)]
        shape: Shape,
    },
    /// What changed between a revision and another (the newest if left out)
    Revision {
        /// The name of the release, and one or two revisions
        #[arg(value_name = "RELEASE] [REVISION...")]
        arguments: Vec<String>,
        #[command(flatten)]
        shape: Shape,
    },
}

#[derive(clap::Args)]
struct Upgrade {
    /// The name of the release, and the chart
    #[arg(value_name = "RELEASE] [CHART")]
    arguments: Vec<String>,
    /// A release that does not exist counts as empty
    #[arg(short, long, alias = "allow-unreleased")]
    install: bool,
    #[command(flatten)]
    reusing: Reusing,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    rendering: Rendering,
}

#[derive(clap::Args)]
struct Shape {
    /// Do not redact secret values
    #[arg(long)]
    show_secrets: bool,
    /// Lines of context around changes; all if left out
    #[arg(short = 'C', long)]
    context: Option<usize>,
    /// Fail if there are changes
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Prints what differs.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    match arguments.what {
        What::Upgrade(upgrade) => upgrade.run(scope),
        What::Rollback { arguments, shape } => {
            at_least(1, &arguments, "diff rollback", "[RELEASE] [REVISION] [flags]")?;
            let wanted = arguments.get(1).map_or(Ok(0), |text| revision(text))?;
            between(&arguments[0], None, Some(wanted), &shape, scope)
        }
        What::Revision { arguments, shape } => {
            at_least(2, &arguments, "diff revision", "[RELEASE] [REVISION1] [REVISION2] [flags]")?;
            let first = revision(&arguments[1])?;
            let second = arguments.get(2).map(|text| revision(text)).transpose()?;
            between(&arguments[0], Some(first), second, &shape, scope)
        }
    }
}

fn revision(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem(format!("could not convert revision to a number: {text:?}")))
}

/// Compares two revisions; nothing means the newest, 0 the one before it.
fn between(name: &str, from: Option<i64>, to: Option<i64>, shape: &Shape, scope: &Scope) -> Outcome {
    let session = Session::open(scope, false)?;
    let history = session.run(session.actions.history(name))?;
    let newest = history.last().map_or(0, |release| release.version);
    let find = |wanted: Option<i64>| {
        let wanted = match wanted {
            None => newest,
            Some(0) => newest - 1,
            Some(own) => own,
        };
        let found = history.iter().find(|release| release.version == wanted);
        found.ok_or_else(|| Problem(format!("release has no {wanted} version")))
    };
    let (from, to) = (find(from)?, find(to)?);
    shape.show(&from.manifest, &to.manifest, &from.namespace, scope)
}

impl Upgrade {
    fn run(&self, scope: &Scope) -> Outcome {
        exactly(2, &self.arguments, "diff upgrade", "[RELEASE] [CHART] [flags]")?;
        let name = &self.arguments[0];
        let mut source = self.rendering.source(&self.arguments[1], scope)?;
        let reuse = self.reusing.reuse();
        let options = Options { dry_run: DryRun::Server, take_ownership: true, reuse, ..Options::default() };
        let session = Session::open(scope, false)?;
        let (old, new) = session.run(async {
            let actions = &session.actions;
            match actions.deployed_manifest(name).await {
                Ok(old) => Ok((old, actions.upgrade(name, &mut source, &options).await?)),
                Err(Error::NotFound | Error::NoDeployed(_)) if self.install => {
                    Ok((String::new(), actions.install(name, &mut source, &options).await?))
                }
                Err(error) => Err(error),
            }
        })?;
        self.shape.show(&old, &new.manifest, &new.namespace, scope)
    }
}

impl Shape {
    fn show(&self, old: &str, new: &str, namespace: &str, scope: &Scope) -> Outcome {
        let compare =
            Compare { namespace, show_secrets: self.show_secrets, context: self.context.unwrap_or(usize::MAX) };
        let changes = manifests(old, new, compare)?;
        let colour = printing::is_coloured(&scope.globals.color);
        for change in &changes {
            scope.print(&text(change, colour));
        }
        if self.detailed_exitcode && !changes.is_empty() {
            return Err(Problem("identified at least one change, exiting with non-zero exit code".into()));
        }
        Ok(())
    }
}

fn text(change: &Change, colour: bool) -> String {
    let what = match change.kind {
        Kind::Added => "has been added:",
        Kind::Removed => "has been removed:",
        Kind::Changed => "has changed:",
    };
    let mut text = format!("{}\n", printing::paint(&format!("{} {what}", change.title), 33, colour));
    for line in &change.lines {
        text += &match line {
            Line::Same(line) => format!("  {line}\n"),
            Line::Added(line) => format!("{}\n", printing::paint(&format!("+ {line}"), 32, colour)),
            Line::Removed(line) => format!("{}\n", printing::paint(&format!("- {line}"), 31, colour)),
            Line::Gap => "...\n".into(),
        };
    }
    text
}
