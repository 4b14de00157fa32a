//! Namespaces that are being deleted: first their pods, then everything else by discovery, then the finalizer.
//!
//! Source of the rules and wording: kubernetes `pkg/controller/namespace/deletion/namespaced_resources_deleter.go` and
//! `status_condition_utils.go`.

use super::discovery::{Served, served};
use super::runner::Next;
use super::watches::{changes, own};
use super::{Context, Controller, Error, Key, write};
use crate::base::causes::chain;
use crate::client::Change;
use futures::FutureExt;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams, PropagationPolicy};
use kube::discovery::verbs;
use std::collections::BTreeMap;
use std::time::Duration;

/// The finalizer that this controller takes away.
const FINALIZER: &str = "kubernetes";
/// How long to wait before looking again at content that only its own finalizers hold.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) const CONTROLLER: Controller = Controller {
    name: "namespace-controller",
    watches: &[own::<Namespace>, |context| {
        let namespaces = context.caches.of::<Namespace>();
        changes::<Pod>(context, move |change| {
            let Change::Deleted(pod) = change else { return Vec::new() };
            let name = pod.metadata.namespace.clone().unwrap_or_default();
            let namespace = namespaces.get("", &name);
            let is_going = namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some());
            if is_going { vec![Key::new("", &name)] } else { Vec::new() }
        })
    }],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// What a round of deletion found.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// `resource.group` and how many objects are left.
    remaining: BTreeMap<String, usize>,
    /// Finalizers that hold them, and how many each.
    finalizers: BTreeMap<String, usize>,
    /// What went wrong with discovery, and with deletion.
    discovery: Option<String>,
    deletion: Vec<String>,
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(namespace) = context.caches.of::<Namespace>().get("", &key.name) else { return Ok(Next::Wait) };
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
    if namespace.metadata.deletion_timestamp.is_none() || finalizers.is_empty() {
        return Ok(Next::Wait);
    }
    let found = empty(context, &key.name).await;
    write_status(context, &namespace, &found).await?;
    if !found.deletion.is_empty() || found.discovery.is_some() {
        let all: Vec<String> = found.discovery.into_iter().chain(found.deletion).collect();
        return Err(Error::Invalid(all.join(", ")));
    }
    if found.remaining.is_empty() {
        finalize(context, &namespace).await?;
        return Ok(Next::Wait);
    }
    // Pods tell when they go. What else is left waits for somebody's finalizer, of kinds that nobody here watches.
    if found.remaining.keys().all(|resource| resource == "pods") {
        return Ok(Next::Wait);
    }
    Ok(Next::After(LOOK_AGAIN))
}

/// Deletes what is in the namespace and counts what is left.
async fn empty(context: &Context, namespace: &str) -> Found {
    let mut found = Found::default();
    let all = match served(context).await {
        Ok(all) => all,
        Err(error) => {
            found.discovery = Some(chain(&error));
            return found;
        }
    };
    let is_pods = |kind: &&Served| kind.resource.group.is_empty() && kind.resource.plural == "pods";
    let deletable: Vec<&Served> = all.iter().filter(|kind| kind.namespaced && kind.is_deletable()).collect();
    for kind in deletable.iter().copied().filter(is_pods) {
        found.add(kind, empty_kind(context, kind, namespace).await);
    }
    // Pods may need what else is there until they ended: volumes, configuration, the account that they run as.
    if found.remaining.is_empty() && found.deletion.is_empty() {
        let others = deletable.iter().copied().filter(|kind| !is_pods(kind));
        let left = join_all(others.map(|kind| async move { (kind, empty_kind(context, kind, namespace).await) })).await;
        left.into_iter().for_each(|(kind, left)| found.add(kind, left));
    }
    found
}

/// Deletes all objects of a kind; returns those that are left, with their finalizers.
async fn empty_kind(context: &Context, kind: &Served, namespace: &str) -> Result<Vec<Vec<String>>, kube::Error> {
    let door: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind.resource);
    let background = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..Default::default() };
    let list = ListParams::default();
    if door.list_metadata(&list.clone().limit(1)).await?.items.is_empty() {
        return Ok(Vec::new());
    }
    if kind.supports(verbs::DELETE_COLLECTION) {
        door.delete_collection(&background, &list).await?;
    } else {
        for object in door.list_metadata(&list).await?.items {
            let deleted = door.delete(object.metadata.name.as_deref().unwrap_or_default(), &background).await;
            deleted.map(drop).or_else(|error| if write::code(&error) == 404 { Ok(()) } else { Err(error) })?;
        }
    }
    let left = door.list_metadata(&list).await?.items;
    Ok(left.into_iter().map(|object| object.metadata.finalizers.unwrap_or_default()).collect())
}

