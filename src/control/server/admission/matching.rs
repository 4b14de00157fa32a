//! Which requests a webhook or a policy is about: rules, selectors, and versions that mean the same.
//!
//! Source: k8s.io/apiserver `pkg/admission/plugin/webhook/predicates` and `.../webhook/generic/webhook.go`.

use super::Change;
use crate::api::kinds::GroupVersion;
use crate::api::selector::Selector;
use crate::api::{Kind, Object, Status};
use crate::control::server::Api;
use crate::control::server::auth::lookup;
use serde_json::Value;
use std::borrow::Cow;

/// What requests are chosen by.
#[derive(Debug, Default)]
pub struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Whether a request for another version of the same object is meant too.
    is_equivalent: bool,
    namespaces: Selector,
    objects: Selector,
}

#[derive(Debug)]
struct Rule {
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    operations: Vec<String>,
    names: Vec<String>,
    scope: String,
}

/// What a request is about.
#[derive(Clone)]
pub struct Asked<'a> {
    pub operation: &'static str,
    pub kind: &'a Kind,
    pub version: GroupVersion,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: Cow<'a, str>,
    pub name: Cow<'a, str>,
}

impl<'a> Asked<'a> {
    /// What a change is about.
    pub fn of(change: &Change<'a>) -> Self {
        let wanted = change.attributes;
        let is_namespace = change.is_of("", "namespaces");
        let own = |object: &Object, path: &[&str]| Cow::Owned(object.text(path).to_string());
        let name = match wanted.name.as_str() {
            "" => own(change.object, &["metadata", "name"]),
            name => Cow::Borrowed(name),
        };
        let namespace = match wanted.namespace.as_str() {
            _ if is_namespace => name.clone(),
            "" => own(change.object, &["metadata", "namespace"]),
            namespace => Cow::Borrowed(namespace),
        };
        let operation = match wanted.subresource.as_str() {
            "eviction" => "CREATE",
            _ => change.verb.word(),
        };
        Self {
            operation,
            kind: change.kind,
            version: GroupVersion { group: wanted.group.clone().into(), version: wanted.version.clone().into() },
            resource: &wanted.resource,
            subresource: &wanted.subresource,
            namespace,
            name,
        }
    }

    fn is_namespace(&self) -> bool {
        self.resource == "namespaces" && self.version.group.is_empty()
    }

    /// Whether it is about what webhooks and policies are themselves made of: nothing may stop anybody from mending those.
    pub fn is_exempt(&self) -> bool {
        const EXEMPT: [&str; 6] = [
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ];
        self.version.group == "admissionregistration.k8s.io" && EXEMPT.contains(&self.resource)
    }

    /// Every version that the object can be seen in.
    fn versions(&self) -> Vec<GroupVersion> {
        match &self.kind.custom {
            Some(custom) => custom
                .version_names()
                .map(|name| GroupVersion { group: self.version.group.clone(), version: name.to_string().into() })
                .collect(),
            None => self.kind.versions().cloned().collect(),
        }
    }
}

impl Matching {
    /// Reads the fields of a webhook (`rules`) or of a policy's constraints (`resourceRules`).
    pub fn read(value: &Value) -> Result<Self, String> {
        let rules = |field: &str| value[field].as_array().into_iter().flatten().map(Rule::read).collect::<Vec<_>>();
        let selector = |field: &str| Selector::from_object(&value[field]).map_err(|error| error.to_string());
        let mut own = rules("rules");
        own.extend(rules("resourceRules"));
        Ok(Self {
            rules: own,
            excluded: rules("excludeResourceRules"),
            is_equivalent: value["matchPolicy"] != "Exact",
            namespaces: selector("namespaceSelector")?,
            objects: selector("objectSelector")?,
        })
    }

    /// Whether it names no requests at all: in a binding that means all that its policy names.
    pub fn has_no_rules(&self) -> bool {
        self.rules.is_empty() && self.excluded.is_empty()
    }

    /// The version in which a request is meant, if it is.
    pub fn version(&self, asked: &Asked) -> Option<GroupVersion> {
        if self.excluded.iter().any(|rule| rule.takes(asked, &asked.version))
            || (self.is_equivalent
                && self.excluded.iter().any(|rule| asked.versions().iter().any(|own| rule.takes(asked, own))))
        {
            return None;
        }
        if self.rules.is_empty() && !self.excluded.is_empty() {
            return Some(asked.version.clone());
        }
        if self.rules.iter().any(|rule| rule.takes(asked, &asked.version)) {
            return Some(asked.version.clone());
        }
        if !self.is_equivalent {
            return None;
        }
        let mut others = asked.versions().into_iter().filter(|own| *own != asked.version);
        others.find(|own| self.rules.iter().any(|rule| rule.takes(asked, own)))
    }

