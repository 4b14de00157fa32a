//! Charts as objects: `HelmChart` and `HelmChartConfig` of `helm.cattle.io/v1`, as k3s users write them, reconciled into
//! releases.
//!
//! ```text
//!            told, or due again                 wanted == what was installed
//!  (idle) ---------------------> install/upgrade -------------------------> (idle)
//!    ^                             |        |
//!    |      deletion asked for     | failed: status and event say why; again after a delay,
//!    +---- uninstall, finalizer ---+         by the failure policy
//! ```
//!
//! There is no job and no pod: the work is done in the server's process, through the client. One chart is worked on by one
//! task at a time; different charts go side by side.

mod access;
mod reconcile;
mod referrers;
mod wanted;

use crate::charts::template::on_stack;
use crate::client::follow::{Seen, Whole, follow};
use crate::client::{Client, Recorder, Selection};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use referrers::Referrers;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

/// Group and version of the objects.
pub const API_VERSION: &str = "helm.cattle.io/v1";
/// What keeps an object until its release is gone: k3s' own.
pub const FINALIZER: &str = "wrangler.cattle.io/on-helm-chart-remove";

/// The name under which events are told, k3s' own.
const COMPONENT: &str = "helm-controller";
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(300);

/// Namespace and name of a chart object; its config has the same.
type Key = (String, String);

/// What a reconcile ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    /// Nothing to do until something changes.
    Settled,
    /// What failed is tried again when its time has come, and nothing else was asked for meanwhile.
    Waiting,
    /// To be tried again; what was tried has this hash.
    Again(String),
}

/// Why a chart object is to be looked at.
enum Told {
    /// It, or something that it names, was seen or changed.
    Changed(Key),
    /// It is to go: what is done for it is of no use any more.
    Leaving(Key),
    /// The time of this turn of trying has come.
    Due(Key, u64),
}

/// Something that failed and will be tried again.
struct Failure {
    count: u32,
    hash: String,
    /// Of several timers only that of the last turn counts.
    turn: u64,
}

/// With what charts are worked on.
struct Context {
    client: Client,
    recorder: Recorder,
    referrers: Referrers,
}

/// Reconciles chart objects until `shutdown` is done.
pub async fn run(client: Client, shutdown: impl Future<Output = ()>) {
    let (sender, mut told) = unbounded_channel();
    let mut watches = JoinSet::new();
    for (kind, plural) in [("HelmChart", "helmcharts"), ("HelmChartConfig", "helmchartconfigs")] {
        watches.spawn(watch(client.clone(), kind, plural, sender.clone()));
    }
    let recorder = Recorder::new(client.clone(), COMPONENT, "");
    let context = Arc::new(Context { client, recorder, referrers: Referrers::default() });
    let mut works = Works::new(context.clone(), sender.clone());
    let mut follows_secrets = false;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            Some(one) = told.recv() => works.begin(one),
            Some(ended) = works.running.join_next_with_id() => {
                works.end(ended);
                // Most clusters have no chart whose values are in Secrets, and need no watch.
                if !follows_secrets && !context.referrers.is_empty() {
                    follows_secrets = true;
                    watches.spawn(referrers::follow_secrets(context.clone(), sender.clone()));
                }
            }
        }
    }
}

/// The charts that are worked on, and those that wait.
struct Works {
    context: Arc<Context>,
    sender: UnboundedSender<Told>,
    running: JoinSet<Done>,
    keys: HashMap<Id, Key>,
    busy: HashSet<Key>,
    /// What breaks off the work on a chart that leaves.
    stops: HashMap<Key, oneshot::Sender<()>>,
    /// Charts to look at once more, and whether the time of a failure has come.
    meanwhile: HashMap<Key, bool>,
    failures: HashMap<Key, Failure>,
    turns: u64,
}

impl Works {
    fn new(context: Arc<Context>, sender: UnboundedSender<Told>) -> Self {
        let (running, turns) = (JoinSet::new(), 0);
        let (keys, busy, stops, meanwhile, failures) = Default::default();
        Self { context, sender, running, keys, busy, stops, meanwhile, failures, turns }
    }

    fn begin(&mut self, told: Told) {
        match told {
            Told::Changed(key) => self.start(key, false),
            Told::Leaving(key) => {
                // Work that has ended meanwhile hears nothing.
                self.stops.remove(&key).map(|stop| stop.send(()).ok());
                self.start(key, false);
            }
            Told::Due(key, turn) if self.failures.get(&key).is_some_and(|failure| failure.turn == turn) => {
                self.start(key, true);
            }
            Told::Due(..) => {}
        }
    }

