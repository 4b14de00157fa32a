//! What is no object: discovery, health and version.

use super::answer::{self, Answer};
use super::route::{Call, method_not_allowed};
use super::{Api, auth, counters, health, openapi, resource};
use crate::api::kinds::{GroupVersion, KindRef, Subresource};
use crate::api::{KINDS, Kind, Scope, Status};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The version of the API that is served.
const MINOR: &str = "36";
/// Paths of documents, beside those of groups and health.
const OTHERS: &[&str] = &[
    "/.well-known/openid-configuration",
    "/apis",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/version",
];

/// Answers a path that is no resource.
pub async fn answer(call: &Call) -> Result<Answer, Status> {
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(method_not_allowed());
    }
    let path = call.attributes().path.trim_end_matches('/');
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match segments.as_slice() {
        ["version"] => Ok(answer::value(StatusCode::OK, &version())),
        [probe @ ("healthz" | "livez" | "readyz"), checks @ ..] => health::answer(call, probe, checks),
        ["metrics"] => Ok(counters::document(&call.api)),
        [""] => Ok(answer::value(StatusCode::OK, &json!({"paths": paths(&call.api)}))),
        [".well-known", "openid-configuration"] => Ok(auth::oidc::configuration(&call.api)),
        ["openapi", rest @ ..] => openapi::answer(call, rest).await,
        ["openid", "v1", "jwks"] => Ok(auth::oidc::keys(&call.api)),
        ["api"] if wants_aggregated(call) => Ok(aggregated(&call.api, true)),
        ["apis"] if wants_aggregated(call) => Ok(aggregated(&call.api, false)),
        ["api"] => Ok(answer::value(StatusCode::OK, &json!({"kind": "APIVersions", "versions": ["v1"]}))),
        ["apis"] => Ok(answer::value(
            StatusCode::OK,
            &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(&call.api)}),
        )),
        ["apis", group] => group_answer(&call.api, group),
        ["api", version] => resources(&call.api, "", version),
        ["apis", group, version] => resources(&call.api, group, version),
        _ => Err(resource::not_served()),
    }
}

/// What there is to read that is no object.
fn paths(api: &Api) -> Vec<String> {
    let mut paths: Vec<String> = OTHERS.iter().map(|path| path.to_string()).collect();
    paths.extend(health::paths());
    for (group, versions) in served(api) {
        let folder = if group.is_empty() { "/api".to_string() } else { format!("/apis/{group}") };
        paths.extend(versions.iter().map(|(version, _)| format!("{folder}/{version}")));
        paths.push(folder);
    }
    paths.sort();
    paths
}

/// The server's version, as `/version` tells it.
pub fn version() -> Value {
    let built = env!("CORACLE_SECONDS").parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0+coracle-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": env!("CORACLE_COMMIT"), "gitTreeState": env!("CORACLE_TREE"),
        "buildDate": crate::api::time::text(built.unwrap_or_default()),
        "goVersion": "none", "compiler": "rustc", "platform": format!("linux/{}", architecture()),
    })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What is served in a version.
enum Content {
    /// Kinds of this server.
    Kinds(Vec<KindRef>),
    /// What another server said of itself, an `APIResourceList`; null as long as it said nothing.
    Elsewhere(Value),
}

/// The versions of each group.
type Groups = BTreeMap<String, Vec<(String, Content)>>;

