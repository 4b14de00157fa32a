//! `coracle tunnel`: nothing to do where this machine has routes to the cluster, which is said.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;

/// Reach LoadBalancer services
#[derive(clap::Args)]
pub struct Arguments {
    /// Given for minikube's sake
    #[arg(short, long, hide = true)]
    cleanup: bool,
    /// Given for minikube's sake
    #[arg(long, hide = true)]
    bind_address: Option<String>,
}

/// Explains where services answer; fails where no route leads there.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open_up(context).await?;
    let network = &cluster.profile.network;
    if !has_route(&network.load_balancer_cidr) {
        let what = format!("this machine has no route to {}", network.load_balancer_cidr);
        let hint = "coracle forward HOST:NODE leads a port of this machine to the node";
        return Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Code(110) });
    }
    context.printer.say("no tunnel is needed: this machine has routes to the cluster's addresses");
    context.printer.say(format!("  load balancers  {}", network.load_balancer_cidr));
    context.printer.say(format!("  services        {}", network.service_cidr));
    context.printer.say(format!("  pods            {}", network.pod_cidr));
    context.printer.say(format!("  node ports      {}", network.node_address));
    Ok(Exit::Success)
}

/// Whether the kernel's table has a route for exactly this network.
fn has_route(cidr: &str) -> bool {
    let Some((base, length)) = cidr.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<std::net::Ipv4Addr>(), length.parse::<u32>()) else { return false };
    let hex = |bits: u32| format!("{:08X}", bits.swap_bytes());
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    let wanted = (hex(u32::from(base)), hex(mask));
    // Without the file nothing is known of routes.
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() > 7 && (fields[1], fields[7]) == (&wanted.0, &wanted.1)
    })
}
