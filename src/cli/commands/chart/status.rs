//! `status`: a release with its live objects.

use super::printing::{self, Show};
use super::session::Session;
use super::table::Format;
use super::{Outcome, Scope, exactly};

/// Display the status of the named release
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release
    #[arg(value_name = "RELEASE_NAME")]
    names: Vec<String>,
    /// If set, display the status of the named release with revision
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    revision: i64,
    /// Prints the output in the specified format: table, json or yaml
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Of Helm 3: the description is always shown
    #[arg(long, hide = true)]
    show_desc: bool,
    /// Of Helm 3: the objects are always shown
    #[arg(long, hide = true)]
    show_resources: bool,
}

/// Prints a release's status.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    exactly(1, &arguments.names, "status", "RELEASE_NAME [flags]")?;
    let session = Session::open(scope, false)?;
    let as_tables = arguments.output == Format::Table;
    let mut release = session.run(session.actions.status(&arguments.names[0], arguments.revision, as_tables))?;
    release.chart = None;
    let show = Show { colour: printing::is_coloured(&scope.globals.color), ..Show::default() };
    scope.print(&printing::formatted(arguments.output, &release, || printing::release(&release, show))?);
    Ok(())
}
