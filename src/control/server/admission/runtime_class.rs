//! RuntimeClass: what a pod's runtime class adds to it.
//!
//! Source: plugin/pkg/admission/runtimeclass.

use super::{Api, Change, Object, Plugin, Verb, find, items, list_at, spec};
use crate::api::Status;
use async_trait::async_trait;
use serde_json::Value;

pub struct RuntimeClass;

#[async_trait]
impl Plugin for RuntimeClass {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !change.is("", "pods") || change.verb != Verb::Create {
            return Ok(());
        }
        let Some(class) = class_of(api, change)? else { return Ok(()) };
        if let Some(overhead) = class.at(&["overhead", "podFixed"]).filter(|overhead| overhead.is_object()) {
            let own = change.object.at(&["spec", "overhead"]);
            if own.is_some_and(|own| own.is_object() && own != overhead) {
                return Err(
                    change.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
                );
            }
            change.object.set(&["spec", "overhead"], overhead.clone());
        }
        place(change, &class)
    }

    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !change.is("", "pods") || change.verb != Verb::Create {
            return Ok(());
        }
        let class = class_of(api, change)?;
        let has_overhead =
            |object: &Object, path: &[&str]| object.at(path).is_some_and(|value| value.as_object().is_some());
        let class_has = class.as_ref().is_some_and(|class| has_overhead(class, &["overhead", "podFixed"]));
        if has_overhead(change.object, &["spec", "overhead"]) && !class_has {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(change.forbidden(why));
        }
        Ok(())
    }
}

fn class_of(api: &Api, change: &Change<'_>) -> Result<Option<Object>, Status> {
    let name = change.object.text(&["spec", "runtimeClassName"]);
    if name.is_empty() {
        return Ok(None);
    }
    let class = find(api, "node.k8s.io", "runtimeclasses", "", name)?;
    let missing = || change.forbidden(format!("pod rejected: RuntimeClass \"{name}\" not found"));
    class.ok_or_else(missing).map(Some)
}

/// The class's nodes become the pod's.
fn place(change: &mut Change<'_>, class: &Object) -> Result<(), Status> {
    let Some(scheduling) = class.0.get("scheduling").filter(|scheduling| scheduling.is_object()) else {
        return Ok(());
    };
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let own = spec(change.object)["nodeSelector"].get(key).cloned().unwrap_or(Value::Null);
        if !own.is_null() && own != *value {
            let why = format!("conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}", text(value));
            let why = format!("{why}; pod.spec.nodeSelector[{key}] = {}", text(&own));
            return Err(change.forbidden(why));
        }
        change.object.set(&["spec", "nodeSelector", key], value.clone());
    }
    for toleration in items(scheduling, "tolerations") {
        let list = list_at(change.object, &["spec", "tolerations"]);
        if !list.contains(toleration) {
            list.push(toleration.clone());
        }
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
