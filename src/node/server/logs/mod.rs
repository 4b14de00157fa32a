//! `/containerLogs/NAMESPACE/POD/CONTAINER`: the log of one attempt of a container, from its file in CRI's format.

mod follow;
mod line;
mod read;

use super::answer::{self, Answer};
use crate::node::context::Node;
use crate::node::mirrors;
use crate::node::pod::parts;
use crate::node::pods::{Attempt, Seen};
use crate::runtime::State;
use axum::body::Body;
use http::StatusCode;
use jiff::Timestamp;
use line::Streams;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces of a log that may wait for a slow client.
const PIECES: usize = 4;

/// What of a log is wanted: the words of `PodLogOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    /// Lines from this moment on.
    pub since: Option<Timestamp>,
    /// Lines from the end.
    pub tail: Option<u64>,
    /// Bytes at most.
    pub limit: Option<u64>,
    pub streams: Streams,
    /// The file is the server's own log: plain lines, of which most begin with a time.
    pub is_plain: bool,
}

/// Answers a request for a log.
pub async fn answer(node: &Arc<Node>, place: [&str; 3], query: &str) -> Answer {
    let [namespace, pod, container] = place;
    let Some(options) = Options::parse(query, Timestamp::now()) else {
        return answer::text(StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#);
    };
    let Some(seen) = node.pods.get(namespace, pod) else {
        return answer::text(StatusCode::NOT_FOUND, format!("pod \"{pod}\" does not exist"));
    };
    if parts::container(&seen.pod, container).is_none() {
        return answer::text(StatusCode::NOT_FOUND, format!("container \"{container}\" not found in pod \"{pod}\""));
    }
    if mirrors::is_part(&seen.pod) && seen.attempts.is_empty() && !options.previous {
        let options = Options { is_plain: true, ..options };
        return stream(node, String::new(), follow::Log { path: node.paths.server_log(), options });
    }
    match attempt(&seen, container, options.previous) {
        Ok(attempt) => stream(node, attempt.id.clone(), follow::Log { path: attempt.log.clone(), options }),
        Err(why) => answer::text(StatusCode::BAD_REQUEST, why),
    }
}

/// Whose log is meant, or why there is none. While a container waits to be started again, the ended attempt is both its
/// present and its previous one.
///
/// Source of the wording: pkg/kubelet/kubelet_pods.go, validateContainerLogStatus.
fn attempt<'a>(seen: &'a Seen, name: &str, previous: bool) -> Result<&'a Attempt, String> {
    let pod = parts::name(&seen.pod);
    let about = format!("container \"{name}\" in pod \"{pod}\"");
    let waiting = parts::container(&seen.pod, name)
        .and_then(|(kind, _)| parts::known_status(&seen.pod, kind, name)?.state.clone()?.waiting);
    let mut begun = seen.attempts.iter().rev().filter(|one| one.name == name && one.state != State::Created);
    let newest = begun.next();
    if previous {
        let is_between = waiting.is_some() && newest.is_some_and(|one| matches!(one.state, State::Exited { .. }));
        let found = if is_between { newest } else { begun.next() };
        return found.ok_or_else(|| format!("previous terminated container \"{name}\" in pod \"{pod}\" not found"));
    }
    newest.ok_or_else(|| match waiting.and_then(|waiting| waiting.reason).as_deref() {
        Some("ErrImagePull") => format!("{about} is waiting to start: image can't be pulled"),
        Some("ImagePullBackOff") => format!("{about} is waiting to start: trying and failing to pull image"),
        Some(reason) => format!("{about} is waiting to start: {reason}"),
        None => format!("{about} is not available"),
    })
}

fn stream(node: &Arc<Node>, id: String, log: follow::Log) -> Answer {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::spawn(serve(node.clone(), id, log, sender));
    let pieces = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (Ok::<_, Infallible>(piece), receiver))
    });
    answer::of_type(StatusCode::OK, "text/plain", Body::from_stream(pieces))
}

