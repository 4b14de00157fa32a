//! Credentials for registries from `imagePullSecrets`, in both forms of the Docker configuration file.

use super::parts;
use crate::node::border::Credentials;
use crate::node::context::Node;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::Value;

/// The credentials that the pod has for the registry of `reference`.
pub async fn for_image(node: &Node, pod: &Pod, reference: &str) -> Vec<Credentials> {
    let Ok(registry) = node.images.registry(reference) else { return Vec::new() };
    let mut found = Vec::new();
    for secret in parts::spec(pod).image_pull_secrets.iter().flatten() {
        let cache = node.objects.watch::<Secret>(parts::namespace(pod), &secret.name);
        cache.ready().await;
        if let Some(secret) = cache.get(parts::namespace(pod), &secret.name) {
            found.extend(in_secret(&secret, &registry));
        }
    }
    found
}

fn in_secret(secret: &Secret, registry: &str) -> Vec<Credentials> {
    let data = |key: &str| Some(&secret.data.as_ref()?.get(key)?.0);
    let parse = |bytes: &Vec<u8>| serde_json::from_slice::<Value>(bytes).ok();
    let entries = match data(".dockerconfigjson") {
        Some(bytes) => parse(bytes).map(|mut config| config["auths"].take()),
        None => data(".dockercfg").and_then(parse),
    };
    let Some(Value::Object(entries)) = entries else { return Vec::new() };
    entries
        .iter()
        .filter(|(address, _)| host(address) == host(registry))
        .filter_map(|(_, entry)| credentials(entry))
        .collect()
}

/// The registry in an address of the file: without scheme and path; Docker's own has several names.
fn host(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    match address.split('/').next().unwrap_or(address) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

fn credentials(entry: &Value) -> Option<Credentials> {
    if let Some(auth) = entry["auth"].as_str().filter(|auth| !auth.is_empty()) {
        let text = String::from_utf8(BASE64_STANDARD.decode(auth).ok()?).ok()?;
        let (username, password) = text.split_once(':')?;
        return Some(Credentials { username: username.into(), password: password.into() });
    }
    let text = |field: &str| entry[field].as_str().map(String::from);
    Some(Credentials { username: text("username")?, password: text("password")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::json;

    #[test]
    fn a_docker_configuration_gives_the_credentials_of_its_registry() {
        let config = json!({"auths": {
            "https://index.docker.io/v1/": {"auth": BASE64_STANDARD.encode("me:secret")},
            "r.example:5000": {"username": "you", "password": "word"}}});
        let data = [(".dockerconfigjson".to_string(), ByteString(config.to_string().into_bytes()))];
        let secret = Secret { data: Some(data.into()), ..Secret::default() };
        assert_eq!(in_secret(&secret, "docker.io")[0].password, "secret");
        assert_eq!(in_secret(&secret, "r.example:5000")[0].username, "you");
        assert!(in_secret(&secret, "other").is_empty());
    }
}
