//! Clients from a kubeconfig, or from what one would say.

use super::{Client, Error};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::{Path, PathBuf};

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

/// What a command line may say about how a cluster is reached; what it leaves out is the kubeconfig's.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Instead of `KUBECONFIG` or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    /// The server's address.
    pub server: Option<String>,
    /// A file with the authority that the server is trusted by.
    pub authority: Option<PathBuf>,
    /// A bearer token.
    pub token: Option<String>,
    /// The server's certificate is not checked.
    pub insecure: bool,
    /// The name that the server's certificate must have.
    pub server_name: Option<String>,
    /// Whom to act as.
    pub user: Option<String>,
    pub groups: Vec<String>,
}

/// A client, and the namespace that the context names.
pub async fn access(wanted: &Access) -> Result<(Client, String), Error> {
    let kubeconfig = match &wanted.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let options = KubeConfigOptions { context: wanted.context.clone(), ..Default::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig.map_err(Box::new)?, &options).await.map_err(Box::new)?;
    if let Some(server) = &wanted.server {
        config.cluster_url = server.parse().map_err(|_| Error::Address(server.clone()))?;
    }
    if let Some(path) = &wanted.authority {
        let text = std::fs::read(path).map_err(|source| Error::File { path: path.clone(), source })?;
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let found: Vec<Vec<u8>> =
            CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).map(|one| one.to_vec()).collect();
        config.root_cert = Some(found);
    }
    if let Some(token) = &wanted.token {
        config.auth_info.token = Some(token.clone().into());
    }
    config.accept_invalid_certs |= wanted.insecure;
    if wanted.server_name.is_some() {
        config.tls_server_name = wanted.server_name.clone();
    }
    if wanted.user.is_some() {
        config.auth_info.impersonate = wanted.user.clone();
    }
    if !wanted.groups.is_empty() {
        config.auth_info.impersonate_groups = Some(wanted.groups.clone());
    }
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config)?, namespace))
}

/// A client for what asks no cluster: of the server that is assumed where nobody names one, as kubectl assumes it. It is not
/// reached before its first request.
pub fn nowhere() -> Result<Client, Error> {
    Ok(Client::try_from(Config::new(http::Uri::from_static("http://localhost:8080")))?)
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
    let mut config = Config::from_custom_kubeconfig(kubeconfig.map_err(Box::new)?, &options).await.map_err(Box::new)?;
    // The node is on this machine, whose proxies would look for it elsewhere.
    config.proxy_url = None;
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
