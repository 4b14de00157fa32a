//! Clients from a kubeconfig.

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
