//! Admission: what is done to, and asked of, an object between its defaults and its validation. A table of plugins.

use super::identity::{Attributes, Identity};
use super::{Api, ServerConfig, objects};
use crate::api::{Kind, Object, Reason, Status, kinds};
use crate::control::store::Store;
use async_trait::async_trait;

/// What happens to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    Delete,
}

/// One change on its way to the store.
pub struct Change<'a> {
    pub verb: Verb,
    pub kind: &'static Kind,
    pub object: &'a mut Object,
    pub old: Option<&'a Object>,
    pub user: &'a Identity,
    pub attributes: &'a Attributes,
}

/// One admission plugin.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Changes the object.
    async fn mutate(&self, _api: &Api, _change: &mut Change<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses the object.
    async fn validate(&self, _api: &Api, _change: &Change<'_>) -> Result<(), Status> {
        Ok(())
    }
}

/// Every plugin, in the order in which they are asked.
pub fn plugins(_config: &ServerConfig, _store: &Store) -> Vec<Box<dyn Plugin>> {
    vec![Box::new(NamespaceLifecycle), Box::new(super::auth::escalation::NoEscalation)]
}

/// Namespaces that cannot be deleted.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

/// Objects are made only in namespaces that are there and not ending; some namespaces stay.
struct NamespaceLifecycle;

#[async_trait]
impl Plugin for NamespaceLifecycle {
    async fn validate(&self, api: &Api, change: &Change<'_>) -> Result<(), Status> {
        let is_namespace = change.kind.plural == "namespaces" && change.kind.group().is_empty();
        if is_namespace && change.verb == Verb::Delete && IMMORTAL.contains(&change.object.name()) {
            let message =
                format!("namespaces \"{}\" is forbidden: this namespace may not be deleted", change.object.name());
            return Err(Status::new(Reason::Forbidden, message).about("", "namespaces", change.object.name()));
        }
        if change.verb != Verb::Create || !change.kind.is_namespaced() {
            return Ok(());
        }
        let name = change.object.namespace();
        let namespaces =
            kinds::find("", "v1", "namespaces").ok_or_else(|| Status::internal("no kind of namespaces"))?;
        let entry = api
            .store
            .get(&objects::key(namespaces, "", name))
            .ok_or_else(|| Status::not_found("", "namespaces", name))?;
        if !objects::stored(&entry)?.is_terminating() {
            return Ok(());
        }
        let (group, plural, own) = (change.kind.group(), &change.kind.plural, change.object.name());
        let qualified = if group.is_empty() { plural.to_string() } else { format!("{plural}.{group}") };
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let mut status = Status::new(Reason::Forbidden, format!("{qualified} \"{own}\" is forbidden: {why}"))
            .about(group, plural, own);
        status.causes.push(crate::api::Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {name} is being terminated"),
            field: "metadata.namespace".into(),
        });
        Err(status)
    }
}