/// Every version of every group, the preferred one first, with what is served in it.
fn served(api: &Api) -> Groups {
    let mut all = Groups::new();
    let built_in = KINDS.iter().flat_map(|kind| kind.versions().map(move |own| (own.clone(), KindRef::BuiltIn(kind))));
    let custom = api.custom.all().into_iter().map(|(own, kind)| (own, KindRef::Custom(kind)));
    for (own, kind) in built_in.chain(custom) {
        let versions = all.entry(own.group.into_owned()).or_default();
        match versions.iter_mut().find(|(name, _)| *name == own.version) {
            Some((_, Content::Kinds(kinds))) => kinds.push(kind),
            Some((_, Content::Elsewhere(_))) => {}
            None => versions.push((own.version.into_owned(), Content::Kinds(vec![kind]))),
        }
    }
    for remote in api.aggregated.all().iter() {
        let said = api.aggregated.documents(remote).filter(|_| remote.is_available);
        let content = Content::Elsewhere(said.map_or(Value::Null, |documents| documents.resources.clone()));
        let versions = all.entry(remote.group.clone()).or_default();
        versions.retain(|(name, _)| *name != remote.version);
        versions.push((remote.version.clone(), content));
    }
    all.values_mut().for_each(|versions| versions.sort_by_key(|(name, _)| rank(name)));
    all
}

/// Groups in the order in which clients look a resource up: those that everything has left come last.
fn in_order(groups: Groups) -> impl Iterator<Item = (String, Vec<(String, Content)>)> {
    let has_left = |group: &str, (version, content): &(String, Content)| match content {
        Content::Kinds(kinds) => kinds.iter().all(|kind| kind.has_left(group, version)),
        Content::Elsewhere(_) => false,
    };
    let (old, own): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(group, versions)| versions.iter().all(|version| has_left(group, version)));
    own.into_iter().chain(old)
}

/// Stable versions before beta before alpha, newer before older.
///
/// Source: k8s.io/apimachinery `pkg/version/helpers.go`.
fn rank(version: &str) -> (u8, std::cmp::Reverse<u32>, std::cmp::Reverse<u32>) {
    let text = version.trim_start_matches('v');
    let number = |text: &str| std::cmp::Reverse(text.parse().unwrap_or(0));
    for (stage, word) in [(1, "beta"), (2, "alpha")] {
        if let Some((major, minor)) = text.split_once(word) {
            return (stage, number(major), number(minor));
        }
    }
    (0, number(text), number("0"))
}

fn groups(api: &Api) -> Vec<Value> {
    in_order(served(api))
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(&group, &versions))
        .collect()
}

fn group_value(group: &str, versions: &[(String, Content)]) -> Value {
    let all: Vec<Value> = versions
        .iter()
        .map(|(version, _)| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": all, "preferredVersion": all.first()})
}

fn group_answer(api: &Api, group: &str) -> Result<Answer, Status> {
    let all = served(api);
    let versions = all.get(group).filter(|_| !group.is_empty()).ok_or_else(resource::not_served)?;
    let mut value = group_value(group, versions);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Ok(answer::value(StatusCode::OK, &value))
}

fn resources(api: &Api, group: &str, version: &str) -> Result<Answer, Status> {
    let all = served(api);
    let found = all.get(group).and_then(|versions| versions.iter().find(|(name, _)| *name == version));
    let Some((_, Content::Kinds(kinds))) = found else { return Err(resource::not_served()) };
    let mut list = Vec::new();
    for kind in kinds {
        list.push(resource_value(kind, group, version));
        list.extend(kind.subresources().iter().map(|part| subresource_value(kind, part)));
    }
    let group_version = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
    let value =
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list});
    Ok(answer::value(StatusCode::OK, &value))
}

fn resource_value(kind: &Kind, group: &str, version: &str) -> Value {
    let mut value = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.is_namespaced(),
        "kind": kind.kind, "verbs": kind.verbs,
    });
    if kind.has_left(group, version) {
        return value;
    }
    if !kind.short.is_empty() {
        value["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        value["categories"] = json!(kind.categories);
    }
    value
}

fn subresource_value(kind: &Kind, part: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", kind.plural, part.name), "singularName": "", "namespaced": kind.is_namespaced(),
        "kind": part.kind, "verbs": part.verbs,
    });
    if let Some(GroupVersion { group, version }) = &part.version {
        value["group"] = json!(group);
        value["version"] = json!(version);
    }
    value
}

