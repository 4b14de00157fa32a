//! `upgrade`: makes the next revision of a release.

use super::making::{Making, Telling};
use super::operate::{self, Method, Reusing};
use super::session::Session;
use super::table::Format;
use super::{Outcome, Problem, Scope, exactly};
use crate::charts::release::{Error, Options, Status};

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
    #[command(flatten)]
    reusing: Reusing,
    /// Limit the maximum number of revisions saved per release. Use 0 for no limit
    #[arg(long)]
    history_max: Option<usize>,
    /// Allow deletion of new resources created in this upgrade when upgrade fails
    #[arg(long)]
    cleanup_on_fail: bool,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    method: Method,
    #[command(flatten)]
    making: Making,
}

/// Upgrades a release, or installs it.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    exactly(2, &arguments.arguments, "upgrade", "[RELEASE] [CHART] [flags]")?;
    let (name, reference) = (arguments.arguments[0].as_str(), arguments.arguments[1].as_str());
    let options = options(&arguments)?;
    let telling = &arguments.telling;
    let failed = |Problem(text)| Problem(format!("UPGRADE FAILED: {text}"));
    // Whether there is a release is asked before anything is upgraded.
    let session = Session::open(scope, false).map_err(|why| if arguments.install { why } else { failed(why) })?;
    if arguments.install && is_new(&session, name)? {
        if telling.output == Format::Table {
            scope.print(&format!("Release {name:?} does not exist. Installing it now.\n"));
        }
        telling.check(&options)?;
        let mut source = telling.source(&arguments.making, reference, scope)?;
        let options = Options { replace: true, create_namespace: arguments.create_namespace, ..options };
        let release = session.run_on(name, session.actions.install(name, &mut source, &options))?;
        return telling.print(&release, scope);
    }
    let mut source = telling.source(&arguments.making, reference, scope)?;
    telling.check(&options).map_err(failed)?;
    let release = session.run_on(name, session.actions.upgrade(name, &mut source, &options)).map_err(failed)?;
    if telling.output == Format::Table {
        scope.print(&format!("Release {name:?} has been upgraded. Happy Helming!\n"));
    }
    telling.print(&release, scope)
}

fn options(arguments: &Arguments) -> Result<Options, Problem> {
    Ok(Options {
        dry_run: arguments.telling.trying.dry_run()?,
        server_side: arguments.method.server_side()?,
        cleanup_on_fail: arguments.cleanup_on_fail,
        history_max: arguments.history_max.unwrap_or_else(operate::max_history),
        reuse: arguments.reusing.reuse(),
        ..arguments.making.options()?
    })
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
