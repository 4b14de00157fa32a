//! `upgrade`: makes the next revision of a release.

use super::flags::{ChartOptions, ValueOptions};
use super::install::{Common, check_hiding};
use super::operate::{self, Waiting, Writing};
use super::session::Session;
use super::table::Format;
use super::{Outcome, Problem, Scope, exactly};
use crate::charts::release::{Error, Options, Reuse, Status};

/// Upgrade a release
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release, and the chart
    #[arg(value_name = "RELEASE] [CHART")]
    arguments: Vec<String>,
    /// If a release by this name doesn't already exist, run an install
    #[arg(short, long)]
    install: bool,
    /// If --install is set, create the release namespace if not present
    #[arg(long)]
    create_namespace: bool,
    /// When upgrading, reset the values to the ones built into the chart
    #[arg(long)]
    reset_values: bool,
    /// When upgrading, reuse the last release's values and merge in any overrides from the command line
    #[arg(long)]
    reuse_values: bool,
    /// When upgrading, reset the values to the ones built into the chart, apply the last release's values and merge in any overrides
    #[arg(long)]
    reset_then_reuse_values: bool,
    /// Limit the maximum number of revisions saved per release. Use 0 for no limit
    #[arg(long)]
    history_max: Option<usize>,
    /// Allow deletion of new resources created in this upgrade when upgrade fails
    #[arg(long)]
    cleanup_on_fail: bool,
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

/// Upgrades a release, or installs it.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    exactly(2, &arguments.arguments, "upgrade", "[RELEASE] [CHART] [flags]")?;
    let (name, reference) = (arguments.arguments[0].as_str(), arguments.arguments[1].as_str());
    let options = options(&arguments)?;
    let common = &arguments.common;
    let failed = |Problem(text)| Problem(format!("UPGRADE FAILED: {text}"));
    // Whether there is a release is asked before anything is upgraded.
    let session = Session::open(scope, false).map_err(|why| if arguments.install { why } else { failed(why) })?;
    if arguments.install && is_new(&session, name)? {
        if common.output == Format::Table {
            scope.print(&format!("Release {name:?} does not exist. Installing it now.\n"));
        }
        check_hiding(common, &options)?;
        let mut source = common.source(reference, &arguments.chart, &arguments.values, scope)?;
        let options = Options { replace: true, create_namespace: arguments.create_namespace, ..options };
        let release = session.run_on(name, session.actions.install(name, &mut source, &options))?;
        return common.print(&release, scope);
    }
    let mut source = common.source(reference, &arguments.chart, &arguments.values, scope)?;
    check_hiding(common, &options).map_err(failed)?;
    let release = session.run_on(name, session.actions.upgrade(name, &mut source, &options)).map_err(failed)?;
    if common.output == Format::Table {
        scope.print(&format!("Release {name:?} has been upgraded. Happy Helming!\n"));
    }
    common.print(&release, scope)
}

fn options(arguments: &Arguments) -> Result<Options, Problem> {
    let mut options = Options::default();
    arguments.writing.apply(&mut options)?;
    arguments.waiting.apply(&mut options)?;
    arguments.common.apply(&mut options)?;
    options.cleanup_on_fail = arguments.cleanup_on_fail;
    options.history_max = arguments.history_max.unwrap_or_else(operate::max_history);
    options.reuse = match (arguments.reset_values, arguments.reuse_values, arguments.reset_then_reuse_values) {
        (true, ..) => Reuse::Reset,
        (false, true, _) => Reuse::Reuse,
        (false, false, true) => Reuse::ResetThenReuse,
        _ => Reuse::IfNoneGiven,
    };
    Ok(options)
}

/// Whether there is no such release, or none any more.
fn is_new(session: &Session, name: &str) -> Result<bool, Problem> {
    session.run(async {
        match session.actions.history(name).await {
            Err(Error::NotFound) => Ok(true),
            Err(Error::NoRevision(_)) => Ok(false),
            history => Ok(history?.last().is_some_and(|last| last.info.status == Status::Uninstalled)),
        }
    })
}
