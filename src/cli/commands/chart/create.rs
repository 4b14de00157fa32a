//! `create`: a new chart to start from.

use super::{Outcome, Scope, exactly};
use crate::charts::create;
use std::path::Path;

/// Create a new chart with the given name
#[derive(clap::Args)]
pub struct Arguments {
    /// The chart's name, or a path whose last part is the name
    #[arg(value_name = "NAME")]
    arguments: Vec<String>,
    /// The name or absolute path to Helm starter scaffold
    #[arg(short = 'p', long)]
    starter: Option<String>,
}

/// Makes a chart's folder.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    exactly(1, &arguments.arguments, "create", "NAME [flags]")?;
    let path = Path::new(&arguments.arguments[0]);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    scope.print(&format!("Creating {}\n", path.display()));
    match arguments.starter.as_deref().filter(|starter| !starter.is_empty()) {
        Some(starter) => {
            let starter = scope.settings.data_home.join("starters").join(starter);
            create::create_from(&name, folder, &starter)?;
        }
        None => drop(create::create(&name, folder, &|text| scope.print(&format!("{text}\n")))?),
    }
    Ok(())
}
