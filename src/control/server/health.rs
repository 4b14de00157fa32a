//! `/healthz`, `/livez`, `/readyz`: whether the server works, as a word or check by check.
//!
//! Source: k8s.io/apiserver `pkg/server/healthz/healthz.go`.

use super::answer::{self, Answer};
use super::resource;
use super::route::Call;
use crate::api::Status;

const PROBES: [&str; 3] = ["healthz", "livez", "readyz"];
/// What is looked at. The store is in this process, and one that cannot be read ends it: who gets an answer gets a good one.
const CHECKS: [&str; 3] = ["ping", "log", "etcd"];

/// The paths that are served.
pub fn paths() -> impl Iterator<Item = String> {
    PROBES.iter().flat_map(|probe| {
        std::iter::once(format!("/{probe}")).chain(CHECKS.iter().map(move |check| format!("/{probe}/{check}")))
    })
}

/// Answers a probe, or one check of it.
pub fn answer(call: &Call, probe: &str, checks: &[&str]) -> Result<Answer, Status> {
    match checks {
        [] if call.options.has("verbose") => {
            let lines: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
            Ok(answer::text(format!("{lines}{probe} check passed\n")))
        }
        [] => Ok(answer::text("ok")),
        [check] if CHECKS.contains(check) => Ok(answer::text("ok")),
        _ => Err(resource::not_served()),
    }
}
