//! `install`: makes a release of a chart.

use super::making::{Installing, Telling};
use super::session::Session;
use super::{Outcome, Problem, Scope, at_least};
use crate::charts::release::{DryRun, Options};

/// Install a chart
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release, and the chart: a path, an archive, REPO/NAME or an address
    #[arg(value_name = "NAME] [CHART")]
    arguments: Vec<String>,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    installing: Installing,
}

/// Installs a chart.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.arguments, "install", "[NAME] [CHART] [flags]")?;
    let failed = |Problem(text)| Problem(format!("INSTALLATION FAILED: {text}"));
    let (installing, telling) = (&arguments.installing, &arguments.telling);
    let options = Options { dry_run: telling.trying.dry_run()?, ..installing.options()? };
    telling.check(&options).map_err(failed)?;
    let (name, reference) = installing.name_and_chart(&arguments.arguments, None).map_err(failed)?;
    let mut source = telling.source(&installing.making, &reference, scope).map_err(failed)?;
    let opened = match options.dry_run {
        DryRun::Client => Session::offline(scope),
        DryRun::None | DryRun::Server => Session::open(scope, false),
    };
    let session = opened.map_err(Problem::not_reached).map_err(failed)?;
    let made = session.run_on(&name, session.actions.install(&name, &mut source, &options));
    let release = made.map_err(Problem::not_reached).map_err(failed)?;
    telling.print(&release, scope)
}
