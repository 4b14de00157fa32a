//! `pull`: a chart from a repository into a folder.

use super::flags::ChartOptions;
use super::{Outcome, Problem, Scope, at_least};
use crate::charts::repository::{self, Trust, Wanted};
use crate::charts::{package, provenance, write_file};
use std::path::{Path, PathBuf};

/// Download a chart from a repository and (optionally) unpack it in local directory
#[derive(clap::Args)]
pub struct Arguments {
    /// Charts: addresses or REPO/NAME
    #[arg(value_name = "CHART")]
    arguments: Vec<String>,
    /// Use development versions, too
    #[arg(long)]
    devel: bool,
    /// If set to true, will untar the chart after downloading it
    #[arg(long)]
    untar: bool,
    /// Fetch the provenance file, but don't perform verification
    #[arg(long)]
    prov: bool,
    /// If untar is specified, this flag specifies the name of the directory into which the chart is expanded
    #[arg(long, default_value = ".")]
    untardir: String,
    /// Location to write the chart. If this and untardir are specified, untardir is appended to this
    #[arg(short, long, default_value = ".")]
    destination: String,
    #[command(flatten)]
    chart: ChartOptions,
}

/// Downloads charts.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.arguments, "pull", "[chart URL | repo/chartname] [...] [flags]")?;
    arguments.arguments.iter().try_for_each(|name| arguments.pull(name, scope))
}

impl Arguments {
    fn pull(&self, name: &str, scope: &Scope) -> Outcome {
        let wanted = Wanted {
            name: name.to_string(),
            version: self.chart.wanted(self.devel),
            repository: self.chart.repo.clone().unwrap_or_default(),
        };
        let trust = match self.chart.verifying.trust() {
            Trust::Any if self.prov => Trust::Fetch,
            trust => trust,
        };
        let download = self.chart.download();
        let fetched = scope.wait(repository::fetch(&wanted, &download, &scope.settings, &trust))?;
        if let Some(origin) = &fetched.origin {
            scope.print(&format!("{origin}\n"));
        }
        if let Some(why) = &fetched.unsigned {
            scope.print(&format!("WARNING: Verification not found for {name}: {why}\n"));
        }
        if let Some(verified) = &fetched.verified {
            scope.print(&verified.to_string());
        }
        let folder = PathBuf::from(&self.destination);
        if self.untar {
            return self.unpack(name, &fetched.data, &folder);
        }
        let path = folder.join(&fetched.file_name);
        write_file(&path, &fetched.data)?;
        match &fetched.provenance {
            Some(signature) => Ok(write_file(&provenance::signature_path(&path), signature)?),
            None => Ok(()),
        }
    }

    fn unpack(&self, name: &str, data: &[u8], folder: &Path) -> Outcome {
        let into = folder.join(&self.untardir);
        let base = name.rsplit('/').next().unwrap_or(name);
        let place = if self.untardir == "." { folder.join(base) } else { into.join(base) };
        if place.exists() {
            let place = crate::charts::chart::archive::clean(&place.display().to_string());
            let problem = format!("failed to untar: a file or directory with the name {place} already exists");
            return Err(Problem(problem));
        }
        package::expand(data, &into)?;
        Ok(())
    }
}
