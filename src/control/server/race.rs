//! Writes that meet: which the server makes again by itself, and which only the client may.

use crate::api::{Cause, Kind, Status};

/// Makes a write, and makes it again on what another one left that came between. Where the client said which version it means,
/// that is what it then fails by. Each time it is not this one it is another that succeeded, so there is no last try, as upstream
/// has none (`GuaranteedUpdate`); a client that gives up ends it.
pub async fn while_raced<T, F>(mut write: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    loop {
        match write().await {
            Err(status) if status.is_race => {}
            other => return other,
        }
    }
}

/// Kinds that are only replaced by who says which version was read (`AllowUnconditionalUpdate` of upstream's strategies). All
/// custom ones are as well.
const CONDITIONAL: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("coordination.k8s.io", "leases"),
    ("node.k8s.io", "runtimeclasses"),
    ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"),
];

/// Refuses the replacement of an object of such a kind where the client names no version.
pub fn require_version(kind: &Kind, name: &str) -> Result<(), Status> {
    if kind.custom.is_none() && !CONDITIONAL.contains(&(kind.group(), &kind.plural)) {
        return Ok(());
    }
    let cause = Cause {
        reason: "FieldValueInvalid".into(),
        message: "Invalid value: 0x0: must be specified for an update".into(),
        field: "metadata.resourceVersion".into(),
    };
    Err(Status::invalid(kind.group(), &kind.kind, name, vec![cause]))
}
