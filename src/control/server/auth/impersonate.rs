//! Acting as somebody else, for those who may (`kubectl --as`).
//!
//! Source: k8s.io/apiserver `pkg/endpoints/filters/impersonation.go`.

use super::{Rules, accounts, front_proxy};
use crate::api::Status;
use crate::control::server::route::forbidden;
use crate::control::server::{Attributes, Identity};
use http::HeaderMap;

/// Start of all headers of this kind.
const PREFIX: &str = "impersonate-";
/// Start of the headers that hold what else is known of the user.
const EXTRA: &str = "impersonate-extra-";

/// Who the request is made as: the user, or whoever its headers name, if the user may act as them.
pub fn user(rules: &Rules, user: Identity, headers: &HeaderMap) -> Result<Identity, Status> {
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Ok(user);
    }
    let name = front_proxy::text(headers, "impersonate-user");
    let groups = front_proxy::all(headers, "impersonate-group");
    let uid = front_proxy::text(headers, "impersonate-uid").unwrap_or_default();
    let extra = front_proxy::extra(headers, EXTRA);
    let Some(name) = name else {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::bad_request("requested groups, uid or extra without impersonating a user"));
    };
    let mut other = Identity { name, uid, groups, extra };
    for wanted in questions(&other) {
        if !rules.allows(&user, &wanted) {
            return Err(forbidden(&user, &wanted));
        }
    }
    complete_groups(&mut other);
    Ok(other)
}

/// What the user must be allowed in order to be somebody else.
fn questions(other: &Identity) -> Vec<Attributes> {
    let ask = |group: &str, resource: &str, part: &str, name: &str| Attributes {
        verb: "impersonate".into(),
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: part.into(),
        name: name.into(),
        ..Attributes::default()
    };
    let mut all = vec![match accounts::parse(&other.name) {
        Some((namespace, name)) => Attributes { namespace: namespace.into(), ..ask("", "serviceaccounts", "", name) },
        None => ask("", "users", "", &other.name),
    }];
    all.extend(other.groups.iter().map(|group| ask("", "groups", "", group)));
    if !other.uid.is_empty() {
        all.push(ask("authentication.k8s.io", "uids", "", &other.uid));
    }
    for (key, values) in &other.extra {
        all.extend(values.iter().map(|value| ask("authentication.k8s.io", "userextras", key, value)));
    }
    all
}

/// Groups that follow from who somebody is.
fn complete_groups(other: &mut Identity) {
    if other.groups.is_empty()
        && let Some((namespace, _)) = accounts::parse(&other.name)
    {
        other.groups = accounts::groups(namespace);
    }
    let is_anonymous = other.name == "system:anonymous";
    let group = if is_anonymous { "system:unauthenticated" } else { "system:authenticated" };
    if !other.is_in("system:authenticated") && !other.is_in("system:unauthenticated") {
        other.groups.push(group.into());
    }
}
