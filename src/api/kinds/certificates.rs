//! Kinds of the group `certificates.k8s.io`.

use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Object, PART_VERBS, Rules, old, print};
use crate::api::validate;
use serde_json::{Map, Value};
use std::borrow::Cow;

pub(super) const CERTIFICATE_SIGNING_REQUEST: Kind = kind!(
    Cluster,
    "certificates.k8s.io" / "v1",
    "io.k8s.api.certificates",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
    served: old::CERTIFICATE_SIGNING_REQUEST,
    short: names!["csr"],
    status: true,
    others: subresources!["approval": "CertificateSigningRequest" PART_VERBS],
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules {
        prepare_create: |request| request.set(&["status"], Map::new()),
        prepare_update: |new, old| match old.at(&["spec"]) {
            Some(spec) => new.set(&["spec"], spec.clone()),
            None => drop(new.remove(&["spec"])),
        },
        validate_new: validate::certificates::new_request,
        fields: |request| vec![("spec.signerName", request.text(&["spec", "signerName"]).into())],
        ..NO_RULES
    },
);

const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    print::column("SignerName", "string", "Who is asked to sign.", |request, _| {
        print::text_or_none(request, &["spec", "signerName"])
    }),
    print::column("Requestor", "string", "Who asks.", |request, _| print::text(request, &["spec", "username"])),
    print::column("RequestedDuration", "string", "How long it should be valid.", |request, _| {
        match request.at(&["spec", "expirationSeconds"]).and_then(Value::as_i64) {
            Some(seconds) => print::human_duration(seconds).into(),
            None => print::NONE.into(),
        }
    }),
    print::column("Condition", "string", "What became of it.", |request, _| condition(request).into()),
];

fn condition(request: &Object) -> String {
    let has = |name| print::condition(request, name).is_some();
    let mut words = Vec::new();
    match (has("Approved"), has("Denied")) {
        (_, true) => words.push("Denied"),
        (true, false) => words.push("Approved"),
        (false, false) => words.push("Pending"),
    }
    if has("Failed") {
        words.push("Failed");
    }
    if !request.text(&["status", "certificate"]).is_empty() {
        words.push("Issued");
    }
    words.join(",")
}
