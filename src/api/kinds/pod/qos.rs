//! The quality of service class of a pod, from what its containers ask for and are held to.
//!
//! Source: pkg/apis/core/helper/qos.

use crate::api::Object;
use crate::api::kinds::print::list;
use serde_json::Value;

/// `Guaranteed`, `Burstable` or `BestEffort`. Requests are expected to be defaulted from limits.
pub(super) fn class(pod: &Object) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    if let Some(resources) = pod.at(&["spec", "resources"]) {
        return class_of(std::iter::once(resources));
    }
    for container in ["containers", "initContainers"].iter().flat_map(|of| list(pod, &["spec", of])) {
        let (asks, exact) = weigh(&container["resources"]);
        any |= asks;
        guaranteed &= exact;
    }
    name(any, guaranteed)
}

fn class_of<'a>(all: impl Iterator<Item = &'a Value>) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        let (asks, exact) = weigh(resources);
        any |= asks;
        guaranteed &= exact;
    }
    name(any, guaranteed)
}

fn name(any: bool, guaranteed: bool) -> &'static str {
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Whether cpu or memory are asked for at all, and whether both are asked for and held to the same amount.
fn weigh(resources: &Value) -> (bool, bool) {
    let amount = |of: &str, resource: &str| resources[of].get(resource).map(as_text).filter(|text| !is_zero(text));
    let asks = |resource: &str| amount("requests", resource).is_some() || amount("limits", resource).is_some();
    let exact = |resource: &str| {
        let limit = amount("limits", resource);
        limit.is_some() && limit == amount("requests", resource).or(limit.clone())
    };
    (asks("cpu") || asks("memory"), exact("cpu") && exact("memory"))
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

fn is_zero(quantity: &str) -> bool {
    !quantity.chars().take_while(|c| !c.is_ascii_alphabetic()).any(|c| ('1'..='9').contains(&c))
}
