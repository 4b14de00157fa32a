//! The cluster that releases live in: requests as JSON, and which kinds it serves.
//!
//! Kinds are asked for once per process, two requests side by side (aggregated discovery); an older server is asked group
//! by group. Objects of kinds that Kubernetes itself has need no asking.

use super::error::Error;
use super::observer::Observer;
use crate::api::{KINDS, Object, Scope};
use crate::client::Client;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{GroupVersionKind, Status};
use parking_lot::{Mutex, RwLock};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The field manager of everything that is applied: Helm's, so that both see the same fields as theirs.
pub const MANAGER: &str = "helm";
/// Requests under way at once.
pub const AT_ONCE: usize = 8;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// A kind that the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    pub api_version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

impl Kind {
    /// The group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// One of the core group whose objects are in namespaces.
    pub fn core(kind: &str, plural: &str) -> Self {
        Self { api_version: "v1".into(), kind: kind.into(), plural: plural.into(), namespaced: true }
    }

    /// Pods.
    pub fn pods() -> Self {
        Self::core("Pod", "pods")
    }

    /// The path of all its objects in a namespace (or in the cluster). A namespace that would lead elsewhere is an error.
    pub fn all(&self, namespace: &str) -> Result<String, Error> {
        let root = if self.api_version.contains('/') { "/apis/" } else { "/api/" };
        let version = &self.api_version;
        Ok(match self.namespaced && !namespace.is_empty() {
            true => format!("{root}{version}/namespaces/{}/{}", segment("namespace", namespace)?, self.plural),
            false => format!("{root}{version}/{}", self.plural),
        })
    }

    /// The path of one object. No name, which would make it that of all objects, and a name that would lead elsewhere are errors.
    pub fn object(&self, namespace: &str, name: &str) -> Result<String, Error> {
        if name.is_empty() {
            return Err(Error::text("resource name may not be empty"));
        }
        Ok(format!("{}/{}", self.all(namespace)?, segment("resource name", name)?))
    }

    /// The door that watches go through.
    pub fn door(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        let gvk = GroupVersionKind::gvk(group, version, &self.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &self.plural);
        let scope = if self.namespaced { Scope::Namespaced } else { Scope::Cluster };
        crate::client::apply::door(client, &resource, scope, namespace)
    }
}

/// What a part of a path may have as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'@');

/// A part of a path, encoded. Some texts cannot be one.
///
/// Source: k8s.io/apimachinery `pkg/api/validation/path/name.go`.
fn segment(what: &str, text: &str) -> Result<String, Error> {
    let why = match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => {
            ["/", "%"].iter().filter(|bad| text.contains(**bad)).map(|bad| format!("may not contain '{bad}'")).collect()
        }
    };
    match why.is_empty() {
        true => Ok(utf8_percent_encode(text, PLAIN).to_string()),
        false => Err(Error::text(format!("invalid {what} {text:?}: [{}]", why.join(" ")))),
    }
}

/// The kinds that a cluster serves, by `apiVersion` and kind.
#[derive(Clone, Debug, Default)]
pub struct Kinds(BTreeMap<(String, String), Kind>);

