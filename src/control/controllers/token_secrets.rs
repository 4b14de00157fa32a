//! Secrets of type `kubernetes.io/service-account-token`: each gets the token of the account that it names, and goes with it.
//!
//! Source of the rules: kubernetes `pkg/controller/serviceaccount/tokens_controller.go`.

use super::runner::Next;
use super::watches::{Watched, changes, changes_of};
use super::{Context, Controller, Error, Key, TokenRequest, write};
use crate::client::{Cache, Change, Selection};
use futures::FutureExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::Api;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) const CONTROLLER: Controller = Controller {
    name: "tokens-controller",
    watches: &[of_secrets, of_accounts],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

const TYPE: &str = "kubernetes.io/service-account-token";
/// The account that a Secret is of.
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// Only Secrets of this type: others are nobody's business here.
fn secrets(context: &Context) -> Arc<Cache<Secret>> {
    context.caches.some(Selection { labels: String::new(), fields: format!("type={TYPE}") })
}

fn of_secrets(context: &Context) -> Watched {
    changes_of(secrets(context), |change| match change {
        Change::Applied { new, .. } => vec![Key::of(&*new)],
        Change::Deleted(_) => Vec::new(),
    })
}

/// The Secrets of an account that came or went.
fn of_accounts(context: &Context) -> Watched {
    let secrets = secrets(context);
    changes::<ServiceAccount>(context, move |change| {
        let account = match &change {
            Change::Applied { old: Some(_), .. } => return Vec::new(),
            other => other.object(),
        };
        let all = secrets.list_in(account.metadata.namespace.as_deref().unwrap_or_default());
        let is_of = |secret: &Arc<Secret>| annotation(secret, ACCOUNT) == account.metadata.name.as_deref();
        all.into_iter().filter(is_of).map(|secret| Key::of(&*secret)).collect()
    })
}

fn annotation<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.metadata.annotations.as_ref()?.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(secret) = secrets(context).get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let Some(name) = annotation(&secret, ACCOUNT) else { return Ok(Next::Wait) };
    if secret.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    // Not from the cache: a Secret may be made in the same breath as its account.
    let accounts: Api<ServiceAccount> = Api::namespaced(context.client.clone(), &key.namespace);
    let account = accounts.get_opt(name).await?;
    let uid = account.and_then(|account| account.metadata.uid);
    let is_same = |uid: &String| annotation(&secret, ACCOUNT_UID).is_none_or(|own| own == uid);
    let Some(uid) = uid.filter(is_same) else {
        write::delete_unnoted(context, &*secret).await?;
        return Ok(Next::Wait);
    };
    let Some(patch) = patch(context, &secret, &key, name, &uid)? else { return Ok(Next::Wait) };
    match write::merge_unnoted(context, &*secret, patch).await {
        Err(error) if !write::is_missing(&error) => Err(error),
        _ => Ok(Next::Wait),
    }
}

/// What the Secret lacks.
fn patch(context: &Context, secret: &Secret, key: &Key, account: &str, uid: &str) -> Result<Option<Value>, Error> {
    let data = |field: &str| secret.data.as_ref().and_then(|data| data.get(field));
    let authority = context.config.root_ca.as_bytes();
    let mut wanted = serde_json::Map::new();
    let encoded = |bytes: &[u8]| json!(ByteString(bytes.to_vec()));
    if !authority.is_empty() && data("ca.crt").is_none_or(|own| own.0 != authority) {
        wanted.insert("ca.crt".into(), encoded(authority));
    }
    if data("namespace").is_none_or(|own| own.0 != key.namespace.as_bytes()) {
        wanted.insert("namespace".into(), encoded(key.namespace.as_bytes()));
    }
    if data("token").is_none_or(|own| own.0.is_empty()) {
        let request = TokenRequest {
            namespace: key.namespace.clone(),
            account: account.to_string(),
            account_uid: uid.to_string(),
            secret: key.name.clone(),
        };
        let token = (context.config.tokens)(&request).map_err(Error::Invalid)?;
        wanted.insert("token".into(), encoded(token.as_bytes()));
    }
    if wanted.is_empty() && annotation(secret, ACCOUNT_UID).is_some() {
        return Ok(None);
    }
    let meta = json!({"uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version,
        "annotations": {ACCOUNT_UID: uid}});
    Ok(Some(json!({"metadata": meta, "data": wanted})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::controllers::testing::{eventually, world};
    use kube::api::DeleteParams;

    #[tokio::test]
    async fn a_secret_gets_the_token_of_its_account_and_goes_with_it() {
        let world = world().await;
        world.make::<ServiceAccount>(json!({"metadata": {"name": "robot"}})).await;
        let meta = json!({"name": "robot-token", "annotations": {ACCOUNT: "robot"}});
        world.make::<Secret>(json!({"metadata": meta, "type": TYPE})).await;
        let has_token = |secret: Option<&Secret>| {
            secret.and_then(|secret| secret.data.as_ref()).is_some_and(|data| data.contains_key("token"))
        };
        let secret = eventually(world.door::<Secret>(), "robot-token", has_token).await.unwrap();
        assert_eq!(secret.data.unwrap()["token"].0, b"token of robot");
        world.door::<ServiceAccount>().delete("robot", &DeleteParams::default()).await.unwrap();
        eventually(world.door::<Secret>(), "robot-token", |secret| secret.is_none()).await;
    }
}
