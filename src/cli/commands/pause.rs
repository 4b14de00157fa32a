//! `coracle pause`: control plane and pods stand still; nothing is stopped and nothing is lost.

use super::super::{Context, Exit, Failure, cluster_failure, events};
use super::output::Output;
use crate::cluster::{Cluster, Pause};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};

/// Namespaces whose pods stand still unless others are named, as minikube has it.
const USUAL: &[&str] = &["kube-system", "kubernetes-dashboard", "istio-operator"];

/// The namespace of the control plane.
const CONTROL_PLANE: &str = "kube-system";

/// Make control plane and pods stand still
#[derive(clap::Args)]
pub struct Arguments {
    /// Namespaces whose pods stand still
    #[arg(short, long, value_delimiter = ',', default_values = USUAL)]
    namespaces: Vec<String>,
    /// The pods of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    output: Output,
}

/// Freezes them.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    arguments.output.tell(context);
    let _held = super::hold(context, &context.profile)?;
    let cluster = super::open_up(context).await?;
    let before = cluster.standing().unwrap_or_default();
    let mut wanted = match arguments.all_namespaces {
        true => Pause::everything(),
        false => {
            // As in minikube, the control plane is a part of its namespace.
            let server = arguments.namespaces.iter().any(|name| name == CONTROL_PLANE);
            Pause::of(server, arguments.namespaces.clone())
        }
    };
    if before.has(&wanted) {
        context.printer.say(format!("`{}` is paused already", context.profile));
        return Ok(Exit::Success);
    }
    let steps = context.printer.plan(&events::PAUSE);
    steps.note(&format!("pausing `{}`", context.profile));
    let failure = |error| cluster_failure(error, &context.profile);
    if !wanted.all {
        if before.server {
            // It is asked which pods there are.
            cluster.unpause().map_err(failure)?;
            wanted = Pause::of(true, [wanted.namespaces, before.namespaces].concat());
        }
        wanted.pods = uids(&cluster, &wanted.namespaces).await?;
    }
    cluster.pause(&wanted).await.map_err(failure)?;
    steps.note("done");
    drop(steps);
    let part = if wanted.server { String::new() } else { format!(": the pods of {}", wanted.namespaces.join(", ")) };
    context.printer.say(format!("`{}` is paused{part}", context.profile));
    Ok(Exit::Success)
}

/// Unique ids of the pods of namespaces; the control plane still answers.
async fn uids(cluster: &Cluster, namespaces: &[String]) -> Result<Vec<String>, Failure> {
    let client = super::client(cluster).await?;
    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await?;
    let is_meant = |pod: &Pod| pod.namespace().is_some_and(|own| namespaces.contains(&own));
    Ok(pods.into_iter().filter(is_meant).filter_map(|pod| pod.uid()).collect())
}
