//! Follows every kind that can be deleted, custom ones from the moment on when they are served.

use super::graph::Graph;
use super::slim::Slim;
use crate::client::follow::{Seen, Whole, follow};
use crate::client::{Client, Selection};
use crate::control::controllers::Key;
use crate::control::controllers::discovery::{self, Served};
use futures::channel::mpsc::UnboundedSender;
use kube::Api;
use kube::discovery::verbs;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

/// Kinds that own nothing, are owned by nobody and come in masses, or that are other names of the same objects.
const IGNORED: &[(&str, &str)] =
    &[("", "events"), ("events.k8s.io", "events"), ("extensions", ""), ("metrics.k8s.io", "")];
/// Kinds that define kinds.
const DEFINING: &[&str] = &["customresourcedefinitions", "apiservices"];
/// How long the first lists may take before the collector starts without those that are missing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Delay after a discovery that failed, and to let changes of definitions settle.
const SETTLE: Duration = Duration::from_millis(100);
const FAILED: Duration = Duration::from_secs(5);

/// What all who follow a kind share.
#[derive(Clone)]
struct Shared {
    client: Client,
    graph: Arc<Mutex<Graph>>,
    keys: UnboundedSender<Vec<Key>>,
    /// Told when definitions of kinds changed.
    redefined: Arc<Notify>,
}

/// Follows until nobody listens to `keys`; tells `ready` when the graph holds what there was at the start.
pub async fn run(
    client: Client,
    graph: Arc<Mutex<Graph>>,
    keys: UnboundedSender<Vec<Key>>,
    ready: oneshot::Sender<()>,
) {
    let shared = Shared { client, graph, keys, redefined: Arc::default() };
    let mut followed: HashMap<Served, AbortHandle> = HashMap::new();
    let mut ready = Some(ready);
    while !shared.keys.is_closed() {
        let all = match discovery::served_by(&shared.client).await {
            Ok(all) => all,
            Err(error) => {
                tracing::debug!(error = %super::chain(&error), "discovery failed");
                tokio::time::sleep(FAILED).await;
                continue;
            }
        };
        let listed = change(&shared, &mut followed, all);
        if let Some(ready) = ready.take() {
            tokio::time::timeout(PATIENCE, futures::future::join_all(listed)).await.ok();
            // Nobody may be left to hear it.
            ready.send(()).ok();
        }
        shared.redefined.notified().await;
        tokio::time::sleep(SETTLE).await;
    }
    followed.into_values().for_each(|task| task.abort());
}

/// Follows what is new and drops what is no longer served. Returns what is done when the new kinds are listed.
fn change(
    shared: &Shared,
    followed: &mut HashMap<Served, AbortHandle>,
    all: Vec<Served>,
) -> Vec<oneshot::Receiver<()>> {
    let wanted: HashSet<Served> = all.into_iter().filter(is_followed).collect();
    followed.retain(|kind, task| {
        let stays = wanted.contains(kind);
        if !stays {
            task.abort();
            let mut graph = shared.graph.lock();
            let look = graph.of_kind(kind).iter().flat_map(|uid| graph.remove(uid)).collect();
            tell(&shared.keys, look);
        }
        stays
    });
    let mut listed = Vec::new();
    for kind in wanted {
        if let Entry::Vacant(vacant) = followed.entry(kind) {
            let (sender, receiver) = oneshot::channel();
            let task = tokio::spawn(one(shared.clone(), Arc::new(vacant.key().clone()), sender));
            vacant.insert(task.abort_handle());
            listed.push(receiver);
        }
    }
    listed
}

fn is_followed(kind: &Served) -> bool {
    let (group, plural) = (&kind.resource.group, &kind.resource.plural);
    let is_ignored = IGNORED.iter().any(|(one, name)| group == one && (name.is_empty() || plural == name));
    kind.is_deletable() && kind.supports(verbs::WATCH) && !is_ignored
}

/// Follows one kind.
async fn one(shared: Shared, kind: Arc<Served>, listed: oneshot::Sender<()>) {
    let api: Api<Slim> = Api::all_with(shared.client.clone(), &kind.resource);
    let defines = DEFINING.contains(&kind.resource.plural.as_str());
    let mut listed = Some(listed);
    let mut missing: HashSet<String> = HashSet::new();
    let tell = move |seen: Seen<Slim>| {
        let mut graph = shared.graph.lock();
        let look = match &seen {
            Seen::Listing => {
                missing = graph.of_kind(&kind);
                Vec::new()
            }
            Seen::Present(object) | Seen::Applied(object) => {
                if let Some(uid) = &object.metadata.uid {
                    missing.remove(uid);
                }
                graph.apply(&kind, object)
            }
            Seen::Listed(_) => missing.drain().flat_map(|uid| graph.remove(&uid)).collect(),
            Seen::Deleted(object) => graph.remove(object.metadata.uid.as_deref().unwrap_or_default()),
        };
        drop(graph);
        if matches!(seen, Seen::Listed(_)) {
            // Nobody waits for later lists.
            listed.take().map(|listed| listed.send(()).ok());
        }
        if defines && matches!(seen, Seen::Applied(_) | Seen::Deleted(_)) {
            shared.redefined.notify_one();
        }
        self::tell(&shared.keys, look);
    };
    follow(&Whole(api), &Selection::default(), tell).await;
}

fn tell(keys: &UnboundedSender<Vec<Key>>, uids: Vec<String>) {
    if !uids.is_empty() {
        // The runner is gone only at shutdown.
        keys.unbounded_send(uids.iter().map(|uid| Key::new("", uid)).collect()).ok();
    }
}
