//! Pods, and the templates that they are made from.
//!
//! Source: pkg/apis/core/validation/validation.go.

mod containers;
mod environment;
mod handlers;
mod resources;
mod scheduling;
mod security;
mod update;
mod volumes;

use super::causes::{At, Causes, collect};
use super::labels;
use crate::api::{Cause, Object, names};
use serde_json::Value;

pub use handlers::port;
pub use resources::{amount, resource_name};
pub use update::update;
pub use volumes::{node_affinity, source as volume_source};

/// What is wrong with a pod.
pub fn pod(pod: &Object) -> Vec<Cause> {
    collect(|causes| spec(&At::top(pod, "spec"), Owner::Pod, causes))
}

/// What is wrong with a new pod beyond what is wrong with any.
pub fn new(new: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(new, "spec");
        if !spec.at("ephemeralContainers").is_empty() {
            causes.forbidden(&spec.at("ephemeralContainers"), "cannot be set on create");
        }
        if !spec.at("schedulingGates").is_empty() && !spec.at("nodeName").is_empty() {
            causes.forbidden(&spec.at("nodeName"), "cannot be set until all schedulingGates have been cleared");
        }
    })
}

/// Whose spec it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Pod,
    Template,
}

/// A template's labels and annotations.
pub fn template_metadata(at: &At<'_>, causes: &mut Causes) {
    let metadata = at.at("metadata");
    labels::labels(&metadata.at("labels"), causes);
    super::metadata::annotations(&metadata.at("annotations"), causes);
}

/// A template: labels, annotations, spec.
pub fn template(at: &At<'_>, causes: &mut Causes) {
    template_metadata(at, causes);
    let spec = at.at("spec");
    self::spec(&spec, Owner::Template, causes);
    if !spec.at("ephemeralContainers").is_empty() {
        causes.forbidden(&spec.at("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// A pod's spec.
pub fn spec(at: &At<'_>, owner: Owner, causes: &mut Causes) {
    let volumes = volumes::volumes(&at.at("volumes"), causes);
    containers::all(at, owner, &volumes, causes);
    causes.one_of(&at.at("restartPolicy"), &["Always", "OnFailure", "Never"]);
    dns(at, causes);
    security::pod(at, causes);
    for secret in at.at("imagePullSecrets").items() {
        if secret.at("name").is_empty() {
            causes.required(&secret.at("name"), "");
        }
    }
    scheduling::affinity(&at.at("affinity"), causes);
    labels::labels(&at.at("nodeSelector"), causes);
    for gate in at.at("readinessGates").items() {
        causes.each(&gate.at("conditionType"), names::qualified_name(gate.at("conditionType").text()));
    }
    scheduling::gates(&at.at("schedulingGates"), causes);
    scheduling::spread(&at.at("topologySpreadConstraints"), causes);
    identity(at, causes);
    scheduling::tolerations(&at.at("tolerations"), causes);
    host_aliases(&at.at("hostAliases"), causes);
    causes.optional_of(&at.at("preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
    for (name, amount) in at.at("overhead").entries() {
        resources::resource(name, &amount, causes);
    }
    if owner == Owner::Template && !at.at("resources").is_missing() {
        resources::requirements(&at.at("resources"), causes);
    }
}

/// Names that a pod has and gives, and how long it may live.
fn identity(at: &At<'_>, causes: &mut Causes) {
    let named: [(&str, fn(&str) -> Vec<String>); 6] = [
        ("serviceAccountName", names::dns_subdomain),
        ("nodeName", names::dns_subdomain),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
        ("priorityClassName", names::dns_subdomain),
        ("runtimeClassName", names::dns_subdomain),
    ];
    for (field, rule) in named {
        let at = at.at(field);
        if !at.is_empty() {
            causes.each(&at, rule(at.text()));
        }
    }
    causes.within(&at.at("activeDeadlineSeconds"), 1, i64::from(u32::MAX));
}

fn dns(at: &At<'_>, causes: &mut Causes) {
    causes.one_of(&at.at("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    let config = at.at("dnsConfig");
    let servers = config.at("nameservers");
    if at.at("dnsPolicy").text() == "None" {
        if config.is_missing() {
            causes.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
        } else if servers.is_empty() {
            causes.required(&servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if servers.count() > 3 {
        causes.invalid(&servers, "must not have more than 3 nameservers");
    }
    for server in servers.items() {
        causes.each(&server, names::ip_address(server.text()));
    }
    let searches = config.at("searches");
    if searches.count() > 32 {
        causes.invalid(&searches, "must not have more than 32 search paths");
    }
    let length: usize = searches.items().map(|one| one.text().len() + 1).sum();
    if length > 2049 {
        causes.invalid(&searches, "must not have more than 2048 characters (including spaces) in the search list");
    }
    for search in searches.items() {
        let text = search.text().strip_suffix('.').unwrap_or(search.text());
        if search.text() != "." {
            causes.each(&search, names::dns_subdomain(&text.replace('_', "a")));
        }
    }
    for option in config.at("options").items() {
        if option.at("name").is_empty() {
            causes.required(&option, "must not be empty");
        }
    }
}

fn host_aliases(at: &At<'_>, causes: &mut Causes) {
    for alias in at.items() {
        causes.each(&alias.at("ip"), names::ip_address(alias.at("ip").text()));
        for name in alias.at("hostnames").items() {
            causes.each(&name, names::dns_subdomain(name.text()));
        }
    }
}

/// Whether a number is one that users and groups have.
fn is_id(value: &Value) -> bool {
    value.as_i64().is_none_or(|id| (0..=i64::from(i32::MAX)).contains(&id))
}
