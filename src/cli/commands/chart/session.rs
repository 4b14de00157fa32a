//! A command's way to a cluster: the client that the flags name, the releases in it, and what is shown meanwhile.

use super::scope::Globals;
use super::{Problem, Scope};
use crate::charts::release::{Actions, Cluster, Error, Node, Observer, readiness::State};
use crate::client::Client;
use crate::client::config::{Access, access, nowhere};
use crate::cluster::kubeconfig;
use crate::config::Home;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A cluster and what is done with its releases.
pub struct Session {
    /// It is there as long as the process: its end would wait for a rendering that was broken off, which may have none.
    runtime: &'static Runtime,
    pub actions: Actions,
    live: Arc<Live>,
    scope: Scope,
    /// Whether there is no cluster behind it.
    is_offline: bool,
}

/// What requests are made on. The one provider of cryptography comes with it; a second call would be refused, which is as good.
fn runtime() -> std::io::Result<&'static Runtime> {
    crate::base::crypto::install();
    Ok(Box::leak(Box::new(tokio::runtime::Builder::new_current_thread().enable_all().build()?)))
}

impl Session {
    /// The releases of the namespace that the flags name, or of all.
    pub fn open(scope: &Scope, all_namespaces: bool) -> Result<Self, Problem> {
        let runtime = runtime()?;
        let globals = &scope.globals;
        if let Some(hint) = paused(globals) {
            return Err(Problem(format!("kubernetes cluster unreachable: {hint}")));
        }
        let wanted = Access {
            kubeconfig: globals.kubeconfig(),
            context: globals.context(),
            server: globals.kube_apiserver.clone(),
            authority: globals.kube_ca_file.as_ref().map(Into::into),
            token: globals.kube_token.clone(),
            insecure: globals.kube_insecure_skip_tls_verify,
            server_name: globals.kube_tls_server_name.clone(),
            user: globals.kube_as_user.clone(),
            groups: globals.kube_as_group.clone(),
        };
        let made = runtime.block_on(access(&wanted));
        let (client, own) = made.map_err(|error| {
            let (why, hint) = (no_access(&error, &wanted), runtime.block_on(to_start(globals)));
            Problem(format!("kubernetes cluster unreachable: {why}{hint}"))
        })?;
        let namespace = match globals.namespace.as_deref().filter(|name| !name.is_empty()) {
            _ if all_namespaces => String::new(),
            Some(name) => name.to_string(),
            None => own,
        };
        Self::with(runtime, client, namespace, scope)
    }

    /// For what asks no cluster, which need not be there.
    pub fn offline(scope: &Scope) -> Result<Self, Problem> {
        let runtime = runtime()?;
        let made = {
            let _inside = runtime.enter();
            nowhere()
        };
        Ok(Self { is_offline: true, ..Self::with(runtime, made?, scope.namespace(), scope)? })
    }

    fn with(runtime: &'static Runtime, client: Client, namespace: String, scope: &Scope) -> Result<Self, Problem> {
        let driver = std::env::var("HELM_DRIVER").unwrap_or_default();
        if driver == "memory" {
            let why = "would forget the release when this command ends: use `secret` or `configmap`";
            return Err(Problem(format!("HELM_DRIVER `memory` {why}")));
        }
        let live = Arc::new(Live::new(scope.globals.debug));
        let actions = Actions::new(Cluster::new(client, namespace), &driver, live.clone())?;
        Ok(Self { runtime, actions, live, scope: scope.clone(), is_offline: false })
    }

    /// Does something on the cluster.
    pub fn run<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Problem> {
        let done = self.runtime.block_on(work);
        self.live.finish(done.is_err());
        done.map_err(|error| match (error.cause(), self.scope.server()) {
            // Helm asks for the version first, whatever is to be done.
            (Error::Unreachable(why), Some(server)) => {
                let why = crate::charts::dial_words(&server, why);
                let hint = self.runtime.block_on(to_start(&self.scope.globals));
                Problem(format!("kubernetes cluster unreachable: Get \"{server}/version\": {why}{hint}"))
            }
            _ => error.into(),
        })
    }

