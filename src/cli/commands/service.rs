//! `coracle service`: addresses at which services answer from this machine.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;
use crate::client::Client;
use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

/// Print the address of a service
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    name: Option<String>,
    /// The service's namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Print addresses only
    #[arg(long)]
    url: bool,
    /// Print https instead of http
    #[arg(long)]
    https: bool,
    /// All services of the namespace
    #[arg(long)]
    all: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the addresses of all services
    List {
        /// Only this namespace
        #[arg(short, long)]
        namespace: Option<String>,
        /// Form of the answer
        #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
        output: String,
    },
}

/// Prints addresses that answer from this machine without a tunnel.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let client = super::client(&cluster).await?;
    if let Some(Command::List { namespace, output }) = &arguments.command {
        return list(&cluster, client, namespace.as_deref(), output, context).await;
    }
    let services = wanted(&arguments, client).await?;
    let scheme = if arguments.https { "https" } else { "http" };
    for service in &services {
        let urls = urls(&cluster, service, scheme);
        if urls.is_empty() {
            let what = format!("service `{}` has no port that can be reached", service.name_any());
            return Err(Failure { error: what.into(), exit: Exit::ServiceNotFound });
        }
        if !arguments.url {
            context.printer.say(format!("{}/{}:", arguments.namespace, service.name_any()));
        }
        urls.iter().for_each(|url| context.printer.data(url));
    }
    Ok(Exit::Success)
}

async fn wanted(arguments: &Arguments, client: Client) -> Result<Vec<Service>, Failure> {
    let api: Api<Service> = Api::namespaced(client, &arguments.namespace);
    if arguments.all {
        return Ok(api.list(&ListParams::default()).await?.items);
    }
    let Some(name) = &arguments.name else {
        return Err(Failure { error: "name a service, or say --all".into(), exit: Exit::Usage });
    };
    match api.get_opt(name).await? {
        Some(service) => Ok(vec![service]),
        None => {
            let what = format!("service `{name}` was not found in namespace `{}`", arguments.namespace);
            let hint = format!("kubectl get services -n {}", arguments.namespace);
            Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::ServiceNotFound })
        }
    }
}

async fn list(
    cluster: &Cluster,
    client: Client,
    namespace: Option<&str>,
    output: &str,
    context: &Context,
) -> Result<Exit, Failure> {
    let api: Api<Service> =
        namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    let services = api.list(&ListParams::default()).await?.items;
    let rows = services.iter().map(|service| (service, urls(cluster, service, "http")));
    if output == "json" {
        let rows: Vec<_> = rows.map(|(service, urls)| json!({
            "Namespace": service.namespace(), "Name": service.name_any(), "URLs": urls, "PortNames": port_names(service),
        })).collect();
        context.printer.data(serde_json::to_string(&rows)?);
        return Ok(Exit::Success);
    }
    context.printer.data(format!("{:<20} {:<24} {:<16} {}", "NAMESPACE", "NAME", "TARGET PORT", "URL"));
    for (service, urls) in rows {
        let namespace = service.namespace().unwrap_or_default();
        context.printer.data(format!(
            "{namespace:<20} {:<24} {:<16} {}",
            service.name_any(),
            port_names(service).join(","),
            urls.join(" ")
        ));
    }
    Ok(Exit::Success)
}

fn ports(service: &Service) -> &[ServicePort] {
    service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default()
}

fn port_names(service: &Service) -> Vec<String> {
    let name = |port: &ServicePort| match &port.name {
        Some(name) => format!("{name}/{}", port.port),
        None => port.port.to_string(),
    };
    ports(service).iter().map(name).collect()
}

/// A load balancer's address, else the node's for node ports, else the cluster address, which this machine has a route to.
fn urls(cluster: &Cluster, service: &Service, scheme: &str) -> Vec<String> {
    let spec = service.spec.as_ref();
    let balancer =
        service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref()?.first()?.ip.clone());
    let cluster_address =
        spec.and_then(|spec| spec.cluster_ip.clone()).filter(|address| !address.is_empty() && address != "None");
    let node = cluster.profile.network.node_address.to_string();
    let url = |port: &ServicePort| match (&balancer, port.node_port, &cluster_address) {
        (Some(address), _, _) => Some(format!("{scheme}://{address}:{}", port.port)),
        (None, Some(node_port), _) => Some(format!("{scheme}://{node}:{node_port}")),
        (None, None, Some(address)) => Some(format!("{scheme}://{address}:{}", port.port)),
        _ => None,
    };
    ports(service).iter().filter_map(url).collect()
}
