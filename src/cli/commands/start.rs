//! `coracle start`.

use super::super::{Context, Exit, Failure, amounts, cluster_failure, complete, content, events};
use super::ignored::Ignored;
use super::output::Output;
use crate::base::Hint;
use crate::base::login::proxy_without_login;
use crate::cluster::change::Made;
use crate::cluster::status::{self, LEAST_ROOM};
use crate::cluster::{Cluster, Started, kubeconfig};
use crate::config::minikube::{KUBERNETES, OPTIONS};
use crate::config::profile::Proxy;
use crate::config::{Change, Preferences, Profile, Wanted, file};
use crate::drivers::{self, Say};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Start a cluster, or the one that was stopped
#[derive(clap::Args, Clone)]
pub struct Arguments {
    /// A cluster file (TOML); flags go before it
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Where the node runs
    #[arg(short, long, alias = "vm-driver", env = "CORACLE_DRIVER", add = complete::drivers())]
    driver: Option<String>,
    /// Processors of the node: 2, 1500m, max, no-limit
    #[arg(long, env = "CORACLE_CPUS")]
    cpus: Option<String>,
    /// Memory of the node: 4g, 512mb, max, no-limit
    #[arg(short, long, env = "CORACLE_MEMORY")]
    memory: Option<String>,
    /// Network of the link to the node
    #[arg(long)]
    subnet: Option<String>,
    /// Address of the node
    #[arg(long)]
    static_ip: Option<String>,
    /// Address of this machine where ports listen
    #[arg(long)]
    listen_address: Option<String>,
    /// Ports of this machine that lead to the node: [ADDRESS:]HOST:NODE[/PROTOCOL]
    #[arg(long, value_delimiter = ',')]
    ports: Vec<String>,
    /// Port of this machine where services have names: http://SERVICE.NAMESPACE.localhost:PORT
    #[arg(long)]
    names_port: Option<u16>,
    /// Folders of this machine that the node sees: SOURCE:TARGET[:ro]
    #[arg(long, value_delimiter = ',')]
    mount_string: Vec<String>,
    /// Port of the API server on the node's address
    #[arg(long)]
    apiserver_port: Option<u16>,
    /// Further names and addresses for the API server's certificate
    #[arg(long, value_delimiter = ',')]
    apiserver_names: Vec<String>,
    /// Further addresses for the API server's certificate
    #[arg(long, value_delimiter = ',')]
    apiserver_ips: Vec<String>,
    /// A further name for the API server's certificate
    #[arg(long)]
    apiserver_name: Option<String>,
    /// The cluster's DNS domain
    #[arg(long)]
    dns_domain: Option<String>,
    /// Addresses of services
    #[arg(long)]
    service_cluster_ip_range: Option<String>,
    /// Addresses of pods
    #[arg(long)]
    pod_network_cidr: Option<String>,
    /// Options of components: kubelet.max-pods=110, apiserver.service-node-port-range=30000-32767
    #[arg(long)]
    extra_config: Vec<String>,
    /// How long certificates are valid
    #[arg(long)]
    cert_expiration: Option<String>,
    /// Addons to switch on
    #[arg(long, value_delimiter = ',', add = super::super::complete::addons())]
    addons: Vec<String>,
    /// Archives of images to load and images to pull
    #[arg(long, value_delimiter = ',')]
    images: Vec<String>,
    /// The namespace of the context in the kubeconfig
    #[arg(long)]
    namespace: Option<String>,
    /// Leave the current context of the kubeconfig as it is
    #[arg(long)]
    keep_context: bool,
    /// Delete the cluster and try once more if it does not start
    #[arg(long)]
    delete_on_failure: bool,
    /// Check what was asked for and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The same, as nothing is to be downloaded
    #[arg(long)]
    download_only: bool,
    /// Let the node have more than this machine has
    #[arg(long)]
    force: bool,
    /// A node without Kubernetes: a machine to work in
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_kubernetes: Option<bool>,
    /// The version of Kubernetes; this executable has one
    #[arg(long)]
    kubernetes_version: Option<String>,
    /// Nodes; a cluster has one
    #[arg(short, long)]
    nodes: Option<u32>,
    #[command(flatten)]
    output: Output,
    /// Variables of the node's own processes, which pull images: NAME=VALUE
    #[arg(long)]
    docker_env: Vec<String>,
    #[command(flatten)]
    refused: Refused,
    /// For CI jobs: plain progress, nothing that waits for a person, events as JSON on stdout
    #[arg(long)]
    ci: bool,
    #[command(flatten)]
    ignored: Ignored,
}

