//! Questions about who somebody is and what they may: the kinds of `authentication.k8s.io` and `authorization.k8s.io`.
//!
//! Source: pkg/registry/authentication and pkg/registry/authorization.

use crate::api::{Cause, Kind, Object, Status};
use crate::control::server::answer::{self, Answer};
use crate::control::server::route::Call;
use crate::control::server::{Attributes, Identity, decode, objects, resource};
use crate::pki::token::ISSUER;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// Answers a question.
pub fn create(call: &Call, kind: &Kind, body: &Bytes) -> Result<Answer, Status> {
    let mut review = decode::body(call, kind, body)?.object;
    objects::to_stored(kind, call.attributes(), &mut review);
    let status = match kind.kind.as_ref() {
        "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
        "TokenReview" => token_review(call, &review)?,
        "SelfSubjectAccessReview" => {
            let wanted = attributes(kind, &review)?;
            access(call, &call.user, &wanted)
        }
        "SubjectAccessReview" => access(call, &subject(kind, &review)?, &attributes(kind, &review)?),
        "LocalSubjectAccessReview" => local_review(call, kind, &review)?,
        "SelfSubjectRulesReview" => rules(call, &review)?,
        _ => return Err(resource::not_served()),
    };
    review.set(&["status"], status);
    if review.at(&["metadata"]).is_none_or(Value::is_null) {
        review.set(&["metadata"], json!({"creationTimestamp": null}));
    }
    let review = objects::in_version(kind, call.attributes(), review);
    Ok(answer::value(StatusCode::CREATED, &Value::Object(review.0)))
}

/// A user as reviews show it.
fn user_info(user: &Identity) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        info["extra"] =
            user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect::<Map<_, _>>().into();
    }
    info
}

fn token_review(call: &Call, review: &Object) -> Result<Value, Status> {
    let token = review.text(&["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let asked = texts(review.at(&["spec", "audiences"]));
    let audiences: Vec<&str> = if asked.is_empty() { vec![ISSUER] } else { asked.iter().map(String::as_str).collect() };
    Ok(match call.api.accounts.verify(token, &audiences) {
        Ok(verified) => json!({
            "authenticated": true, "user": user_info(&verified.identity), "audiences": verified.audiences,
        }),
        Err(why) => json!({"user": {}, "error": why}),
    })
}

fn local_review(call: &Call, kind: &Kind, review: &Object) -> Result<Value, Status> {
    let wanted = attributes(kind, review)?;
    if wanted.namespace != call.attributes().namespace {
        let why = format!("Invalid value: \"{}\": must match metadata.namespace", wanted.namespace);
        return Err(invalid(kind, "spec.resourceAttributes.namespace", why));
    }
    Ok(access(call, &subject(kind, review)?, &wanted))
}

/// Whether somebody may do something, and why.
fn access(call: &Call, user: &Identity, wanted: &Attributes) -> Value {
    match call.api.authorizer.reason(user, wanted) {
        Some(reason) if reason.is_empty() => json!({"allowed": true}),
        Some(reason) => json!({"allowed": true, "reason": reason}),
        None => json!({"allowed": false}),
    }
}

/// The user that a review asks about.
fn subject(kind: &Kind, review: &Object) -> Result<Identity, Status> {
    let groups = texts(review.at(&["spec", "groups"]));
    let name = review.text(&["spec", "user"]);
    if name.is_empty() && groups.is_empty() {
        let why = "Invalid value: \"\": at least one of user or group must be specified";
        return Err(invalid(kind, "spec.user", why));
    }
    Ok(Identity { name: name.into(), uid: review.text(&["spec", "uid"]).into(), groups, extra: Vec::new() })
}

/// The request that a review asks about.
fn attributes(kind: &Kind, review: &Object) -> Result<Attributes, Status> {
    let part = |name: &str| review.at(&["spec", name]).filter(|value| !value.is_null());
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_string();
    match (part("resourceAttributes"), part("nonResourceAttributes")) {
        (Some(wanted), None) => Ok(Attributes {
            verb: text(wanted, "verb"),
            group: text(wanted, "group"),
            version: text(wanted, "version"),
            resource: text(wanted, "resource"),
            subresource: text(wanted, "subresource"),
            namespace: text(wanted, "namespace"),
            name: text(wanted, "name"),
            path: String::new(),
        }),
        (None, Some(wanted)) => {
            Ok(Attributes { verb: text(wanted, "verb"), path: text(wanted, "path"), ..Attributes::default() })
        }
        (Some(_), Some(_)) => {
            let why = "Invalid value: cannot be specified in combination with resourceAttributes";
            Err(invalid(kind, "spec.nonResourceAttributes", why))
        }
        (None, None) => {
            let why =
                "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
            Err(invalid(kind, "spec.resourceAttributes", why))
        }
    }
}

/// Everything that the user may do in a namespace.
fn rules(call: &Call, review: &Object) -> Result<Value, Status> {
    let namespace = review.text(&["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in call.api.authorizer.rbac.rules(&call.user, namespace) {
        if !rule.resources.is_empty() {
            let mut value = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                value["resourceNames"] = json!(rule.resource_names);
            }
            resources.push(value);
        }
        if !rule.non_resource_urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
}

fn invalid(kind: &Kind, field: &str, why: impl Into<String>) -> Status {
    let cause = Cause { reason: "FieldValueInvalid".into(), message: why.into(), field: field.into() };
    Status::invalid(kind.group(), &kind.kind, "", vec![cause])
}