    /// Whether the namespace and the object are selected; `objects` are the new and the old one, as far as there are.
    pub fn selects(&self, api: &Api, asked: &Asked, objects: [Option<&Object>; 2]) -> Result<bool, Status> {
        let takes = |selector: &Selector, object: &Object| {
            selector.matches(|key| object.labels().find(|(own, _)| *own == key).map(|(_, value)| value))
        };
        if !self.objects.is_everything() && !objects.iter().flatten().any(|object| takes(&self.objects, object)) {
            return Ok(false);
        }
        if self.namespaces.is_everything() || asked.namespace.is_empty() {
            return Ok(true);
        }
        if asked.is_namespace() && asked.subresource.is_empty() && asked.operation != "DELETE" {
            return Ok(objects[0].is_some_and(|object| takes(&self.namespaces, object)));
        }
        match lookup::object(&api.store, "namespaces", "", &asked.namespace) {
            Some(namespace) => Ok(takes(&self.namespaces, &namespace)),
            None => Err(Status::not_found("", "namespaces", &asked.namespace)),
        }
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let list = |field: &str| {
            rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
        };
        Self {
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            operations: list("operations"),
            names: list("resourceNames"),
            scope: rule["scope"].as_str().unwrap_or("*").into(),
        }
    }

    fn takes(&self, asked: &Asked, version: &GroupVersion) -> bool {
        let one_of = |list: &[String], own: &str| list.iter().any(|one| one == "*" || one == own);
        let in_scope = match self.scope.as_str() {
            "Namespaced" => !asked.is_namespace() && !asked.namespace.is_empty(),
            "Cluster" => asked.is_namespace() || asked.namespace.is_empty(),
            _ => true,
        };
        in_scope
            && one_of(&self.operations, asked.operation)
            && one_of(&self.groups, &version.group)
            && one_of(&self.versions, &version.version)
            && (self.names.is_empty() || self.names.iter().any(|name| *name == asked.name))
            && self.resources.iter().any(|pattern| fits(pattern, asked.resource, asked.subresource))
    }
}

/// `pods`, `pods/log`, `pods/*`, `*/status`, `*`, `*/*`.
fn fits(pattern: &str, resource: &str, subresource: &str) -> bool {
    let (own, part) = pattern.split_once('/').unwrap_or((pattern, ""));
    (own == "*" || own == resource) && (part == "*" || part == subresource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds;
    use serde_json::json;

    fn asked(version: &'static str, subresource: &'static str) -> Asked<'static> {
        let version = GroupVersion { group: "apps".into(), version: version.into() };
        let kind = kinds::find("apps", "v1", "deployments").unwrap();
        let (namespace, name) = ("one".into(), "web".into());
        Asked { operation: "CREATE", kind, version, resource: "deployments", subresource, namespace, name }
    }

    fn matching(policy: &str, versions: &[&str], resources: &[&str]) -> Matching {
        let rules =
            json!([{"apiGroups": ["apps"], "apiVersions": versions, "resources": resources, "operations": ["CREATE"]}]);
        Matching::read(&json!({"rules": rules, "matchPolicy": policy})).unwrap()
    }

    #[test]
    fn resources_and_their_parts_are_told_apart() {
        for (pattern, with_part, without) in [
            ("deployments", false, true),
            ("deployments/*", true, true),
            ("*", false, true),
            ("*/*", true, true),
            ("*/scale", true, false),
        ] {
            let own = matching("Exact", &["*"], &[pattern]);
            assert_eq!(own.version(&asked("v1", "scale")).is_some(), with_part, "{pattern}");
            assert_eq!(own.version(&asked("v1", "")).is_some(), without, "{pattern}");
        }
    }

    #[test]
    fn equivalent_versions_are_meant_unless_only_one_is() {
        let exact = matching("Exact", &["v1"], &["deployments"]);
        assert!(exact.version(&asked("v1beta1", "")).is_none());
        let equivalent = matching("Equivalent", &["v1"], &["deployments"]);
        assert_eq!(equivalent.version(&asked("v1beta1", "")).unwrap().version, "v1");
    }

    #[test]
    fn a_scope_is_of_the_cluster_or_of_namespaces() {
        let rule = |scope: &str| {
            let rules = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"], "scope": scope}]);
            Matching::read(&json!({"rules": rules})).unwrap()
        };
        assert!(rule("Namespaced").version(&asked("v1", "")).is_some());
        assert!(rule("Cluster").version(&asked("v1", "")).is_none());
    }
}
