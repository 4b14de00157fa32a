//! One rule of a role, and what it allows.
//!
//! Source: pkg/apis/rbac/v1/evaluation_helpers.go.

use crate::control::server::Attributes;
use serde::{Deserialize, Serialize};

/// A rule as roles hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub api_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub non_resource_urls: Vec<String>,
}

/// A list that may be null.
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

impl Rule {
    /// Whether the rule allows it.
    pub fn allows(&self, wanted: &Attributes) -> bool {
        if !has(&self.verbs, &wanted.verb) {
            return false;
        }
        if !wanted.is_resource() {
            return self.non_resource_urls.iter().any(|url| url_matches(url, &wanted.path));
        }
        has(&self.api_groups, &wanted.group)
            && self.resources.iter().any(|own| resource_matches(own, &wanted.resource, &wanted.subresource))
            && (self.resource_names.is_empty() || self.resource_names.contains(&wanted.name))
    }

    /// Whether the rule allows everything that `other`, a rule of one verb and one resource or path, allows.
    pub fn covers(&self, other: &Rule) -> bool {
        let all = |own: &[String], others: &[String]| others.iter().all(|one| has(own, one));
        let resource = |combined: &String| {
            let (resource, part) = combined.split_once('/').unwrap_or((combined, ""));
            self.resources.iter().any(|own| resource_matches(own, resource, part))
        };
        let names = self.resource_names.is_empty()
            || (!other.resource_names.is_empty()
                && other.resource_names.iter().all(|name| self.resource_names.contains(name)));
        let url = |url: &String| self.non_resource_urls.iter().any(|own| own == url || url_matches(own, url));
        all(&self.verbs, &other.verbs)
            && all(&self.api_groups, &other.api_groups)
            && other.resources.iter().all(resource)
            && names
            && other.non_resource_urls.iter().all(url)
    }

    /// Rules of one verb and one resource (and name) or path each, which together allow the same.
    pub fn broken_down(&self) -> Vec<Rule> {
        let mut parts = Vec::new();
        for verb in &self.verbs {
            let verbs = vec![verb.clone()];
            for url in &self.non_resource_urls {
                let non_resource_urls = vec![url.clone()];
                parts.push(Rule { verbs: verbs.clone(), non_resource_urls, ..Rule::default() });
            }
            for (group, resource) in self.api_groups.iter().flat_map(|g| self.resources.iter().map(move |r| (g, r))) {
                let (api_groups, resources) = (vec![group.clone()], vec![resource.clone()]);
                let part = Rule { verbs: verbs.clone(), api_groups, resources, ..Rule::default() };
                if self.resource_names.is_empty() {
                    parts.push(part);
                } else {
                    let named = |name: &String| Rule { resource_names: vec![name.clone()], ..part.clone() };
                    parts.extend(self.resource_names.iter().map(named));
                }
            }
        }
        parts
    }
}

/// Whether a list names a word, or everything.
fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|own| own == word || own == "*")
}

/// `pods/log` is allowed by `pods/log`, `*/log` and `*`.
fn resource_matches(own: &str, resource: &str, part: &str) -> bool {
    if own == "*" {
        return true;
    }
    match own.split_once('/') {
        None => part.is_empty() && own == resource,
        Some((own_resource, own_part)) => {
            !part.is_empty() && own_part == part && (own_resource == "*" || own_resource == resource)
        }
    }
}

/// `/api/*` allows whatever starts with `/api/`.
fn url_matches(own: &str, path: &str) -> bool {
    own == "*" || own == path || (own.ends_with('*') && path.starts_with(own.trim_end_matches('*')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(value: serde_json::Value) -> Rule {
        serde_json::from_value(value).unwrap()
    }

    fn wanted(verb: &str, resource: &str, part: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            subresource: part.into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_part_of_an_object_is_not_the_object() {
        let pods = rule(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}));
        assert!(pods.allows(&wanted("get", "pods", "", "a")));
        assert!(!pods.allows(&wanted("get", "pods", "log", "a")));
        assert!(!pods.allows(&wanted("list", "pods", "", "")));
        let scale = rule(json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["*/scale"]}));
        assert!(scale.allows(&wanted("get", "deployments", "scale", "a")));
        assert!(!scale.allows(&wanted("get", "deployments", "", "a")));
    }

    #[test]
    fn a_rule_for_named_objects_is_for_no_others() {
        let one = rule(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}));
        assert!(one.allows(&wanted("get", "secrets", "", "a")));
        assert!(!one.allows(&wanted("get", "secrets", "", "b")));
        assert!(!one.allows(&wanted("create", "secrets", "", "")));
    }

    #[test]
    fn a_star_at_the_end_of_a_path_stands_for_the_rest() {
        let paths = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/api/*", "/version"]}));
        let path = |path: &str| Attributes { verb: "get".into(), path: path.into(), ..Attributes::default() };
        assert!(paths.allows(&path("/api/v1")) && paths.allows(&path("/version")));
        assert!(!paths.allows(&path("/apis")) && !paths.allows(&path("/version/")));
    }

    #[test]
    fn a_wider_rule_covers_every_part_of_a_narrower_one() {
        let wide = rule(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods", "pods/log"]}));
        let narrow = rule(json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}));
        assert!(narrow.broken_down().iter().all(|part| wide.covers(part)));
        assert!(!wide.broken_down().iter().all(|part| narrow.covers(part)));
    }
}
