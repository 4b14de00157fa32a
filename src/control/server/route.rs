//! One request from its arrival to its answer: who asks, may they, what for.

use super::accept::{self, Accepted};
use super::answer::{self, Answer};
use super::identity::{Attributes, Identity, PeerCertificate};
use super::request::{self, Options, Target};
use super::{
    Api, aggregate, auth, components, discovery, eviction, metrics, patch, proxy, read, resource, watch, write,
};
use crate::api::kinds::KindRef;
use crate::api::{Kind, Reason, Status};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Limited};
use std::sync::Arc;
use std::time::Duration;

/// The largest body that is taken, in bytes (k8s.io/apiserver: 3 MiB).
const LARGEST_BODY: usize = 3 << 20;
/// How long a body may take to arrive. Source: `--request-timeout` of kube-apiserver.
const BODY: Duration = Duration::from_secs(60);
/// Paths that anybody may read.
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version"];

/// What a handler is given.
pub struct Call {
    pub api: Arc<Api>,
    pub user: Identity,
    pub target: Target,
    pub options: Options,
    pub headers: HeaderMap,
    /// How the answer is wanted.
    pub accepted: Accepted,
    pub method: Method,
}

impl Call {
    /// A request of the server's own.
    pub fn own(api: Arc<Api>, user: Identity, attributes: Attributes) -> Self {
        let target = Target { attributes, rest: String::new() };
        let (options, headers, accepted) = (Options::default(), HeaderMap::new(), Accepted::default());
        Self { api, user, target, options, headers, accepted, method: Method::DELETE }
    }

    /// What is asked for.
    pub fn attributes(&self) -> &Attributes {
        &self.target.attributes
    }
}

/// Answers any request; a failure is a `Status`.
pub async fn answer(api: Arc<Api>, request: Request<Body>) -> Answer {
    let is_head = request.method() == Method::HEAD;
    let media = Accepted::of(request.headers(), true).unwrap_or_default().media;
    let mut answer = match handle(api, request).await {
        Ok(answer) => answer,
        Err(status) => accept::recoded(answer::failure(&status), media).await,
    };
    if is_head {
        *answer.body_mut() = Body::empty();
    }
    answer
}

async fn handle(api: Arc<Api>, request: Request<Body>) -> Result<Answer, Status> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let user = auth::impersonate::user(&api.authorizer, authenticate(&api, &parts)?, &parts.headers)?;
    let options = Options::parse(parts.uri.query().unwrap_or_default());
    let target = request::target(&parts.method, parts.uri.path(), &options);
    authorize(&api, &user, &named(&target.attributes, &options))?;
    let query = parts.uri.query().unwrap_or_default().to_string();
    let accepted = Accepted::of(&parts.headers, true).unwrap_or_default();
    let mut call = Call { api, user, target, options, headers: parts.headers, accepted, method: parts.method };
    if let Some(remote) = call.api.aggregated.of_path(&call.attributes().path) {
        return Box::pin(aggregate::proxy(&call, &remote, proxy::Incoming { query, body, upgrade })).await;
    }
    if !call.attributes().is_resource() {
        return Ok(accept::recoded(Box::pin(discovery::answer(&call)).await?, accepted.media).await);
    }
    if proxy::is_for(call.attributes()) {
        return Box::pin(proxy::answer(&call, proxy::Incoming { query, body, upgrade })).await;
    }
    let kind = resource::find(&call.api, call.attributes())?;
    resource::check_scope(&kind, call.attributes())?;
    resource::check_custom(&kind, call.attributes())?;
    call.accepted = Accepted::for_kind(&call.headers, &kind, call.attributes())?;
    let media = call.accepted.media;
    let warning = match &kind.custom {
        Some(custom) => custom.warning(&call.attributes().version).map(|warning| warning.to_string()),
        None => kind.old_warning(&call.attributes().group, &call.attributes().version).map(String::from),
    };
    let api = call.api.clone();
    let counted = api.counters.begin(call.attributes(), &kind);
    let outcome = resource_request(call, &kind, body).await;
    counted.end(outcome.as_ref().map_or_else(Status::code, |answer| answer.status().as_u16()));
    let mut answer = match outcome {
        Ok(answer) => answer,
        // Who uses an old version is told so whatever comes of it.
        Err(status) if warning.is_some() => answer::failure(&status),
        Err(status) => return Err(status),
    };
    if let Some(warning) = warning {
        answer::warn(&mut answer, &[warning]);
    }
    Ok(accept::recoded(answer, media).await)
}

/// Whether a request's method can be meant for its path: for one object or for all, and by a verb of the kind.
fn check_method(kind: &Kind, wanted: &Attributes) -> Result<(), Status> {
    let is_named = !wanted.name.is_empty();
    let fits = match wanted.verb.as_str() {
        "create" => is_named != wanted.subresource.is_empty(),
        "update" | "patch" => is_named,
        _ => true,
    };
    // Subresources have verbs of their own.
    let is_known = !wanted.subresource.is_empty() || kind.verbs.contains(&wanted.verb.as_str());
    if fits && is_known && !wanted.verb.is_empty() { Ok(()) } else { Err(method_not_allowed()) }
}

