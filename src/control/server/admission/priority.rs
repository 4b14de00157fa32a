//! Priority: the number behind a pod's priority class, and that only one class is the default.
//!
//! Source: plugin/pkg/admission/priority.

use super::{Api, Change, Object, Plugin, Verb, find, list};
use crate::api::Status;
use async_trait::async_trait;
use serde_json::Value;

pub struct Priority;

#[async_trait]
impl Plugin for Priority {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !change.is("", "pods") {
            return Ok(());
        }
        match (change.verb, change.old) {
            (Verb::Create, _) => give(api, change),
            // Who does not know of priorities keeps them.
            (Verb::Update, Some(old)) => {
                for field in ["priority", "preemptionPolicy"] {
                    if let (None, Some(value)) = (change.object.at(&["spec", field]), old.at(&["spec", field])) {
                        change.object.set(&["spec", field], value.clone());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let is_class = change.is("scheduling.k8s.io", "priorityclasses") && change.verb != Verb::Delete;
        if !is_class || change.object.at(&["globalDefault"]) != Some(&Value::Bool(true)) {
            return Ok(());
        }
        match default_class(api)?.filter(|other| other.name() != change.object.name()) {
            None => Ok(()),
            Some(other) => {
                let name = other.name();
                Err(change.forbidden(format!(
                    "PriorityClass {name} is already marked as default. Only one default can exist"
                )))
            }
        }
    }
}

fn default_class(api: &Api) -> Result<Option<Object>, Status> {
    let all = list(api, "scheduling.k8s.io", "priorityclasses", None)?;
    let defaults = all.into_iter().filter(|class| class.at(&["globalDefault"]) == Some(&Value::Bool(true)));
    // Several may have come at once: the lowest counts.
    Ok(defaults.min_by_key(value))
}

fn value(class: &Object) -> i64 {
    class.at(&["value"]).and_then(Value::as_i64).unwrap_or(0)
}

fn give(api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
    let named = change.object.text(&["spec", "priorityClassName"]).to_string();
    let class = match named.as_str() {
        "" => default_class(api)?,
        name => {
            let class = find(api, "scheduling.k8s.io", "priorityclasses", "", name)?;
            Some(class.ok_or_else(|| change.forbidden(format!("no PriorityClass with name {name} was found")))?)
        }
    };
    let priority = class.as_ref().map_or(0, value);
    let policy = class.as_ref().map_or("", |class| class.text(&["preemptionPolicy"]));
    let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
    if let Some(class) = class.as_ref().filter(|_| named.is_empty()) {
        change.object.set(&["spec", "priorityClassName"], class.name());
    }
    let computed = "priority admission controller computed";
    if let Some(own) = change.object.at(&["spec", "priority"]).and_then(Value::as_i64).filter(|own| *own != priority) {
        return Err(change.forbidden(format!(
            "the integer value of priority ({own}) must not be provided in pod spec; {computed} {priority} from the given PriorityClass name"
        )));
    }
    let own = change.object.text(&["spec", "preemptionPolicy"]);
    if !own.is_empty() && own != policy {
        return Err(change.forbidden(format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; {computed} {policy} from the given PriorityClass name"
        )));
    }
    change.object.set(&["spec", "priority"], priority);
    change.object.set(&["spec", "preemptionPolicy"], policy);
    Ok(())
}
