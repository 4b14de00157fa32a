//! A service account `default` in every namespace that is not being deleted.

use super::runner::Next;
use super::watches::{changes, own};
use super::{Context, Controller, Error, Key, write};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The account of pods that name none.
const NAME: &str = "default";

pub(super) const CONTROLLER: Controller = Controller {
    name: "service-account-controller",
    watches: &[own::<Namespace>, |context| {
        changes::<ServiceAccount>(context, |change| match &change {
            crate::client::Change::Deleted(last) if last.metadata.name.as_deref() == Some(NAME) => {
                vec![Key::new("", last.metadata.namespace.as_deref().unwrap_or_default())]
            }
            _ => Vec::new(),
        })
    }],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Whether things may still be made in a namespace.
pub(super) fn is_open(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let namespace = context.caches.of::<Namespace>().get("", &key.name);
    let exists = context.caches.of::<ServiceAccount>().get(&key.name, NAME).is_some();
    if exists || !namespace.is_some_and(|namespace| is_open(&namespace)) {
        return Ok(Next::Wait);
    }
    let meta = ObjectMeta { name: Some(NAME.into()), namespace: Some(key.name), ..Default::default() };
    match write::create(context, &ServiceAccount { metadata: meta, ..Default::default() }).await {
        Err(error) if !write::is_conflict(&error) && !super::replica_set::is_namespace_terminating(&error) => {
            Err(error)
        }
        _ => Ok(Next::Wait),
    }
}
