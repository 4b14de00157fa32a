//! `coracle version`.

use super::super::{Context, Exit, Failure};
use super::output::Output;
use serde_json::json;

/// Print the version
#[derive(clap::Args)]
pub struct Arguments {
    /// Print the bare version number
    #[arg(long)]
    short: bool,
    /// Print what is in this executable as well
    #[arg(long)]
    components: bool,
    #[command(flatten)]
    output: Output,
}

/// Parts of this executable that elsewhere are programs of their own; their version is its version.
const COMPONENTS: &[&str] = &["containerRuntime", "dns", "network", "storage"];

/// Prints it.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    match (arguments.output.is_json(), arguments.short) {
        (true, _) => {
            let mut all =
                json!({"commit": env!("CORACLE_COMMIT"), "coracleVersion": version, "minikubeVersion": version});
            if arguments.components {
                all["kubernetesVersion"] = json!(super::start::KUBERNETES);
                COMPONENTS.iter().for_each(|name| all[*name] = json!(version));
            }
            context.printer.data(all.to_string());
        }
        (_, true) => context.printer.data(version),
        _ => {
            context.printer.data(format!("coracle version: {version}"));
            context.printer.data(format!("commit: {}", env!("CORACLE_COMMIT")));
            if arguments.components {
                context.printer.data(format!("kubernetes: {}", super::start::KUBERNETES));
                COMPONENTS.iter().for_each(|name| context.printer.data(format!("{name}: {version}")));
            }
        }
    }
    Ok(Exit::Success)
}
