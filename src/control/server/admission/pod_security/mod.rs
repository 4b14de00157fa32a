//! PodSecurity: what a namespace's labels allow its pods.
//!
//! Source of levels and wording: k8s.io/pod-security-admission.

mod checks;

use super::{Api, Change, Object, Plugin, Verb, find};
use crate::api::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

const PREFIX: &str = "pod-security.kubernetes.io";
/// Kinds that make pods, and where their template is. They are only warned of.
const TEMPLATES: &[(&str, &str, &[&str])] = &[
    ("", "replicationcontrollers", &["spec", "template"]),
    ("", "podtemplates", &["template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

/// How much pods may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// The level of a label. One that is no level counts as the strictest.
    fn of(namespace: &Object, mode: &str) -> Self {
        let key = format!("{PREFIX}/{mode}");
        match namespace.labels().find(|(own, _)| *own == key).map(|(_, value)| value) {
            None | Some("privileged") => Level::Privileged,
            Some("baseline") => Level::Baseline,
            Some(_) => Level::Restricted,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

pub struct PodSecurity;

#[async_trait]
impl Plugin for PodSecurity {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if change.verb == Verb::Delete || !change.kind.is_namespaced() {
            return Ok(());
        }
        let is_pod = change.is_of("", "pods")
            && matches!(change.attributes.subresource.as_str(), "" | "ephemeralcontainers")
            && matters(change);
        let template = TEMPLATES.iter().find(|(group, plural, _)| change.is(group, plural));
        let pod = match template {
            Some((_, _, path)) => change.object.at(path).cloned().unwrap_or(Value::Null),
            None if is_pod => json!({"metadata": change.object.0.get("metadata"), "spec": change.object.0.get("spec")}),
            None => return Ok(()),
        };
        let Some(namespace) = find(api, "", "namespaces", "", change.object.namespace())? else { return Ok(()) };
        let version = |mode: &str| {
            let key = format!("{PREFIX}/{mode}-version");
            let labels = namespace.labels().find(|(own, _)| *own == key).map(|(_, value)| value.to_string());
            labels.unwrap_or_else(|| "latest".into())
        };
        let (enforced, warned) = (Level::of(&namespace, "enforce"), Level::of(&namespace, "warn"));
        if template.is_none()
            && let Some(found) = checks::violations(&pod, enforced)
        {
            let level = format!("\"{}:{}\"", enforced.word(), version("enforce"));
            return Err(change.forbidden(format!("violates PodSecurity {level}: {found}")));
        }
        if let Some(found) = checks::violations(&pod, warned) {
            let level = format!("\"{}:{}\"", warned.word(), version("warn"));
            change.warnings.push(format!("would violate PodSecurity {level}: {found}"));
        }
        Ok(())
    }
}

/// An update that changes neither spec nor profiles is let through: it was judged before.
fn matters(change: &Change<'_>) -> bool {
    let Some(old) = change.old else { return true };
    old.0.get("spec") != change.object.0.get("spec")
        || old.at(&["metadata", "annotations"]) != change.object.at(&["metadata", "annotations"])
}
