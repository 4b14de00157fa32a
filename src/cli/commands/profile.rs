//! `coracle profile`: which clusters there are, and which one is meant when none is named.

use super::super::table::framed;
use super::super::{Context, Exit, Failure, cluster_failure, complete};
use crate::base::Hint;
use crate::cluster::{self, Cluster, kubeconfig};
use crate::config::{Profile, minikube};
use crate::drivers::MachineState;
use serde_json::{Value, json};

/// List the profiles, or switch to one
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// The profile to use from now on
    #[arg(add = complete::profiles())]
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
        /// Look at no node: quick, without a status
        #[arg(short, long)]
        light: bool,
        /// Given for minikube's sake: everything is shown
        #[arg(short, long, hide = true)]
        detailed: bool,
    },
}

/// Lists, switches, or prints the active profile.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    match (arguments.command, arguments.name) {
        (Some(Command::List { output, light, .. }), _) => list(&output, light, context).await,
        (None, Some(name)) => switch(&name, context),
        (None, None) => {
            context.printer.data(&context.profile);
            Ok(Exit::Success)
        }
    }
}

fn switch(name: &str, context: &Context) -> Result<Exit, Failure> {
    match Cluster::open(&context.home, name) {
        // As in minikube, to ask for what is not there is no failure, and changes nothing.
        Err(cluster::Error::NoProfile(_)) => {
            context.printer.warn(format!("profile `{name}` not found"));
            let how = format!("coracle start -p {name}");
            context.printer.warn(format!("if you want to create a profile you can by this command: {how}"));
            return Ok(Exit::Success);
        }
        opened => opened.map_err(|error| cluster_failure(error, name))?,
    };
    context.home.set_active(name)?;
    kubeconfig::select(&kubeconfig::path(), name)?;
    context.printer.say(format!("`{name}` is used from now on"));
    Ok(Exit::Success)
}

async fn list(output: &str, is_light: bool, context: &Context) -> Result<Exit, Failure> {
    let (mut valid, mut invalid) = (Vec::new(), Vec::new());
    for name in context.home.names()? {
        match context.home.load(&name) {
            Ok(Some(profile)) => valid.push((row(&profile, is_light, context).await, profile)),
            // One that is broken must not hide the others.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                context.printer.warn(format!("the profile `{name}` is another user's"));
                invalid.push(json!({"Name": name, "Status": "", "Config": null}));
            }
            Ok(None) | Err(_) => {
                context.printer.warn(format!("the profile `{name}` cannot be read: coracle delete -p {name}"));
                invalid.push(json!({"Name": name, "Status": "", "Config": null}));
            }
        }
    }
    if output == "json" {
        let rows: Vec<&Value> = valid.iter().map(|(row, _)| row).collect();
        context.printer.data(json!({"invalid": invalid, "valid": rows}).to_string());
        return Ok(Exit::Success);
    }
    if valid.is_empty() && invalid.is_empty() {
        let error = Hint::new("No minikube profile was found", format!("coracle start -p {}", context.profile));
        return Err(Failure { error: error.into(), exit: Exit::Named(Exit::Usage.code(), "MK_USAGE_NO_PROFILE") });
    }
    if context.is_named && !context.home.names()?.contains(&context.profile) {
        context.printer.warn(format!("there is no profile `{}`; these there are", context.profile));
    }
    let rows: Vec<Vec<String>> = valid.iter().map(|(row, profile)| cells(row, profile)).collect();
    context.printer.raw(&framed(&HEADINGS, &rows));
    Ok(Exit::Success)
}

const HEADINGS: [&str; 10] = [
    "PROFILE",
    "DRIVER",
    "RUNTIME",
    "IP",
    "PORT",
    "VERSION",
    "STATUS",
    "NODES",
    "ACTIVE PROFILE",
    "ACTIVE KUBECONTEXT",
];

/// The cells of a profile's row in the table.
fn cells(row: &Value, profile: &Profile) -> Vec<String> {
    let star = |name: &str| if row[name] == true { "*" } else { "" };
    [
        &profile.name,
        &profile.driver,
        "coracle",
        &profile.network.node_address.to_string(),
        &profile.api_port.to_string(),
        minikube::version(profile),
        row["Status"].as_str().unwrap_or_default(),
        "1",
        star("Active"),
        star("ActiveKubeContext"),
    ]
    .map(str::to_string)
    .to_vec()
}

async fn row(profile: &Profile, is_light: bool, context: &Context) -> Value {
    let status = if is_light { "Skipped" } else { status(profile, context).await };
    // Without a kubeconfig there is no current context.
    let current = kubeconfig::current(&kubeconfig::path()).unwrap_or_default();
    json!({
        "Name": profile.name, "Status": status, "Config": minikube::describe(profile),
        "Active": context.home.active() == profile.name, "ActiveKubeContext": current == profile.name,
    })
}

async fn status(profile: &Profile, context: &Context) -> &'static str {
    let Ok(cluster) = Cluster::open(&context.home, &profile.name) else { return "Unknown" };
    match cluster.state().await {
        Ok(MachineState::Running { .. }) if cluster.is_paused() => "Paused",
        Ok(MachineState::Running { .. }) => "OK",
        Ok(MachineState::Paused { .. }) => "Paused",
        Ok(MachineState::Stopped | MachineState::Killed) => "Stopped",
        Ok(MachineState::Missing) => "Nonexistent",
        Ok(MachineState::Unknown) | Err(_) => "Unknown",
    }
}
