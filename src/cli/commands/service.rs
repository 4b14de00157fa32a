//! `coracle service`: addresses at which services answer from this machine.

use super::super::table::framed;
use super::super::{Context, Exit, Failure, complete, template};
use crate::base::Hint;
use crate::client::Client;
use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use std::time::Duration;

/// What an address is like unless said otherwise.
const FORMAT: &str = "http://{{.IP}}:{{.Port}}";
/// The same of a port that speaks TLS.
const SECURE: &str = "https://{{.IP}}:{{.Port}}";

/// Print the address of a service
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[arg(add = complete::services())]
    names: Vec<String>,
    /// The service's namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Print addresses only
    #[arg(long)]
    url: bool,
    /// Print https instead of http
    #[arg(long)]
    https: bool,
    /// Form of an address
    #[arg(long, default_value = FORMAT)]
    format: String,
    /// Minutes to wait until a pod of the service is ready
    #[arg(long, default_value_t = 2)]
    wait: u64,
    /// Given for minikube's sake: nothing is asked again and again
    #[arg(long, hide = true)]
    interval: Option<u64>,
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
    let cluster = super::open_up(context).await?;
    let client = super::client(&cluster).await?;
    if let Some(Command::List { namespace, output }) = &arguments.command {
        return list(&cluster, client, namespace.as_deref(), output, context).await;
    }
    let services = wanted(&arguments, client.clone()).await?;
    let format =
        if arguments.https { arguments.format.replace("http://", "https://") } else { arguments.format.clone() };
    for service in &services {
        let name = service.name_any();
        let urls = urls(&cluster, service, &format)?;
        if urls.is_empty() {
            if arguments.all {
                continue;
            }
            let what = format!("service `{name}` has no port that can be reached");
            return Err(Failure { error: what.into(), exit: Exit::ServiceNotFound });
        }
        if !arguments.all {
            answered(&client, service, arguments.wait).await?;
        }
        if !arguments.url {
            context.printer.say(format!("{}/{name}:", arguments.namespace));
            if let Some(port) = cluster.profile.names_port {
                context.printer.say(format!("http://{name}.{}.localhost:{port}", arguments.namespace));
            }
        }
        urls.iter().for_each(|url| context.printer.data(url));
    }
    Ok(Exit::Success)
}

/// Waits until an endpoint of a service is ready, so that its address answers when it is printed. A service without a
/// selector is not ours to wait for.
async fn answered(client: &Client, service: &Service, minutes: u64) -> Result<(), Failure> {
    if minutes == 0 || service.spec.as_ref().is_none_or(|spec| spec.selector.is_none()) {
        return Ok(());
    }
    let name = service.name_any();
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
    let is_ready = |slice: &EndpointSlice| {
        let ready = |endpoint: &Endpoint| endpoint.conditions.as_ref().is_none_or(|own| own.ready.unwrap_or(true));
        slice.endpoints.iter().flatten().any(ready)
    };
    let labels = format!("kubernetes.io/service-name={name}");
    let waiting = crate::client::wait::any(slices, &labels, is_ready);
    if tokio::time::timeout(Duration::from_secs(minutes * 60), waiting).await.is_ok() {
        return Ok(());
    }
    let what = format!("service `{name}` has no pod that is ready after {minutes} minutes");
    let hint = format!("kubectl get pods -n {}", service.namespace().unwrap_or_default());
    Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Code(112) })
}

async fn wanted(arguments: &Arguments, client: Client) -> Result<Vec<Service>, Failure> {
    let api: Api<Service> = Api::namespaced(client, &arguments.namespace);
    if arguments.all {
        return Ok(api.list(&ListParams::default()).await?.items);
    }
    if arguments.names.is_empty() {
        return Err(Failure { error: "name a service, or say --all".into(), exit: Exit::Usage });
    }
    let mut found = Vec::new();
    for name in &arguments.names {
        match api.get_opt(name).await? {
            Some(service) => found.push(service),
            None => {
                let what = format!("service `{name}` was not found in namespace `{}`", arguments.namespace);
                let hint = format!("kubectl get services -n {}", arguments.namespace);
                return Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::ServiceNotFound });
            }
        }
    }
    Ok(found)
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
    let mut rows = Vec::new();
    for service in &services {
        rows.push((service, urls(cluster, service, FORMAT)?));
    }
    if output == "json" {
        let rows: Vec<_> = rows.iter().map(|(service, urls)| json!({
            "Namespace": service.namespace(), "Name": service.name_any(), "URLs": urls, "PortNames": port_names(service),
        })).collect();
        context.printer.data(serde_json::to_string(&rows)?);
        return Ok(Exit::Success);
    }
    let cells = |(service, urls): &(&Service, Vec<String>)| {
        let namespace = service.namespace().unwrap_or_default();
        vec![namespace, service.name_any(), port_names(service).join("\n"), urls.join("\n")]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    context.printer.raw(&framed(&["NAMESPACE", "NAME", "TARGET PORT", "URL"], &rows));
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

/// Where a service answers from this machine, as addresses and ports: a load balancer's address, else the node's for node
/// ports, else the cluster address, which this machine has a route to.
pub fn places<'s>(cluster: &Cluster, service: &'s Service) -> Vec<(String, u16, &'s ServicePort)> {
    let spec = service.spec.as_ref();
    let balancer =
        service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref()?.first()?.ip.clone());
    let cluster_address =
        spec.and_then(|spec| spec.cluster_ip.clone()).filter(|address| !address.is_empty() && address != "None");
    let node = cluster.profile.network.node_address.to_string();
    let place = |port: &'s ServicePort| match (&balancer, port.node_port, &cluster_address) {
        (Some(address), _, _) => Some((address.clone(), port.port as u16, port)),
        (None, Some(node_port), _) => Some((node.clone(), node_port as u16, port)),
        (None, None, Some(address)) => Some((address.clone(), port.port as u16, port)),
        _ => None,
    };
    ports(service).iter().filter_map(place).collect()
}

/// Whether a port speaks TLS, as far as its description tells.
fn is_secure(port: &ServicePort) -> bool {
    let says =
        |text: &Option<String>| text.as_deref().is_some_and(|text| text == "https" || text.starts_with("https-"));
    says(&port.app_protocol) || says(&port.name) || port.port == 443
}

fn urls(cluster: &Cluster, service: &Service, format: &str) -> Result<Vec<String>, template::Error> {
    let named = |(address, number, port): (String, u16, &ServicePort)| {
        let fields = [("IP", address), ("Port", number.to_string()), ("Name", service.name_any())];
        // A form that somebody wrote is kept.
        let format = if format == FORMAT && is_secure(port) { SECURE } else { format };
        template::render(format, &fields)
    };
    places(cluster, service).into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_says_https_or_has_its_number_is_secure() {
        let port = |name: &str, port: i32| ServicePort { name: Some(name.into()), port, ..ServicePort::default() };
        assert!(is_secure(&port("https", 8443)) && is_secure(&port("https-api", 9000)) && is_secure(&port("api", 443)));
        assert!(!is_secure(&port("http", 80)) && !is_secure(&port("httpsish", 80)));
        let told = ServicePort { app_protocol: Some("https".into()), ..port("api", 9000) };
        assert!(is_secure(&told));
    }
}
