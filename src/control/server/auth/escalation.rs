//! Nobody gives away rights that they do not have: an admission plugin for roles and bindings.
//!
//! Source: pkg/registry/rbac/{escalation_check.go, *role*/policybased/storage.go} and pkg/registry/rbac/validation/rule.go.

use super::rbac::index::{GROUP, RoleRef};
use super::rbac::rule::Rule;
use super::{MASTERS, defaults};
use crate::api::{Object, Reason, Status};
use crate::control::server::admission::{Change, Plugin, Verb};
use crate::control::server::{Api, Attributes};
use async_trait::async_trait;
use serde_json::Value;

/// The plugin.
pub struct NoEscalation;

#[async_trait]
impl Plugin for NoEscalation {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if change.kind.group() != GROUP || change.verb == Verb::Delete || change.user.is_in(MASTERS) {
            return Ok(());
        }
        if change.old.is_some_and(|old| same_but_metadata(old, change.object)) {
            return Ok(());
        }
        match change.kind.plural.as_ref() {
            "roles" | "clusterroles" => role(api, change),
            _ => binding(api, change),
        }
    }
}

/// Whether only metadata differs: labels and finalizers give nobody anything, but for labels that roles are put together by.
fn same_but_metadata(old: &Object, new: &Object) -> bool {
    ["rules", "aggregationRule", "roleRef", "subjects"].iter().all(|field| old.0.get(*field) == new.0.get(*field))
}

fn role(api: &Api, change: &Change) -> Result<(), Status> {
    if api.authorizer.allows(change.user, &question(change, "escalate", &change.kind.plural, change.object.name())) {
        return Ok(());
    }
    let mut rules = rules_in(change.object);
    if change.object.at(&["aggregationRule"]).is_some_and(|value| !value.is_null()) {
        // It can become anything later on.
        rules = vec![defaults::rule("* * *"), defaults::rule("* url *")];
    }
    confirm(api, change, &rules)
}

fn binding(api: &Api, change: &Change) -> Result<(), Status> {
    let text = |field: &str| change.object.text(&["roleRef", field]).to_string();
    let role = RoleRef { kind: text("kind"), name: text("name") };
    let resource = if role.kind == "Role" { "roles" } else { "clusterroles" };
    if api.authorizer.allows(change.user, &question(change, "bind", resource, &role.name)) {
        return Ok(());
    }
    let rules = api.authorizer.rbac.rules_of(&role, change.object.namespace());
    let rules = rules.ok_or_else(|| Status::not_found(GROUP, resource, &role.name))?;
    confirm(api, change, &rules)
}

fn question(change: &Change, verb: &str, resource: &str, name: &str) -> Attributes {
    Attributes {
        verb: verb.into(),
        group: GROUP.into(),
        version: "v1".into(),
        resource: resource.into(),
        namespace: change.object.namespace().into(),
        name: name.into(),
        ..Attributes::default()
    }
}

fn rules_in(role: &Object) -> Vec<Rule> {
    let list = role.at(&["rules"]).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|rule| serde_json::from_value(rule.clone()).ok()).collect()
}

/// Refuses if the user lacks some of the rules.
fn confirm(api: &Api, change: &Change, rules: &[Rule]) -> Result<(), Status> {
    let own = api.authorizer.rbac.rules(change.user, change.object.namespace());
    let missing: Vec<Rule> =
        rules.iter().flat_map(Rule::broken_down).filter(|part| !own.iter().any(|rule| rule.covers(part))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (group, plural, name) = (change.kind.group(), &change.kind.plural, change.object.name());
    let lines: Vec<String> = compact(missing).iter().map(describe).collect();
    let message = format!(
        "{plural}.{group} \"{name}\" is forbidden: user \"{}\" (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        change.user.name,
        go_list(&change.user.groups),
        lines.join("\n")
    );
    Err(Status::new(Reason::Forbidden, message).about(group, plural, name))
}

/// Rules that differ in their verbs only become one.
fn compact(parts: Vec<Rule>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for part in parts {
        let bare = |rule: &Rule| Rule { verbs: Vec::new(), ..rule.clone() };
        match rules.iter_mut().find(|rule| bare(rule) == bare(&part)) {
            Some(rule) => rule.verbs.extend(part.verbs),
            None => rules.push(part),
        }
    }
    rules
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
fn describe(rule: &Rule) -> String {
    let lists = [
        ("NonResourceURLs", &rule.non_resource_urls),
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let parts: Vec<String> = lists
        .iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", go_list(list)))
        .collect();
    format!("{{{}}}", parts.join(", "))
}

fn go_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
