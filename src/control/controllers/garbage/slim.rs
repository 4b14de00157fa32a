//! An object of any kind of which only what ownership needs is read: the rest of its JSON is skipped, not kept.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The object.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(from = "Wire")]
pub struct Slim {
    pub metadata: ObjectMeta,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl From<Wire> for Slim {
    fn from(Wire { metadata }: Wire) -> Self {
        Self {
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                deletion_timestamp: metadata.deletion_timestamp,
                finalizers: metadata.finalizers,
                owner_references: metadata.owner_references,
                ..Default::default()
            },
        }
    }
}

impl kube::Resource for Slim {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        kind.kind.as_str().into()
    }

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        kind.group.as_str().into()
    }

    fn version(kind: &ApiResource) -> Cow<'_, str> {
        kind.version.as_str().into()
    }

    fn api_version(kind: &ApiResource) -> Cow<'_, str> {
        kind.api_version.as_str().into()
    }

    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        kind.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_ownership_is_read() {
        let text = json!({"kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b"}, "managedFields": [{"manager": "me"}],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "1"}]}, "spec": {"x": [1, 2]}});
        let slim: Slim = serde_json::from_str(&text.to_string()).unwrap();
        assert_eq!(slim.metadata.owner_references.unwrap()[0].uid, "1");
        assert_eq!(slim.metadata.labels, None);
    }
}