    /// Does something to a release; a signal breaks it off, and the release says so.
    pub fn run_on<T>(&self, name: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Problem> {
        self.run(async {
            tokio::select! {
                done = work => done,
                () = signalled() => {
                    self.scope.print(&format!("Release {name} has been cancelled.\n"));
                    if !self.is_offline {
                        self.actions.cancelled(name).await;
                    }
                    Err(Error::text("context canceled"))
                }
            }
        })
    }
}

/// How to start the cluster that the flags mean, where it is one of coracle's and does not run.
async fn to_start(globals: &Globals) -> String {
    if globals.is_elsewhere() {
        return String::new();
    }
    let home = Home::from_environment();
    let named = globals.context();
    let name = named.clone().unwrap_or_else(|| home.active());
    match crate::cluster::Cluster::open(&home, &name) {
        Ok(cluster) if !cluster.is_up().await => format!("\n\nhint: `{name}` does not run: coracle start -p {name}"),
        Err(_) if named.is_none() => "\n\nhint: coracle start".into(),
        _ => String::new(),
    }
}

/// What is to be said of a cluster of coracle's that the flags mean and that is paused: it would never answer.
fn paused(globals: &Globals) -> Option<String> {
    if globals.is_elsewhere() {
        return None;
    }
    let path = kubeconfig::path();
    let name = globals.context().or_else(|| kubeconfig::current(&path).ok())?;
    let cluster = crate::cluster::Cluster::open(&Home::from_environment(), &name).ok()?;
    let is_meant = matches!(kubeconfig::points_at(&path, &name, &cluster.server_url()), Ok(Some(true)));
    (is_meant && cluster.is_paused()).then(|| format!("`{name}` is paused\n\nhint: coracle unpause -p {name}"))
}

/// Why there is no way to a cluster, in Helm's words.
fn no_access(error: &dyn std::error::Error, wanted: &Access) -> String {
    if let Some(path) = &wanted.kubeconfig
        && let Err(error) = std::fs::metadata(path)
    {
        return crate::charts::Error::io("stat", path, &error).to_string();
    }
    // An error may say its cause's text itself.
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let text = causes.fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.ends_with(&cause) => text,
        cause => format!("{text}: {cause}"),
    });
    match text.split_once("failed to load current context: ") {
        Some((_, name)) => format!("context {name:?} does not exist"),
        None => text,
    }
}

/// Waits until somebody wants this process to end.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// What is shown on a terminal while something is waited for; elsewhere only warnings are.
struct Live {
    bar: Option<ProgressBar>,
    debug: bool,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    step: String,
    tree: Vec<Node>,
}

impl Live {
    fn new(debug: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, debug, shown: Mutex::default() }
    }

    fn draw(&self, shown: &Shown) {
        let Some(bar) = &self.bar else { return };
        let tree = tree_text(&shown.tree, 20);
        bar.set_message(if tree.is_empty() { shown.step.clone() } else { format!("{}\n{tree}", shown.step) });
    }

    /// Takes the picture away; after a failure what was not ready is told with its reasons.
    fn finish(&self, has_failed: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if has_failed && let Some(why) = self.why() {
            super::aside(format_args!("{why}"));
        }
    }

    /// What is not ready with its reasons, told once.
    fn why(&self) -> Option<String> {
        let tree = std::mem::take(&mut self.shown.lock().tree);
        let why: Vec<Node> = tree.into_iter().filter(|node| !node.reasons.is_empty()).collect();
        (!why.is_empty()).then(|| tree_text(&why, usize::MAX))
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| super::aside(format_args!("{line}"))),
            None => super::aside(format_args!("{line}")),
        }
    }
}

/// Objects that are waited for with what keeps them; those that are ready are one mark.
fn tree_text(nodes: &[Node], most: usize) -> String {
    let mut lines = Vec::new();
    for node in nodes {
        let mark = match node.state {
            State::Current | State::NotFound => '✓',
            State::Failed => '✗',
            State::InProgress | State::Terminating => '·',
        };
        let message = if node.state == State::Current { "" } else { node.message.as_str() };
        lines.push(format!("  {mark} {}  {message}", node.what).trim_end().to_string());
        lines.extend(node.reasons.iter().map(|reason| format!("      {} {}", reason.what, reason.why)));
    }
    if lines.len() > most {
        let more = lines.len() - most;
        lines.truncate(most);
        lines.push(format!("  ... {more} more"));
    }
    lines.join("\n")
}

impl Observer for Live {
    fn step(&self, text: &str) {
        if self.debug {
            self.say(&format!("level=DEBUG msg={text:?}"));
        }
        let mut shown = self.shown.lock();
        shown.step = text.to_string();
        shown.tree.clear();
        self.draw(&shown);
    }

    fn tree(&self, nodes: &[Node]) {
        let mut shown = self.shown.lock();
        shown.tree = nodes.to_vec();
        self.draw(&shown);
    }

    fn failed(&self) {
        if let Some(why) = self.why() {
            self.say(&why);
        }
    }

    fn log(&self, _namespace: &str, _pod: &str, _container: &str, text: &str) {
        self.say(text.trim_end_matches('\n'));
    }

    fn server_warns(&self, text: &str) {
        self.say(&format!("Warning: {text}"));
    }

    fn warn(&self, text: &str) {
        self.say(&format!("level=WARN msg={text:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::release::Reason;

    #[test]
    fn the_tree_shows_what_is_missing_and_why() {
        let node = |what: &str, state: State, message: &str, reasons: Vec<Reason>| Node {
            what: what.into(),
            namespace: "one".into(),
            state,
            message: message.into(),
            reasons,
        };
        let reason = Reason { what: "pod web-1".into(), why: "container app: ErrImagePull".into() };
        let nodes = [
            node("Service/web", State::Current, "Service is ready", Vec::new()),
            node("Deployment/web", State::InProgress, "Available: 0/1", vec![reason]),
        ];
        let wanted = "  ✓ Service/web\n  · Deployment/web  Available: 0/1\n      pod web-1 container app: ErrImagePull";
        assert_eq!(tree_text(&nodes, 9), wanted);
        assert_eq!(tree_text(&nodes, 1), "  ✓ Service/web\n  ... 2 more");
    }
}
