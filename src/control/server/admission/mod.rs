//! Admission: what is done to, and asked of, an object between its defaults and its validation. A table of plugins in
//! upstream's order, one file each (or one for those that share an object).

mod certificates;
pub mod expressions;
mod ingress;
mod lifecycle;
mod limits;
pub mod matching;
mod nodes;
mod pod_security;
mod policies;
mod priority;
mod quota;
pub mod review;
mod runtime_class;
mod service_account;
mod storage;
mod tolerations;
mod webhooks;

pub use webhooks::{Round, Webhooks};

use super::identity::{Attributes, Identity};
use super::route::Call;
use super::{Api, ServerConfig, objects, resource};
use crate::api::{Kind, Object, Reason, Status, kinds};
use crate::control::store::{Entry, Store};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;

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
    pub kind: &'a Kind,
    pub object: &'a mut Object,
    pub old: Option<&'a Object>,
    pub user: &'a Identity,
    pub attributes: &'a Attributes,
    /// Whether nothing will be written.
    pub is_dry_run: bool,
    /// What the client is warned of.
    pub warnings: Vec<String>,
    /// The webhooks that it went through.
    pub round: Round,
}

impl Verb {
    /// The word that webhooks and policies have for it.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Create => "CREATE",
            Verb::Update => "UPDATE",
            Verb::Delete => "DELETE",
        }
    }
}

impl Change<'_> {
    /// Whether a whole object of a kind is changed, not one of its parts.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.is_of(group, plural) && self.attributes.subresource.is_empty()
    }

    /// Whether an object of a kind, or a part of it, is changed.
    pub fn is_of(&self, group: &str, plural: &str) -> bool {
        self.kind.plural == plural && self.kind.group() == group
    }

    /// `RESOURCE "NAME" is forbidden: WHY`.
    pub fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        let (group, plural, name) = (self.kind.group(), &self.kind.plural, self.object.name());
        let qualified = if group.is_empty() { plural.to_string() } else { format!("{plural}.{group}") };
        Status::new(Reason::Forbidden, format!("{qualified} \"{name}\" is forbidden: {why}")).about(group, plural, name)
    }
}

/// One admission plugin.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Changes the object.
    async fn mutate(&self, _api: &Api, _change: &mut Change<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses the object, or warns of something.
    async fn validate(&self, _api: &Api, _change: &mut Change<'_>) -> Result<(), Status> {
        Ok(())
    }
}

/// Asks webhooks whether somebody may connect to a pod, service or node. Returns what the client is warned of.
pub async fn connect(call: &Call, kind: &Kind, query: &str) -> Result<Vec<String>, Status> {
    let wanted = call.attributes();
    let asked = matching::Asked {
        operation: "CONNECT",
        kind,
        version: kind.stored.clone(),
        resource: &wanted.resource,
        subresource: &wanted.subresource,
        namespace: wanted.namespace.as_str().into(),
        name: wanted.name.as_str().into(),
    };
    let object = review::connect_options(kind, &wanted.subresource, query);
    call.api.webhooks.connect(&call.api, &asked, &call.user, object).await
}

/// The plugins that are on, in the order in which they are asked.
///
/// Source: pkg/kubeapiserver/options/plugins.go.
pub fn plugins(config: &ServerConfig, store: &Store, webhooks: &Arc<Webhooks>) -> Vec<Box<dyn Plugin>> {
    let wanted = &config.profile.admission;
    let is_on = |name: &str| name.is_empty() || wanted.has(name);
    table(store, webhooks).into_iter().filter(|(name, _)| is_on(name)).map(|(_, plugin)| plugin).collect()
}

