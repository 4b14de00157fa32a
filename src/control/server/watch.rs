//! Watch: the present state if asked for, then every change, as lines of JSON or frames of protobuf. In the plain form of the
//! stored version either is encoded once for all who watch.

use super::Api;
use super::accept::{Accepted, Media};
use super::answer::Answer;
use super::custom::convert;
use super::form::{self, Form};
use super::objects;
use super::read::Wanted;
use super::route::Call;
use crate::api::kinds::KindRef;
use crate::api::{Kind, Object, Status, protobuf};
use crate::control::store::{self, Entry, Event, Happened};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use http::{Response, header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often a watch that asked for them gets a bookmark.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// How one watch looks at changes.
struct View {
    kind: KindRef,
    api: Weak<Api>,
    /// Objects that somebody else had to convert, by their revision; empty for nearly every kind.
    converted: HashMap<u64, Arc<Entry>>,
    wanted: Wanted,
    accepted: Accepted,
    is_stored_version: bool,
    attributes: super::identity::Attributes,
    include: String,
    /// Whether the next table carries its column definitions.
    header: bool,
    bookmarks: bool,
}

/// Starts a watch; the answer's body ends with the watch.
pub async fn start(call: &Call, kind: &KindRef) -> Result<Answer, Status> {
    let (start, initial, ends_initial) = beginning(call, kind)?;
    let initial = convert::entries(&call.api, kind, initial).await?;
    let view = View {
        kind: kind.clone(),
        api: Arc::downgrade(&call.api),
        converted: HashMap::new(),
        wanted: Wanted::of(call, kind)?,
        accepted: call.accepted,
        is_stored_version: objects::is_stored_version(kind, call.attributes()),
        attributes: call.attributes().clone(),
        include: call.options.text("includeObject").into(),
        header: true,
        bookmarks: call.options.is_true("allowWatchBookmarks"),
    };
    let watch = match call.api.store.watch(&super::resource::store_name(kind), start) {
        Ok(watch) => watch,
        // Clients list again when an event of the watch says so; some take the answer itself for a fault.
        Err(error @ store::Error::Expired { .. }) => return Ok(answer(call, Body::from(view.failure(error)))),
        Err(error) => return Err(objects::failure(kind, error)),
    };
    let seconds = call.options.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let lines = lines(view, watch, initial, ends_initial.then_some(start));
    let over = over(call, kind, seconds.map(Duration::from_secs));
    Ok(answer(call, Body::from_stream(futures::StreamExt::take_until(lines, over))))
}

fn answer(call: &Call, body: Body) -> Answer {
    let media = match call.accepted.media {
        Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    };
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    answer
}

/// From which revision, which objects come first, and whether a bookmark says where they end.
fn beginning(call: &Call, kind: &Kind) -> Result<(u64, Vec<Arc<Entry>>, bool), Status> {
    let ends_initial = call.options.is_true("sendInitialEvents");
    match call.options.number("resourceVersion")? {
        Some(revision) if revision > 0 && !ends_initial => Ok((revision, Vec::new(), false)),
        _ if call.options.text("sendInitialEvents") == "false" => Ok((call.api.store.revision(), Vec::new(), false)),
        _ => {
            let namespace = Some(call.attributes().namespace.as_str()).filter(|namespace| !namespace.is_empty());
            let listing = call.api.store.list(&super::resource::store_name(kind), namespace, None);
            let listing = listing.map_err(|error| objects::failure(kind, error))?;
            Ok((listing.revision, listing.entries, ends_initial))
        }
    }
}

fn lines(
    view: View,
    watch: store::Watch,
    initial: Vec<Arc<Entry>>,
    bookmark: Option<u64>,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let first = (initial, bookmark);
    stream::unfold((view, watch, Some(first), false), |(mut view, mut watch, first, over)| async move {
        if over {
            return None;
        }
        if let Some((initial, bookmark)) = first {
            let mut lines = view.initial(&initial);
            if let Some(revision) = bookmark {
                lines.extend_from_slice(&view.bookmark(revision, true));
            }
            if !lines.is_empty() {
                return Some((Ok(lines.freeze()), (view, watch, None, false)));
            }
        }
        loop {
            let events = tokio::select! {
                events = watch.next() => events,
                () = tokio::time::sleep(BOOKMARKS), if view.bookmarks => {
                    let line = view.bookmark(watch.position(), false);
                    return Some((Ok(line), (view, watch, None, false)));
                }
            };
            match events {
                Ok(events) => {
                    if let Err(status) = view.convert(&events).await {
                        let line = view.event("ERROR", &status.to_value());
                        return Some((Ok(line), (view, watch, None, true)));
                    }
                    let lines = view.changes(&events);
                    if !lines.is_empty() {
                        return Some((Ok(lines), (view, watch, None, false)));
                    }
                }
                Err(error) => return Some((Ok(view.failure(error)), (view, watch, None, true))),
            }
        }
    })
}

/// When a watch ends: after its time, or with its kind.
fn over(call: &Call, kind: &KindRef, time: Option<Duration>) -> BoxFuture<'static, ()> {
    let gone: BoxFuture<'static, ()> = match &kind.custom {
        Some(_) => call.api.custom.clone().until_gone(kind.clone(), call.attributes().clone()).boxed(),
        None => futures::future::pending().boxed(),
    };
    match time {
        Some(time) => futures::future::select(Box::pin(tokio::time::sleep(time)), gone).map(drop).boxed(),
        None => gone,
    }
}

