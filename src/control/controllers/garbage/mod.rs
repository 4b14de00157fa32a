//! The garbage collector: objects go with their owners. A key is the uid of an object of any kind.
//!
//! ```text
//! an object whose owners all are absent                  deleted
//! … and one of whose owners deletes in the foreground    deleted, in the foreground if it has dependents itself
//! an object with a present owner                         absent and leaving owners are struck out
//! an owner that deletes in the foreground                held until no dependent blocks it
//! an owner that orphans                                  struck out of its dependents, then free to go
//! ```
//!
//! Source of the rules: kubernetes `pkg/controller/garbagecollector/garbagecollector.go`.

mod graph;
mod monitor;
mod slim;
#[cfg(test)]
mod whole;

use super::discovery::{self, Served};
use super::runner::Next;
use super::watches::Watched;
use super::{Context, Controller, Error, Key, write};
use crate::base::causes::chain;
use crate::client::Level;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::{BoxFuture, join_all};
use futures::stream::Stream;
use futures::{FutureExt, StreamExt};
use graph::{FOREGROUND, Graph, Node, ORPHAN};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ApiResource, DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use parking_lot::Mutex;
use serde_json::{Value, json};
use slim::Slim;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

pub(super) const CONTROLLER: Controller = Controller {
    name: "garbage-collector-controller",
    watches: &[everything],
    reconcile: |context, key| async move { reconcile(&context, &key.name).await }.boxed(),
};

/// What the collector knows.
#[derive(Default)]
pub(super) struct Collector {
    graph: Arc<Mutex<Graph>>,
    /// Asks for further looks.
    look: Mutex<Option<UnboundedSender<Vec<Key>>>>,
    /// Kinds that owners were found to be of, by API version and kind.
    kinds: Mutex<HashMap<(String, String), Served>>,
    /// Whether the graph holds what there was at the start.
    listed: watch::Sender<bool>,
}

impl Collector {
    /// The namespaces in which objects of any kind go, and what is done when the first list is complete.
    pub(super) fn goings(&self) -> (BoxFuture<'static, ()>, impl Stream<Item = String> + Send + 'static) {
        let (sender, namespaces) = unbounded();
        self.graph.lock().watch(sender);
        let mut listed = self.listed.subscribe();
        // The sender lives as long as the controllers.
        (async move { drop(listed.wait_for(|listed| *listed).await) }.boxed(), namespaces)
    }

    /// How many objects of a resource a namespace has.
    pub(super) fn count(&self, group: &str, resource: &str, namespace: &str) -> usize {
        self.graph.lock().count(group, resource, namespace)
    }

    fn look_at(&self, uids: impl IntoIterator<Item = String>) {
        let keys: Vec<Key> = uids.into_iter().map(|uid| Key::new("", &uid)).collect();
        if let Some(look) = &*self.look.lock() {
            // The runner is gone only at shutdown.
            look.unbounded_send(keys).ok();
        }
    }
}

fn everything(context: &Context) -> Watched {
    let (sender, keys) = unbounded();
    let (ready, listed) = oneshot::channel();
    *context.garbage.look.lock() = Some(sender.clone());
    tokio::spawn(monitor::run(context.client.clone(), context.garbage.graph.clone(), sender, ready));
    let complete = context.garbage.listed.clone();
    let ready = async move {
        // An error means that nobody follows any more: shutdown.
        listed.await.ok();
        complete.send_replace(true);
    };
    Watched { ready: ready.boxed(), keys: keys.boxed() }
}

async fn reconcile(context: &Context, uid: &str) -> Result<Next, Error> {
    let Some(item) = context.garbage.graph.lock().get(uid).cloned() else { return Ok(Next::Wait) };
    if item.lets_go() {
        orphan_dependents(context, uid, &item).await?;
    } else if item.deletes_dependents() {
        delete_dependents(context, uid, &item).await?;
    }
    // One that goes by itself needs no help; one that waits for its dependents may be waited for by its own owner.
    if item.terminating && !item.deletes_dependents() {
        return Ok(Next::Wait);
    }
    collect(context, uid, &item).await?;
    Ok(Next::Wait)
}

fn door(context: &Context, kind: &Served, namespace: &str) -> Api<Slim> {
    match kind.namespaced {
        true => Api::namespaced_with(context.client.clone(), namespace, &kind.resource),
        false => Api::all_with(context.client.clone(), &kind.resource),
    }
}

/// The object as it is now, if it is still the one of the uid.
async fn current(context: &Context, uid: &str, item: &Node) -> Result<Option<Slim>, Error> {
    let found = door(context, &item.kind, &item.namespace).get_opt(&item.name).await?;
    Ok(found.filter(|found| found.metadata.uid.as_deref() == Some(uid)))
}

/// How the owners of an object are.
#[derive(Default)]
struct Owners {
    solid: bool,
    /// Uids of owners that are absent, and of those that wait for their dependents.
    absent: Vec<String>,
    waiting: Vec<String>,
}

