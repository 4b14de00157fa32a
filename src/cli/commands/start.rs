//! `coracle start`.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::cluster::{Cluster, Started};
use crate::config::Wanted;

/// Start a cluster, or the one that was stopped
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the node runs
    #[arg(short, long)]
    driver: Option<String>,
    /// Port of the API server on the node's address
    #[arg(long)]
    apiserver_port: Option<u16>,
    /// Further names and addresses for the API server's certificate
    #[arg(long, value_delimiter = ',')]
    apiserver_names: Vec<String>,
    /// The cluster's DNS domain
    #[arg(long)]
    dns_domain: Option<String>,
    /// Addons to switch on
    #[arg(long, value_delimiter = ',')]
    addons: Vec<String>,
}

/// Starts it and says what to do next.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let mut wanted = Wanted::named(&context.profile);
    wanted.set("driver", arguments.driver.into_iter().collect());
    wanted.set("apiserver-port", arguments.apiserver_port.iter().map(ToString::to_string).collect());
    wanted.set("apiserver-names", arguments.apiserver_names);
    wanted.set("dns-domain", arguments.dns_domain.into_iter().collect());
    wanted.set("addons", arguments.addons);
    let begun = std::time::Instant::now();
    let failure = |error| cluster_failure(error, &context.profile);
    let (cluster, is_new) = Cluster::open_or_new(&context.home, &wanted).map_err(failure)?;
    let steps = context.printer.steps();
    let say = |text: &str| steps.step(text);
    let started = tokio::select! {
        started = cluster.start(is_new, &say) => started.map_err(failure)?,
        _ = tokio::signal::ctrl_c() => {
            cluster.undo(is_new).await;
            return Err(Failure { error: "interrupted; the half-made start was undone".into(), exit: Exit::Code(2) });
        }
    };
    drop(steps);
    let name = &cluster.profile.name;
    if started == Started::AlreadyRunning {
        context.printer.say(format!("`{name}` is running already; nothing was changed"));
        return Ok(Exit::Success);
    }
    let seconds = begun.elapsed().as_secs_f64();
    context.printer.say(format!("`{name}` is ready after {seconds:.2} s; kubectl uses it by default"));
    context.printer.say("next: kubectl create deployment web --image=coracle.local/hello --replicas=3");
    context.printer.say("      kubectl expose deployment web --type=NodePort --port=80 --target-port=8080");
    context.printer.say("      curl $(coracle service web --url)");
    Ok(Exit::Success)
}