impl Found {
    fn add(&mut self, kind: &Served, left: Result<Vec<Vec<String>>, kube::Error>) {
        match left {
            Ok(left) if left.is_empty() => {}
            Ok(left) => {
                self.remaining.insert(kind.qualified(), left.len());
                left.into_iter().flatten().for_each(|finalizer| *self.finalizers.entry(finalizer).or_default() += 1);
            }
            // The kind went, or cannot be deleted after all.
            Err(error) if matches!(write::code(&error), 404 | 405) => {}
            Err(error) => self.deletion.push(format!("{}: {}", kind.qualified(), chain(&error))),
        }
    }

    /// The conditions that tell of it: type, whether it holds, reason and message of each case.
    fn conditions(&self) -> [(&'static str, bool, &'static str, String); 5] {
        let remaining = self.remaining.iter().map(|(kind, count)| format!("{kind} has {count} resource instances"));
        let held = self.finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances"));
        let join = |parts: Vec<String>| parts.join(", ");
        let case = |kind, texts: Vec<String>, good: (&'static str, &str), bad: (&'static str, &str)| {
            if texts.is_empty() {
                (kind, false, good.0, good.1.to_string())
            } else {
                (kind, true, bad.0, format!("{}{}", bad.1, join(texts)))
            }
        };
        [
            case(
                "NamespaceDeletionDiscoveryFailure",
                self.discovery.iter().cloned().collect(),
                ("ResourcesDiscovered", "All resources successfully discovered"),
                ("DiscoveryFailed", "Discovery failed for some groups: "),
            ),
            case(
                "NamespaceDeletionGroupVersionParsingFailure",
                Vec::new(),
                ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
                ("GroupVersionParsingFailed", ""),
            ),
            case(
                "NamespaceDeletionContentFailure",
                self.deletion.clone(),
                ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
                ("ContentDeletionFailed", "Failed to delete all resource types: "),
            ),
            case(
                "NamespaceContentRemaining",
                remaining.collect(),
                ("ContentRemoved", "All content successfully removed"),
                ("SomeResourcesRemain", "Some resources are remaining: "),
            ),
            case(
                "NamespaceFinalizersRemaining",
                held.collect(),
                ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
                ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: "),
            ),
        ]
    }
}

async fn write_status(context: &Context, namespace: &Namespace, found: &Found) -> Result<(), Error> {
    let mut status = namespace.status.clone().unwrap_or_default();
    status.phase = Some("Terminating".into());
    // A namespace that empties at once needs no story.
    if status.conditions.is_some() || *found != Found::default() {
        status.conditions = Some(merged(status.conditions.unwrap_or_default(), found, Timestamp::now()));
    }
    write::merge_status(context, namespace, status).await.map(drop)
}

fn merged(old: Vec<NamespaceCondition>, found: &Found, now: Timestamp) -> Vec<NamespaceCondition> {
    let condition = |(kind, holds, reason, message): (&'static str, bool, &'static str, String)| {
        let status = if holds { "True" } else { "False" };
        let before = old.iter().find(|condition| condition.type_ == kind && condition.status == status);
        NamespaceCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: before.map_or(Some(Time(now)), |before| before.last_transition_time.clone()),
        }
    };
    found.conditions().into_iter().map(condition).collect()
}

/// Takes the finalizer away; the server then removes the namespace.
async fn finalize(context: &Context, namespace: &Namespace) -> Result<(), Error> {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let door: Api<Namespace> = Api::all(context.client.clone());
    let Some(mut current) = door.get_opt(name).await? else { return Ok(()) };
    if current.metadata.uid != namespace.metadata.uid {
        return Ok(());
    }
    if let Some(finalizers) = current.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    match door.replace_subresource("finalize", name, &PostParams::default(), &current).await {
        Err(error) if write::code(&error) != 404 => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_is_left_and_who_holds_it() {
        let mut found = Found::default();
        found.remaining.insert("boats.example.com".into(), 2);
        found.finalizers.insert("example.com/hold".into(), 2);
        let conditions = merged(Vec::new(), &found, Timestamp::UNIX_EPOCH);
        let message = |kind: &str| {
            let condition = conditions.iter().find(|condition| condition.type_ == kind).unwrap();
            (condition.status.clone(), condition.message.clone().unwrap())
        };
        assert_eq!(
            message("NamespaceContentRemaining"),
            ("True".into(), "Some resources are remaining: boats.example.com has 2 resource instances".into())
        );
        assert_eq!(
            message("NamespaceFinalizersRemaining").1,
            "Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances"
        );
        assert_eq!(message("NamespaceDeletionContentFailure").0, "False");
    }
}