impl View {
    fn initial(&mut self, entries: &[Arc<Entry>]) -> BytesMut {
        let mut lines = BytesMut::new();
        for entry in entries.iter().filter(|entry| self.wanted.takes(entry)).cloned().collect::<Vec<_>>() {
            lines.extend_from_slice(&self.line(Happened::Added, &entry));
        }
        lines
    }

    /// Has the objects of events converted that only a webhook can convert.
    async fn convert(&mut self, events: &[Arc<Event>]) -> Result<(), Status> {
        if !convert::is_for(&self.kind) {
            return Ok(());
        }
        let Some(api) = self.api.upgrade() else { return Ok(()) };
        let entries = events.iter().map(|event| event.entry.clone()).collect();
        let converted = convert::entries(&api, &self.kind, entries).await?;
        self.converted = converted.into_iter().map(|entry| (entry.revision, entry)).collect();
        Ok(())
    }

    fn changes(&mut self, events: &[Arc<Event>]) -> Bytes {
        let mut lines: Vec<Bytes> = events.iter().filter_map(|event| self.change(event)).collect();
        match lines.len() {
            0 => Bytes::new(),
            1 => lines.swap_remove(0),
            _ => lines.concat().into(),
        }
    }

    /// What a change is for this watch: an object that begins to be selected is added, one that ceases to be is deleted.
    fn change(&mut self, event: &Event) -> Option<Bytes> {
        let namespace = &self.attributes.namespace;
        if self.kind.is_namespaced() && !namespace.is_empty() && event.entry.key.namespace != *namespace {
            return None;
        }
        let before = event.before.as_ref().is_some_and(|before| self.wanted.takes(before));
        let after = event.happened != Happened::Deleted && self.wanted.takes(&event.entry);
        let happened = match (before, after) {
            (false, false) => return None,
            (false, true) => Happened::Added,
            (true, true) => Happened::Modified,
            (true, false) => Happened::Deleted,
        };
        if happened == event.happened && self.is_bytes() {
            if self.accepted.media == Media::Json {
                return Some(event.wire().clone());
            }
            if let Some(frame) = event.frame() {
                return Some(frame.clone());
            }
        }
        Some(self.line(happened, &event.entry))
    }

    fn is_bytes(&self) -> bool {
        self.accepted.form == Form::Plain && self.is_stored_version
    }

    fn line(&mut self, happened: Happened, entry: &Entry) -> Bytes {
        if self.is_stored_version && self.accepted.media == Media::Json {
            let metadata = || form::metadata_of(&entry.bytes).map(|metadata| store::wire(happened, &metadata));
            let copied = match self.accepted.form {
                Form::Plain => Some(store::wire(happened, &entry.bytes)),
                Form::Metadata => metadata(),
                Form::Table => None,
            };
            if let Some(line) = copied {
                return line;
            }
        }
        match objects::stored(self.converted.get(&entry.revision).map_or(entry, |converted| converted)) {
            Ok(object) => {
                let object = objects::in_version(&self.kind, &self.attributes, object);
                let value = self.shape(object);
                self.event(happened.word(), &value)
            }
            Err(status) => self.event("ERROR", &status.to_value()),
        }
    }

    fn shape(&mut self, object: Object) -> Value {
        let value = self.accepted.form.object(&self.kind, object, &self.include, self.header);
        self.header = false;
        value
    }

    /// An event that nobody else is sent.
    fn event(&self, word: &str, object: &Value) -> Bytes {
        if self.accepted.media != Media::Protobuf {
            return format!("{{\"type\":\"{word}\",\"object\":{object}}}\n").into();
        }
        match protobuf::encode(object) {
            Ok(bytes) => protobuf::watch_frame(word, &bytes).into(),
            Err(error) => {
                let status = protobuf::encode(&Status::internal(error).to_value()).unwrap_or_default();
                protobuf::watch_frame("ERROR", &status).into()
            }
        }
    }

    fn failure(&self, error: store::Error) -> Bytes {
        self.event("ERROR", &objects::failure(&self.kind, error).to_value())
    }

    fn bookmark(&self, revision: u64, ends_initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, version) = match self.accepted.form {
            Form::Plain => (self.kind.kind.to_string(), self.attributes.api_version()),
            Form::Table => ("Table".into(), "meta.k8s.io/v1".into()),
            Form::Metadata => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".to_string()),
        };
        self.event("BOOKMARK", &json!({"kind": kind, "apiVersion": version, "metadata": metadata}))
    }
}