async fn resource_request(call: Call, kind: &KindRef, body: Body) -> Result<Answer, Status> {
    check_method(kind, call.attributes())?;
    match (call.attributes().verb.as_str(), call.attributes().subresource.as_str()) {
        ("get" | "list", "") if metrics::is_for(kind) => metrics::answer(&call, kind).await,
        ("get" | "list", "") if components::is_for(kind) => components::answer(&call, kind),
        ("get", "" | "status" | "ephemeralcontainers" | "resize" | "approval") => read::get(&call, kind).await,
        ("get", "scale") => read::scale(&call, kind).await,
        ("list", "") => read::list(&call, kind).await,
        ("watch", "") => watch::start(&call, kind).await,
        ("create", "") if is_question(kind) => auth::reviews::create(&call, kind, &collect(body).await?),
        ("create", "token") if kind.plural == "serviceaccounts" => {
            auth::token_request::create(&call, &collect(body).await?)
        }
        ("create", "") => write::create(&call, kind, collect(body).await?).await,
        ("create", "eviction") if kind.plural == "pods" => eviction::create(&call, kind, collect(body).await?).await,
        ("create", "binding") => write::bind(&call, kind, collect(body).await?).await,
        ("update", "" | "status" | "finalize" | "approval" | "ephemeralcontainers" | "resize") => {
            write::update(&call, kind, collect(body).await?).await
        }
        ("patch", "" | "status" | "finalize" | "approval" | "ephemeralcontainers" | "resize") => {
            patch::patch(&call, kind, collect(body).await?).await
        }
        ("update", "scale") => write::scale(&call, kind, collect(body).await?, false).await,
        ("patch", "scale") => write::scale(&call, kind, collect(body).await?, true).await,
        ("delete", "") => write::delete(&call, kind, collect(body).await?).await,
        ("deletecollection", "") => write::delete_collection(&call, kind, collect(body).await?).await,
        ("create" | "get" | "update" | "patch" | "delete", subresource) => {
            Err(resource::no_subresource(kind, subresource))
        }
        _ => Err(method_not_allowed()),
    }
}

/// Whether objects of a kind are questions, which are answered and forgotten.
pub fn is_question(kind: &Kind) -> bool {
    matches!(kind.group(), "authentication.k8s.io" | "authorization.k8s.io")
}

/// `the server does not allow this method on the requested resource`.
pub fn method_not_allowed() -> Status {
    Status::new(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
}

fn authenticate(api: &Api, parts: &http::request::Parts) -> Result<Identity, Status> {
    if let Some(identity) = parts.extensions.get::<Identity>() {
        return Ok(identity.clone());
    }
    let peer = parts.extensions.get::<PeerCertificate>();
    for authenticator in &api.authenticators {
        if let Some(identity) = authenticator.authenticate(&parts.headers, peer)? {
            return Ok(identity);
        }
    }
    if parts.headers.contains_key(http::header::AUTHORIZATION) {
        return Err(Status::new(Reason::Unauthorized, "Unauthorized"));
    }
    Ok(Identity::anonymous())
}

/// What is asked for as rules see it: a list or watch of one object by its name is about that object.
///
/// Source: k8s.io/apiserver `pkg/endpoints/request/requestinfo.go`.
fn named<'a>(wanted: &'a Attributes, options: &Options) -> std::borrow::Cow<'a, Attributes> {
    let is_many = wanted.name.is_empty() && matches!(wanted.verb.as_str(), "list" | "watch" | "deletecollection");
    let name =
        options.text("fieldSelector").strip_prefix("metadata.name=").filter(|name| is_many && !name.contains(','));
    match name.map(|name| name.trim_start_matches('=')) {
        Some(name) => std::borrow::Cow::Owned(Attributes { name: name.into(), ..wanted.clone() }),
        None => std::borrow::Cow::Borrowed(wanted),
    }
}

fn authorize(api: &Api, user: &Identity, wanted: &Attributes) -> Result<(), Status> {
    let is_below =
        |path: &&str| wanted.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_public = PUBLIC.iter().any(is_below);
    if is_public || api.authorizer.allows(user, wanted) {
        return Ok(());
    }
    Err(forbidden(user, wanted))
}

/// The refusal that clients match on.
///
/// Source of the wording: k8s.io/apiserver `pkg/endpoints/handlers/responsewriters/errors.go`.
pub fn forbidden(user: &Identity, wanted: &Attributes) -> Status {
    if !wanted.is_resource() {
        let message = format!("forbidden: User \"{}\" cannot {} path \"{}\"", user.name, wanted.verb, wanted.path);
        return Status::new(Reason::Forbidden, message);
    }
    let resource = match wanted.subresource.as_str() {
        "" => wanted.resource.clone(),
        part => format!("{}/{part}", wanted.resource),
    };
    let place = match wanted.namespace.as_str() {
        "" => "at the cluster scope".to_string(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let named = if wanted.name.is_empty() { String::new() } else { format!(" \"{}\"", wanted.name) };
    let qualified =
        if wanted.group.is_empty() { wanted.resource.clone() } else { format!("{}.{}", wanted.resource, wanted.group) };
    let why = format!(
        "User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" {place}",
        user.name, wanted.verb, wanted.group
    );
    Status::new(Reason::Forbidden, format!("{qualified}{named} is forbidden: {why}")).about(
        &wanted.group,
        &wanted.resource,
        &wanted.name,
    )
}

async fn collect(body: Body) -> Result<Bytes, Status> {
    let whole = tokio::time::timeout(BODY, Limited::new(body, LARGEST_BODY).collect());
    let Ok(whole) = whole.await else {
        return Err(Status::new(Reason::Timeout, "Timeout: request did not complete within the allotted timeout"));
    };
    match whole {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("Request entity too large: limit is {LARGEST_BODY}");
            Err(Status::new(Reason::RequestEntityTooLarge, message))
        }
        Err(error) => Err(Status::bad_request(format!("the body did not arrive whole: {error}"))),
    }
}
