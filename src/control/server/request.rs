//! From an HTTP request to what it asks for: Kubernetes' paths, verbs and query options.
//!
//! Source of the rules: k8s.io/apiserver `pkg/endpoints/request/requestinfo.go`.

use super::identity::Attributes;
use crate::api::Status;
use http::Method;
use std::collections::HashMap;

/// What follows the resource's name or subresource, for proxies: the rest of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub attributes: Attributes,
    pub rest: String,
}

/// Reads a method, path and query.
pub fn target(method: &Method, path: &str, options: &Options) -> Target {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return other(method, path),
    };
    let (namespace, rest) = match rest {
        ["namespaces", name, part] if matches!(*part, "status" | "finalize") => {
            (*name, &["namespaces", *name, *part][..])
        }
        ["namespaces", name, inner @ ..] if !inner.is_empty() => (*name, inner),
        ["namespaces", name] => (*name, rest),
        _ => ("", rest),
    };
    let part = |index: usize| rest.get(index).copied().unwrap_or_default().to_string();
    let (resource, name, subresource) = (part(0), part(1), part(2));
    let verb = verb(method, !name.is_empty(), options).to_string();
    let attributes = Attributes {
        verb,
        group: group.into(),
        version: version.into(),
        resource,
        subresource,
        namespace: namespace.into(),
        name,
        path: path.into(),
    };
    Target { attributes, rest: rest.get(3..).unwrap_or_default().join("/") }
}

fn other(method: &Method, path: &str) -> Target {
    let verb = method.as_str().to_ascii_lowercase();
    Target { attributes: Attributes { verb, path: path.into(), ..Attributes::default() }, rest: String::new() }
}

fn verb(method: &Method, is_named: bool, options: &Options) -> &'static str {
    match (method, is_named) {
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        (&Method::GET | &Method::HEAD, _) if options.is_true("watch") => "watch",
        (&Method::GET | &Method::HEAD, true) => "get",
        (&Method::GET | &Method::HEAD, false) => "list",
        // No rule allows what has no verb, but for those that allow everything; they are told that there is no such method.
        _ => "",
    }
}

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub struct Options(HashMap<String, String>);

impl Options {
    /// Reads a query string; of an option given twice the first counts, as in Go.
    pub fn parse(query: &str) -> Self {
        let mut options = HashMap::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            options.entry(key.into_owned()).or_insert(value.into_owned());
        }
        Self(options)
    }

    /// The value of an option, empty when it is not given.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whether an option is given, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether an option is given as true, which is everything but `false` and `0`.
    ///
    /// Source: k8s.io/apimachinery `pkg/runtime/conversion.go` (`Convert_Slice_string_To_bool`).
    pub fn is_true(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// The value of an option as a number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| Status::bad_request(format!("invalid value \"{text}\" for option {name}")))
    }

    /// Whether nothing may be written (`dryRun=All`).
    pub fn is_dry_run(&self) -> bool {
        self.text("dryRun") == "All"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, path: &str, query: &str) -> Attributes {
        target(&method, path, &Options::parse(query)).attributes
    }

    #[test]
    fn paths_of_namespaced_objects_are_taken_apart() {
        let seen = read(Method::GET, "/apis/apps/v1/namespaces/one/deployments/web/scale", "");
        let parts =
            [&seen.verb, &seen.group, &seen.version, &seen.namespace, &seen.resource, &seen.name, &seen.subresource];
        assert_eq!(parts, ["get", "apps", "v1", "one", "deployments", "web", "scale"]);
    }

    #[test]
    fn a_namespace_is_an_object_and_a_place() {
        let seen = read(Method::PUT, "/api/v1/namespaces/one/finalize", "");
        assert_eq!([&seen.resource, &seen.name, &seen.subresource], ["namespaces", "one", "finalize"]);
        let seen = read(Method::GET, "/api/v1/namespaces/one", "");
        assert_eq!([&seen.verb, &seen.resource, &seen.name, &seen.namespace], ["get", "namespaces", "one", "one"]);
        let seen = read(Method::GET, "/api/v1/namespaces/one/pods", "watch=true");
        assert_eq!([&seen.verb, &seen.resource, &seen.namespace], ["watch", "pods", "one"]);
    }

    #[test]
    fn a_method_that_kubernetes_has_no_verb_for_has_none() {
        assert_eq!(read(Method::from_bytes(b"FOO").unwrap(), "/api/v1/pods", "").verb, "");
        assert_eq!(read(Method::OPTIONS, "/api/v1/pods", "watch=1").verb, "");
        assert_eq!(read(Method::HEAD, "/api/v1/pods", "").verb, "list");
    }

    #[test]
    fn what_follows_a_proxy_is_kept() {
        let seen = target(&Method::GET, "/api/v1/nodes/one/proxy/logs/x", &Options::default());
        assert_eq!((seen.attributes.subresource.as_str(), seen.rest.as_str()), ("proxy", "logs/x"));
    }

    #[test]
    fn other_paths_are_no_resources() {
        for path in ["/version", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1"] {
            assert!(!read(Method::GET, path, "").is_resource(), "{path}");
        }
    }
}