impl Kinds {
    /// The kind of that name in that version.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        self.0.get(&(api_version.to_string(), kind.to_string()))
    }

    /// Whether the version has any kind.
    pub fn has_version(&self, api_version: &str) -> bool {
        self.0.keys().any(|(version, _)| version == api_version)
    }

    /// What templates see as `.Capabilities.APIVersions`: every version, and every kind of it.
    pub fn api_versions(&self) -> BTreeSet<String> {
        let both = self.0.keys().flat_map(|(version, kind)| [version.clone(), format!("{version}/{kind}")]);
        both.collect()
    }

    fn add(&mut self, kind: Kind) {
        self.0.entry((kind.api_version.clone(), kind.kind.clone())).or_insert(kind);
    }

    /// Takes in one group list of aggregated discovery.
    fn add_aggregated(&mut self, list: &Value) {
        for group in each(&list["items"]) {
            let name = text(&group["metadata"]["name"]);
            for version in each(&group["versions"]) {
                let api_version = joined(name, text(&version["version"]));
                for resource in each(&version["resources"]) {
                    self.add(Kind {
                        api_version: api_version.clone(),
                        kind: text(&resource["responseKind"]["kind"]).into(),
                        plural: text(&resource["resource"]).into(),
                        namespaced: resource["scope"] == "Namespaced",
                    });
                }
            }
        }
    }

    /// Takes in the resource list of one version.
    fn add_plain(&mut self, list: &Value) {
        for resource in each(&list["resources"]) {
            let plural = text(&resource["name"]);
            if plural.contains('/') {
                continue;
            }
            self.add(Kind {
                api_version: text(&list["groupVersion"]).into(),
                kind: text(&resource["kind"]).into(),
                plural: plural.into(),
                namespaced: resource["namespaced"] == true,
            });
        }
    }
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn joined(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

/// A query of a request: names and values, encoded.
pub fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Create,
    Replace,
    Apply { force: bool },
    MergePatch,
    JsonPatch,
}

/// A cluster, and the namespace that releases are in.
pub struct Cluster {
    client: Client,
    namespace: String,
    kinds: RwLock<Option<Arc<Kinds>>>,
    /// Who is told what the server warns of.
    observer: Option<Arc<dyn Observer>>,
    /// What was told already.
    warned: Mutex<BTreeSet<String>>,
}