    /// Looks at a chart, unless somebody does: then once more after that.
    fn start(&mut self, key: Key, is_due: bool) {
        if self.busy.contains(&key) {
            *self.meanwhile.entry(key).or_default() |= is_due;
            return;
        }
        self.busy.insert(key.clone());
        // A failure writes a status, which is a change: it is no reason to try the same at once.
        let tried = if is_due { None } else { self.failures.get(&key).map(|failure| failure.hash.clone()) };
        let (context, own) = (self.context.clone(), key.clone());
        let runtime = Handle::current();
        // Nobody is left to stop it when the server ends: then it is to stop as well.
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    done = reconcile::one(&context, &own, tried.as_deref()) => done,
                    _ = stopped => Done::Waiting,
                }
            })
        };
        // A thread of its own: charts take the processor for a while. With a deep stack: they may nest what they say.
        let work = move || on_stack(work).unwrap_or_else(|_| Done::Again(String::new()));
        self.stops.insert(key.clone(), stop);
        self.keys.insert(self.running.spawn_blocking(work).id(), key);
    }

    fn end(&mut self, ended: Result<(Id, Done), JoinError>) {
        let (id, done) = ended.unwrap_or_else(|error| {
            tracing::warn!(%error, "work on a chart broke off");
            (error.id(), Done::Again(String::new()))
        });
        let Some(key) = self.keys.remove(&id) else { return };
        self.busy.remove(&key);
        self.stops.remove(&key);
        match done {
            Done::Settled => drop(self.failures.remove(&key)),
            Done::Waiting => {}
            Done::Again(hash) => self.try_again(&key, hash),
        }
        if let Some(is_due) = self.meanwhile.remove(&key) {
            self.start(key, is_due);
        }
    }

    /// Later each time, as long as the same is tried.
    fn try_again(&mut self, key: &Key, hash: String) {
        self.turns += 1;
        let turn = self.turns;
        let before = self.failures.get(key).filter(|failure| failure.hash == hash).map(|failure| failure.count + 1);
        let count = before.unwrap_or_default();
        self.failures.insert(key.clone(), Failure { count, hash, turn });
        let delay = FIRST_DELAY.saturating_mul(1 << count.min(16)).min(LAST_DELAY);
        let (sender, key) = (self.sender.clone(), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The receiver is gone when the server ends.
            sender.send(Told::Due(key, turn)).ok();
        });
    }
}

/// Tells the key of every object that is there or changes.
async fn watch(client: Client, kind: &str, plural: &str, sender: UnboundedSender<Told>) {
    let gvk = GroupVersionKind::gvk("helm.cattle.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let source = Whole(Api::<DynamicObject>::all_with(client, &resource));
    let is_chart = kind == "HelmChart";
    // An object that leaves is told so once: the work that takes its release away changes it too.
    let mut leaving = HashSet::new();
    follow(&source, &Selection::default(), move |seen| {
        let (Seen::Present(object) | Seen::Applied(object) | Seen::Deleted(object)) = &seen else { return };
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        let is_gone = matches!(seen, Seen::Deleted(_));
        let leaves = is_chart && !is_gone && object.metadata.deletion_timestamp.is_some();
        let told = match leaves && leaving.insert(key.clone()) {
            true => Told::Leaving(key.clone()),
            false => Told::Changed(key.clone()),
        };
        if is_gone {
            leaving.remove(&key);
        }
        // The receiver lives as long as the watch.
        sender.send(told).ok();
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;

    fn works() -> (Works, tokio::sync::mpsc::UnboundedReceiver<Told>) {
        let client = Mock::default().client();
        let recorder = Recorder::new(client.clone(), COMPONENT, "");
        let context = Arc::new(Context { client, recorder, referrers: Referrers::default() });
        let (sender, told) = unbounded_channel();
        (Works::new(context, sender), told)
    }

    async fn due(told: &mut tokio::sync::mpsc::UnboundedReceiver<Told>) -> (u64, Duration) {
        let began = tokio::time::Instant::now();
        match told.recv().await {
            Some(Told::Due(_, turn)) => (turn, began.elapsed()),
            _ => panic!("nothing is due"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_is_tried_later_each_time_and_something_else_soon() {
        let (mut works, mut told) = works();
        let key = ("sea".to_string(), "web".to_string());
        let mut delays = Vec::new();
        for hash in ["a", "a", "a", "b"] {
            works.try_again(&key, hash.into());
            delays.push(due(&mut told).await.1.as_secs());
        }
        assert_eq!(delays, [1, 2, 4, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_of_several_timers_counts() {
        let (mut works, mut told) = works();
        let key = ("sea".to_string(), "web".to_string());
        works.try_again(&key, "a".into());
        works.try_again(&key, "b".into());
        let (first, second) = (due(&mut told).await.0, due(&mut told).await.0);
        works.begin(Told::Due(key.clone(), first));
        assert!(works.busy.is_empty());
        works.begin(Told::Due(key.clone(), second));
        assert!(works.busy.contains(&key));
    }
}
