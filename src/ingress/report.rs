//! What Ingresses are told: events about what was read of them, and the address that they are reachable at.

use crate::client::{Client, Level, Recorder};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::watch;

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// What was found of one object.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    pub about: ObjectReference,
    /// Changes when its author changed it.
    pub edition: String,
    /// Whether its status is to name the address.
    pub is_ingress: bool,
    /// The address that its status names alone.
    pub published: Option<String>,
    pub told: BTreeSet<(Severity, String)>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is served.
    Denied,
    /// It names what is not there, or cannot be.
    Invalid,
    /// Something does not work here.
    Warning,
    /// Something has no meaning.
    Note,
}

impl Severity {
    fn words(self) -> (Level, &'static str) {
        match self {
            Severity::Denied => (Level::Warning, "AnnotationParsingFailed"),
            Severity::Invalid => (Level::Warning, "Invalid"),
            Severity::Warning => (Level::Warning, "NotBuilt"),
            Severity::Note => (Level::Normal, "NoEffect"),
        }
    }
}

/// What was told already, by uid.
type Told = HashMap<String, (String, BTreeSet<(Severity, String)>)>;

/// Tells whatever is found, for ever. Only the last finding counts.
pub async fn run(client: Client, address: Option<IpAddr>, mut findings: watch::Receiver<Vec<Finding>>) {
    let recorder = Recorder::new(client.clone(), "nginx-ingress-controller", "");
    let mut told = Told::new();
    let mut delay = FIRST_DELAY;
    loop {
        let present = findings.borrow_and_update().clone();
        tell(&recorder, &mut told, &present);
        let is_done = match address {
            Some(address) => publish(&client, &address.to_string(), &present).await,
            None => true,
        };
        if is_done {
            delay = FIRST_DELAY;
            if findings.changed().await.is_err() {
                return;
            }
        } else {
            tokio::select! {
                changed = findings.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(LAST_DELAY),
            }
        }
    }
}

fn tell(recorder: &Recorder, told: &mut Told, present: &[Finding]) {
    let uid = |finding: &Finding| finding.about.uid.clone().unwrap_or_default();
    let here: BTreeSet<String> = present.iter().map(uid).collect();
    told.retain(|uid, _| here.contains(uid));
    for finding in present {
        let (edition, known) = told.entry(uid(finding)).or_default();
        if *edition != finding.edition {
            if finding.is_ingress {
                recorder.record(finding.about.clone(), Level::Normal, "Sync", "Scheduled for sync");
            }
            known.clear();
            edition.clone_from(&finding.edition);
        }
        for (severity, text) in finding.told.difference(known) {
            let (level, reason) = severity.words();
            recorder.record(finding.about.clone(), level, reason, text.clone());
        }
        known.clone_from(&finding.told);
    }
}

/// Writes the address into every status that does not name it; `false` if one could not be written.
async fn publish(client: &Client, address: &str, present: &[Finding]) -> bool {
    let mut is_done = true;
    let stale = |finding: &&Finding| finding.is_ingress && finding.published.as_deref() != Some(address);
    for finding in present.iter().filter(stale) {
        let about = &finding.about;
        let api = Api::<Ingress>::namespaced(client.clone(), about.namespace.as_deref().unwrap_or_default());
        let name = about.name.as_deref().unwrap_or_default();
        match api.patch_status(name, &PatchParams::default(), &Patch::Merge(status(address))).await {
            Ok(_) => {}
            // It is gone: there is nobody to tell.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                tracing::debug!(%error, name, "the status of an Ingress was not written");
                is_done = false;
            }
        }
    }
    is_done
}

fn status(address: &str) -> Value {
    json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;

    #[tokio::test]
    async fn the_address_is_written_where_it_is_missing() {
        let mock = Mock::default();
        let finding = |name: &str, published: Option<&str>| Finding {
            about: ObjectReference {
                name: Some(name.into()),
                namespace: Some("default".into()),
                ..ObjectReference::default()
            },
            is_ingress: true,
            published: published.map(String::from),
            ..Finding::default()
        };
        assert!(publish(&mock.client(), "10.0.0.1", &[finding("a", None), finding("b", Some("10.0.0.1"))]).await);
        let requests = mock.requests();
        assert_eq!(requests.len(), 1);
        assert!(requests[0].1.contains("/namespaces/default/ingresses/a/status"), "{}", requests[0].1);
        assert_eq!(requests[0].2, status("10.0.0.1"));
    }
}