impl Cluster {
    /// The cluster that `client` reaches. `namespace` is where releases are, and where objects go that name none.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        let (kinds, warned) = (RwLock::default(), Mutex::default());
        Self { client, namespace: namespace.into(), kinds, observer: None, warned }
    }

    /// Warnings of the server go to an observer from now on, each once.
    pub fn tell(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The namespace of releases.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Every kind that the cluster serves; asked for once.
    pub async fn kinds(&self) -> Result<Arc<Kinds>, Error> {
        if let Some(kinds) = self.kinds.read().clone() {
            return Ok(kinds);
        }
        let kinds = Arc::new(self.discover().await?);
        *self.kinds.write() = Some(kinds.clone());
        Ok(kinds)
    }

    /// Forgets which kinds are served: definitions were added.
    pub fn forget_kinds(&self) {
        *self.kinds.write() = None;
    }

    /// The kind, if the cluster serves it. Kubernetes' own kinds are known without asking.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Result<Option<Kind>, Error> {
        if self.kinds.read().is_none()
            && let Some(kind) = known(api_version, kind)
        {
            return Ok(Some(kind));
        }
        Ok(self.kinds().await?.find(api_version, kind).cloned())
    }

    /// The server's version, as `/version` has it.
    pub async fn version(&self) -> Result<Value, Error> {
        self.get_json("/version").await
    }

    async fn discover(&self) -> Result<Kinds, Error> {
        let ask = |path: &'static str| self.ask(Method::GET, path, Some(AGGREGATED), None, Vec::new());
        let (core, groups) = futures::try_join!(ask("/api"), ask("/apis"))?;
        let mut kinds = Kinds::default();
        if core["kind"] == "APIGroupDiscoveryList" && groups["kind"] == "APIGroupDiscoveryList" {
            kinds.add_aggregated(&core);
            kinds.add_aggregated(&groups);
            return Ok(kinds);
        }
        let core = each(&core["versions"]).map(|version| format!("/api/{}", text(version)));
        let groups = each(&groups["groups"]).flat_map(|group| each(&group["versions"]));
        let paths: Vec<String> =
            core.chain(groups.map(|version| format!("/apis/{}", text(&version["groupVersion"])))).collect();
        let lists = futures::stream::iter(paths).map(|path| async move { self.get_json(&path).await });
        // A group whose own server is away must not stop everything else.
        let lists: Vec<_> = lists.buffered(AT_ONCE).filter_map(|list| async move { list.ok() }).collect().await;
        lists.iter().for_each(|list| kinds.add_plain(list));
        Ok(kinds)
    }

    /// A GET.
    pub async fn get_json(&self, path: &str) -> Result<Value, Error> {
        self.ask(Method::GET, path, None, None, Vec::new()).await
    }

    /// A GET of something that may not be there.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.get_json(path).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// A GET as a table for people.
    pub async fn table(&self, path: &str) -> Result<Value, Error> {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        self.ask(Method::GET, path, Some(accept), None, Vec::new()).await
    }

    /// Text of a GET, for example of a log.
    pub async fn text(&self, path: &str) -> Result<String, Error> {
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        Ok(self.client.request_text(request).await?)
    }

    /// Writes an object at its path (at its collection's path to create it) and returns what the server made of it.
    /// `parameters` is the query without the `?`.
    pub async fn write(&self, how: Write, path: &str, parameters: &str, body: &Value) -> Result<Value, Error> {
        let (method, content) = match how {
            Write::Create => (Method::POST, "application/json"),
            Write::Replace => (Method::PUT, "application/json"),
            Write::Apply { .. } => (Method::PATCH, "application/apply-patch+yaml"),
            Write::MergePatch => (Method::PATCH, "application/merge-patch+json"),
            Write::JsonPatch => (Method::PATCH, "application/json-patch+json"),
        };
        let mut parameters = parameters.to_string();
        if let Write::Apply { force } = how {
            parameters += &format!("&force={force}");
        }
        let path = if parameters.is_empty() { path.to_string() } else { format!("{path}?{parameters}") };
        let body = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        self.ask(method, &path, None, Some(content), body).await
    }

    /// Deletes an object; `true` if it was there.
    pub async fn delete(&self, path: &str, propagation: &str) -> Result<bool, Error> {
        let options =
            serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation});
        let body = options.to_string().into_bytes();
        match self.ask(Method::DELETE, path, None, Some("application/json"), body).await {
            Err(error) if error.is_not_found() => Ok(false),
            done => done.map(|_| true),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        accept: Option<&str>,
        content: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Value, Error> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::ACCEPT, accept.unwrap_or("application/json"));
        if let Some(content) = content {
            request = request.header(header::CONTENT_TYPE, content);
        }
        let request = request.body(body.into()).map_err(kube::Error::HttpError)?;
        let response = self.client.send(request).await?;
        self.warn(response.headers());
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| kube::Error::SerdeError(error).into());
        }
        Err(serde_json::from_slice::<Status>(&bytes).map_or_else(
            // A proxy on the way answers with a page of its own.
            |_| Error::Api {
                message: String::from_utf8_lossy(&bytes).trim().to_string(),
                reason: String::new(),
                code: status.as_u16(),
            },
            |status| kube::Error::Api(Box::new(status)).into(),
        ))
    }

    /// Tells what the server warns of: headers of the form `299 - "text"`.
    fn warn(&self, headers: &http::HeaderMap) {
        let Some(observer) = &self.observer else { return };
        for header in headers.get_all(header::WARNING) {
            let quoted = header.to_str().ok().and_then(|text| text.splitn(3, ' ').nth(2));
            let Some(text) = quoted.and_then(|text| text.strip_prefix('"')?.strip_suffix('"')) else { continue };
            let text = text.replace("\\\"", "\"").replace("\\\\", "\\");
            if self.warned.lock().insert(text.clone()) {
                observer.server_warns(&text);
            }
        }
    }

    /// What is live of an object.
    pub async fn live(&self, item: &Item) -> Result<Option<Value>, Error> {
        self.find(&item.path()?).await
    }

    /// What is live of objects, several at a time, in their order; nothing where there is none.
    pub async fn find_all<'i>(&self, items: impl IntoIterator<Item = &'i Item>) -> Result<Vec<Option<Value>>, Error> {
        futures::stream::iter(items).map(|item| self.live(item)).buffered(AT_ONCE).try_collect().await
    }

    /// An object, as template function `lookup` wants it: one, or a list where `name` is empty; null where there is none.
    /// A version that the cluster does not have is an error.
    pub async fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, Error> {
        let Some(found) = self.kind(api_version, kind).await? else {
            if self.kinds().await?.has_version(api_version) {
                return Ok(Value::Null);
            }
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let what = format!("unable to get apiresource from unstructured: {group}/{version}, Kind={kind}");
            return Err(Error::text("the server could not find the requested resource").during(what));
        };
        let path = if name.is_empty() { found.all(namespace)? } else { found.object(namespace, name)? };
        Ok(self.find(&path).await?.unwrap_or(Value::Null))
    }
}