async fn collect(context: &Context, uid: &str, item: &Node) -> Result<(), Error> {
    if item.owners.is_empty() || is_well_owned(context, item) {
        return Ok(());
    }
    let Some(found) = current(context, uid, item).await? else {
        let look = context.garbage.graph.lock().remove(uid);
        context.garbage.look_at(look);
        return Ok(());
    };
    let references = found.metadata.owner_references.clone().unwrap_or_default();
    let owners = classify(context, item, uid, &references).await?;
    if references.is_empty() || (owners.absent.is_empty() && owners.waiting.is_empty()) {
        return Ok(());
    }
    if owners.solid {
        let gone: Vec<String> = owners.absent.into_iter().chain(owners.waiting).collect();
        return strike_out(context, item, &found, |owner| !gone.contains(&owner.uid)).await;
    }
    if item.terminating {
        return Ok(());
    }
    let dependents = context.garbage.graph.lock().dependents(uid);
    let mut found = found;
    let policy = if !owners.waiting.is_empty() && !dependents.is_empty() {
        if dependents.iter().any(|(_, dependent)| dependent.deletes_dependents()) {
            unblock(context, item, &found).await?;
            let Some(unblocked) = current(context, uid, item).await? else { return Ok(()) };
            found = unblocked;
        }
        PropagationPolicy::Foreground
    } else {
        policy(&found)
    };
    delete(context, item, uid, &found, policy).await
}

/// Whether the graph alone tells that all owners are there.
fn is_well_owned(context: &Context, item: &Node) -> bool {
    let graph = context.garbage.graph.lock();
    item.owners.iter().all(|owner| {
        let node = graph.get(&owner.uid);
        node.is_some_and(|node| node.is_meant(owner, &item.namespace) && !node.deletes_dependents())
    })
}

/// The policy that an object's finalizers ask for.
fn policy(object: &Slim) -> PropagationPolicy {
    let has = |finalizer: &str| object.metadata.finalizers.iter().flatten().any(|own| own == finalizer);
    if has(ORPHAN) {
        PropagationPolicy::Orphan
    } else if has(FOREGROUND) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    }
}

async fn classify(context: &Context, item: &Node, uid: &str, references: &[OwnerReference]) -> Result<Owners, Error> {
    let mut owners = Owners::default();
    for reference in references {
        match state(context, item, uid, reference).await? {
            State::Solid => owners.solid = true,
            State::Absent => owners.absent.push(reference.uid.clone()),
            State::Waiting => owners.waiting.push(reference.uid.clone()),
        }
    }
    Ok(owners)
}

enum State {
    Solid,
    Absent,
    Waiting,
}

/// How one owner is: by the graph if it knows, else by asking.
async fn state(context: &Context, item: &Node, uid: &str, reference: &OwnerReference) -> Result<State, Error> {
    let of = |waits: bool| if waits { State::Waiting } else { State::Solid };
    let (known, is_gone) = {
        let graph = context.garbage.graph.lock();
        (graph.get(&reference.uid).cloned(), graph.is_gone(&reference.uid))
    };
    if is_gone {
        return Ok(State::Absent);
    }
    if let Some(owner) = &known {
        if owner.is_meant(reference, &item.namespace) {
            return Ok(of(owner.deletes_dependents()));
        }
        if owner.kind.namespaced && *owner.namespace != *item.namespace {
            warn(context, item, uid, reference);
        }
    }
    let kind = kind_of(context, reference).await?;
    if kind.namespaced && !item.kind.namespaced {
        // Such a reference can never be followed; it is left alone, as upstream does.
        warn(context, item, uid, reference);
        return Ok(State::Solid);
    }
    let found = door(context, &kind, &item.namespace).get_opt(&reference.name).await?;
    let Some(found) = found.filter(|found| found.metadata.uid.as_deref() == Some(&reference.uid)) else {
        return Ok(State::Absent);
    };
    let meta = &found.metadata;
    let waits = meta.finalizers.iter().flatten().any(|own| own == FOREGROUND);
    Ok(of(meta.deletion_timestamp.is_some() && waits))
}

