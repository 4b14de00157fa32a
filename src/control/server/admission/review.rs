//! What webhooks and policies are shown of a request: the object in the version that they ask for, and what else is known.
//!
//! Source: k8s.io/apiserver `pkg/admission/plugin/webhook/request/admissionreview.go`.

use super::Change;
use super::matching::Asked;
use crate::api::kinds::GroupVersion;
use crate::api::{Kind, Object, Status, schema};
use crate::control::server::custom::convert;
use crate::control::server::identity::Attributes;
use crate::control::server::{Api, Identity, objects, read};
use serde_json::{Map, Value, json};

/// A request as it is shown in one version.
#[derive(Clone, Debug)]
pub struct Shown {
    pub version: GroupVersion,
    /// Null where there is none.
    pub object: Value,
    pub old: Value,
}

/// Shows a change in a version.
pub async fn shown(api: &Api, change: &Change<'_>, version: &GroupVersion) -> Result<Shown, Status> {
    if change.attributes.subresource == "eviction" {
        let metadata = json!({"name": change.object.name(), "namespace": change.object.namespace()});
        let object = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata});
        return Ok(Shown { version: version.clone(), object, old: Value::Null });
    }
    let object = match change.verb {
        super::Verb::Delete => Value::Null,
        _ => in_version(api, change, version, change.object).await?,
    };
    let old = match change.old {
        Some(old) => in_version(api, change, version, old).await?,
        None => Value::Null,
    };
    Ok(Shown { version: version.clone(), object, old })
}

async fn in_version(api: &Api, change: &Change<'_>, version: &GroupVersion, object: &Object) -> Result<Value, Status> {
    let kind = change.kind;
    if change.attributes.subresource == "scale" {
        return read::scale_of(kind, object);
    }
    if let Some(custom) = kind.custom.as_deref()
        && let Some(conversion) = &custom.conversion
    {
        let wanted = version.api_version();
        let converted = convert::objects(api, (custom, conversion), &wanted, std::slice::from_ref(object)).await?;
        return Ok(Value::Object(converted.into_iter().next().map_or_else(|| object.0.clone(), |one| one.0)));
    }
    Ok(Value::Object(objects::in_version(kind, &attributes(version), object.clone()).0))
}

fn attributes(version: &GroupVersion) -> Attributes {
    Attributes { group: version.group.to_string(), version: version.version.to_string(), ..Attributes::default() }
}

/// Takes over what somebody made of the object that was shown: pruned and defaulted as if a client had sent it.
pub async fn take_over(api: &Api, change: &mut Change<'_>, version: &GroupVersion, value: Value) -> Result<(), Status> {
    let kind = change.kind;
    if change.attributes.subresource == "scale" {
        if let Some(paths) = &kind.scale {
            change.object.set(&read::fields(&paths.spec_replicas), value["spec"]["replicas"].clone());
        }
        return Ok(());
    }
    let value = match kind.schema_at(&version.group, &version.version) {
        Some(schema) => schema::decode::value(schema, value).map_err(Status::internal)?.value,
        None => value,
    };
    let mut object = Object::from_value(value).ok_or_else(|| Status::internal("no object is left"))?;
    if let Some(custom) = kind.custom.as_deref()
        && let Some(conversion) = &custom.conversion
    {
        let wanted = kind.stored.api_version();
        let converted = convert::objects(api, (custom, conversion), &wanted, std::slice::from_ref(&object)).await?;
        if let Some(converted) = converted.into_iter().next() {
            object = converted;
        }
    }
    objects::to_stored(kind, &attributes(version), &mut object);
    objects::default(kind, change.attributes, &mut object);
    *change.object = object;
    Ok(())
}

/// The `request` of an AdmissionReview.
pub fn request(asked: &Asked, shown: &Shown, user: &Identity, is_dry_run: bool, uid: &str) -> Value {
    let (requested, own) = (about(asked, &asked.version), about(asked, &shown.version));
    let resource = |version: &GroupVersion| json!({"group": version.group, "version": version.version, "resource": asked.resource});
    let mut request = json!({
        "uid": uid,
        "kind": own, "resource": resource(&shown.version),
        "requestKind": requested, "requestResource": resource(&asked.version),
        "operation": asked.operation,
        "userInfo": user_info(user),
        "object": shown.object, "oldObject": shown.old,
        "dryRun": is_dry_run, "options": options(asked.operation, is_dry_run),
    });
    let namespace = if asked.kind.is_namespaced() || !asked.namespace.is_empty() { &asked.namespace } else { "" };
    for (field, text) in [
        ("name", &*asked.name),
        ("namespace", namespace),
        ("subResource", asked.subresource),
        ("requestSubResource", asked.subresource),
    ] {
        if !text.is_empty() {
            request[field] = json!(text);
        }
    }
    request
}

/// Group, version and kind of what is shown.
fn about(asked: &Asked, version: &GroupVersion) -> Value {
    let part = asked.kind.subresources().into_iter().find(|part| part.name == asked.subresource);
    let (version, kind) = match part {
        Some(part) if asked.operation == "CONNECT" => (version.clone(), part.kind),
        Some(part) => (part.version.unwrap_or_else(|| version.clone()), part.kind),
        None => (version.clone(), asked.kind.kind.clone()),
    };
    json!({"group": version.group, "version": version.version, "kind": kind})
}

fn user_info(user: &Identity) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        let extra: Map<String, Value> = user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
        info["extra"] = Value::Object(extra);
    }
    info
}

fn options(operation: &str, is_dry_run: bool) -> Value {
    let kind = match operation {
        "CREATE" => "CreateOptions",
        "UPDATE" => "UpdateOptions",
        "DELETE" => "DeleteOptions",
        _ => return Value::Null,
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if is_dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}

/// The options of a request that is passed on to a pod, service or node, as an object.
pub fn connect_options(kind: &Kind, subresource: &str, query: &str) -> Value {
    let part = kind.subresources().into_iter().find(|part| part.name == subresource);
    let mut object = json!({"kind": part.map_or_else(String::new, |part| part.kind.to_string()), "apiVersion": "v1"});
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "stdin" | "stdout" | "stderr" | "tty" => object[&*key] = json!(matches!(&*value, "true" | "1")),
            "container" | "path" => object[&*key] = json!(value),
            "command" => match object["command"].as_array_mut() {
                Some(list) => list.push(json!(value)),
                None => object["command"] = json!([value]),
            },
            _ => {}
        }
    }
    object
}