/// A kind of Kubernetes' own, in the version that every server of today has.
fn known(api_version: &str, kind: &str) -> Option<Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let entry = KINDS.iter().find(|entry| {
        entry.kind == kind && entry.stored.group == group && entry.stored.version == version && entry.custom.is_none()
    })?;
    Some(Kind {
        api_version: api_version.into(),
        kind: kind.into(),
        plural: entry.plural.to_string(),
        namespaced: entry.scope == Scope::Namespaced,
    })
}

/// An object of a manifest, with where it goes.
#[derive(Clone, Debug)]
pub struct Item {
    pub kind: Kind,
    /// Empty for objects of the cluster.
    pub namespace: String,
    /// Empty where the server is to make one up.
    pub name: String,
    pub object: Object,
}

impl Item {
    /// The object's path. One that has no name of its own yet has none.
    pub fn path(&self) -> Result<String, Error> {
        self.kind.object(&self.namespace, &self.name)
    }

    /// `Kind "name" in namespace "namespace"`.
    pub fn described(&self) -> String {
        format!("{} {:?} in namespace {:?}", self.kind.kind, self.name, self.namespace)
    }

    /// Whether both are the same object, maybe in another version.
    pub fn is_same(&self, other: &Item) -> bool {
        self.name == other.name
            && self.namespace == other.namespace
            && self.kind.kind == other.kind.kind
            && self.kind.group() == other.kind.group()
    }