/// Flags of minikube that ask for what is not built.
#[derive(clap::Args, Clone)]
struct Refused {
    #[arg(long, hide = true)]
    ha: bool,
    #[arg(short, long, hide = true)]
    gpus: Option<String>,
    #[arg(long, hide = true)]
    network: Option<String>,
    #[arg(long, hide = true)]
    insecure_registry: Vec<String>,
    #[arg(long, hide = true)]
    registry_mirror: Vec<String>,
}

impl Refused {
    /// Why the first of those that were given cannot be had.
    fn why(&self) -> Option<&'static str> {
        let asked = [
            (self.ha, "a cluster has one node; more are not built"),
            (self.gpus.is_some(), "pods cannot be given GPUs; that is not built"),
            (self.network.is_some(), "a cluster has a network of its own; see --subnet and --static-ip"),
            (
                !self.insecure_registry.is_empty(),
                "registries without encryption are asked on this machine's loopback only",
            ),
            (!self.registry_mirror.is_empty(), "mirrors of registries are not built"),
        ];
        asked.iter().find(|(given, _)| *given).map(|(_, why)| *why)
    }
}

/// Starts it and says what to do next.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    arguments.output.tell(context);
    if arguments.ci {
        context.printer.speak_json();
    }
    check(&arguments)?;
    arguments.ignored.warn(context);
    let wanted = wanted(&arguments, context)?;
    if arguments.dry_run || arguments.download_only {
        dry_run(&arguments, &wanted, context).await?;
        return Ok(Exit::Success);
    }
    let _held = super::hold_new(context, &wanted.name)?;
    match start(&arguments, &wanted, context).await {
        Err(failure) if arguments.delete_on_failure && failure.exit != Exit::Code(2) => {
            context.printer.warn(format!("the cluster did not start ({}); it is deleted and made anew", failure.error));
            if let Ok(cluster) = Cluster::open(&context.home, &wanted.name) {
                cluster.delete().await.map_err(|error| cluster_failure(error, &wanted.name))?;
            }
            start(&arguments, &wanted, context).await
        }
        ended => ended,
    }
}

/// What is not built is refused.
fn check(arguments: &Arguments) -> Result<(), Failure> {
    let usage = |what: String| Err(Failure { error: what.into(), exit: Exit::Usage });
    if arguments.nodes.is_some_and(|nodes| nodes != 1) {
        return usage("a cluster has one node; more are not built".into());
    }
    if let Some(why) = arguments.refused.why() {
        return usage(why.into());
    }
    if arguments.no_kubernetes == Some(true) && arguments.kubernetes_version.is_some() {
        return usage("cannot specify --kubernetes-version with --no-kubernetes".into());
    }
    match arguments.kubernetes_version.as_deref() {
        None | Some("stable" | "latest" | KUBERNETES | "1.36.0") => Ok(()),
        Some(other) => usage(format!("this coracle is Kubernetes {KUBERNETES}; it cannot be {other}")),
    }
}

