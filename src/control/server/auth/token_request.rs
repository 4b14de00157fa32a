//! `serviceaccounts/token`: a token for a service account, for a time, for those whom it is shown to, bound to an object.
//!
//! Source: pkg/registry/core/serviceaccount/storage/token.go.

use super::{lookup, node};
use crate::api::{Cause, Object, Reason, Status};
use crate::control::server::answer::{self, Answer};
use crate::control::server::decode;
use crate::control::server::route::Call;
use crate::pki::token::{Bound, Claims, ISSUER, Named};
use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Seconds that a token lives if nothing is asked for, at least, and at most.
const USUAL: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

/// Makes a token.
pub fn create(call: &Call, body: &Bytes) -> Result<Answer, Status> {
    let wanted = call.attributes();
    let mut request = Object::from_value(decode::value(&call.headers, body)?)
        .ok_or_else(|| Status::bad_request("the object provided is unrecognized (must be of type TokenRequest)"))?;
    let account = lookup::object(&call.api.store, "serviceaccounts", &wanted.namespace, &wanted.name)
        .ok_or_else(|| Status::not_found("", "serviceaccounts", &wanted.name))?;
    check_name(&request, &account)?;
    let seconds = lifetime(&request)?;
    let bound = bound(call, &request, &account)?;
    let audiences = audiences(&request);
    let now = Timestamp::now().as_second();
    let claims = Claims {
        iss: ISSUER.into(),
        aud: audiences.clone(),
        sub: format!("system:serviceaccount:{}:{}", account.namespace(), account.name()),
        exp: now + seconds,
        iat: now,
        nbf: now,
        jti: uuid::Uuid::new_v4().to_string(),
        kubernetes: bound,
    };
    let token = call.api.accounts.tokens.sign(&claims).map_err(Status::internal)?;
    let ends = Timestamp::from_second(claims.exp).unwrap_or(Timestamp::MAX).to_string();
    request.set(&["apiVersion"], "authentication.k8s.io/v1");
    request.set(&["kind"], "TokenRequest");
    request.set(&["metadata", "name"], account.name());
    request.set(&["metadata", "namespace"], account.namespace());
    request.set(&["metadata", "creationTimestamp"], Timestamp::from_second(now).map_or(Value::Null, |now| json!(now)));
    request.set(&["spec", "audiences"], json!(audiences));
    request.set(&["spec", "expirationSeconds"], seconds);
    request.set(&["status"], json!({"token": token, "expirationTimestamp": ends}));
    Ok(answer::value(StatusCode::CREATED, &Value::Object(request.0)))
}

fn check_name(request: &Object, account: &Object) -> Result<(), Status> {
    for (field, own, right) in
        [("name", request.name(), account.name()), ("namespace", request.namespace(), account.namespace())]
    {
        if !own.is_empty() && own != right {
            let why = format!("the {field} of the object ({own}) does not match the {field} on the URL ({right})");
            return Err(Status::bad_request(why));
        }
    }
    Ok(())
}

fn lifetime(request: &Object) -> Result<i64, Status> {
    let seconds = request.at(&["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or(USUAL);
    let why = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(seconds),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let cause = Cause {
        reason: "FieldValueInvalid".into(),
        message: format!("Invalid value: {seconds}: {why}"),
        field: "spec.expirationSeconds".into(),
    };
    Err(Status::invalid("authentication.k8s.io", "TokenRequest", request.name(), vec![cause]))
}

fn audiences(request: &Object) -> Vec<String> {
    let asked = request.at(&["spec", "audiences"]).and_then(Value::as_array).into_iter().flatten();
    let asked: Vec<String> = asked.filter_map(Value::as_str).map(String::from).collect();
    if asked.is_empty() { vec![ISSUER.into()] } else { asked }
}

fn named(object: &Object) -> Named {
    Named { name: object.name().into(), uid: object.uid().into() }
}

/// What the token is bound to: always to the account, and to one more object if that was asked for.
fn bound(call: &Call, request: &Object, account: &Object) -> Result<Bound, Status> {
    let mut bound = Bound { namespace: account.namespace().into(), serviceaccount: named(account), ..Bound::default() };
    let reference = request.at(&["spec", "boundObjectRef"]).filter(|value| !value.is_null());
    if let Some(requester) = node::name(&call.user) {
        check_node(call, requester, account, reference)?;
    }
    let Some(reference) = reference else { return Ok(bound) };
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (resource, namespace) = match (text("apiVersion"), text("kind")) {
        ("v1", "Pod") => ("pods", account.namespace()),
        ("v1", "Secret") => ("secrets", account.namespace()),
        ("v1", "Node") => ("nodes", ""),
        (version, kind) => {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount to object of {version}, Kind={kind}"
            )));
        }
    };
    let object = lookup::object(&call.api.store, resource, namespace, text("name"))
        .ok_or_else(|| Status::not_found("", resource, text("name")))?;
    if !text("uid").is_empty() && text("uid") != object.uid() {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        );
        return Err(Status::conflict("", resource, text("name"), &why));
    }
    match resource {
        "pods" => {
            if object.text(&["spec", "serviceAccountName"]) != account.name() {
                let why = format!(
                    "cannot bind token for serviceaccount \"{}\" to pod running with different serviceaccount name.",
                    account.name()
                );
                return Err(Status::bad_request(why));
            }
            bound.pod = Some(named(&object));
            let node = object.text(&["spec", "nodeName"]);
            // A pod of a node whose object is gone has a node without a uid.
            bound.node = (!node.is_empty()).then(|| {
                let found = lookup::object(&call.api.store, "nodes", "", node);
                found.map_or(Named { name: node.into(), uid: String::new() }, |node| named(&node))
            });
        }
        "secrets" => bound.secret = Some(named(&object)),
        _ => bound.node = Some(named(&object)),
    }
    Ok(bound)
}

/// A node gets tokens for the pods that run on it, and for no others.
///
/// Source: plugin/pkg/admission/noderestriction/admission.go.
fn check_node(call: &Call, requester: &str, account: &Object, reference: Option<&Value>) -> Result<(), Status> {
    let refuse = |why: String| {
        let message = format!("serviceaccounts \"{}\" is forbidden: {why}", account.name());
        Err(Status::new(Reason::Forbidden, message).about("", "serviceaccounts", account.name()))
    };
    let pod = reference.filter(|value| value["kind"] == "Pod").and_then(|value| value["name"].as_str());
    let Some(pod) = pod else {
        return refuse("node requested token not bound to a pod".into());
    };
    match lookup::object(&call.api.store, "pods", account.namespace(), pod) {
        Some(object) if object.text(&["spec", "nodeName"]) != requester => {
            refuse("node requested token bound to a pod scheduled on a different node".into())
        }
        _ => Ok(()),
    }
}
