//! A stand-in for the API server in unit tests: answers lists and watches from a script, records everything else.

use super::Client;
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Default)]
struct Script {
    lists: VecDeque<Value>,
    watches: VecDeque<Vec<Value>>,
    answers: VecDeque<(u16, Value)>,
    requests: Vec<(String, String, Value)>,
}

/// The script. Lists and watches are served in order; a watch that has no script stays open and silent.
#[derive(Clone, Default)]
pub struct Mock(Arc<Mutex<Script>>);

impl Mock {
    /// Answers the next list with `body`.
    pub fn list(&self, body: Value) {
        self.0.lock().lists.push_back(body);
    }

    /// Answers the next watch with `events`, then stays open.
    pub fn watch(&self, events: &[Value]) {
        self.0.lock().watches.push_back(events.to_vec());
    }

    /// Answers the next request that is neither list nor watch.
    pub fn answer(&self, code: u16, body: Value) {
        self.0.lock().answers.push_back((code, body));
    }

    /// Method, path with query, and body of every request but lists and watches.
    pub fn requests(&self) -> Vec<(String, String, Value)> {
        self.0.lock().requests.clone()
    }

    /// A client that talks to the script.
    pub fn client(&self) -> Client {
        let mock = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let mock = mock.clone();
            async move { Ok::<_, Infallible>(mock.serve(request).await) }
        });
        Client::new(service, "default")
    }

    async fn serve(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        if path.contains("watch=true") {
            let events = self.0.lock().watches.pop_front().unwrap_or_default();
            let lines = events.into_iter().map(|event| Ok(http_body::Frame::data(Bytes::from(format!("{event}\n")))));
            let open = futures::stream::iter(lines).chain(futures::stream::pending());
            return Response::new(StreamBody::new(open).boxed_unsync());
        }
        if parts.method == "GET" && path.contains("limit=") {
            let scripted = self.0.lock().lists.pop_front();
            return whole(200, &scripted.expect("a list that was not scripted"));
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        let sent = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let mut script = self.0.lock();
        script.requests.push((parts.method.to_string(), path, sent.clone()));
        let (code, body) = script.answers.pop_front().unwrap_or((200, sent));
        whole(code, &body)
    }
}

fn whole(code: u16, body: &Value) -> Answer {
    let body = http_body_util::Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}
