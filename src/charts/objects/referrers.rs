//! Which charts take values from which Secret: a Secret that changes makes them be looked at.

use super::{Context, Key, Told};
use crate::client::Selection;
use crate::client::follow::{MetadataOnly, Seen, follow};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Charts by namespace and name of the Secrets that they name.
#[derive(Default)]
pub struct Referrers(Mutex<HashMap<Key, HashSet<Key>>>);

impl Referrers {
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// `chart` takes values from `secret` of its namespace.
    pub fn add(&self, secret: &str, chart: &Key) {
        self.0.lock().entry((chart.0.clone(), secret.to_string())).or_default().insert(chart.clone());
    }

    /// The charts that take values from a Secret.
    fn of(&self, secret: &Key) -> Vec<Key> {
        self.0.lock().get(secret).into_iter().flatten().cloned().collect()
    }
}

/// Tells the charts of every Secret that is there or changes. What is in a Secret is not asked for.
pub async fn follow_secrets(context: Arc<Context>, sender: UnboundedSender<Told>) {
    let source = MetadataOnly(Api::<Secret>::all(context.client.clone()));
    let tell = |seen: Seen<PartialObjectMeta<Secret>>| {
        if let Seen::Present(secret) | Seen::Applied(secret) | Seen::Deleted(secret) = seen {
            let key = (secret.namespace().unwrap_or_default(), secret.name_any());
            // The receiver lives as long as the watch.
            context.referrers.of(&key).into_iter().for_each(|chart| drop(sender.send(Told::Changed(chart))));
        }
    };
    follow(&source, &Selection::default(), tell).await;
}
