//! `history`: the revisions of a release.

use super::printing;
use super::session::Session;
use super::table::{Format, Table};
use super::{Outcome, Scope, exactly};
use crate::charts::release::{Error, Release, Time};
use serde::Serialize;

/// Fetch release history
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release
    #[arg(value_name = "RELEASE_NAME")]
    names: Vec<String>,
    /// Maximum number of revision to include in history
    #[arg(long, default_value_t = 256, allow_negative_numbers = true)]
    max: i64,
    /// Show the rollback revision column in table output
    #[arg(long)]
    show_rollback_revision: bool,
    /// Prints the output in the specified format: table, json or yaml
    #[arg(short, long, default_value = "table")]
    output: Format,
}

/// A revision in a history.
#[derive(Serialize)]
struct Element {
    revision: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<Time>,
    status: String,
    chart: String,
    app_version: String,
    #[serde(skip_serializing_if = "is_none")]
    rollback_revision: i64,
    description: String,
}

fn is_none(revision: &i64) -> bool {
    *revision == 0
}

/// Prints the revisions of a release, oldest first.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    exactly(1, &arguments.names, "history", "RELEASE_NAME [flags]")?;
    let session = Session::open(scope, false)?;
    let found = session.run(async {
        match session.actions.history(&arguments.names[0]).await {
            Err(Error::NoRevision(_)) => Ok(Vec::new()),
            found => found,
        }
    })?;
    let skipped = found.len().saturating_sub(usize::try_from(arguments.max).unwrap_or(0));
    let elements: Vec<Element> = found.iter().skip(skipped).map(element).collect();
    let table = || table(&elements, arguments.show_rollback_revision);
    scope.print(&printing::formatted(arguments.output, &elements, table)?);
    Ok(())
}

fn element(release: &Release) -> Element {
    Element {
        revision: release.version,
        updated: release.info.last_deployed,
        status: release.info.status.word().into(),
        chart: release.chart_label(),
        app_version: release.app_version().into(),
        rollback_revision: release.info.rollback_revision,
        description: release.info.description.clone(),
    }
}

fn table(elements: &[Element], with_rollback: bool) -> String {
    let mut table = Table::new(0);
    let mut row = |cells: [&str; 6], rollback: &str| {
        let [revision, updated, status, chart, version, description] = cells;
        match with_rollback {
            true => table.row([revision, updated, status, chart, version, rollback, description]),
            false => table.row(cells),
        }
    };
    row(["REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION"], "ROLLBACK");
    for one in elements {
        let updated = one.updated.map_or("Mon Jan  1 00:00:00 0001".into(), Time::ansi_c);
        let rollback = if one.rollback_revision > 0 { one.rollback_revision.to_string() } else { String::new() };
        let revision = one.revision.to_string();
        row([&revision, &updated, &one.status, &one.chart, &one.app_version, &one.description], &rollback);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_printed_as_by_helm() {
        let element = Element {
            revision: 3,
            updated: Time::parse("1977-09-02T22:04:05Z"),
            status: "superseded".into(),
            chart: "foo-0.1.0-beta.1".into(),
            app_version: "1.0".into(),
            rollback_revision: 0,
            description: "Release mock".into(),
        };
        let wanted = "REVISION\tUPDATED                 \tSTATUS    \tCHART           \tAPP VERSION\tDESCRIPTION \n\
                      3       \tFri Sep  2 22:04:05 1977\tsuperseded\tfoo-0.1.0-beta.1\t1.0        \tRelease mock\n";
        assert_eq!(table(&[element], false), wanted);
    }
}
