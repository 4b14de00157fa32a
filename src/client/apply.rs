//! Server-side apply of objects of any kind. Built-in kinds are found in the kinds table, others by discovery.

use super::{Client, Error, wait};
use crate::api::{KINDS, Object, Scope};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery;
use serde_json::Value;
use std::time::Duration;

/// How long a new CustomResourceDefinition may take until its kind is served.
const ESTABLISH: Duration = Duration::from_secs(10);

/// How to reach a kind: its resource, and whether its objects are in namespaces.
pub async fn resolve(client: &Client, api_version: &str, kind: &str) -> Result<(ApiResource, Scope), Error> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let known =
        KINDS.iter().find(|entry| entry.kind == kind && entry.stored.group == group && entry.stored.version == version);
    if let Some(entry) = known {
        return Ok((ApiResource::from_gvk_with_plural(&gvk, &entry.plural), entry.scope));
    }
    let (resource, capabilities) = discovery::pinned_kind(client, &gvk).await.map_err(|source| Error::UnknownKind {
        api_version: api_version.into(),
        kind: kind.into(),
        source: Box::new(source),
    })?;
    let scope = match capabilities.scope {
        discovery::Scope::Cluster => Scope::Cluster,
        discovery::Scope::Namespaced => Scope::Namespaced,
    };
    Ok((resource, scope))
}

/// The door to objects of a kind; `namespace` is ignored for objects of the cluster, and `default` where it is empty.
pub fn door(client: &Client, resource: &ApiResource, scope: Scope, namespace: &str) -> Api<DynamicObject> {
    match (scope, namespace) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), resource),
        (Scope::Namespaced, "") => Api::default_namespaced_with(client.clone(), resource),
        (Scope::Namespaced, namespace) => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

/// Applies one object as `manager`, taking over fields that others own, and returns what the server made of it.
pub async fn object(client: &Client, object: &Object, manager: &str) -> Result<Object, Error> {
    let (resource, scope) = resolve(client, object.api_version(), object.kind()).await?;
    let door = door(client, &resource, scope, object.namespace());
    let params = PatchParams::apply(manager).force();
    let made = door.patch(object.name(), &params, &Patch::Apply(&object.0)).await?;
    let value = serde_json::to_value(made).map_err(kube::Error::SerdeError)?;
    Ok(Object::from_value(value).unwrap_or_default())
}

/// Makes one object as `manager`, or merges it into the one that is there (lists are replaced whole).
pub async fn ensure(client: &Client, object: &Object, manager: &str) -> Result<(), Error> {
    let (resource, scope) = resolve(client, object.api_version(), object.kind()).await?;
    let door = door(client, &resource, scope, object.namespace());
    let wanted: DynamicObject =
        serde_json::from_value(Value::Object(object.0.clone())).map_err(kube::Error::SerdeError)?;
    let params = PostParams { field_manager: Some(manager.into()), ..PostParams::default() };
    match door.create(&params, &wanted).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
            door.patch(object.name(), &params, &Patch::Merge(&object.0)).await?;
        }
        made => drop(made?),
    }
    Ok(())
}

/// Whether an object is there and has a label with this value.
pub async fn has_label(client: &Client, object: &Object, label: &str, value: &str) -> Result<bool, Error> {
    let (resource, scope) = match resolve(client, object.api_version(), object.kind()).await {
        Err(Error::UnknownKind { .. }) => return Ok(false),
        resolved => resolved?,
    };
    let found = door(client, &resource, scope, object.namespace()).get_metadata_opt(object.name()).await?;
    Ok(found
        .and_then(|found| found.metadata.labels)
        .is_some_and(|labels| labels.get(label).is_some_and(|own| own == value)))
}

/// Deletes one object. No error if it, or its kind, is gone.
pub async fn remove(client: &Client, object: &Object) -> Result<(), Error> {
    let (resource, scope) = match resolve(client, object.api_version(), object.kind()).await {
        Err(Error::UnknownKind { .. }) => return Ok(()),
        resolved => resolved?,
    };
    let door = door(client, &resource, scope, object.namespace());
    match door.delete(object.name(), &kube::api::DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(drop).map_err(Error::from),
    }
}

/// Applies many objects in the order in which they need each other: namespaces, definitions of kinds (waiting until they
/// are served), then the rest as given.
pub async fn all(client: &Client, objects: &[Object], manager: &str) -> Result<(), Error> {
    let mut ordered: Vec<&Object> = objects.iter().collect();
    ordered.sort_by_key(|object| rank(object));
    for one in ordered {
        object(client, one, manager).await?;
        if one.kind() == "CustomResourceDefinition" {
            established(client, one).await?;
        }
    }
    Ok(())
}

fn rank(object: &Object) -> u8 {
    match object.kind() {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "ServiceAccount" | "PriorityClass" | "StorageClass" => 2,
        "ConfigMap" | "Secret" => 3,
        "ClusterRole" | "Role" | "ClusterRoleBinding" | "RoleBinding" => 4,
        _ => 5,
    }
}

async fn established(client: &Client, definition: &Object) -> Result<(), Error> {
    let (resource, scope) = resolve(client, definition.api_version(), definition.kind()).await?;
    let door = door(client, &resource, scope, "");
    let is_served = |object: Option<&DynamicObject>| {
        let value = object.and_then(|object| serde_json::to_value(object).ok()).unwrap_or(Value::Null);
        wait::has_condition(&value, "Established")
    };
    let waiting = wait::until(door, definition.name(), is_served);
    match tokio::time::timeout(ESTABLISH, waiting).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::NotEstablished(definition.name().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;
    use serde_json::json;

    #[tokio::test]
    async fn unknown_kinds_are_found_by_discovery_and_applied_by_force() {
        let mock = Mock::default();
        mock.answer(
            200,
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "boats.io/v1",
            "resources": [{"name": "coracles", "singularName": "coracle", "kind": "Coracle", "namespaced": true,
                "verbs": ["get"]}]}),
        );
        let boat = json!({"apiVersion": "boats.io/v1", "kind": "Coracle",
            "metadata": {"name": "one", "namespace": "sea"}, "spec": {"oars": 1}});
        let object = Object::from_value(boat).unwrap();
        super::object(&mock.client(), &object, "me").await.unwrap();
        let (method, path, body) = mock.requests().pop().unwrap();
        assert_eq!(method, "PATCH");
        assert_eq!(path, "/apis/boats.io/v1/namespaces/sea/coracles/one?&force=true&fieldManager=me");
        assert_eq!(body["spec"]["oars"], 1);
    }
}