/// Every plugin with its name upstream, in its order; what is no plugin there, and so cannot be switched off, has none.
fn table(store: &Store, webhooks: &Arc<Webhooks>) -> Vec<(&'static str, Box<dyn Plugin>)> {
    vec![
        ("NamespaceAutoProvision", Box::new(lifecycle::NamespaceAutoProvision)),
        ("NamespaceLifecycle", Box::new(lifecycle::NamespaceLifecycle)),
        ("LimitRanger", Box::new(limits::LimitRanger)),
        ("ServiceAccount", Box::new(service_account::ServiceAccount)),
        ("NodeRestriction", Box::new(nodes::NodeRestriction)),
        ("PodSecurity", Box::new(pod_security::PodSecurity)),
        ("Priority", Box::new(priority::Priority)),
        ("DefaultTolerationSeconds", Box::new(tolerations::DefaultTolerationSeconds)),
        ("DefaultStorageClass", Box::new(storage::DefaultStorageClass)),
        ("StorageObjectInUseProtection", Box::new(storage::StorageObjectInUseProtection)),
        ("PersistentVolumeClaimResize", Box::new(storage::PersistentVolumeClaimResize)),
        ("RuntimeClass", Box::new(runtime_class::RuntimeClass)),
        ("", Box::new(certificates::CertificateRequester)),
        ("CertificateApproval", Box::new(certificates::CertificateApproval)),
        ("CertificateSigning", Box::new(certificates::CertificateSigning)),
        ("CertificateSubjectRestriction", Box::new(certificates::CertificateSubjectRestriction)),
        ("DefaultIngressClass", Box::new(ingress::DefaultIngressClass)),
        ("", Box::new(super::auth::escalation::NoEscalation)),
        ("ValidatingAdmissionPolicy", Box::new(policies::ValidatingPolicies::new(store))),
        ("MutatingAdmissionWebhook", Box::new(webhooks::Mutating(webhooks.clone()))),
        ("ValidatingAdmissionWebhook", Box::new(webhooks::Validating(webhooks.clone()))),
        ("ResourceQuota", Box::new(quota::ResourceQuota)),
    ]
}

/// A built-in kind.
fn kind_of(group: &str, plural: &str) -> Result<&'static Kind, Status> {
    let kind = kinds::KINDS.iter().find(|kind| kind.plural == plural && kind.group() == group);
    kind.ok_or_else(|| Status::internal(format!("no kind of {plural}")))
}

/// An object of a built-in kind as it is stored, or nothing.
fn entry(api: &Api, group: &str, plural: &str, namespace: &str, name: &str) -> Result<Option<Arc<Entry>>, Status> {
    Ok(api.store.get(&objects::key(kind_of(group, plural)?, namespace, name)))
}

/// An object of a built-in kind, or nothing.
fn find(api: &Api, group: &str, plural: &str, namespace: &str, name: &str) -> Result<Option<Object>, Status> {
    entry(api, group, plural, namespace, name)?.map(|entry| objects::stored(&entry)).transpose()
}

/// All objects of a built-in kind, in one namespace or all.
fn list(api: &Api, group: &str, plural: &str, namespace: Option<&str>) -> Result<Vec<Object>, Status> {
    let kind = kind_of(group, plural)?;
    let listing = api.store.list(&resource::store_name(kind), namespace, None);
    let listing = listing.map_err(|error| objects::failure(kind, error))?;
    listing.entries.iter().map(|entry| objects::stored(entry)).collect()
}

/// The list at a path, made if it is not there.
fn list_at<'a>(object: &'a mut Object, path: &[&str]) -> &'a mut Vec<Value> {
    let value = object.entry(path);
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("made just above")
}

/// The list at a path of a value, empty if it is not there.
fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The spec of an object.
fn spec(object: &Object) -> &Value {
    object.0.get("spec").unwrap_or(&Value::Null)
}

/// The newest of the objects that are marked as default by an annotation; the first by name among equals.
fn default_of(objects: Vec<Object>, annotation: &str) -> Option<Object> {
    let is_default = |object: &Object| object.annotations().any(|(key, value)| key == annotation && value == "true");
    let mut marked: Vec<Object> = objects.into_iter().filter(is_default).collect();
    let time = |object: &Object| object.text(&["metadata", "creationTimestamp"]).to_string();
    marked.sort_by(|a, b| time(b).cmp(&time(a)).then_with(|| a.name().cmp(b.name())));
    marked.into_iter().next()
}

#[cfg(test)]
mod tests;
