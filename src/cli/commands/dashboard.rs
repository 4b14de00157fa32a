//! `coracle dashboard`: the page of a cluster, in the user's browser and with the user's rights, until Ctrl-C.

use super::super::{Context, Exit, Failure};
use crate::addons::{CATALOG, catalog, is_wanted};
use crate::base::{Hint, atomic};
use crate::client::Client;
use crate::cluster::Cluster;
use crate::dashboard::commands::Commands;
use crate::dashboard::proxy::Proxy;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The addon, its namespace and its deployment.
const ADDON: &str = "dashboard";
const NAME: &str = "kubernetes-dashboard";
/// How long its pod may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What opens an address in the user's browser.
const OPENER: &str = "xdg-open";

/// Show the dashboard
#[derive(clap::Args)]
pub struct Arguments {
    /// Print its address only
    #[arg(long)]
    url: bool,
    /// Port of this machine; any free one when 0
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Serves the page until it is interrupted.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cluster = super::open_up(context).await?;
    let client = super::client(&cluster).await?;
    enable(&cluster, context).await?;
    answered(&client, context).await?;
    let commands = Commands {
        executable: std::env::current_exe()?,
        profile: cluster.profile.name.clone(),
        about: about(&cluster),
    };
    let proxy = Proxy::bind(arguments.port, client, commands).await.map_err(|error| {
        let what = format!("cannot listen on 127.0.0.1:{}: {error}", arguments.port);
        Failure::from(Hint::new(what, "coracle dashboard --port=0 takes a free port"))
    })?;
    let url = proxy.url()?;
    let _door = show(&url, arguments.url, context)?;
    tokio::select! {
        ended = proxy.serve() => ended?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(Exit::Success)
}

/// Switches the addon on where it is off.
async fn enable(cluster: &Cluster, context: &Context) -> Result<(), Failure> {
    match catalog::find(ADDON) {
        Some(addon) if !is_wanted(&cluster.profile, addon) => super::addons::enable(ADDON, context).await,
        _ => Ok(()),
    }
}

/// Waits until the addon's pod is ready.
async fn answered(client: &Client, context: &Context) -> Result<(), Failure> {
    let steps = context.printer.steps();
    steps.step("waiting for the dashboard's pod");
    let door = Api::<Deployment>::namespaced(client.clone(), NAME);
    let is_ready = |deployment: Option<&Deployment>| {
        let status = deployment.and_then(|deployment| deployment.status.as_ref());
        status.and_then(|status| status.available_replicas).unwrap_or_default() > 0
    };
    let waiting = crate::client::wait::until(door, NAME, is_ready);
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        let what = format!("the dashboard's pod is not ready after {} s", PATIENCE.as_secs());
        let hint = format!("kubectl describe pods -n {NAME}; `coracle addons enable {ADDON}` makes it anew");
        return Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Named(115, "SVC_UNREACHABLE") });
    }
    Ok(())
}

/// What the page is told of the cluster and its addons.
fn about(cluster: &Cluster) -> Value {
    let addons: Vec<Value> = CATALOG
        .iter()
        .map(|addon| {
            json!({"name": addon.name, "title": addon.field("title"), "description": addon.field("description")})
        })
        .collect();
    json!({
        "profile": cluster.profile.name,
        "version": env!("CARGO_PKG_VERSION"),
        "nodeAddress": cluster.profile.network.node_address.to_string(),
        "addons": addons,
    })
}

/// Says or opens the address. What is returned is to be kept as long as the page is served.
fn show(url: &str, is_bare: bool, context: &Context) -> Result<Option<Door>, Failure> {
    let opener = if is_bare { None } else { opener() };
    let Some(opener) = opener else {
        if !is_bare {
            context.printer.say("no browser was found on this machine; the dashboard is at");
        }
        context.printer.data(url);
        return Ok(None);
    };
    let door = Door::make(&context.home.profile_folder(&context.profile), url)?;
    context.printer.say(format!("opening {url} in the browser; Ctrl-C ends it"));
    // What the browser says of itself is not for this terminal.
    let quiet = tokio::process::Command::new(opener)
        .arg(&door.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = quiet {
        context.printer.warn(format!("the browser could not be opened: {error}"));
    }
    Ok(Some(door))
}

/// The program that opens addresses, where there is a screen for it.
fn opener() -> Option<PathBuf> {
    let has_screen =
        ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|at| !at.is_empty()));
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders).map(|folder| folder.join(OPENER)).filter(|path| path.is_file());
    if has_screen { found.next() } else { None }
}

/// A file of the user's own that leads the browser to the address: the words of a command, which the address would be one of,
/// are for every user of the machine to see. Gone with the command.
struct Door(PathBuf);

impl Door {
    fn make(folder: &Path, url: &str) -> std::io::Result<Self> {
        let path = folder.join("dashboard.html");
        let text = format!("<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={url}\">\n");
        atomic::write(&path, text.as_bytes(), 0o600)?;
        Ok(Self(path))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // One that is gone already need not be removed.
        std::fs::remove_file(&self.0).ok();
    }
}