/// The aggregated form's media type, in the version that is asked for first.
fn wants_aggregated(call: &Call) -> bool {
    let accept = call.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept
        .split(',')
        .any(|media| media.contains("as=APIGroupDiscoveryList") && media.contains("v=v2") && !media.contains("v2beta1"))
}

/// All groups in one answer (KEP-3352).
fn aggregated(api: &Api, core: bool) -> Answer {
    let items: Vec<Value> = in_order(served(api))
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| aggregated_group(&group, &versions))
        .collect();
    let value = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items});
    let mut answer = answer::value(StatusCode::OK, &value);
    let media =
        header::HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    answer.headers_mut().insert(header::CONTENT_TYPE, media);
    answer
}

fn aggregated_group(group: &str, versions: &[(String, Content)]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(version, content)| {
            let resources: Vec<Value> = match content {
                Content::Kinds(kinds) => kinds.iter().map(|kind| aggregated_resource(kind, group, version)).collect(),
                Content::Elsewhere(said) => elsewhere(said, group, version),
            };
            let is_stale = matches!(content, Content::Elsewhere(Value::Null));
            let freshness = if is_stale { "Stale" } else { "Current" };
            json!({"version": version, "freshness": freshness, "resources": resources})
        })
        .collect();
    json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
}

/// An `APIResourceList` in the aggregated form.
fn elsewhere(said: &Value, group: &str, version: &str) -> Vec<Value> {
    let all = said["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let response = |one: &Value| {
        let own =
            |field: &str, usual: &str| one[field].as_str().filter(|text| !text.is_empty()).unwrap_or(usual).to_string();
        json!({"group": own("group", group), "version": own("version", version), "kind": one["kind"]})
    };
    let name = |one: &Value| one["name"].as_str().unwrap_or_default().to_string();
    let mut found = Vec::new();
    for one in all.iter().filter(|one| !name(one).contains('/')) {
        let scope = if one["namespaced"] == true { "Namespaced" } else { "Cluster" };
        let mut value = json!({"resource": one["name"], "responseKind": response(one), "scope": scope,
            "singularResource": one["singularName"], "verbs": one["verbs"]});
        for field in ["shortNames", "categories"].into_iter().filter(|field| one[*field].is_array()) {
            value[field] = one[field].clone();
        }
        let start = format!("{}/", name(one));
        let parts: Vec<Value> = all
            .iter()
            .filter_map(|part| Some((part, name(part).strip_prefix(&start)?.to_string())))
            .map(|(part, own)| json!({"subresource": own, "responseKind": response(part), "verbs": part["verbs"]}))
            .collect();
        if !parts.is_empty() {
            value["subresources"] = Value::Array(parts);
        }
        found.push(value);
    }
    found
}

fn aggregated_resource(kind: &Kind, group: &str, version: &str) -> Value {
    let response = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let scope = if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" };
    let parts: Vec<Value> = kind
        .subresources()
        .iter()
        .map(|part| {
            let (group, version) = part.version.as_ref().map_or((group, version), |own| (&*own.group, &*own.version));
            json!({"subresource": part.name, "responseKind": response(group, version, &part.kind), "verbs": part.verbs})
        })
        .collect();
    let mut value = json!({
        "resource": kind.plural, "responseKind": response(group, version, &kind.kind), "scope": scope,
        "singularResource": kind.singular, "verbs": kind.verbs,
    });
    for (field, list) in [("shortNames", &kind.short), ("categories", &kind.categories)] {
        if !list.is_empty() && !kind.has_left(group, version) {
            value[field] = json!(list);
        }
    }
    if !parts.is_empty() {
        value["subresources"] = Value::Array(parts);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first() {
        let mut versions = vec!["v1beta1", "v2", "v1alpha1", "v1", "v2beta2"];
        versions.sort_by_key(|version| rank(version));
        assert_eq!(versions, ["v2", "v1", "v2beta2", "v1beta1", "v1alpha1"]);
    }
}