/// Preferences, then the file, then flags: what comes later wins.
fn wanted(arguments: &Arguments, context: &Context) -> Result<Wanted, Failure> {
    let preferences = Preferences::load(&context.home).map_err(|error| super::of_home(error, context))?;
    let mut wanted = preferences.wanted();
    if let Some(path) = &arguments.file {
        wanted.overlay(read_file(path)?);
    }
    if context.is_named || wanted.name.is_empty() {
        wanted.name = context.profile.clone();
    }
    let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
    let number = |value: Option<u16>| value.iter().map(ToString::to_string).collect::<Vec<_>>();
    let names = [&arguments.apiserver_names[..], &arguments.apiserver_ips, &one(&arguments.apiserver_name)].concat();
    for (key, value) in [
        ("driver", one(&arguments.driver)),
        ("cpus", one(&arguments.cpus)),
        ("memory", one(&arguments.memory)),
        ("subnet", one(&arguments.subnet)),
        ("static-ip", one(&arguments.static_ip)),
        ("listen-address", one(&arguments.listen_address)),
        ("ports", arguments.ports.clone()),
        ("names-port", number(arguments.names_port)),
        ("mounts", arguments.mount_string.clone()),
        ("apiserver-port", number(arguments.apiserver_port)),
        ("apiserver-names", names),
        ("dns-domain", one(&arguments.dns_domain)),
        ("service-cluster-ip-range", one(&arguments.service_cluster_ip_range)),
        ("pod-network-cidr", one(&arguments.pod_network_cidr)),
        ("cert-expiration", one(&arguments.cert_expiration)),
        ("no-kubernetes", arguments.no_kubernetes.iter().map(ToString::to_string).collect()),
        ("addons", arguments.addons.clone()),
        ("images", arguments.images.iter().map(|image| content::placed_image(image)).collect::<Result<_, _>>()?),
        ("docker-env", arguments.docker_env.clone()),
    ] {
        wanted.set(key, value);
    }
    for option in &arguments.extra_config {
        let (key, value) = extra(option)?;
        wanted.set(key, vec![value]);
    }
    if arguments.subnet.is_some() && arguments.static_ip.is_some() {
        context.printer.warn("the network is that of --static-ip; --subnet has no effect");
    }
    content::check_addons(wanted.settings.get("addons").map(Vec::as_slice).unwrap_or_default())?;
    Ok(wanted)
}

/// A cluster file; every mistake is in the error.
pub fn read_file(path: &Path) -> Result<Wanted, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = format!("coracle config export > {} writes the file of a cluster that there is", path.display());
        let error = Hint::new(format!("cannot read the cluster file {}: {error}", path.display()), hint);
        Failure { error: error.into(), exit: Exit::Usage }
    })?;
    let folder = std::path::absolute(path)?.parent().map(Path::to_path_buf).unwrap_or_default();
    file::parse(&text, &folder, &content::check_value).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{}:{mistake}", path.display())).collect();
        Failure { error: lines.join("\n       ").into(), exit: Exit::Usage }
    })
}

fn extra(option: &str) -> Result<(&'static str, String), Failure> {
    let usage = |what: String| Failure { error: what.into(), exit: Exit::Usage };
    let (name, value) =
        option.split_once('=').ok_or_else(|| usage(format!("`{option}` is no component.option=value")))?;
    match OPTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, key)) => Ok((key, value.into())),
        None => {
            let known: Vec<&str> = OPTIONS.iter().map(|(name, _)| *name).collect();
            Err(usage(format!("there is no option `{name}`; there are {}", known.join(", "))))
        }
    }
}

/// Everything that a start looks at before it makes anything. The driver is said first, as minikube has it: what a node may
/// have depends on that.
async fn dry_run(arguments: &Arguments, wanted: &Wanted, context: &Context) -> Result<(), Failure> {
    let failure = |error| cluster_failure(error, &wanted.name);
    let (wanted, driver) = with_driver(wanted, context).await?;
    context.printer.say(format!("using the driver {driver}"));
    amounts::check(&wanted, arguments.force, context)?;
    let (cluster, changes) = match Cluster::open(&context.home, &wanted.name) {
        Err(crate::cluster::Error::NoProfile(_)) => {
            let profile = wanted.resolve(&[]).map_err(crate::cluster::Error::Wanted).map_err(failure)?;
            (Cluster::unsaved(&context.home, profile).map_err(failure)?, Vec::new())
        }
        opened => {
            let cluster = opened.map_err(failure)?;
            let changes = cluster.difference(&wanted).map_err(failure)?.1;
            (cluster, changes)
        }
    };
    cluster.check_driver().await.map_err(failure)?;
    print_changes(&changes, context);
    context.printer.say(match arguments.dry_run {
        true => "nothing was changed (--dry-run)",
        false => "there is nothing to download, and nothing was started (--download-only)",
    });
    Ok(())
}

