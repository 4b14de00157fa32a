//! A profile as readers of minikube's configuration look for it: in `profile list -o json`, and in a profile's `config.json`.

use super::{Profile, settings};
use serde_json::{Value, json};

/// The version of Kubernetes that this executable is.
pub const KUBERNETES: &str = "v1.36.0";

/// Options of components by the names that they have upstream, and the settings that they are here.
pub const OPTIONS: &[(&str, &str)] = &[
    ("kubelet.max-pods", "max-pods"),
    ("kubelet.allowed-unsafe-sysctls", "allowed-unsafe-sysctls"),
    ("kubelet.eviction-hard", "eviction-hard"),
    ("kubelet.eviction-soft", "eviction-soft"),
    ("kubelet.eviction-soft-grace-period", "eviction-soft-grace-period"),
    ("kubelet.image-gc-high-threshold", "image-gc-high-threshold"),
    ("kubelet.image-gc-low-threshold", "image-gc-low-threshold"),
    ("apiserver.service-node-port-range", "service-node-port-range"),
    ("apiserver.service-cluster-ip-range", "service-cluster-ip-range"),
    ("apiserver.secure-port", "apiserver-port"),
    ("apiserver.enable-admission-plugins", "enable-admission-plugins"),
    ("apiserver.disable-admission-plugins", "disable-admission-plugins"),
];

/// Settings that minikube's configuration has fields of their own for.
const OWN_FIELDS: &[&str] = &["service-cluster-ip-range", "apiserver-port"];

/// The version of Kubernetes that a cluster has.
pub fn version(profile: &Profile) -> &'static str {
    if profile.kubernetes { KUBERNETES } else { "N/A" }
}

/// The profile with minikube's fields beside its own, and without passwords.
pub fn describe(profile: &Profile) -> Value {
    let mut config = json!(profile.told());
    config["Name"] = json!(profile.name);
    config["Driver"] = json!(profile.driver);
    config["CPUs"] = json!(profile.cpus.map_or(0, |thousandths| thousandths / 1000));
    config["Memory"] = json!(profile.memory.map_or(0, |bytes| bytes >> 20));
    config["APIServerPort"] = json!(profile.api_port);
    config["KubernetesConfig"] = json!({
        "KubernetesVersion": version(profile), "ClusterName": profile.name, "DNSDomain": profile.network.domain,
        "ServiceCIDR": profile.network.service_cidr, "ExtraOptions": options(profile),
    });
    config["Nodes"] = json!([{
        "Name": profile.name, "IP": profile.network.node_address, "Port": profile.api_port, "ControlPlane": true,
        "Worker": true,
    }]);
    config
}

/// What was asked of components beside what is usual.
fn options(profile: &Profile) -> Vec<Value> {
    let value = |key: &str| settings::find(key).map(|setting| (setting.get)(profile)).unwrap_or_default().join(",");
    let asked = OPTIONS.iter().filter(|(_, key)| !OWN_FIELDS.contains(key)).filter_map(|(name, key)| {
        let (component, option) = name.split_once('.')?;
        Some((component, option, value(key))).filter(|(.., value)| !value.is_empty())
    });
    asked.map(|(component, option, value)| json!({"Component": component, "Key": option, "Value": value})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Wanted;

    #[test]
    fn what_was_asked_of_components_is_told_and_passwords_are_not() {
        let mut wanted = Wanted::named("one");
        wanted.set("enable-admission-plugins", vec!["NamespaceAutoProvision".into()]);
        wanted.set("docker-env", vec!["HTTPS_PROXY=http://me:secret@proxy:1".into()]);
        let mut profile = wanted.resolve(&[]).unwrap();
        profile.proxy.http = "http://me:secret@proxy:3128".into();
        let config = describe(&profile);
        let option =
            json!({"Component": "apiserver", "Key": "enable-admission-plugins", "Value": "NamespaceAutoProvision"});
        assert_eq!(config["KubernetesConfig"]["ExtraOptions"], json!([option]));
        assert_eq!(config["APIServerPort"], 8443);
        assert!(!config.to_string().contains("secret"), "{config}");
        assert!(OPTIONS.iter().all(|(_, key)| settings::find(key).is_some()));
    }
}
