//! Metadata of every kind.
//!
//! Source: k8s.io/apimachinery `pkg/api/validation/objectmeta.go`.

use super::causes::{At, Causes};
use super::labels;
use crate::api::{Cause, Kind, Object, names};
use std::collections::BTreeSet;

/// Most bytes of all annotations together.
const ANNOTATIONS: usize = 256 * 1024;

/// A rule for names.
type Rule = fn(&str) -> Vec<String>;

/// Kinds whose names are no domain names: group, plural, rule.
const RULES: &[(&str, &str, Rule)] = &[
    ("", "namespaces", names::dns_label),
    ("", "services", names::dns_1035_label),
    ("batch", "cronjobs", cron_job_name),
    ("rbac.authorization.k8s.io", "roles", names::path_segment),
    ("rbac.authorization.k8s.io", "clusterroles", names::path_segment),
    ("rbac.authorization.k8s.io", "rolebindings", names::path_segment),
    ("rbac.authorization.k8s.io", "clusterrolebindings", names::path_segment),
    ("apiregistration.k8s.io", "apiservices", names::path_segment),
    ("certificates.k8s.io", "certificatesigningrequests", names::path_segment),
    ("networking.k8s.io", "ipaddresses", address_name),
];

/// Its jobs' names are eleven letters longer.
fn cron_job_name(name: &str) -> Vec<String> {
    match name.len() {
        0..=52 => names::dns_subdomain(name),
        _ => vec!["must be no more than 52 characters".into()],
    }
}

fn address_name(name: &str) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Ok(address) if address.to_string() == name => Vec::new(),
        Ok(_) => vec!["must be a valid address in canonical form".into()],
        Err(_) => names::ip_address(name),
    }
}

/// The rule for names of a kind.
pub fn rule(kind: &Kind) -> Rule {
    let own = RULES.iter().find(|(group, plural, _)| kind.group() == *group && kind.plural == *plural);
    own.map_or(names::dns_subdomain, |(_, _, rule)| *rule)
}

/// What is wrong with the metadata of a new object.
pub fn new(kind: &Kind, object: &Object) -> Vec<Cause> {
    super::collect(|causes| {
        let at = At::top(object, "metadata");
        let rule = rule(kind);
        let prefix = at.at("generateName");
        causes.each(&prefix, if prefix.is_empty() { Vec::new() } else { rule(&masked(prefix.text())) });
        match at.at("name").text() {
            "" => causes.required(&at.at("name"), "name or generateName is required"),
            name => causes.each(&at.at("name"), rule(name)),
        }
        if kind.is_namespaced() {
            causes.name(&at.at("namespace"), names::dns_label);
        } else if !at.at("namespace").is_empty() {
            causes.forbidden(&at.at("namespace"), "not allowed on this type");
        }
        common(&at, causes);
        finalizers(&at.at("finalizers"), causes);
    })
}

/// What is wrong with a change of metadata. The server keeps what clients cannot change at all.
pub fn update(new: &Object, old: &Object) -> Vec<Cause> {
    super::collect(|causes| {
        let at = At::top(new, "metadata");
        if old.is_terminating() {
            let before: BTreeSet<&str> = old.finalizers().collect();
            let fresh: Vec<String> =
                new.finalizers().filter(|one| !before.contains(one)).map(|one| format!("\"{one}\"")).collect();
            if !fresh.is_empty() {
                let list = format!("[]string{{{}}}", fresh.join(", "));
                let why = "no new finalizers can be added if the object is being deleted, found new finalizers";
                causes.forbidden(&at.at("finalizers"), &format!("{why} {list}"));
            }
        }
        // What has not changed was judged when it was written.
        let changed = |field: &str| new.at(&["metadata", field]) != old.at(&["metadata", field]);
        if ["labels", "annotations", "ownerReferences"].into_iter().any(changed) {
            common(&at, causes);
        }
        if changed("finalizers") {
            finalizers(&at.at("finalizers"), causes);
        }
    })
}

/// A name that is to be continued may end in what a whole name may not.
fn masked(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if prefix.len() > 1 => {
            let kept: String = rest.chars().take(rest.chars().count().saturating_sub(1)).collect();
            format!("{kept}a")
        }
        _ => prefix.to_string(),
    }
}

