//! Charts as objects: `HelmChart` and `HelmChartConfig` of `helm.cattle.io/v1`, as k3s users write them, reconciled into
//! releases.
//!
//! ```text
//!            told, or due again                 wanted == what was installed
//!  (idle) ---------------------> install/upgrade -------------------------> (idle)
//!    ^                             |        |
//!    |      deletion asked for     | failed: status says why; again after a delay
//!    +---- uninstall, finalizer ---+
//! ```
//!
//! There is no job and no pod: the work is done in the server's process, through the client. One chart is worked on by one
//! task at a time; different charts go side by side.

mod reconcile;
mod wanted;

use crate::client::Client;
use crate::client::Selection;
use crate::client::follow::{Seen, Whole, follow};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{Id, JoinSet};

/// Group and version of the objects.
pub const API_VERSION: &str = "helm.cattle.io/v1";
/// What keeps an object until its release is gone: k3s' own.
pub const FINALIZER: &str = "wrangler.cattle.io/on-helm-chart-remove";

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(300);

/// Namespace and name of a chart object; its config has the same.
type Key = (String, String);

/// What a reconcile ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// Nothing to do until something changes.
    Settled,
    /// To be tried again.
    Again,
}

/// Reconciles chart objects until `shutdown` is done.
pub async fn run(client: Client, shutdown: impl Future<Output = ()>) {
    let (sender, mut told) = unbounded_channel::<Key>();
    let mut watches = JoinSet::new();
    for (kind, plural) in [("HelmChart", "helmcharts"), ("HelmChartConfig", "helmchartconfigs")] {
        watches.spawn(watch(client.clone(), kind, plural, sender.clone()));
    }
    let mut works: JoinSet<Done> = JoinSet::new();
    let mut running: HashMap<Id, Key> = HashMap::new();
    let mut busy: HashSet<Key> = HashSet::new();
    let mut told_meanwhile: HashSet<Key> = HashSet::new();
    let mut failures: HashMap<Key, u32> = HashMap::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            Some(key) = told.recv() => {
                if busy.contains(&key) {
                    told_meanwhile.insert(key);
                    continue;
                }
                busy.insert(key.clone());
                let (client, own) = (client.clone(), key.clone());
                // A thread of its own: rendering takes the processor for a while.
                let runtime = Handle::current();
                let handle = works.spawn_blocking(move || runtime.block_on(reconcile::one(&client, &own.0, &own.1)));
                running.insert(handle.id(), key);
            }
            Some(ended) = works.join_next_with_id() => {
                let (id, done) = match ended {
                    Ok((id, done)) => (id, done),
                    Err(error) => {
                        tracing::warn!(%error, "work on a chart broke off");
                        (error.id(), Done::Again)
                    }
                };
                let Some(key) = running.remove(&id) else { continue };
                busy.remove(&key);
                if told_meanwhile.remove(&key) {
                    // The receiver is above.
                    sender.send(key).ok();
                    continue;
                }
                match done {
                    Done::Settled => drop(failures.remove(&key)),
                    Done::Again => {
                        let count = failures.entry(key.clone()).or_insert(0);
                        let delay = FIRST_DELAY.saturating_mul(1 << (*count).min(16)).min(LAST_DELAY);
                        *count += 1;
                        let sender = sender.clone();
                        tokio::spawn(async move {
                            tokio::time::sleep(delay).await;
                            sender.send(key).ok();
                        });
                    }
                }
            }
        }
    }
}

/// Tells the key of every object that is there or changes.
async fn watch(client: Client, kind: &str, plural: &str, sender: UnboundedSender<Key>) {
    let gvk = GroupVersionKind::gvk("helm.cattle.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let source = Whole(Api::<DynamicObject>::all_with(client, &resource));
    follow(&source, &Selection::default(), move |seen| {
        if let Seen::Present(object) | Seen::Applied(object) | Seen::Deleted(object) = seen {
            // The receiver lives as long as the watch.
            sender.send((object.namespace().unwrap_or_default(), object.name_any())).ok();
        }
    })
    .await;
}
