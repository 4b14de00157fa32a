//! `coracle status`: minikube's text, JSON and exit bits.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::cluster::status::{self, Status};

/// Show what runs of the cluster
#[derive(clap::Args)]
pub struct Arguments {
    /// Form of the answer
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

/// Prints the status; the exit code has a bit for each part that does not run.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let status = status::of(&cluster).await.map_err(|error| cluster_failure(error, &context.profile))?;
    match arguments.output.as_str() {
        "json" => context.printer.data(serde_json::to_string(&status)?),
        _ => context.printer.data(text(&status)),
    }
    Ok(Exit::Code(status.exit_bits()))
}

fn text(status: &Status) -> String {
    format!(
        "{}\ntype: Control Plane\nhost: {:?}\nkubelet: {:?}\napiserver: {:?}\nkubeconfig: {:?}\n",
        status.name, status.host, status.kubelet, status.api_server, status.kubeconfig
    )
}
