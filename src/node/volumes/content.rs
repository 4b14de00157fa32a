//! What the files of a volume are that the agent writes: configMap, secret, downwardAPI, projected.
//!
//! Source of rules and wording: kubelet `pkg/volume/{configmap,secret,downwardapi,projected}`.

use super::atomic::{File, Payload};
use super::tokens::Tokens;
use super::watched::Referred;
use crate::node::context::Node;
use crate::node::pod::fields::{self, Around};
use crate::node::pod::user;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, Volume, VolumeProjection,
};
use std::collections::BTreeMap;

/// Mode of a file of which nobody said one.
const MODE: i32 = 0o644;

/// Whether the agent writes the content of a volume.
pub fn is_written(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

/// Whether content depends on the pod's own object.
pub fn follows_pod(volume: &Volume) -> bool {
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref()).into_iter().flatten();
    volume.downward_api.is_some() || sources.into_iter().any(|source| source.downward_api.is_some())
}

/// What content is made from.
pub struct Maker<'a> {
    pub node: &'a Node,
    pub pod: &'a Pod,
    pub objects: &'a Referred,
    pub tokens: &'a mut Tokens,
}

impl Maker<'_> {
    /// The files of a volume.
    pub async fn payload(&mut self, volume: &Volume) -> Result<Payload, String> {
        let mut payload = Payload::new();
        if let Some(source) = &volume.config_map {
            let wanted = Wanted::new(source.items.as_deref(), source.default_mode, source.optional);
            self.config_map(&source.name, &wanted, &mut payload)?;
        } else if let Some(source) = &volume.secret {
            let wanted = Wanted::new(source.items.as_deref(), source.default_mode, source.optional);
            self.secret(source.secret_name.as_deref().unwrap_or_default(), &wanted, &mut payload)?;
        } else if let Some(source) = &volume.downward_api {
            self.downward(source.items.as_deref().unwrap_or_default(), source.default_mode, &mut payload)?;
        } else if let Some(source) = &volume.projected {
            self.projected(source, &mut payload).await?;
        }
        Ok(payload)
    }

    fn config_map(&self, name: &str, wanted: &Wanted, payload: &mut Payload) -> Result<(), String> {
        match self.objects.config_map(name) {
            Some(found) => {
                wanted.take(&config_map_data(&found), "configmap references non-existent config key", payload)
            }
            None if wanted.optional => Ok(()),
            None => Err(format!("configmap \"{name}\" not found")),
        }
    }

    fn secret(&self, name: &str, wanted: &Wanted, payload: &mut Payload) -> Result<(), String> {
        match self.objects.secret(name) {
            Some(found) => wanted.take(&secret_data(&found), "references non-existent secret key", payload),
            None if wanted.optional => Ok(()),
            None => Err(format!("secret \"{name}\" not found")),
        }
    }

    fn downward(
        &self,
        files: &[DownwardAPIVolumeFile],
        mode: Option<i32>,
        payload: &mut Payload,
    ) -> Result<(), String> {
        let around =
            Around { node_name: &self.node.name, node_address: self.node.profile.network.node_address, addresses: &[] };
        for file in files {
            let text = match (&file.field_ref, &file.resource_field_ref) {
                (Some(field), _) => fields::field(self.pod, &field.field_path, &around)?,
                (None, Some(selector)) => fields::resource(self.pod, None, selector, &self.node.machine)?,
                (None, None) => continue,
            };
            insert(payload, &file.path, text.into_bytes(), file.mode.or(mode));
        }
        Ok(())
    }

    async fn projected(&mut self, source: &ProjectedVolumeSource, payload: &mut Payload) -> Result<(), String> {
        let mut failures = Vec::new();
        for one in source.sources.iter().flatten() {
            if let Err(why) = self.projection(one, source.default_mode, payload).await {
                failures.push(why);
            }
        }
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(format!("[{}]", failures.join(", "))),
        }
    }

    async fn projection(
        &mut self,
        one: &VolumeProjection,
        mode: Option<i32>,
        payload: &mut Payload,
    ) -> Result<(), String> {
        if let Some(source) = &one.config_map {
            self.config_map(&source.name, &Wanted::new(source.items.as_deref(), mode, source.optional), payload)?;
        }
        if let Some(source) = &one.secret {
            self.secret(&source.name, &Wanted::new(source.items.as_deref(), mode, source.optional), payload)?;
        }
        if let Some(source) = &one.downward_api {
            self.downward(source.items.as_deref().unwrap_or_default(), mode, payload)?;
        }
        if let Some(source) = &one.service_account_token {
            let token = self.tokens.get(self.node, self.pod, source).await?;
            let owner = user::common_user(self.pod);
            // Nobody but its owner and the volume's group reads a token where there is one of them.
            let mode = if owner.is_some() || group(self.pod).is_some() { Some(0o600) } else { mode };
            insert(payload, &source.path, token.into_bytes(), mode);
            if let Some(file) = payload.get_mut(&source.path) {
                file.owner = owner;
            }
        }
        match (&one.cluster_trust_bundle, &one.pod_certificate) {
            (None, None) => Ok(()),
            (Some(bundle), _) if bundle.optional == Some(true) => Ok(()),
            _ => Err("cluster trust bundles and pod certificates are not known to this node".into()),
        }
    }
}