async fn serve(node: Arc<Node>, id: String, log: follow::Log, to: mpsc::Sender<bytes::Bytes>) {
    let done = to.clone();
    tokio::select! {
        result = log.send(node.runtime.as_ref(), &id, to) => {
            if let Err(error) = result {
                tracing::warn!(%error, container = id, "log not read to its end");
            }
        }
        () = done.closed() => {}
    }
}

impl Options {
    /// Reads the query of a request; nothing if it cannot be read.
    fn parse(query: &str, now: Timestamp) -> Option<Self> {
        let mut options = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            let flag = matches!(&*value, "true" | "1" | "True" | "TRUE" | "t" | "T");
            match &*name {
                "follow" => options.follow = flag,
                "previous" => options.previous = flag,
                "timestamps" => options.timestamps = flag,
                "sinceSeconds" => {
                    let seconds: i64 = value.parse().ok().filter(|seconds| *seconds > 0)?;
                    options.since = now.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok();
                }
                "sinceTime" => options.since = Some(value.parse().ok()?),
                "tailLines" | "tail" if &*value != "all" => options.tail = Some(value.parse().ok()?),
                "limitBytes" => options.limit = Some(value.parse().ok().filter(|bytes| *bytes > 0)?),
                "stream" => options.streams = Streams::named(&value)?,
                _ => {}
            }
        }
        Some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake;
    use serde_json::{Value, json};

    fn seen(status: Value, attempts: &[(&str, State)]) -> Seen {
        let mut pod = fake::pod(json!({"containers": [{"name": "web", "image": "i"}]}));
        let mut one = json!({"name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": 2});
        one.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        pod.status = serde_json::from_value(json!({"containerStatuses": [one]})).unwrap();
        let attempt = |(id, state): &(&str, State)| Attempt {
            id: id.to_string(),
            name: "web".into(),
            state: state.clone(),
            log: Default::default(),
        };
        let attempts = attempts.iter().map(attempt).collect();
        Seen { pod: Arc::new(pod), sandbox: None, attempts, is_over: false }
    }

    fn found(seen: &Seen, previous: bool) -> Result<&str, String> {
        attempt(seen, "web", previous).map(|attempt| attempt.id.as_str())
    }

    #[test]
    fn a_container_that_never_ran_has_no_log_and_says_why() {
        for (reason, why) in [
            ("ContainerCreating", "ContainerCreating"),
            ("ErrImagePull", "image can't be pulled"),
            ("ImagePullBackOff", "trying and failing to pull image"),
        ] {
            let seen = seen(json!({"state": {"waiting": {"reason": reason}}}), &[("new", State::Created)]);
            let expected = format!("container \"web\" in pod \"p\" is waiting to start: {why}");
            assert_eq!(found(&seen, false), Err(expected));
        }
    }

    #[test]
    fn between_two_attempts_the_log_is_the_earlier_ones() {
        let waiting = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let between = seen(waiting, &[("old", fake::exited(1))]);
        assert_eq!((found(&between, false), found(&between, true)), (Ok("old"), Ok("old")));
        let running = seen(json!({"state": {"running": {}}}), &[("old", fake::exited(1)), ("new", fake::running())]);
        assert_eq!((found(&running, false), found(&running, true)), (Ok("new"), Ok("old")));
        let first = seen(json!({"state": {"running": {}}}), &[("new", fake::running())]);
        let why = "previous terminated container \"web\" in pod \"p\" not found";
        assert_eq!(found(&first, true), Err(why.into()));
    }

    #[test]
    fn options_are_those_of_the_api() {
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let read = |query: &str| Options::parse(query, now);
        let all = read("follow=true&timestamps=1&sinceSeconds=60&tailLines=5&limitBytes=9&stream=Stderr").unwrap();
        let expected = Options {
            follow: true,
            previous: false,
            timestamps: true,
            since: Some("2026-11-25T09:59:00Z".parse().unwrap()),
            tail: Some(5),
            limit: Some(9),
            streams: Streams::named("Stderr").unwrap(),
            is_plain: false,
        };
        assert_eq!(all, expected);
        for wrong in ["tailLines=-1", "sinceSeconds=0", "sinceTime=noon", "limitBytes=0", "stream=All2"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
