//! What containers ask for and are held to.

use crate::api::names;
use crate::api::validate::{At, Causes};

/// Resources without a domain that containers know.
const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Whether a resource can be given to more than there is of it.
fn is_overcommitable(name: &str) -> bool {
    (is_native(name) && !name.starts_with("hugepages-")) || name.starts_with("attachable-volumes-")
}

/// Whether a resource belongs to Kubernetes itself.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.split('/').next().is_some_and(|domain| domain.ends_with("kubernetes.io"))
}

/// Requests and limits of a container or pod.
pub fn requirements(at: &At<'_>, causes: &mut Causes) {
    let (limits, requests) = (at.at("limits"), at.at("requests"));
    for (name, limit) in limits.entries() {
        resource(name, &limit, causes);
    }
    for (name, request) in requests.entries() {
        resource(name, &request, causes);
        let limit = limits.key(name);
        let (Some(asked), Some(most)) = (request.quantity(), limit.quantity()) else {
            if limit.is_missing() && !is_overcommitable(name) {
                causes.required(&limits, "Limit must be set for non overcommitable resources");
            }
            continue;
        };
        let why = format!("limit of {most}");
        if !is_overcommitable(name) && asked != most {
            causes.invalid_as(&requests, &asked.to_string().into(), &format!("must be equal to {name} {why}"));
        } else if asked > most {
            let why = format!("must be less than or equal to {name} {why}");
            causes.invalid_as(&requests, &asked.to_string().into(), &why);
        }
    }
}

/// One resource: its name and amount.
pub fn resource(name: &str, at: &At<'_>, causes: &mut Causes) {
    resource_name(name, at, causes);
    amount(at, causes);
    let is_counted =
        !matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage") && !name.starts_with("hugepages-");
    if is_counted && at.quantity().is_some_and(|quantity| !quantity.is_whole()) {
        causes.invalid(at, "must be an integer");
    }
}

/// The name of a resource of containers.
pub fn resource_name(name: &str, at: &At<'_>, causes: &mut Causes) {
    let wrong = names::qualified_name(name);
    if !wrong.is_empty() {
        wrong.iter().for_each(|why| causes.invalid_as(at, &name.into(), why));
        return;
    }
    if name.contains('/') {
        return;
    }
    if !STANDARD.contains(&name) && !name.starts_with("hugepages-") {
        causes.invalid_as(at, &name.into(), "must be a standard resource type or fully qualified");
        causes.invalid_as(at, &name.into(), "must be a standard resource for containers");
    }
}

/// An amount: a quantity that is not below zero.
pub fn amount(at: &At<'_>, causes: &mut Causes) {
    match crate::api::quantity::Quantity::from_json(at.value()) {
        Err(error) => causes.invalid(at, &error.to_string()),
        Ok(quantity) if quantity.sign() < 0 => {
            causes.invalid_as(at, &quantity.to_string().into(), "must be greater than or equal to 0");
        }
        Ok(_) => {}
    }
}
