//! ControllerRevisions: the history of pod templates of DaemonSets and StatefulSets.
//!
//! Source of the rules: kubernetes `pkg/controller/history/controller_history.go`.

use super::deployment::template_hash;
use super::watches::controller_of;
use super::{Context, Error, write};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Label of the hash on revisions, and on the pods of a DaemonSet.
pub const HASH: &str = "controller-revision-hash";

/// Whose history it is.
pub struct Owner<'a> {
    pub reference: &'a OwnerReference,
    pub name: &'a str,
    pub namespace: &'a str,
    pub labels: BTreeMap<String, String>,
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The revisions of an owner, oldest first.
pub fn of(context: &Context, namespace: &str, owner: &OwnerReference) -> Vec<Arc<ControllerRevision>> {
    let mut all = context.caches.of::<ControllerRevision>().list_in(namespace);
    all.retain(|revision| controller_of(&**revision).is_some_and(|one| one.uid == owner.uid));
    all.sort_by_key(|revision| {
        let created = revision.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (revision.revision, created, revision.metadata.name.clone())
    });
    all
}

/// A template as the patch that a revision holds.
fn patch(template: &PodTemplateSpec) -> Result<Value, Error> {
    let mut template = serde_json::to_value(template).map_err(kube::Error::SerdeError)?;
    template["$patch"] = json!("replace");
    Ok(json!({"spec": {"template": template}}))
}

/// The template that a revision holds.
pub fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// The hash in the labels of a revision.
pub fn hash_of(revision: &ControllerRevision) -> &str {
    revision.metadata.labels.as_ref().and_then(|labels| labels.get(HASH)).map_or("", String::as_str)
}

/// The revision of the present template: found (and made the newest) or made. `collisions` is raised when its name is taken.
pub async fn present(
    context: &Context,
    owner: &Owner<'_>,
    wanted: &PodTemplateSpec,
    history: &[Arc<ControllerRevision>],
    collisions: &mut i32,
) -> Result<Arc<ControllerRevision>, Error> {
    let data = patch(wanted)?;
    let next = history.last().map_or(0, |revision| revision.revision) + 1;
    let is_equal = |revision: &&Arc<ControllerRevision>| revision.data.as_ref().is_some_and(|own| own.0 == data);
    if let Some(equal) = history.iter().rev().find(is_equal) {
        if equal.revision == next - 1 {
            return Ok(equal.clone());
        }
        return Ok(Arc::new(write::merge(context, &**equal, json!({"revision": next})).await?));
    }
    loop {
        let hash = template_hash(wanted, *collisions);
        let mut labels = owner.labels.clone();
        labels.insert(HASH.into(), hash.clone());
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", owner.name)),
                namespace: Some(owner.namespace.into()),
                labels: Some(labels),
                annotations: owner.annotations.clone(),
                owner_references: Some(vec![owner.reference.clone()]),
                ..Default::default()
            },
            revision: next,
            data: Some(RawExtension(data.clone())),
        };
        match write::create(context, &revision).await {
            Ok(made) => return Ok(Arc::new(made)),
            Err(error) if !write::is_conflict(&error) => return Err(error),
            Err(_) => {}
        }
        let door = <ControllerRevision as write::Door>::door(context, owner.namespace);
        let taken = door.get_opt(&format!("{}-{hash}", owner.name)).await?;
        if let Some(own) = taken.filter(|taken| {
            controller_of(taken).is_some_and(|one| one.uid == owner.reference.uid)
                && taken.data.as_ref().is_some_and(|own| own.0 == data)
        }) {
            context.caches.of::<ControllerRevision>().note(own.clone());
            return Ok(Arc::new(own));
        }
        *collisions += 1;
    }
}

/// Deletes the oldest revisions beyond `limit`; those that are `live` stay.
pub async fn truncate(
    context: &Context,
    history: &[Arc<ControllerRevision>],
    live: &HashSet<String>,
    limit: i32,
) -> Result<(), Error> {
    let is_dead = |revision: &&Arc<ControllerRevision>| {
        let name = revision.metadata.name.as_deref().unwrap_or_default();
        !live.contains(name) && !live.contains(hash_of(revision))
    };
    let dead: Vec<_> = history.iter().filter(is_dead).collect();
    let surplus = dead.len().saturating_sub(limit.max(0) as usize);
    for revision in dead.into_iter().take(surplus) {
        write::delete(context, &**revision).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_back_from_its_revision() {
        let wanted: PodTemplateSpec = serde_json::from_value(
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}),
        )
        .unwrap();
        let data = Some(RawExtension(patch(&wanted).unwrap()));
        let revision = ControllerRevision { data, revision: 1, ..Default::default() };
        assert_eq!(template(&revision), Some(wanted));
    }
}
