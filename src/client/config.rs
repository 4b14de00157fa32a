//! Clients from a kubeconfig, or from what one would say.

use super::{Client, Error};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::{Path, PathBuf};

/// The kubeconfig `file`, or those of `KUBECONFIG` together, or `~/.kube/config`.
fn read(file: Option<&Path>) -> Result<Kubeconfig, Error> {
    let read = match file {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    Ok(read.map_err(Box::new)?)
}

/// A client for `context` (the current one if nothing) of a kubeconfig, which is found as by [`read`].
pub async fn from_kubeconfig(file: Option<&Path>, context: Option<&str>) -> Result<Client, Error> {
    let options = KubeConfigOptions { context: context.map(String::from), ..Default::default() };
    let config = Config::from_custom_kubeconfig(read(file)?, &options).await.map_err(Box::new)?;
    Ok(Client::try_from(config)?)
}

/// What a context says by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub namespace: Option<String>,
    /// The server's address.
    pub server: Option<String>,
}

/// What `context` (the current one if nothing) of a kubeconfig says, for what needs no client; nothing where it is missing
/// or broken.
pub fn named(file: Option<&Path>, context: Option<&str>) -> Option<Named> {
    let config = read(file).ok()?;
    let wanted = context.or(config.current_context.as_deref())?;
    let context = config.contexts.iter().find(|one| one.name == wanted)?.context.as_ref()?;
    let cluster = config.clusters.iter().find(|one| one.name == context.cluster);
    let server = cluster.and_then(|one| one.cluster.as_ref()?.server.clone());
    Some(Named { namespace: context.namespace.clone().filter(|name| !name.is_empty()), server })
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
    let kubeconfig = read(wanted.kubeconfig.as_deref())?;
    let options = KubeConfigOptions { context: wanted.context.clone(), ..Default::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(Box::new)?;
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

    #[test]
    fn a_context_says_its_namespace_and_its_server() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: b\nclusters: [{name: c, cluster: {server: https://c.test}}]\n\
                    contexts: [{name: a, context: {cluster: c, namespace: one}}, {name: b, context: {cluster: gone}}]\n";
        std::fs::write(&path, text).unwrap();
        let wanted = Named { namespace: Some("one".into()), server: Some("https://c.test".into()) };
        assert_eq!(named(Some(&path), Some("a")), Some(wanted));
        assert_eq!(named(Some(&path), None), Some(Named::default()));
        assert_eq!(named(Some(&path), Some("gone")), None);
        assert_eq!(named(Some(&path.with_extension("gone")), None), None);
    }
}