/// What is wanted with the driver that it will have, and the name of that.
async fn with_driver(wanted: &Wanted, context: &Context) -> Result<(Wanted, &'static str), Failure> {
    let failure = |error| cluster_failure(error, &wanted.name);
    let chosen = Cluster::choose_driver(&context.home, wanted).await.map_err(failure)?;
    let named = chosen.settings.get("driver").and_then(|value| value.first()).map(String::as_str);
    let there = context.home.load(&wanted.name).ok().flatten().map(|profile| profile.driver);
    let name = there.as_deref().or(named).unwrap_or_default();
    let name = if name == "none" { "native" } else { name };
    match drivers::find(name) {
        Some(driver) => Ok((chosen, driver.name())),
        None => Err(failure(crate::cluster::Error::NoDriver(name.into()))),
    }
}

/// What differs, a line each.
pub fn print_changes(changes: &[Change], context: &Context) {
    for change in changes {
        let text = |values: &[String]| if values.is_empty() { "(as usual)".into() } else { values.join(",") };
        context.printer.say(format!("~ {}: {} -> {}", change.key, text(&change.before), text(&change.after)));
    }
}

/// How long a node that did not become ready is asked for what it has to tell: its API may never answer.
const HEARING: Duration = Duration::from_secs(10);

/// Starts a cluster. A start that fails leaves nothing behind that was not there before, and a node that ran already runs on; of
/// one that did not become ready, what it had to tell is kept, and the error says where.
pub async fn start_or_undo(cluster: &Cluster, is_new: bool, say: Say<'_>) -> Result<Started, Failure> {
    let name = &cluster.profile.name;
    let ran = cluster.runs().await.map_err(|error| cluster_failure(error, name))?;
    let error = match cluster.start(is_new, say).await {
        Ok(started) => return Ok(started),
        Err(error) => error,
    };
    let kept = match error {
        crate::cluster::Error::NotReady(_) | crate::cluster::Error::Ended => keep(cluster, say).await,
        _ => None,
    };
    if !ran {
        cluster.undo(is_new).await;
    }
    let exit = Exit::of(&error);
    let hint = error.hint(name, !is_new);
    let mut failure = Failure { error: Box::new(Hint::new(error, hint)), exit };
    if let Some(folder) = kept {
        failure.error =
            Hint::new(failure.error, format!("what the node had to tell is in {}", folder.display())).into();
    }
    Err(failure)
}

/// Keeps what a node has to tell that did not become ready, in place of what was kept before. Nothing if there is nothing.
async fn keep(cluster: &Cluster, say: Say<'_>) -> Option<PathBuf> {
    say("keeping what the node has to tell");
    let folder = cluster.home.failed_start(&cluster.profile.name);
    // The start's own error is what is told; with less of its logs, or none, it still is.
    std::fs::remove_dir_all(&folder).ok();
    tokio::time::timeout(HEARING, super::export::collect(cluster, &folder)).await.ok();
    folder.exists().then_some(folder)
}

