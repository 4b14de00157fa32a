//! Files of the node under the names that kubeadm and minikube gave them, where people and scripts look for them.

use crate::config::{NodePaths, Profile};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::io;
use std::path::Path;

/// Where kubeadm keeps the administrator's kubeconfig.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// Where minikube keeps certificates.
const CERTIFICATES: &str = "/var/lib/minikube/certs";

/// Writes them, as they are now.
pub fn write(profile: &Profile, paths: &NodePaths) -> io::Result<()> {
    // JSON is YAML as well.
    let text = serde_json::to_vec_pretty(&admin(profile, paths)?)?;
    crate::base::atomic::write(Path::new(ADMIN), &text, 0o600)?;
    let link = Path::new(CERTIFICATES);
    if link.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(link.parent().unwrap_or(link))?;
    std::os::unix::fs::symlink(paths.pki(), link)
}

fn admin(profile: &Profile, paths: &NodePaths) -> io::Result<serde_json::Value> {
    let encoded = |file: &str| std::fs::read(paths.pki().join(file)).map(|bytes| STANDARD.encode(bytes));
    let (cluster, user) = ("kubernetes", "kubernetes-admin");
    let context = format!("{user}@{cluster}");
    Ok(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": context, "preferences": {},
        "clusters": [{"name": cluster, "cluster": {
            "server": format!("https://{}:{}", profile.network.node_address, profile.api_port),
            "certificate-authority-data": encoded("ca.crt")?,
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": encoded("admin.crt")?, "client-key-data": encoded("admin.key")?,
        }}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
    }))
}
