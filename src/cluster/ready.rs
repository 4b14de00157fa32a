//! When a cluster is ready, and the administrator's client.

use super::kubeconfig::Context;
use super::life::Error;
use crate::client::{self, Client};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use std::time::Duration;

/// How long `start` waits before it says what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with an administrator's certificate.
pub async fn client(context: &Context) -> Result<Client, Error> {
    let made =
        client::config::with_certificate(&context.server, &context.authority, &context.certificate, &context.key);
    made.await.map_err(|error| Error::NotReady(error.to_string()))
}

/// Waits for everything that `start` promises: so far, that the API answers and that `default` has its service account.
pub async fn wait(context: &Context) -> Result<(), Error> {
    let client = client(context).await?;
    patiently("the API server does not answer", answered(&client)).await?;
    let accounts = kube::Api::<ServiceAccount>::namespaced(client, "default");
    let account = client::wait::until(accounts, "default", |account| account.is_some());
    patiently("there is no default service account", account).await
}

/// A first request waits in the listening socket until the server takes it; one that fails says why.
async fn answered(client: &Client) -> Option<()> {
    let namespaces = kube::Api::<Namespace>::all(client.clone());
    client::wait::until(namespaces, "default", |namespace| namespace.is_some()).await.map(drop)
}

/// Waits, but not for ever: what is missing is said then.
async fn patiently<T>(missing: &str, wait: impl Future<Output = T>) -> Result<(), Error> {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::NotReady(format!("{missing} after {} s", PATIENCE.as_secs()))),
    }
}
