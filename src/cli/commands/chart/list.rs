//! `list`: the releases of a namespace, or of all.

use super::printing;
use super::session::Session;
use super::table::{Format, Table};
use super::{Outcome, Scope};
use crate::charts::release::{List, Release, Status};
use serde::Serialize;

/// List releases
#[derive(clap::Args)]
pub struct Arguments {
    /// Output short (quiet) listing format
    #[arg(short = 'q', long)]
    short: bool,
    /// Don't print headers when using the default output format
    #[arg(long)]
    no_headers: bool,
    /// Format time using golang time formatter
    #[arg(long, default_value = "", hide_default_value = true)]
    time_format: String,
    /// Sort by release date
    #[arg(short, long)]
    date: bool,
    /// Reverse the sort order
    #[arg(short, long)]
    reverse: bool,
    /// Show all releases without any filter applied
    #[arg(short, long, hide = true)]
    all: bool,
    /// Show uninstalled releases (if 'helm uninstall --keep-history' was used)
    #[arg(long)]
    uninstalled: bool,
    /// Show superseded releases
    #[arg(long)]
    superseded: bool,
    /// Show releases that are currently being uninstalled
    #[arg(long)]
    uninstalling: bool,
    /// Show deployed releases
    #[arg(long)]
    deployed: bool,
    /// Show failed releases
    #[arg(long)]
    failed: bool,
    /// Show pending releases
    #[arg(long)]
    pending: bool,
    /// List releases across all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Maximum number of releases to fetch
    #[arg(short, long, default_value_t = 256)]
    max: i64,
    /// Next release index in the list, used to offset from start value
    #[arg(long, default_value_t = 0)]
    offset: usize,
    /// A regular expression: releases that match are included in the results
    #[arg(short, long, default_value = "", hide_default_value = true)]
    filter: String,
    /// Selector (label query) to filter on, supports '=', '==', and '!='
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Prints the output in the specified format: table, json or yaml
    #[arg(short, long, default_value = "table")]
    output: Format,
}

/// A release in a list.
#[derive(Serialize)]
struct Element {
    name: String,
    namespace: String,
    revision: String,
    updated: String,
    status: String,
    chart: String,
    app_version: String,
}

/// Lists releases.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    let session = Session::open(scope, arguments.all_namespaces)?;
    let found = session.run(session.actions.list(&wanted(&arguments)))?;
    if arguments.short {
        let names: Vec<&str> = found.iter().map(|release| release.name.as_str()).collect();
        let table = || names.iter().map(|name| format!("{name}\n")).collect();
        scope.print(&printing::formatted(arguments.output, &names, table)?);
        return Ok(());
    }
    let elements: Vec<Element> = found.iter().map(|release| element(release, &arguments.time_format)).collect();
    scope.print(&printing::formatted(arguments.output, &elements, || table(&elements, arguments.no_headers))?);
    Ok(())
}

fn wanted(arguments: &Arguments) -> List {
    use Status::*;
    let flags: [(bool, &[Status]); 6] = [
        (arguments.deployed, &[Deployed]),
        (arguments.uninstalled, &[Uninstalled]),
        (arguments.uninstalling, &[Uninstalling]),
        (arguments.pending, &[PendingInstall, PendingUpgrade, PendingRollback]),
        (arguments.failed, &[Failed]),
        (arguments.superseded, &[Superseded]),
    ];
    let asked = flags.iter().filter(|(flag, _)| *flag && !arguments.all);
    List {
        statuses: asked.flat_map(|(_, statuses)| statuses.iter().copied()).collect(),
        filter: arguments.filter.clone(),
        selector: arguments.selector.clone(),
        by_date: arguments.date,
        reverse: arguments.reverse,
        // Less than nothing is no limit, as nothing is.
        limit: usize::try_from(arguments.max).unwrap_or_default(),
        offset: arguments.offset,
    }
}

fn element(release: &Release, format: &str) -> Element {
    let updated = match release.info.last_deployed {
        None => "-".into(),
        Some(at) if format.is_empty() => at.go_string(),
        Some(at) => at.layout(format),
    };
    Element {
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        revision: release.version.to_string(),
        updated,
        status: release.info.status.word().into(),
        chart: release.chart_label(),
        app_version: release.app_version().into(),
    }
}

fn table(elements: &[Element], no_headers: bool) -> String {
    let mut table = Table::new(0);
    if !no_headers {
        table.row(["NAME", "NAMESPACE", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION"]);
    }
    for one in elements {
        let cells = [&one.name, &one.namespace, &one.revision, &one.updated, &one.status, &one.chart, &one.app_version];
        table.row(cells.map(String::as_str));
    }
    let text = table.to_string();
    if text.is_empty() { "\n".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_printed_as_by_helm() {
        let element = Element {
            name: "starlord".into(),
            namespace: "default".into(),
            revision: "2".into(),
            updated: "2016-01-16 00:00:01 +0000 UTC".into(),
            status: "deployed".into(),
            chart: "chickadee-1.0.0".into(),
            app_version: "0.0.1".into(),
        };
        let wanted = "NAME    \tNAMESPACE\tREVISION\tUPDATED                      \tSTATUS  \tCHART          \tAPP VERSION\n\
                      starlord\tdefault  \t2       \t2016-01-16 00:00:01 +0000 UTC\tdeployed\tchickadee-1.0.0\t0.0.1      \n";
        assert_eq!(table(&[element], false), wanted);
    }
}
