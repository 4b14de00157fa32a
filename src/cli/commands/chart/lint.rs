//! `lint`: what is wrong with charts.

use super::flags::{ValueOptions, kube_version};
use super::{Outcome, Problem, Scope, at_least};
use crate::charts::lint::{LintOptions, Severity, lint};
use crate::charts::values::Warning;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Examine a chart for possible issues
#[derive(clap::Args)]
pub struct Arguments {
    /// Charts: folders or archives
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Fail on lint warnings
    #[arg(long)]
    strict: bool,
    /// Lint dependent charts
    #[arg(long)]
    with_subcharts: bool,
    /// Print only warnings and errors
    #[arg(long)]
    quiet: bool,
    /// If set, disables JSON schema validation
    #[arg(long)]
    skip_schema_validation: bool,
    /// Kubernetes version used for capabilities and deprecation checks
    #[arg(long)]
    kube_version: Option<String>,
    #[command(flatten)]
    values: ValueOptions,
}

/// Checks charts and fails if one has errors.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.paths, "lint", "PATH [flags]")?;
    let version = arguments.kube_version.as_deref().filter(|version| !version.is_empty());
    let options = LintOptions {
        namespace: scope.namespace(),
        kube_version: version.map(kube_version).transpose()?,
        skip_schema: arguments.skip_schema_validation,
    };
    let mut paths: Vec<String> = arguments.paths.clone();
    if arguments.with_subcharts {
        for path in &arguments.paths {
            subcharts(&Path::new(path).join("charts"), &mut paths);
        }
    }
    let values = arguments.values.merge(scope)?;
    let tolerated = if arguments.strict { Severity::Info } else { Severity::Warning };
    let mut out = String::new();
    let (mut failed, mut told) = (0, 0);
    let say: fn(&Warning) = |warning| super::aside(format_args!("{warning}"));
    for path in &paths {
        // Templates may call each other deeply.
        let result = crate::charts::template::on_stack(|| lint(Path::new(path), &values, &options, say))?;
        let messages = result.as_ref().map_or(&[][..], Vec::as_slice);
        let is_bad = result.is_err() || messages.iter().any(|message| message.severity > tolerated);
        let is_told = result.is_err() || messages.iter().any(|message| message.severity > Severity::Info) || is_bad;
        told += usize::from(is_told);
        if arguments.quiet && !is_told {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "==> Linting {path}");
        if let Err(error) = &result {
            let _ = writeln!(out, "Error {error}");
        }
        for message in messages.iter().filter(|one| !arguments.quiet || one.severity > Severity::Info) {
            let _ = writeln!(out, "{message}");
        }
        failed += usize::from(is_bad);
        out.push('\n');
    }
    scope.print(&out);
    let summary = format!("{} chart(s) linted, {failed} chart(s) failed", paths.len());
    if failed > 0 {
        return Err(Problem(summary));
    }
    if !arguments.quiet || told > 0 {
        scope.print(&format!("{summary}\n"));
    }
    Ok(())
}

/// Charts and archives below a folder, in the order of names.
fn subcharts(folder: &Path, found: &mut Vec<String>) {
    // A chart without `charts/` has none.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let name = path.display().to_string();
        if path.is_dir() {
            subcharts(&path, found);
        } else if name.ends_with("/Chart.yaml") {
            found.push(folder.display().to_string());
        } else if name.ends_with(".tgz") || name.ends_with(".tar.gz") {
            found.push(name);
        }
    }
}