fn common(at: &At<'_>, causes: &mut Causes) {
    labels::labels(&at.at("labels"), causes);
    annotations(&at.at("annotations"), causes);
    owners(&at.at("ownerReferences"), causes);
}

/// Annotations: keys in any case, and a limit of size.
pub fn annotations(at: &At<'_>, causes: &mut Causes) {
    let mut size = 0;
    for (key, value) in at.entries() {
        size += key.len() + value.text().len();
        for wrong in names::qualified_name(&key.to_lowercase()) {
            causes.invalid_as(at, &key.into(), &wrong);
        }
    }
    if size > ANNOTATIONS {
        causes.too_long(at, ANNOTATIONS);
    }
}

fn owners(at: &At<'_>, causes: &mut Causes) {
    let mut controller: Option<String> = None;
    for owner in at.items() {
        let version = owner.at("apiVersion");
        let parts = version.text().split('/').count();
        if version.is_empty() {
            causes.required(&version, "must not be empty");
        } else if parts > 2 || version.text().ends_with('/') {
            causes.invalid(&version, "must be <group>/<version> or <version>");
        }
        for field in ["kind", "name", "uid"] {
            if owner.at(field).is_empty() {
                causes.required(&owner.at(field), "must not be empty");
            }
        }
        if version.text() == "v1" && owner.at("kind").text() == "Event" {
            causes.invalid(&owner, "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.at("controller").is_true() {
            let name = format!("{}/{}", owner.at("kind").text(), owner.at("name").text());
            match &controller {
                None => controller = Some(name),
                Some(first) => {
                    let why = "Only one reference can have Controller set to true. Found \"true\" in references for";
                    causes.invalid(at, &format!("{why} {first} and {name}"));
                }
            }
        }
    }
}

fn finalizers(at: &At<'_>, causes: &mut Causes) {
    let mut both = [false; 2];
    for one in at.items() {
        for wrong in names::qualified_name(one.text()) {
            causes.invalid_as(at, one.value(), &wrong);
        }
        both[0] |= one.text() == "orphan";
        both[1] |= one.text() == "foregroundDeletion";
    }
    if both == [true, true] {
        causes.invalid(at, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::find;
    use serde_json::{Value, json};

    fn found(plural: &str, metadata: Value) -> Vec<String> {
        let kind = find("", "v1", plural).unwrap();
        let object = Object::from_value(json!({"metadata": metadata})).unwrap();
        new(kind, &object).into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn names_follow_the_rule_of_their_kind() {
        assert!(found("services", json!({"name": "1a", "namespace": "x"}))[0].contains("a DNS-1035 label"));
        assert!(found("namespaces", json!({"name": "a.b"}))[0].contains("a lowercase RFC 1123 label"));
        assert!(found("pods", json!({"name": "A", "namespace": "x"}))[0].contains("a lowercase RFC 1123 subdomain"));
        assert!(found("pods", json!({"name": "a.b", "generateName": "a-", "namespace": "x"})).is_empty());
    }

    #[test]
    fn every_part_is_judged() {
        let pod = |extra: Value| {
            let mut metadata = json!({"name": "p", "namespace": "x"});
            metadata.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            found("pods", metadata).concat()
        };
        let cases = [
            (json!({"labels": {"a b": "c"}}), "metadata.labels: Invalid value: \"a b\": name part must consist of"),
            (json!({"labels": {"a": "-"}}), "metadata.labels: Invalid value: \"-\": a valid label must be"),
            (
                json!({"annotations": {"a": "x".repeat(300_000)}}),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
            (json!({"finalizers": ["orphan", "foregroundDeletion"]}), "metadata.finalizers: Invalid value:"),
            (
                json!({"ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "n"}]}),
                "metadata.ownerReferences[0].uid: Required value: must not be empty",
            ),
        ];
        for (extra, wanted) in cases {
            assert!(pod(extra.clone()).starts_with(wanted), "{extra}: {}", pod(extra.clone()));
        }
        assert_eq!(found("nodes", json!({"name": "n", "namespace": "x"})).len(), 1);
    }
}