/// The group that volumes are given to.
pub fn group(pod: &Pod) -> Option<u32> {
    let context = crate::node::pod::parts::spec(pod).security_context.as_ref()?;
    context.fs_group.map(|group| group as u32)
}

fn insert(payload: &mut Payload, path: &str, bytes: Vec<u8>, mode: Option<i32>) {
    payload.insert(path.to_string(), File { bytes, mode: mode.unwrap_or(MODE) as u32, owner: None });
}

fn config_map_data(found: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = found.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = found.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    text.chain(binary).collect()
}

fn secret_data(found: &Secret) -> BTreeMap<&str, &[u8]> {
    found.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect()
}

/// Which keys of an object, as which files.
struct Wanted<'a> {
    items: Option<&'a [KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
}

impl<'a> Wanted<'a> {
    fn new(items: Option<&'a [KeyToPath]>, mode: Option<i32>, optional: Option<bool>) -> Self {
        Self { items: items.filter(|items| !items.is_empty()), mode, optional: optional == Some(true) }
    }

    fn take(&self, data: &BTreeMap<&str, &[u8]>, missing: &str, payload: &mut Payload) -> Result<(), String> {
        let Some(items) = self.items else {
            data.iter().for_each(|(key, bytes)| insert(payload, key, bytes.to_vec(), self.mode));
            return Ok(());
        };
        for item in items {
            match data.get(item.key.as_str()) {
                Some(bytes) => insert(payload, &item.path, bytes.to_vec(), item.mode.or(self.mode)),
                None if self.optional => {}
                None => return Err(format!("{missing}: {}", item.key)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, node, pod};
    use serde_json::{Value, json};

    async fn payload(volume: Value, objects: &[(&str, Value)]) -> Result<Payload, String> {
        let api = FakeApi::default();
        objects.iter().for_each(|(path, object)| api.put(path, object.clone()));
        let (node, _folder) = node(&api, &FakeRuntime::default());
        let mut volume = volume;
        volume["name"] = json!("v");
        let mut pod = pod(json!({"containers": [], "volumes": [volume]}));
        pod.metadata.labels = Some(BTreeMap::from([("a".into(), "b".into())]));
        let watched = crate::node::volumes::watched::Watched::start(&node, &pod).await;
        let volume = pod.spec.as_ref().unwrap().volumes.as_ref().unwrap()[0].clone();
        Maker { node: &node, pod: &pod, objects: &watched.objects, tokens: &mut Tokens::default() }
            .payload(&volume)
            .await
    }

    fn config_map() -> (&'static str, Value) {
        let object = json!({"metadata": {"name": "c", "namespace": "default", "uid": "c"}, "data": {"k": "v"}, "binaryData": {"b": "AAE="}});
        ("/api/v1/namespaces/default/configmaps/c", object)
    }

    #[tokio::test]
    async fn every_key_or_the_chosen_ones_become_files() {
        let all = payload(json!({"configMap": {"name": "c", "defaultMode": 0o400}}), &[config_map()]).await.unwrap();
        assert_eq!((all["k"].bytes.as_slice(), all["k"].mode), (b"v".as_slice(), 0o400));
        assert_eq!(all["b"].bytes, [0, 1]);
        let items = json!({"configMap": {"name": "c", "items": [{"key": "k", "path": "deep/k", "mode": 0o600}]}});
        let some = payload(items, &[config_map()]).await.unwrap();
        assert_eq!((some.len(), some["deep/k"].mode), (1, 0o600));
    }

    #[tokio::test]
    async fn what_is_missing_is_named_unless_it_is_optional() {
        let error = payload(json!({"configMap": {"name": "x"}}), &[]).await.unwrap_err();
        assert_eq!(error, "configmap \"x\" not found");
        assert!(payload(json!({"configMap": {"name": "x", "optional": true}}), &[]).await.unwrap().is_empty());
        let items = json!({"configMap": {"name": "c", "items": [{"key": "no", "path": "no"}]}});
        let error = payload(items, &[config_map()]).await.unwrap_err();
        assert_eq!(error, "configmap references non-existent config key: no");
        assert_eq!(payload(json!({"secret": {"secretName": "s"}}), &[]).await.unwrap_err(), "secret \"s\" not found");
    }

    #[tokio::test]
    async fn a_projection_puts_sources_together() {
        let sources = json!({"projected": {"defaultMode": 0o644, "sources": [
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "one"}]}},
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}});
        let all = payload(sources, &[config_map()]).await.unwrap();
        assert_eq!(all["labels"].bytes, b"a=\"b\"");
        assert_eq!(all["one"].bytes, b"v");
    }
}
