//! What a webhook answers: a verdict, and what it makes of the object.
//!
//! Source of rules and wording: k8s.io/apiserver `pkg/admission/plugin/webhook/{request,errors}`.

use super::hook::Failure;
use crate::api::Status;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An answer that lets the request pass.
#[derive(Debug)]
pub struct Response {
    pub patch: Option<json_patch::Patch>,
    pub warnings: Vec<String>,
}

/// Reads an `AdmissionReview`.
pub fn read(name: &str, version: &str, uid: &str, answer: &Value) -> Result<Response, Failure> {
    let invalid = |why: String| Failure::NotCalled(format!("received invalid webhook response: {why}"));
    let wanted = format!("admission.k8s.io/{version}");
    // Servers of the first version seldom say which they are.
    let is_typed = answer["kind"] == "AdmissionReview" && answer["apiVersion"] == wanted.as_str();
    if version == "v1" && !is_typed {
        let (group, kind) = (answer["apiVersion"].as_str().unwrap_or(""), answer["kind"].as_str().unwrap_or(""));
        let own = format!("{group}, Kind={kind}");
        return Err(invalid(format!("expected webhook response of {wanted}, Kind=AdmissionReview, got {own}")));
    }
    let response = &answer["response"];
    if !response.is_object() {
        return Err(invalid("webhook response was absent".into()));
    }
    if version == "v1" && response["uid"] != uid {
        let own = response["uid"].as_str().unwrap_or("");
        return Err(invalid(format!("expected response.uid={uid:?}, got {own:?}")));
    }
    if response["allowed"] != true {
        return Err(Failure::Denied(Box::new(denied(name, &response["result"], &response["status"]))));
    }
    let warnings = response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from);
    Ok(Response { patch: patch(version, response).map_err(invalid)?, warnings: warnings.collect() })
}

fn patch(version: &str, response: &Value) -> Result<Option<json_patch::Patch>, String> {
    let text = response["patch"].as_str().unwrap_or_default();
    let kind = response["patchType"].as_str().unwrap_or_default();
    match (text, kind) {
        ("", "") => return Ok(None),
        ("", _) if version == "v1" => {
            return Err("webhook returned response.patchType but not response.patch".into());
        }
        ("", _) => return Ok(None),
        (_, "") if version == "v1" => {
            return Err("webhook returned response.patch but not response.patchType".into());
        }
        (_, "" | "JSONPatch") => {}
        (_, other) => return Err(format!("invalid value of response.patchType {other}, expected \"JSONPatch\"")),
    }
    let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
    let patch: json_patch::Patch = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    Ok((!patch.0.is_empty()).then_some(patch))
}

/// The refusal, with the code, reason and words that the webhook gives it.
fn denied(name: &str, result: &Value, status: &Value) -> Status {
    // `status` is what the field is called on the wire; `result` what upstream's type calls it.
    let given = if status.is_object() { status } else { result };
    let text = |field: &str| given[field].as_str().unwrap_or_default();
    let by = format!("admission webhook {name:?} denied the request");
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let code = given["code"].as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
    Status::of_somebody(code.unwrap_or(400), text("reason"), message, &given["details"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(answer: Value) -> String {
        match read("a.b.c", "v1", "1", &answer) {
            Ok(response) => format!("{response:?}"),
            Err(Failure::NotCalled(why)) => why,
            Err(Failure::Denied(status)) => format!("{} {}", status.code(), status.message),
        }
    }

    fn with(response: Value) -> Value {
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
    }

    #[test]
    fn a_refusal_says_what_the_webhook_said() {
        let cases = [
            (json!({}), "400 admission webhook \"a.b.c\" denied the request without explanation"),
            (json!({"reason": "Odd"}), "400 admission webhook \"a.b.c\" denied the request: Odd"),
            (json!({"message": "no", "code": 418}), "418 admission webhook \"a.b.c\" denied the request: no"),
            (json!({"message": "no", "code": 200}), "400 admission webhook \"a.b.c\" denied the request: no"),
        ];
        for (status, words) in cases {
            assert_eq!(said(with(json!({"uid": "1", "allowed": false, "status": status}))), words);
        }
    }

    #[test]
    fn an_answer_that_is_none_is_told_apart_from_a_refusal() {
        let cases = [
            (with(json!({"uid": "2", "allowed": true})), "expected response.uid=\"1\", got \"2\""),
            (with(Value::Null), "webhook response was absent"),
            (
                json!({"kind": "Pod", "apiVersion": "v1"}),
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got v1, Kind=Pod",
            ),
            (
                with(json!({"uid": "1", "allowed": true, "patch": "e30="})),
                "webhook returned response.patch but not response.patchType",
            ),
        ];
        for (answer, words) in cases {
            assert_eq!(said(answer), format!("received invalid webhook response: {words}"));
        }
    }
}