async fn start(arguments: &Arguments, wanted: &Wanted, context: &Context) -> Result<Exit, Failure> {
    let begun = std::time::Instant::now();
    let mut interrupts = Interrupts::listen()?;
    let failure = |error| cluster_failure(error, &wanted.name);
    if arguments.ci {
        context.printer.speak_plainly();
    }
    let before = current_context()?;
    let steps = context.printer.plan(&events::START);
    steps.note(&format!("coracle v{} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS));
    let (wanted, driver) = &with_driver(wanted, context).await?;
    steps.step(&format!("using the driver {driver}"));
    amounts::check(wanted, arguments.force, context)?;
    let (mut cluster, is_new) = Cluster::open_or_new(&context.home, wanted).map_err(failure)?;
    if !status::has_room(&cluster) {
        cluster.undo(is_new).await;
        let what = format!("the disk is full: {} MiB must be free", LEAST_ROOM >> 20);
        return Err(Failure { error: what.into(), exit: Exit::Code(26) });
    }
    let say = |text: &str| steps.step(text);
    if let Some(trouble) = cluster.trouble().await.map_err(failure)?.filter(|_| !is_new) {
        context.printer.warn(format!("`{}`: {trouble}", cluster.profile.name));
    }
    let before_change = cluster.profile.clone();
    let (content, changes) = match is_new {
        true => (cluster.profile.clone(), Vec::new()),
        false => prepare(&mut cluster, wanted, context).await?,
    };
    if cluster.wants_another_node() {
        cluster.stop().await.map_err(failure)?;
        cluster.settle().map_err(failure)?;
    }
    take_proxies(&mut cluster, context).await.map_err(failure)?;
    // Written when it was brought in: what cannot be is asked for by this start alone.
    cluster.profile = cluster.profile.clone().with_content_of(&content);
    steps.note(&format!("starting `{}`", cluster.profile.name));
    let ran = cluster.runs().await.map_err(failure)?;
    // What the node did not start with is not kept.
    let take_back = || {
        if !ran && !is_new && !changes.is_empty() {
            // The error of the start is what is told.
            let layout = cluster.profile.layout;
            context.home.save(&Profile { layout, ..before_change.clone() }).ok();
        }
    };
    let making = async {
        let started = start_or_undo(&cluster, is_new, &say).await.inspect_err(|_| take_back())?;
        if started != Started::AlreadyRunning {
            content::load_cached(&cluster, context)?;
            if let Err(failure) = content::bring(&cluster, &say, context).await {
                if !ran {
                    cluster.undo(is_new).await;
                    take_back();
                }
                return Err(failure);
            }
            cluster.save().map_err(failure)?;
        }
        Ok::<_, Failure>(started)
    };
    let started = tokio::select! {
        started = making => started?,
        () = interrupts.come() => {
            let what = if ran { "interrupted; the node runs on" } else { "interrupted; the half-made start was undone" };
            if !ran {
                cluster.undo(is_new).await;
                take_back();
            }
            return Err(Failure { error: what.into(), exit: Exit::Code(2) });
        }
    };
    let name = cluster.profile.name.clone();
    choose_context(arguments, &cluster, &before)?;
    if started == Started::AlreadyRunning {
        return running(&cluster, &changes, context).await;
    }
    cluster.cancel_scheduled_stop();
    steps.note("done");
    drop(steps);
    let seconds = begun.elapsed().as_secs_f64();
    let is_default = cluster.profile.kubernetes && !arguments.keep_context;
    let default = if is_default { "; kubectl uses it by default" } else { "" };
    context.printer.say(format!("`{name}` is ready after {seconds:.2} s{default}"));
    if is_new {
        next(&cluster.profile, &context.home.active()).iter().for_each(|line| context.printer.say(line));
    }
    Ok(Exit::Success)
}

/// The current context of the kubeconfig. One that cannot be read is known before anything is made.
fn current_context() -> Result<String, Failure> {
    let path = kubeconfig::path();
    kubeconfig::current(&path).map_err(|error| {
        let what = format!("cannot read the kubeconfig {}: {error}", path.display());
        let error = Hint::new(what, "repair it, or name another file: KUBECONFIG=FILE coracle start");
        Failure { error: Box::new(error), exit: Exit::Named(38, "HOST_KUBECONFIG_UPDATE") }
    })
}

/// Makes the cluster's context the current one, or leaves what was before, with the namespace that was asked for.
fn choose_context(arguments: &Arguments, cluster: &Cluster, before: &str) -> std::io::Result<()> {
    let (path, name) = (kubeconfig::path(), &cluster.profile.name);
    if !cluster.profile.kubernetes {
        return Ok(());
    }
    if let Some(namespace) = &arguments.namespace {
        kubeconfig::set_namespace(&path, name, namespace)?;
    }
    let chosen = if arguments.keep_context && !before.is_empty() { before } else { name };
    match kubeconfig::current(&path)? == chosen {
        true => Ok(()),
        false => kubeconfig::select(&path, chosen),
    }
}

/// What to do with a new cluster.
fn next(profile: &Profile, active: &str) -> Vec<String> {
    let option = super::option(&profile.name, active);
    if !profile.kubernetes {
        return vec![format!("next: coracle ssh{option}")];
    }
    vec![
        "next: kubectl create deployment web --image=coracle.local/hello --replicas=3".to_string(),
        "      kubectl expose deployment web --type=NodePort --port=80 --target-port=8080".to_string(),
        format!("      curl $(coracle service web --url{option})"),
    ]
}

/// Tells when somebody wants this command to end: a person, or what runs it.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on such a wish does not end the process by itself.
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Makes a cluster that exists like what is wanted, before it is started. What is to be brought in is in the profile that is
/// returned, beside what differs.
async fn prepare(cluster: &mut Cluster, wanted: &Wanted, context: &Context) -> Result<(Profile, Vec<Change>), Failure> {
    let failure = |error| cluster_failure(error, &wanted.name);
    if let Some(snapshot) = cluster.upgrade().await.map_err(failure)? {
        context
            .printer
            .say(format!("the profile was brought up to date; what was before is in the snapshot `{snapshot}`"));
    }
    if cluster.renew_running().await.map_err(failure)? {
        context.printer.say("certificates had expired and were made anew");
    }
    // Preferences are for new clusters.
    let preferences = Preferences::load(&context.home)?.wanted();
    let mut asked = wanted.clone();
    asked.settings.retain(|key, value| preferences.settings.get(key) != Some(value));
    // Those that are on stay on: `addons disable` switches off.
    let is_on = cluster.profile.addons.clone();
    if let Some(addons) = asked.settings.get_mut("addons") {
        addons.extend(is_on.into_iter().filter(|name| !addons.contains(name)).collect::<Vec<_>>());
    }
    let is_up = cluster.is_up().await;
    if !is_up {
        cluster.settle().map_err(failure)?;
    }
    let (after, changes) = cluster.difference(&asked).map_err(failure)?;
    if !changes.is_empty() {
        print_changes(&changes, context);
        if is_up && cluster.unpause().map_err(failure)? {
            context.printer.say("letting go on what was paused: a node that stands still is told nothing");
        }
        let now = after.clone().with_content_of(&cluster.profile);
        let made = cluster.change(now, &changes).await.map_err(failure)?;
        if made == Made::AtStart && is_up && !cluster.wants_another_node() {
            let option = super::option(&wanted.name, &context.home.active());
            let again = format!("coracle stop{option}; coracle start{option}");
            context.printer.warn(format!("some of it holds when the cluster starts the next time: {again}"));
        }
    }
    Ok((after, changes))
}

async fn running(cluster: &Cluster, changes: &[Change], context: &Context) -> Result<Exit, Failure> {
    let name = &cluster.profile.name;
    if changes.is_empty() {
        context.printer.say(format!("`{name}` is running already; nothing was changed"));
        context.printer.say("The running cluster does not require reconfiguration");
    } else {
        content::bring(cluster, &|text| context.printer.say(text), context).await?;
        cluster.save().map_err(|error| cluster_failure(error, name))?;
        context.printer.say(format!("`{name}` is running and was changed"));
    }
    Ok(Exit::Success)
}

/// Takes the proxies of this machine over, as they are now; a node that runs has them at once.
async fn take_proxies(cluster: &mut Cluster, context: &Context) -> Result<(), crate::cluster::Error> {
    for (name, value) in Proxy::local_ones() {
        context.printer.say(format!("Found network options: {name}={}", proxy_without_login(&value)));
        let why = "a node has a loopback of its own; images are pulled without it";
        context.printer.warn(format!("You appear to be using a proxy; it is not passed on to the node: {why}"));
    }
    let proxy = Proxy::from_environment(&cluster.profile.network);
    if !proxy.is_empty() {
        let told = proxy.told();
        context.printer.say(format!("Found network options: HTTP_PROXY={} HTTPS_PROXY={}", told.http, told.https));
    }
    if !proxy.is_empty() && !proxy.reaches_node(&cluster.profile.network) {
        let node = cluster.profile.network.node_address;
        context.printer.warn(format!("You appear to be using a proxy, but NO_PROXY does not name the node ({node})"));
    }
    if proxy == cluster.profile.proxy {
        return Ok(());
    }
    cluster.profile.proxy = proxy;
    cluster.save()?;
    cluster.renew_server().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Wanted;

    #[test]
    fn options_of_components_are_settings() {
        assert_eq!(extra("kubelet.max-pods=5").ok(), Some(("max-pods", "5".into())));
        assert!(extra("kubelet.max-pods").is_err() && extra("kubelet.nothing=1").is_err());
    }
    #[test]
    fn what_to_do_next_names_a_profile_that_is_not_the_active_one() {
        let profile = Wanted::named("two").resolve(&[]).unwrap();
        assert!(next(&profile, "one")[2].ends_with("--url -p two)"));
        assert!(next(&profile, "two")[2].ends_with("--url)"));
    }
}
