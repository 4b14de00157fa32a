//! `dependency`: what a chart needs, and getting it.

use super::flags::{Reaching, Verifying};
use super::table::Table;
use super::{Outcome, Scope};
use crate::charts::Chart;
use crate::charts::chart::archive::clean;
use crate::charts::chart::{Dependency, pattern};
use crate::charts::repository::{Filling, Trust};
use crate::charts::version::{Constraints, Version};
use std::path::{Path, PathBuf};

/// Manage a chart's dependencies
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Rebuild the charts/ directory based on the Chart.lock file
    Build(Flags),
    /// List the dependencies for the given chart
    #[command(visible_alias = "ls")]
    List(ListFlags),
    /// Update charts/ based on the contents of Chart.yaml
    #[command(visible_alias = "up")]
    Update(Flags),
}

#[derive(clap::Args)]
struct ListFlags {
    /// The chart
    #[arg(value_name = "CHART")]
    chart: Option<String>,
    /// Maximum column width for output table
    #[arg(long, default_value_t = 80)]
    max_col_width: usize,
}

#[derive(clap::Args)]
struct Flags {
    /// The chart's folder
    #[arg(value_name = "CHART")]
    chart: Option<String>,
    /// Do not refresh the local repository cache
    #[arg(long)]
    skip_refresh: bool,
    #[command(flatten)]
    verifying: Verifying,
    #[command(flatten)]
    reaching: Reaching,
}

/// Lists or gets dependencies.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    let (flags, only_locked) = match arguments.action {
        Action::List(flags) => return list(&flags, scope),
        Action::Build(flags) => (flags, true),
        Action::Update(flags) => (flags, false),
    };
    let folder = PathBuf::from(clean(flags.chart.as_deref().unwrap_or(".")));
    let download = flags.reaching.download();
    let say = |text: &str| scope.print(&format!("{text}\n"));
    let trust = match flags.verifying.trust() {
        Trust::Signed(keyring) if only_locked => Trust::IfSigned(keyring),
        trust => trust,
    };
    let filling = Filling {
        folder: &folder,
        download: &download,
        settings: &scope.settings,
        skip_refresh: flags.skip_refresh,
        trust: &trust,
        say: &say,
    };
    match only_locked {
        true => scope.wait(filling.build()),
        false => scope.wait(filling.update()),
    }
}

fn list(flags: &ListFlags, scope: &Scope) -> Outcome {
    let path = clean(flags.chart.as_deref().unwrap_or("."));
    let chart = Chart::load(Path::new(&path))?;
    let wanted = &chart.metadata.dependencies;
    if !chart.metadata.has_dependencies {
        scope.print(&format!("WARNING: no dependencies at {}\n", clean(&format!("{path}/charts"))));
        return Ok(());
    }
    let mut table = Table::new(flags.max_col_width);
    table.row(["NAME", "VERSION", "REPOSITORY", "STATUS"]);
    for one in wanted {
        table.row([&one.name, &one.version, &one.repository, status(&path, one, &chart)]);
    }
    scope.print(&format!("{table}\n"));
    for file in entries(&path, "*") {
        let name = file.display().to_string();
        if !file.is_dir() && !name.ends_with(".tgz") {
            continue;
        }
        match Chart::load(&file) {
            Err(_) => scope.print(&format!("WARNING: {name:?} is not a chart.\n")),
            Ok(found) if !wanted.iter().any(|one| one.name == found.name()) => {
                scope.print(&format!("WARNING: {name:?} is not in Chart.yaml.\n"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// What is in `charts/` under a pattern, sorted.
fn entries(chart: &str, wanted: &str) -> Vec<PathBuf> {
    // A chart that is an archive, or has no `charts/`, has none.
    let Ok(found) = std::fs::read_dir(Path::new(chart).join("charts")) else { return Vec::new() };
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        pattern::matches(wanted, &name).unwrap_or(false)
    };
    let mut paths: Vec<PathBuf> = found.filter_map(|entry| Some(entry.ok()?.path())).filter(named).collect();
    paths.sort();
    paths
}

/// Whether, and how, a dependency is there.
fn status<'a>(path: &str, wanted: &Dependency, parent: &Chart) -> &'a str {
    let archives = entries(path, &format!("{}-*.tgz", wanted.name));
    let strict = |archive: &&PathBuf| {
        let name = archive.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let version = name.strip_prefix(&format!("{}-", wanted.name)).map(Version::parse);
        version.is_some_and(|version| version.is_ok_and(|version| version.to_string() == version.original))
    };
    let archive = match archives.as_slice() {
        [one] => Some(one),
        [] => None,
        many => match many.iter().filter(strict).collect::<Vec<_>>().as_slice() {
            [one] => Some(*one),
            [] => None,
            _ => return "too many matches",
        },
    };
    if let Some(archive) = archive {
        return match Chart::load(archive) {
            Err(_) => "corrupt",
            Ok(chart) if chart.name() != wanted.name => "misnamed",
            Ok(chart) => fits(wanted, &chart).unwrap_or("ok"),
        };
    }
    match parent.dependencies.iter().rfind(|subchart| subchart.name() == wanted.name) {
        None => "missing",
        Some(chart) => fits(wanted, chart).unwrap_or("unpacked"),
    }
}

/// What is wrong about a chart's version.
fn fits<'a>(wanted: &Dependency, chart: &Chart) -> Option<&'a str> {
    if chart.metadata.version == wanted.version {
        return None;
    }
    match (Constraints::parse(&wanted.version), Version::parse(&chart.metadata.version)) {
        (Ok(constraints), Ok(version)) if constraints.check(&version) => None,
        (Ok(_), Ok(_)) => Some("wrong version"),
        _ => Some("invalid version"),
    }
}
