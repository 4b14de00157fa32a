//! `coracle profile`: which clusters there are, and which one is meant when none is named.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::cluster::{Cluster, kubeconfig, life};
use crate::config::Profile;
use crate::drivers::MachineState;
use serde_json::{Value, json};

/// List the profiles, or switch to one
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// The profile to use from now on
    name: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List all profiles
    List {
        /// Form of the answer
        #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
        output: String,
    },
}

/// Lists, switches, or prints the active profile.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    match (arguments.command, arguments.name) {
        (Some(Command::List { output }), _) => list(&output, context).await,
        (None, Some(name)) => switch(&name, context),
        (None, None) => {
            context.printer.data(context.home.active());
            Ok(Exit::Success)
        }
    }
}

fn switch(name: &str, context: &Context) -> Result<Exit, Failure> {
    Cluster::open(&context.home, name).map_err(|error| cluster_failure(error, name))?;
    context.home.set_active(name)?;
    kubeconfig::select(&kubeconfig::path(), name)?;
    context.printer.say(format!("`{name}` is used from now on"));
    Ok(Exit::Success)
}

async fn list(output: &str, context: &Context) -> Result<Exit, Failure> {
    let profiles = life::all_profiles(&context.home).map_err(|error| cluster_failure(error, &context.profile))?;
    let mut rows = Vec::new();
    for profile in &profiles {
        rows.push(row(profile, context).await?);
    }
    if output == "json" {
        context.printer.data(json!({"invalid": [], "valid": rows}).to_string());
        return Ok(Exit::Success);
    }
    context.printer.data(format!("{:<20} {:<10} {:<16} {:<6} {}", "PROFILE", "DRIVER", "IP", "PORT", "STATUS"));
    for (profile, row) in profiles.iter().zip(&rows) {
        let address = profile.network.node_address.to_string();
        let status = row["Status"].as_str().unwrap_or_default();
        context.printer.data(format!(
            "{:<20} {:<10} {:<16} {:<6} {status}",
            profile.name, profile.driver, address, profile.api_port
        ));
    }
    Ok(Exit::Success)
}

async fn row(profile: &Profile, context: &Context) -> Result<Value, Failure> {
    let failure = |error| cluster_failure(error, &profile.name);
    let cluster = Cluster::open(&context.home, &profile.name).map_err(failure)?;
    let status = match cluster.state().await.map_err(failure)? {
        MachineState::Running { .. } => "Running",
        MachineState::Paused { .. } => "Paused",
        MachineState::Stopped | MachineState::Killed => "Stopped",
        MachineState::Missing => "Nonexistent",
        MachineState::Unknown => "Unknown",
    };
    let current = kubeconfig::current(&kubeconfig::path()).unwrap_or_default();
    Ok(json!({
        "Name": profile.name, "Status": status, "Config": profile,
        "Active": context.home.active() == profile.name, "ActiveKubeContext": current == profile.name,
    }))
}
