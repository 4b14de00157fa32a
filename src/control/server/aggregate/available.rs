//! Whether aggregated servers answer: the condition `Available` of APIServices, and what those servers serve.
//!
//! Looked at when an APIService, a Service or its endpoints change, and after a while; a cluster without any waits for an
//! APIService and nothing else.
//!
//! Source of rules and wording: k8s.io/kube-aggregator `pkg/controllers/status`.

use super::{Documents, Remote, SERVICES, identity, kind};
use crate::api::custom::definition::set_condition;
use crate::api::{Object, Status};
use crate::control::server::auth::lookup;
use crate::control::server::remote::{Target, locate};
use crate::control::server::{Api, Identity, objects, write};
use crate::control::store::{self, Expected, Watch};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long an aggregated server may take to say what it serves.
const LIMIT: Duration = Duration::from_secs(5);
/// How long one that answered is believed to go on.
const AGAIN: Duration = Duration::from_secs(30);
/// How long one that did not answer is left alone.
const RETRY: Duration = Duration::from_secs(2);
const OTHERS: [&str; 2] = ["services", "discovery.k8s.io/endpointslices"];

/// What is said of one.
struct Verdict {
    is_available: bool,
    reason: &'static str,
    message: String,
}

fn no(reason: &'static str, message: String) -> Verdict {
    Verdict { is_available: false, reason, message }
}

/// Follows the APIServices for as long as the server lives.
pub async fn follow(api: Weak<Api>) {
    loop {
        let Some(strong) = api.upgrade() else { return };
        let revision = strong.store.revision();
        let names: Vec<&str> = std::iter::once(SERVICES).chain(OTHERS).collect();
        let watches: Result<Vec<Watch>, _> = names.iter().map(|name| strong.store.watch(name, revision)).collect();
        let Ok(mut watches) = watches else { return };
        let remotes = strong.aggregated.all();
        strong.aggregated.documents.lock().retain(|name, _| remotes.iter().any(|remote| remote.name == *name));
        let mut all_answer = true;
        for remote in remotes.iter() {
            match settle(&strong, remote).await {
                Ok(is_available) => all_answer &= is_available,
                Err(status) => {
                    all_answer = false;
                    tracing::warn!(service = %remote.name, %status, "the condition of an APIService is not written");
                }
            }
        }
        drop(strong);
        if remotes.is_empty() {
            watches.truncate(1);
        }
        let changed = watches.iter_mut().map(|watch| -> BoxFuture<'_, _> { Box::pin(watch.next()) });
        let changed = futures::future::select_all(changed);
        let time = if all_answer { AGAIN } else { RETRY };
        tokio::select! {
            (result, ..) = changed => if matches!(result, Err(store::Error::Closed)) { return },
            () = tokio::time::sleep(time), if !remotes.is_empty() => {}
        }
    }
}

/// Looks at one, and writes down what was seen if it is news.
async fn settle(api: &Arc<Api>, remote: &Remote) -> Result<bool, Status> {
    let verdict = judge(api, remote).await;
    let kind = kind()?;
    let Some(entry) = api.store.get(&objects::key(kind, "", &remote.name)) else { return Ok(true) };
    let mut object = objects::stored(&entry)?;
    let before = object.clone();
    let status = if verdict.is_available { "True" } else { "False" };
    set_condition(&mut object, "Available", status, verdict.reason, &verdict.message);
    if let Some(list) = object.entry(&["status", "conditions"]).as_array_mut() {
        list.iter_mut().filter_map(Value::as_object_mut).for_each(|one| drop(one.remove("observedGeneration")));
    }
    if object != before {
        let op = write::op(kind, &mut object, Expected::Revision(entry.revision), false)?;
        match api.store.write(vec![op]).await {
            // Whoever was faster makes that it is looked at again.
            Ok(_) | Err(store::Error::Changed(_) | store::Error::Missing(_)) => {}
            Err(error) => return Err(objects::failure(kind, error)),
        }
    }
    Ok(verdict.is_available)
}

async fn judge(api: &Arc<Api>, remote: &Remote) -> Verdict {
    let (name, namespace) = (&remote.service, &remote.namespace);
    let Some(service) = lookup::object(&api.store, "services", namespace, name) else {
        return no("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
    };
    if !listens(&service, remote.port) {
        let why = format!("service/{name} in {namespace:?} is not listening on port {}", remote.port);
        return no("ServicePortError", why);
    }
    if locate::endpoint(&api.store, namespace, name, remote.port).is_err() {
        return no("MissingEndpoints", format!("endpoints for service/{name} in {namespace:?} have no addresses"));
    }
    let path = format!("/apis/{}/{}", remote.group, remote.version);
    let failed = |why: String| {
        let place = remote.target.as_ref().map_or("", Target::authority);
        no("FailedDiscoveryCheck", format!("failing or missing response from https://{place}{path}: {why}"))
    };
    let target = match &remote.target {
        Ok(target) => target,
        Err(why) => return failed(why.clone()),
    };
    match read(api, target, &path).await {
        Ok(resources) => {
            let open_api = third(api, target, remote).await;
            let open_api_v2 = read(api, target, "/openapi/v2").await.ok().map(Arc::new);
            let documents = Arc::new(Documents { resources, open_api, open_api_v2 });
            api.aggregated.documents.lock().insert(remote.name.clone(), documents);
            Verdict { is_available: true, reason: "Passed", message: "all checks passed".into() }
        }
        Err(why) => failed(why),
    }
}

fn listens(service: &Object, port: u16) -> bool {
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array);
    service.text(&["spec", "type"]) == "ExternalName" || ports.into_iter().flatten().any(|own| own["port"] == port)
}

/// A document, read as the aggregator itself.
async fn read(api: &Arc<Api>, target: &Target, path: &str) -> Result<Value, String> {
    let user = Identity::new("system:kube-aggregator", &["system:masters"]);
    let mut headers: HeaderMap = identity(&user).map_err(|status| status.message)?;
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let (code, _, body) = api.remotes.get(target, path, &headers, LIMIT).await?;
    if !(200..300).contains(&code) {
        return Err(format!("bad status from https://{}{path}: {code}", target.authority()));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// The mark of its OpenAPI v3 document; servers older than that have none.
async fn third(api: &Arc<Api>, target: &Target, remote: &Remote) -> Option<String> {
    let index = read(api, target, "/openapi/v3").await.ok()?;
    let place = format!("apis/{}/{}", remote.group, remote.version);
    index["paths"][place]["serverRelativeURL"].as_str().map(String::from)
}
