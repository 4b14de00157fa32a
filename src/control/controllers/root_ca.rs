//! A ConfigMap `kube-root-ca.crt` in every namespace: the authority with which pods trust the API server.

use super::runner::Next;
use super::service_account::is_open;
use super::watches::{Watched, changes_of, own};
use super::{Context, Controller, Error, Key, write};
use crate::client::{Cache, Selection};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::sync::Arc;

const NAME: &str = "kube-root-ca.crt";
const FIELD: &str = "ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal \
     service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
);

pub(super) const CONTROLLER: Controller = Controller {
    name: "root-ca-certificate-publisher",
    watches: &[own::<Namespace>, published],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Only the maps of this name: there may be very many others.
fn maps(context: &Context) -> Arc<Cache<ConfigMap>> {
    context.caches.some(Selection { labels: String::new(), fields: format!("metadata.name={NAME}") })
}

fn published(context: &Context) -> Watched {
    changes_of(maps(context), |change| {
        vec![Key::new("", change.object().metadata.namespace.as_deref().unwrap_or_default())]
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let authority = &context.config.root_ca;
    let namespace = context.caches.of::<Namespace>().get("", &key.name);
    if authority.is_empty() || !namespace.is_some_and(|namespace| is_open(&namespace)) {
        return Ok(Next::Wait);
    }
    let Some(map) = maps(context).get(&key.name, NAME) else {
        return create(context, &key.name, authority).await;
    };
    let data = map.data.as_ref().and_then(|data| data.get(FIELD));
    if data != Some(authority) {
        write::merge_unnoted(context, &*map, json!({"data": {FIELD: authority}})).await?;
    }
    Ok(Next::Wait)
}

async fn create(context: &Context, namespace: &str, authority: &str) -> Result<Next, Error> {
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            annotations: Some([(DESCRIPTION.0.to_string(), DESCRIPTION.1.to_string())].into()),
            ..Default::default()
        },
        data: Some([(FIELD.to_string(), authority.to_string())].into()),
        ..Default::default()
    };
    match write::create_unnoted(context, &map).await {
        Err(error) if !write::is_conflict(&error) && !super::replica_set::is_namespace_terminating(&error) => {
            Err(error)
        }
        _ => Ok(Next::Wait),
    }
}
