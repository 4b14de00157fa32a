//! `coracle service`: addresses at which services answer from this machine.

use super::super::table::framed;
use super::super::{Context, Exit, Failure, complete, template};
use crate::base::Hint;
use crate::client::Client;
use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
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
    /// Seconds to wait until a pod of the service is ready
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
        answered(&client, service, arguments.wait, context).await?;
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

/// Whether minikube would look for pods of a service: one that is not exposed, or whose pods are not the cluster's, has none.
fn has_pods(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    let is_exposed = matches!(spec.and_then(|spec| spec.type_.as_deref()), Some("NodePort" | "LoadBalancer"));
    is_exposed && spec.is_some_and(|spec| spec.selector.is_some())
}

/// Waits until an endpoint of a service is ready, so that its address answers when it is printed. After that a pod that runs is
/// enough, as in minikube; without one the service cannot be reached.
async fn answered(client: &Client, service: &Service, seconds: u64, context: &Context) -> Result<(), Failure> {
    if !has_pods(service) {
        return Ok(());
    }
    let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &namespace);
    let is_ready = |slice: &EndpointSlice| {
        let ready = |endpoint: &Endpoint| endpoint.conditions.as_ref().is_none_or(|own| own.ready.unwrap_or(true));
        slice.endpoints.iter().flatten().any(ready)
    };
    let labels = format!("kubernetes.io/service-name={name}");
    if slices.list(&ListParams::default().labels(&labels)).await?.iter().any(is_ready) {
        return Ok(());
    }
    let steps = context.printer.steps();
    steps.step(&format!("waiting {seconds} s for a pod of service `{name}`"));
    let waiting = crate::client::wait::any(slices, &labels, is_ready);
    let came = tokio::time::timeout(Duration::from_secs(seconds), waiting).await.is_ok();
    drop(steps);
    if came || has_running_pod(client, service, &namespace).await? {
        return Ok(());
    }
    let what = format!("service not available: no running pod for service {name} found");
    let hint = format!("kubectl get pods -n {namespace}; --wait=60 waits longer");
    Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Named(115, "SVC_UNREACHABLE") })
}

async fn has_running_pod(client: &Client, service: &Service, namespace: &str) -> Result<bool, Failure> {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels: Vec<String> = selector.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let pods = pods.list(&ListParams::default().labels(&labels.join(","))).await?;
    let is_running = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    Ok(pods.iter().any(is_running))
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
        let urls = if is_exposed(service) { urls(cluster, service, FORMAT)? } else { Vec::new() };
        rows.push((service, urls));
    }
    if output == "json" {
        let rows: Vec<_> = rows
            .iter()
            .map(|(service, urls)| {
                json!({
                    "Namespace": service.namespace(), "Name": service.name_any(), "URLs": urls,
                    "PortNames": if urls.is_empty() { Vec::new() } else { port_names(service) },
                })
            })
            .collect();
        context.printer.data(serde_json::to_string(&rows)?);
        return Ok(Exit::Success);
    }
    let cells = |(service, urls): &(&Service, Vec<String>)| {
        let namespace = service.namespace().unwrap_or_default();
        let ports = if urls.is_empty() { NO_PORT.to_string() } else { port_names(service).join("\n") };
        vec![namespace, service.name_any(), ports, urls.join("\n")]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    context.printer.raw(&framed(&["NAMESPACE", "NAME", "TARGET PORT", "URL"], &rows));
    Ok(Exit::Success)
}

/// What the list says of a service that has no port outside of the cluster, in minikube's words.
const NO_PORT: &str = "No node port";

/// Whether a service has a port that is meant for the outside.
fn is_exposed(service: &Service) -> bool {
    let is_balanced = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    is_balanced || ports(service).iter().any(|port| port.node_port.is_some_and(|port| port != 0))
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
    fn only_services_for_the_outside_are_waited_for_and_listed_with_addresses() {
        let service = |kind: &str, node_port: Option<i32>| {
            let port = ServicePort { port: 80, node_port, ..ServicePort::default() };
            let spec = k8s_openapi::api::core::v1::ServiceSpec {
                type_: Some(kind.into()),
                ports: Some(vec![port]),
                selector: Some([("app".to_string(), "web".to_string())].into()),
                ..Default::default()
            };
            Service { spec: Some(spec), ..Service::default() }
        };
        let (node, inner) = (service("NodePort", Some(30080)), service("ClusterIP", None));
        assert!(has_pods(&node) && is_exposed(&node));
        assert!(!has_pods(&inner) && !is_exposed(&inner));
        let mut foreign = node.clone();
        foreign.spec.as_mut().unwrap().selector = None;
        assert!(!has_pods(&foreign), "its endpoints are somebody else's");
    }

    #[test]
    fn a_port_that_says_https_or_has_its_number_is_secure() {
        let port = |name: &str, port: i32| ServicePort { name: Some(name.into()), port, ..ServicePort::default() };
        assert!(is_secure(&port("https", 8443)) && is_secure(&port("https-api", 9000)) && is_secure(&port("api", 443)));
        assert!(!is_secure(&port("http", 80)) && !is_secure(&port("httpsish", 80)));
        let told = ServicePort { app_protocol: Some("https".into()), ..port("api", 9000) };
        assert!(is_secure(&told));
    }
}