fn warn(context: &Context, item: &Node, uid: &str, reference: &OwnerReference) {
    let OwnerReference { api_version, kind, name, uid: owner, .. } = reference;
    let text = format!(
        "ownerRef [{api_version}/{kind}, namespace: {0}, name: {name}, uid: {owner}] does not exist in namespace {0:?}",
        &*item.namespace
    );
    let about = ObjectReference {
        api_version: Some(item.kind.resource.api_version.clone()),
        kind: Some(item.kind.resource.kind.clone()),
        namespace: Some(item.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
        name: Some(item.name.to_string()),
        uid: Some(uid.to_string()),
        ..Default::default()
    };
    context.record_about(CONTROLLER.name, about, Level::Warning, "OwnerRefInvalidNamespace", text);
}

/// The kind that an owner reference names, in the version that it names.
pub(super) async fn kind_of(context: &Context, reference: &OwnerReference) -> Result<Served, Error> {
    let key = (reference.api_version.clone(), reference.kind.clone());
    if let Some(kind) = context.garbage.kinds.lock().get(&key) {
        return Ok(kind.clone());
    }
    let (group, version) = reference.api_version.split_once('/').unwrap_or(("", &reference.api_version));
    let all = discovery::served(context).await?;
    let is_meant = |kind: &&Served| kind.resource.group == group && kind.resource.kind == reference.kind;
    let found = all.iter().find(is_meant).ok_or_else(|| {
        Error::Invalid(format!("no matches for kind {:?} in version {:?}", reference.kind, reference.api_version))
    })?;
    let resource = ApiResource {
        version: version.to_string(),
        api_version: reference.api_version.clone(),
        ..found.resource.clone()
    };
    let kind = Served { resource, ..found.clone() };
    context.garbage.kinds.lock().insert(key, kind.clone());
    Ok(kind)
}

async fn delete(
    context: &Context,
    item: &Node,
    uid: &str,
    found: &Slim,
    policy: PropagationPolicy,
) -> Result<(), Error> {
    let params = DeleteParams {
        propagation_policy: Some(policy),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_string()),
            // An owner may have adopted it meanwhile.
            resource_version: found.metadata.resource_version.clone(),
        }),
        ..Default::default()
    };
    match door(context, &item.kind, &item.namespace).delete(&item.name, &params).await {
        Err(error) if write::code(&error) != 404 => Err(error.into()),
        _ => Ok(()),
    }
}

/// Merges a patch of metadata into an object, if it is unchanged.
async fn patch_meta(context: &Context, item: &Node, found: &Slim, mut meta: Value) -> Result<(), Error> {
    meta["uid"] = json!(found.metadata.uid);
    meta["resourceVersion"] = json!(found.metadata.resource_version);
    let patch = Patch::Merge(json!({"metadata": meta}));
    match door(context, &item.kind, &item.namespace).patch(&item.name, &PatchParams::default(), &patch).await {
        Err(error) if write::code(&error) != 404 => Err(error.into()),
        _ => Ok(()),
    }
}

/// Keeps the owners that `stays` says.
async fn strike_out(
    context: &Context,
    item: &Node,
    found: &Slim,
    stays: impl Fn(&OwnerReference) -> bool,
) -> Result<(), Error> {
    let mut owners = found.metadata.owner_references.clone().unwrap_or_default();
    let before = owners.len();
    owners.retain(stays);
    if owners.len() == before {
        return Ok(());
    }
    patch_meta(context, item, found, json!({"ownerReferences": owners})).await
}

/// Lets owners go although this object is still there: it waits for them, and they for it.
async fn unblock(context: &Context, item: &Node, found: &Slim) -> Result<(), Error> {
    let mut owners = found.metadata.owner_references.clone().unwrap_or_default();
    owners.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
    patch_meta(context, item, found, json!({"ownerReferences": owners})).await
}

async fn take_finalizer(context: &Context, uid: &str, item: &Node, finalizer: &str) -> Result<(), Error> {
    let Some(found) = current(context, uid, item).await? else { return Ok(()) };
    let mut finalizers = found.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|own| own != finalizer);
    patch_meta(context, item, &found, json!({"finalizers": finalizers})).await
}

async fn orphan_dependents(context: &Context, uid: &str, item: &Node) -> Result<(), Error> {
    let dependents = context.garbage.graph.lock().dependents(uid);
    let freed = join_all(dependents.iter().map(|(dependent_uid, dependent)| async move {
        let Some(found) = current(context, dependent_uid, dependent).await? else { return Ok(()) };
        strike_out(context, dependent, &found, |owner| owner.uid != uid).await
    }))
    .await;
    freed.into_iter().collect::<Result<(), Error>>()?;
    take_finalizer(context, uid, item, ORPHAN).await
}

/// Lets an owner go if no dependent blocks it; else those that do are looked at.
async fn delete_dependents(context: &Context, uid: &str, item: &Node) -> Result<(), Error> {
    let dependents = context.garbage.graph.lock().dependents(uid);
    let blocks = |node: &Node| {
        let mut blocking = node.owners.iter().filter(|owner| owner.block_owner_deletion == Some(true));
        blocking.any(|owner| owner.uid == uid)
    };
    let blocking: Vec<_> = dependents.into_iter().filter(|(_, node)| blocks(node)).collect();
    if blocking.is_empty() {
        return take_finalizer(context, uid, item, FOREGROUND).await;
    }
    let idle = blocking.into_iter().filter(|(_, node)| !node.deletes_dependents());
    context.garbage.look_at(idle.map(|(uid, _)| uid));
    Ok(())
}