    /// `group/Version, Kind=Kind` as Go prints one.
    pub fn gvk(&self) -> String {
        let (group, version) = self.kind.api_version.split_once('/').unwrap_or(("", &self.kind.api_version));
        format!("{group}/{version}, Kind={}", self.kind.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;
    use serde_json::json;

    #[tokio::test]
    async fn kinds_of_kubernetes_need_no_request_and_others_two() {
        let mock = Mock::default();
        let group = |name: &str, version: &str, kind: &str, plural: &str| {
            json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": name}, "versions": [{"version": version,
                "resources": [{"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced"}]}]}]})
        };
        mock.answer(200, group("", "v1", "Pod", "pods"));
        mock.answer(200, group("sea.io", "v2", "Boat", "boats"));
        let cluster = Cluster::new(mock.client(), "one");
        assert_eq!(cluster.kind("apps/v1", "Deployment").await.unwrap().unwrap().plural, "deployments");
        assert!(mock.requests().is_empty());
        let boat = cluster.kind("sea.io/v2", "Boat").await.unwrap().unwrap();
        assert_eq!(boat.object("one", "x").unwrap(), "/apis/sea.io/v2/namespaces/one/boats/x");
        assert_eq!(cluster.kind("sea.io/v2", "Coracle").await.unwrap(), None);
        assert_eq!(mock.requests().len(), 2);
        let versions = cluster.kinds().await.unwrap().api_versions();
        assert_eq!(versions.into_iter().collect::<Vec<_>>(), ["sea.io/v2", "sea.io/v2/Boat", "v1", "v1/Pod"]);
    }

    #[tokio::test]
    async fn an_older_server_is_asked_group_by_group() {
        let mock = Mock::default();
        mock.answer(200, json!({"kind": "APIVersions", "versions": ["v1"]}));
        mock.answer(200, json!({"kind": "APIGroupList", "groups": [{"name": "sea.io", "versions": [{"groupVersion": "sea.io/v1"}]}]}));
        let list = |version: &str, kind: &str, plural: &str| {
            json!({"groupVersion": version, "resources": [{"name": plural, "kind": kind, "namespaced": false},
                {"name": format!("{plural}/status"), "kind": kind, "namespaced": false}]})
        };
        mock.answer(200, list("v1", "Node", "nodes"));
        mock.answer(200, list("sea.io/v1", "Boat", "boats"));
        let cluster = Cluster::new(mock.client(), "one");
        let boat = cluster.kind("sea.io/v1", "Boat").await.unwrap().unwrap();
        assert_eq!(boat.object("", "x").unwrap(), "/apis/sea.io/v1/boats/x");
    }

    #[tokio::test]
    async fn a_lookup_of_a_version_that_is_not_served_fails_and_one_of_a_kind_or_an_object_is_empty() {
        let mock = Mock::default();
        let group = |name: &str, kind: &str, plural: &str| {
            json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": name}, "versions": [{"version": "v1",
                "resources": [{"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced"}]}]}]})
        };
        mock.answer(200, group("", "Pod", "pods"));
        mock.answer(200, group("sea.io", "Boat", "boats"));
        mock.answer(
            404,
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "gone", "status": "Failure"}),
        );
        let cluster = Cluster::new(mock.client(), "one");
        let told = cluster.lookup("nope/v1", "Nope", "", "").await.unwrap_err().to_string();
        assert_eq!(
            told,
            "unable to get apiresource from unstructured: nope/v1, Kind=Nope: the server could not find the requested resource"
        );
        assert_eq!(cluster.lookup("sea.io/v1", "Nope", "", "").await.unwrap(), Value::Null);
        assert_eq!(cluster.lookup("sea.io/v1", "Boat", "one", "x").await.unwrap(), Value::Null);
    }

    #[test]
    fn a_path_leads_to_one_object_of_the_kind_or_is_an_error() {
        let pods = Kind::pods();
        assert_eq!(pods.object("one", "system:a b?c#d").unwrap(), "/api/v1/namespaces/one/pods/system:a%20b%3Fc%23d");
        assert_eq!(pods.all("").unwrap(), "/api/v1/pods");
        let told = |namespace: &str, name: &str| pods.object(namespace, name).unwrap_err().to_string();
        assert_eq!(told("one", ""), "resource name may not be empty");
        assert_eq!(told("one", "../secrets"), "invalid resource name \"../secrets\": [may not contain '/']");
        assert_eq!(told("one", ".."), "invalid resource name \"..\": [may not be '..']");
        assert_eq!(told("a/%2f", "x"), "invalid namespace \"a/%2f\": [may not contain '/' may not contain '%']");
    }

    #[tokio::test]
    async fn a_warning_of_the_server_is_told_once() {
        #[derive(Default)]
        struct Heard(Mutex<Vec<String>>);
        impl Observer for Heard {
            fn server_warns(&self, text: &str) {
                self.0.lock().push(text.to_string());
            }
        }
        let heard = Arc::new(Heard::default());
        let mut cluster = Cluster::new(Mock::default().client(), "one");
        cluster.tell(heard.clone());
        let mut headers = http::HeaderMap::new();
        headers.append(header::WARNING, r#"299 - "unknown field \"foo\"""#.parse().unwrap());
        headers.append(header::WARNING, r#"299 - "old""#.parse().unwrap());
        cluster.warn(&headers);
        cluster.warn(&headers);
        assert_eq!(*heard.0.lock(), ["unknown field \"foo\"", "old"]);
    }

    #[tokio::test]
    async fn an_object_that_is_not_there_is_nothing_and_a_refusal_is_an_error() {
        let mock = Mock::default();
        mock.answer(
            404,
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "gone", "status": "Failure"}),
        );
        mock.answer(
            403,
            json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no", "status": "Failure"}),
        );
        let cluster = Cluster::new(mock.client(), "one");
        assert_eq!(cluster.find("/api/v1/pods/x").await.unwrap(), None);
        assert_eq!(cluster.find("/api/v1/pods/x").await.unwrap_err().to_string(), "no");
    }
}
