//! The parts that this executable plays inside a node. Nobody types these; drivers, `init` and pods do.

use super::super::{Exit, Failure};
use crate::boot;
use crate::config::Profile;
use crate::drivers::{docker, native};
use std::path::PathBuf;

/// One part.
#[derive(clap::Subcommand)]
pub enum Part {
    /// PID 1 of a node
    #[command(hide = true)]
    Init,
    /// What containers are children of
    #[command(hide = true)]
    Supervisor,
    /// Control plane and node agent
    #[command(hide = true)]
    Server,
    /// An example application: answers HTTP with its pod's name
    #[command(hide = true)]
    Hello {
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// The files of the dashboard's page, in its pod
    #[command(hide = true)]
    DashboardServer {
        #[arg(long, default_value_t = 9090)]
        port: u16,
    },
    /// Cluster DNS, in its pod
    #[command(hide = true)]
    Dns {
        /// The cluster's domain
        #[arg(long, default_value = "cluster.local")]
        domain: String,
        /// The machine's address, which `host.coracle.internal` names
        #[arg(long)]
        host_address: std::net::IpAddr,
    },
    /// The ingress controller, in its pod
    #[command(hide = true)]
    Ingress {
        /// Where the pod is
        #[arg(long, env = "POD_NAMESPACE", default_value = "ingress-nginx")]
        namespace: String,
        /// The address that Ingresses are told to be reachable at
        #[arg(long, env = "HOST_IP")]
        publish: Option<std::net::IpAddr>,
    },
    /// A name server for hosts of Ingresses, in its pod
    #[command(hide = true)]
    IngressDns {
        /// The address to answer with, and on
        #[arg(long, env = "HOST_IP")]
        address: std::net::IpAddr,
    },
    /// Renders a chart for the server
    #[command(hide = true)]
    ChartRender {
        /// How much address space it may have
        #[arg(long)]
        memory: u64,
    },
    /// Leaves the host's namespaces and starts PID 1 (native driver)
    #[command(hide = true)]
    NodeLaunch {
        #[arg(long)]
        profile_json: String,
        #[arg(long)]
        mark: String,
        #[arg(long)]
        root: PathBuf,
    },
    /// Gives a node that runs its address again (native driver)
    #[command(hide = true)]
    NodeLink {
        #[arg(long)]
        profile_json: String,
        pid: u32,
    },
    /// Becomes PID 1 of a node (Docker driver)
    #[command(hide = true)]
    NodeContainer,
    /// Takes the machine's resolvers, in a node that runs (Docker driver)
    #[command(hide = true)]
    NodeResolvers,
    /// Adds this machine's routes to a cluster's addresses (Docker driver)
    #[command(hide = true)]
    NodeRoutes {
        #[arg(long)]
        profile_json: String,
    },
    /// Runs a command in a node's container (Docker driver)
    #[command(hide = true)]
    DockerEnter {
        container: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<String>,
    },
    /// Makes pods stand still, and the server, in the node
    #[command(hide = true)]
    NodeFreeze {
        /// The server too
        #[arg(long)]
        server: bool,
        /// Every pod
        #[arg(long)]
        all: bool,
        /// Unique ids of pods
        uids: Vec<String>,
    },
    /// Lets everything go on again, in the node
    #[command(hide = true)]
    NodeThaw,
    /// Ends the server, which PID 1 starts again, in the node
    #[command(hide = true)]
    NodeRestartServer,
    /// Shows the node's programs the authorities that were handed over last, in the node
    #[command(hide = true)]
    NodeTrust,
    /// Writes a file or folder to stdout, in the node
    #[command(hide = true)]
    NodePack { source: PathBuf },
    /// Reads a file or folder from stdin, in the node
    #[command(hide = true)]
    NodeUnpack { target: PathBuf, name: String },
    /// Shows a folder of this machine in a node
    #[command(hide = true)]
    NodeMount {
        #[arg(long)]
        read_only: bool,
        pid: u32,
        source: PathBuf,
        target: PathBuf,
    },
    /// Takes a folder of this machine away from a node
    #[command(hide = true)]
    NodeUnmount { pid: u32, target: PathBuf },
    /// Runs a command in a node's namespaces (native driver)
    #[command(hide = true)]
    NodeEnter {
        pid: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<String>,
    },
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Plays it until it ends.
pub fn run(part: Part) -> Result<Exit, Failure> {
    match part {
        Part::Init => boot::init::main()?,
        Part::Supervisor => boot::supervisor::main()?,
        Part::Server => boot::server::main()?,
        Part::Hello { port } => boot::hello::main(port)?,
        Part::DashboardServer { port } => boot::dashboard::main(port)?,
        Part::Dns { domain, host_address } => boot::dns::main(domain, host_address)?,
        Part::Ingress { namespace, publish } => boot::ingress::main(namespace, publish)?,
        Part::IngressDns { address } => boot::ingress::names(address)?,
        Part::ChartRender { memory } => crate::charts::release::apart::main(memory)?,
        Part::NodeLaunch { profile_json, mark, root } => {
            let profile: Profile = serde_json::from_str(&profile_json)?;
            native::launch::launch(&profile, &mark, &root)?;
        }
        Part::NodeLink { profile_json, pid } => native::launch::link(&serde_json::from_str(&profile_json)?, pid)?,
        Part::NodeResolvers => docker::inside::take_resolvers()?,
        Part::NodeContainer => match docker::inside::main()? {},
        Part::NodeRoutes { profile_json } => {
            let profile: Profile = serde_json::from_str(&profile_json)?;
            runtime()?.block_on(native::links::add_routes(&profile))?;
        }
        Part::DockerEnter { container, argv } => {
            let code = runtime()?.block_on(docker::exec::run(&container, &argv))?;
            // A thread may still wait for stdin, and nobody is to wait for it.
            std::process::exit(code);
        }
        Part::NodeFreeze { server, all, uids } => {
            let whose = if all { boot::freeze::Whose::All } else { boot::freeze::Whose::Pods(uids) };
            boot::freeze::freeze(&whose, server)?;
        }
        Part::NodeThaw => boot::freeze::thaw()?,
        Part::NodeRestartServer => {
            for pid in boot::freeze::servers()? {
                let Some(pid) = rustix::process::Pid::from_raw(pid as i32) else { continue };
                rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            }
        }
        Part::NodeTrust => boot::trust::install()?,
        Part::NodePack { source } => boot::copy::pack(&source, std::io::stdout().lock())?,
        Part::NodeUnpack { target, name } => boot::copy::unpack(std::io::stdin().lock(), &target, &name)?,
        Part::NodeMount { read_only, pid, source, target } => {
            native::mounts::attach(pid, &source, &target, read_only)?;
        }
        Part::NodeUnmount { pid, target } => native::mounts::detach(pid, &target)?,
        Part::NodeEnter { pid, argv } => match native::launch::enter(pid, &argv)? {},
    }
    Ok(Exit::Success)
}
