//! Clients from a kubeconfig, or from what one would say.

use super::{Client, Error};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::Path;

/// A client for `context` (the current one if nothing) of the kubeconfig `file` (`KUBECONFIG` or `~/.kube/config`).
pub async fn from_kubeconfig(file: Option<&Path>, context: Option<&str>) -> Result<Client, Error> {
    let kubeconfig = match file {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let options = KubeConfigOptions { context: context.map(String::from), ..Default::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig.map_err(Box::new)?, &options).await.map_err(Box::new)?;
    Ok(Client::try_from(config)?)
}

/// A client for a pod: with its service account's token, which is read again as it is renewed.
pub fn in_cluster() -> Result<Client, Error> {
    let config = Config::incluster().map_err(Box::new)?;
    Ok(Client::try_from(config)?)
}

/// A client of `server` with a client certificate; authority, certificate and key are base64 of PEM, as a kubeconfig has them.
pub async fn with_certificate(server: &str, authority: &str, certificate: &str, key: &str) -> Result<Client, Error> {
    let kubeconfig = Kubeconfig::from_yaml(
        &serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "one",
            "clusters": [{"name": "one", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": "one", "user": {"client-certificate-data": certificate, "client-key-data": key}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        })
        .to_string(),
    );
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig.map_err(Box::new)?, &options).await.map_err(Box::new)?;
    Ok(Client::try_from(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_context_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n").unwrap();
        let error = from_kubeconfig(Some(&path), Some("nowhere")).await.err().unwrap();
        assert!(error.to_string().contains("kubeconfig"), "{error}");
        assert!(format!("{:?}", error).contains("nowhere"));
    }
}
