//! `coracle version`.

use super::super::{Context, Exit, Failure};
use super::output::Output;
use crate::config::minikube::KUBERNETES;
use serde_json::json;
use std::process::Command;

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

/// Programs that minikube looks for in its node. Here none of them is needed; a machine may have them nevertheless.
const PROGRAMS: &[&str] = &["buildctl", "containerd", "crictl", "crio", "crun", "ctr", "docker", "podman", "runc"];

/// What a program of this machine says of its version.
fn of_program(name: &str) -> String {
    let said = super::image::program(name).and_then(|path| Command::new(path).arg("--version").output().ok());
    let said = said.filter(|output| output.status.success());
    let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| "not installed".to_string(), |line| line.trim().to_string())
}

/// Prints it.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    match (arguments.output.is_json(), arguments.short) {
        (true, _) => {
            let mut all =
                json!({"commit": env!("CORACLE_COMMIT"), "coracleVersion": version, "minikubeVersion": version});
            if arguments.components {
                all["kubernetesVersion"] = json!(KUBERNETES);
                COMPONENTS.iter().for_each(|name| all[*name] = json!(version));
                PROGRAMS.iter().for_each(|name| all[*name] = json!(of_program(name)));
            }
            context.printer.data(all.to_string());
        }
        (_, true) => context.printer.data(version),
        _ => {
            context.printer.data(format!("coracle version: {version}"));
            context.printer.data(format!("commit: {}", env!("CORACLE_COMMIT")));
            if arguments.components {
                context.printer.data(format!("kubernetes: {}", KUBERNETES));
                COMPONENTS.iter().for_each(|name| context.printer.data(format!("{name}: {version}")));
                PROGRAMS.iter().for_each(|name| context.printer.data(format!("{name}: {}", of_program(name))));
            }
        }
    }
    Ok(Exit::Success)
}
