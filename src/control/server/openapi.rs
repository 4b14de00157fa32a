//! `/openapi/v2` and `/openapi/v3`: documents of what is served, made when asked for.
//!
//! A v3 document is named by a mark that changes with it, so clients keep what they have read: kubectl asks for the index and
//! for documents whose mark it has not seen.
//!
//! Source: k8s.io/kube-openapi `pkg/handler3/handler.go`.

use super::answer::{self, Answer};
use super::resource::not_served;
use super::route::Call;
use super::{Api, aggregate, proxy};
use crate::api::kinds::{GroupVersion, KindRef};
use crate::api::openapi::{v2, v3};
use crate::api::{KINDS, Kind, Reason, Status};
use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// What kubectl asks the v2 document as, before and after its name was made a valid one.
const PROTOBUF_V2: &[&str] = &[
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// How long a document is kept after somebody asked for it.
const KEPT: Duration = Duration::from_secs(60);

/// Documents that were made a short time ago, by their marks. Who reads them reads them often, or once in a day: so they are
/// kept while they are asked for, and cost no memory otherwise.
#[derive(Default)]
pub struct Kept(Arc<Mutex<HashMap<String, (Bytes, Instant)>>>);

impl Kept {
    /// The document with this mark, made if it is not there.
    fn get(&self, mark: &str, make: impl FnOnce() -> Bytes) -> Bytes {
        let until = Instant::now() + KEPT;
        if let Some((bytes, end)) = self.0.lock().get_mut(mark) {
            *end = until;
            return bytes.clone();
        }
        let bytes = make();
        let mut all = self.0.lock();
        if all.is_empty() {
            tokio::spawn(forget(Arc::downgrade(&self.0)));
        }
        all.insert(mark.to_string(), (bytes.clone(), until));
        bytes
    }
}

/// Drops what nobody asked for in time; ends when nothing is left.
async fn forget(kept: Weak<Mutex<HashMap<String, (Bytes, Instant)>>>) {
    loop {
        let next = {
            let Some(kept) = kept.upgrade() else { return };
            let mut all = kept.lock();
            let now = Instant::now();
            all.retain(|_, (_, end)| *end > now);
            all.values().map(|(_, end)| *end).min()
        };
        let Some(next) = next else { return };
        tokio::time::sleep_until(next).await;
    }
}

/// Answers `/openapi/…`; `rest` is what follows.
pub async fn answer(call: &Call, rest: &[&str]) -> Result<Answer, Status> {
    if let ["v3", "apis", group, version] = rest
        && let Some(remote) = call.api.aggregated.of_path(&format!("/apis/{group}/{version}"))
    {
        let incoming = proxy::Incoming { query: String::new(), body: Body::empty(), upgrade: None };
        return aggregate::proxy(call, &remote, incoming).await;
    }
    match rest {
        ["v2"] => second(call),
        ["v3"] => Ok(index(&call.api)),
        ["v3", "api", version] => third(call, "", version),
        ["v3", "apis", group, version] => third(call, group, version),
        _ => Err(not_served()),
    }
}

/// Every group and version with the kinds that are served in it.
fn served(api: &Api) -> Vec<(GroupVersion, Vec<KindRef>)> {
    let mut all: Vec<(GroupVersion, Vec<KindRef>)> = Vec::new();
    let built_in = KINDS.iter().flat_map(|kind| kind.versions().map(move |own| (own.clone(), KindRef::BuiltIn(kind))));
    let custom = api.custom.all().into_iter().map(|(own, kind)| (own, KindRef::Custom(kind)));
    for (version, kind) in built_in.chain(custom) {
        match all.iter_mut().find(|(own, _)| *own == version) {
            Some((_, kinds)) => kinds.push(kind),
            None => all.push((version, vec![kind])),
        }
    }
    all
}

fn plain(kinds: &[KindRef]) -> Vec<&Kind> {
    kinds.iter().map(|kind| &**kind).collect()
}

/// The schema of a custom kind as its definition has it.
fn custom(kind: &Kind, version: &str) -> Option<Value> {
    kind.custom.as_ref()?.open_api(version)
}

fn index(api: &Api) -> Answer {
    let mut paths: Map<String, Value> = served(api)
        .into_iter()
        .map(|(version, kinds)| {
            let place = v3::place(&version);
            let url = format!("/openapi/v3/{place}?hash={}", v3::mark(&version, &plain(&kinds), &custom));
            (place, json!({"serverRelativeURL": url}))
        })
        .collect();
    for remote in api.aggregated.all().iter() {
        if let Some(url) = api.aggregated.documents(remote).and_then(|documents| documents.open_api.clone()) {
            paths.insert(format!("apis/{}/{}", remote.group, remote.version), json!({"serverRelativeURL": url}));
        }
    }
    answer::value(StatusCode::OK, &json!({"paths": paths}))
}

fn third(call: &Call, group: &str, version: &str) -> Result<Answer, Status> {
    let all = served(&call.api);
    let found = all.iter().find(|(own, _)| own.group == group && own.version == version);
    let (version, kinds) = found.ok_or_else(not_served)?;
    if !accepts(call, &["application/json"]) {
        return Err(Status::new(
            Reason::NotAcceptable,
            "only the following media types are accepted: application/json",
        ));
    }
    let kinds = &plain(kinds);
    let mark = v3::mark(version, kinds, &custom);
    let asked = call.options.text("hash");
    if !asked.is_empty() && asked != mark {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
        set(&mut answer, header::LOCATION, &format!("/openapi/v3/{}?hash={mark}", v3::place(version)));
        return Ok(answer);
    }
    let mut answer = if is_known(call, &mark) {
        unchanged()
    } else {
        let name = format!("{} {mark}", v3::place(version));
        answer::bytes(StatusCode::OK, call.api.documents.get(&name, || v3::document(version, kinds, &custom).into()))
    };
    set(&mut answer, header::ETAG, &format!("\"{mark}\""));
    set(&mut answer, header::VARY, "Accept");
    if !asked.is_empty() {
        // The address names this very document: it never changes.
        set(&mut answer, header::CACHE_CONTROL, "public, immutable");
        let year = jiff::SignedDuration::from_hours(365 * 24);
        let expires = jiff::Timestamp::now().checked_add(year).unwrap_or(jiff::Timestamp::MAX);
        set(&mut answer, header::EXPIRES, &expires.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    Ok(answer)
}

fn second(call: &Call) -> Result<Answer, Status> {
    let all = served(&call.api);
    let marks: Vec<String> = all.iter().map(|(version, kinds)| v3::mark(version, &plain(kinds), &custom)).collect();
    let others = elsewhere(&call.api);
    let mark = marks.concat() + &others.iter().map(|(mark, _)| format!("{mark:X}")).collect::<String>();
    let mark = format!("{:08X}", crc32fast::hash(mark.as_bytes()));
    let others: Vec<&Value> = others.iter().map(|(_, document)| &**document).collect();
    let mut kinds: Vec<&Kind> = KINDS.iter().collect();
    // One kind of a definition stands for all its versions.
    let custom_kinds = call.api.custom.all();
    kinds.extend(custom_kinds.iter().filter(|(own, kind)| own.version == kind.stored.version).map(|(_, kind)| &**kind));
    let wanted = PROTOBUF_V2.iter().find(|media| accepts(call, &[media]) && !accepts_first(call, "application/json"));
    let mut answer = match wanted {
        _ if is_known(call, &mark) => unchanged(),
        Some(_) => {
            let make = || Bytes::from(v2::protobuf(&kinds, &custom, &others));
            let mut answer =
                answer::bytes(StatusCode::OK, call.api.documents.get(&format!("v2 protobuf {mark}"), make));
            set(&mut answer, header::CONTENT_TYPE, PROTOBUF_V2[1]);
            answer
        }
        None if accepts(call, &["application/json"]) => {
            let make = || v2::json_text(&kinds, &custom, &others).into();
            answer::bytes(StatusCode::OK, call.api.documents.get(&format!("v2 json {mark}"), make))
        }
        None => {
            let known = format!("only the following media types are accepted: application/json, {}", PROTOBUF_V2[1]);
            return Err(Status::new(Reason::NotAcceptable, known));
        }
    };
    set(&mut answer, header::ETAG, &format!("\"{mark}\""));
    set(&mut answer, header::VARY, "Accept");
    Ok(answer)
}

/// The documents of aggregated servers, each with a mark.
fn elsewhere(api: &Api) -> Vec<(usize, Arc<Value>)> {
    let remotes = api.aggregated.all();
    let documents = remotes.iter().filter_map(|remote| api.aggregated.documents(remote)?.open_api_v2.clone());
    documents.map(|document| (document.to_string().len(), document)).collect()
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn unchanged() -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}

/// Whether the client has the document with this mark.
fn is_known(call: &Call, mark: &str) -> bool {
    let known = call.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|tag| tag.trim().trim_start_matches("W/").trim_matches('"') == mark)
}

/// The media types that a client takes, without parameters, in its order.
fn accepted(call: &Call) -> impl Iterator<Item = &str> {
    let text = call.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    text.split(',').filter_map(|media| media.split(';').next()).map(str::trim)
}

fn accepts(call: &Call, media: &[&str]) -> bool {
    accepted(call)
        .any(|own| own == "*/*" && media == ["application/json"] || own == "application/*" || media.contains(&own))
}

fn accepts_first(call: &Call, media: &str) -> bool {
    accepted(call).next().is_some_and(|own| own == media || own == "*/*")
}

#[cfg(test)]
mod tests {
    use crate::control::server::tests::server;
    use http::Request;
    use serde_json::Value;

    async fn get(path: &str, accept: &str, known: &str) -> (u16, http::HeaderMap, Vec<u8>) {
        let test = server().await;
        let request = Request::get(path).header("accept", accept).header("if-none-match", known);
        let answer = test.admin().send(request.body(kube::client::Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, bytes.to_vec())
    }

    #[tokio::test]
    async fn the_index_leads_to_documents_that_need_no_second_reading() {
        let (code, _, body) = get("/openapi/v3", "application/json", "").await;
        assert_eq!(code, 200);
        let index: Value = serde_json::from_slice(&body).unwrap();
        let path = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
        let (code, headers, body) = get(path, "application/json", "").await;
        assert_eq!(code, 200);
        assert_eq!(headers["cache-control"], "public, immutable");
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert!(document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"].is_object());
        let (code, ..) = get(path, "application/json", headers["etag"].to_str().unwrap()).await;
        assert_eq!(code, 304);
        let (code, headers, _) = get("/openapi/v3/apis/apps/v1?hash=0", "application/json", "").await;
        assert_eq!((code, headers["location"].to_str().unwrap()), (301, path));
    }

    #[tokio::test]
    async fn the_second_version_comes_in_the_form_that_is_asked_for() {
        let asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        let (code, headers, body) = get("/openapi/v2", asked, "").await;
        assert_eq!(code, 200);
        assert!(headers["content-type"].to_str().unwrap().contains("protobuf"));
        assert_eq!(&body[..5], b"\x0a\x032.0");
        let (code, headers, body) = get("/openapi/v2", "application/json", "").await;
        assert_eq!((code, headers["content-type"].to_str().unwrap()), (200, "application/json"));
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert!(document["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
    }
}
