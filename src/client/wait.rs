//! Waiting until an object is as somebody wants it, by watch.

use super::follow::{Seen, Selection, Whole, follow};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tokio::sync::mpsc;

/// Waits until `is_met` says so of the object `name`, which is nothing while it does not exist; returns the object as it
/// was then. Waits through failures of the server: callers who want an end put `tokio::time::timeout` round it.
pub async fn until<K>(api: Api<K>, name: &str, mut is_met: impl FnMut(Option<&K>) -> bool) -> Option<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let selection = Selection { labels: String::new(), fields: format!("metadata.name={name}") };
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut present = false;
    let source = Whole(api);
    let following = follow(&source, &selection, move |seen| {
        let state = match seen {
            Seen::Listing => {
                present = false;
                return;
            }
            Seen::Present(object) | Seen::Applied(object) => {
                present = true;
                Some(object)
            }
            Seen::Listed(_) if present => return,
            Seen::Listed(_) | Seen::Deleted(_) => None,
        };
        // The receiver lives as long as this future.
        sender.send(state).ok();
    });
    tokio::pin!(following);
    loop {
        tokio::select! {
            Some(state) = receiver.recv() => if is_met(state.as_ref()) { return state },
            () = &mut following => return None,
        }
    }
}

/// Waits until some object with `labels` is as `is_met` says. Waits through failures of the server, like [`until`].
pub async fn any<K>(api: Api<K>, labels: &str, mut is_met: impl FnMut(&K) -> bool + Send)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let selection = Selection { labels: labels.into(), fields: String::new() };
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let source = Whole(api);
    let following = follow(&source, &selection, move |seen| {
        if let Seen::Present(object) | Seen::Applied(object) = seen
            && is_met(&object)
        {
            // The receiver lives as long as this future.
            sender.send(()).ok();
        }
    });
    tokio::select! {
        _ = receiver.recv() => {}
        () = following => {}
    }
}

/// Whether `status.conditions` of an object, as JSON, has `kind` with `status: "True"`.
pub fn has_condition(object: &serde_json::Value, kind: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(|list| list.as_array());
    conditions.into_iter().flatten().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    #[tokio::test]
    async fn waiting_ends_when_the_condition_holds() {
        let namespace = |phase: &str, version: &str| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "one", "resourceVersion": version},
                "status": {"phase": phase}})
        };
        let mock = Mock::default();
        mock.list(json!({"apiVersion": "v1", "kind": "NamespaceList", "metadata": {"resourceVersion": "1"},
            "items": [namespace("Active", "1")]}));
        mock.watch(&[
            json!({"type": "MODIFIED", "object": namespace("Terminating", "2")}),
            json!({"type": "DELETED", "object": namespace("Terminating", "3")}),
        ]);
        let mut states = 0;
        let gone = until(Api::<Namespace>::all(mock.client()), "one", |state| {
            states += 1;
            state.is_none()
        });
        assert!(gone.await.is_none());
        assert_eq!(states, 3);
    }

    #[test]
    fn a_condition_holds_only_when_it_is_true() {
        let object = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        assert!(!has_condition(&object, "Ready"));
    }
}
