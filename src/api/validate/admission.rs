//! Webhook configurations.
//!
//! Source: pkg/apis/admissionregistration/validation/validation.go.

use super::causes::{At, Causes, collect};
use super::labels;
use crate::api::{Cause, Object, names};
use serde_json::Value;

const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// What is wrong with a configuration of webhooks.
pub fn webhooks(configuration: &Object) -> Vec<Cause> {
    collect(|causes| {
        let all = At::top(configuration, "webhooks");
        let mut names: Vec<String> = Vec::new();
        for hook in all.items() {
            let name = hook.at("name");
            webhook(&hook, causes);
            if names.iter().any(|own| own == name.text()) {
                causes.duplicate(&name);
            }
            names.push(name.text().to_string());
        }
    })
}

fn webhook(hook: &At<'_>, causes: &mut Causes) {
    let name = hook.at("name");
    match name.text() {
        "" => causes.required(&name, ""),
        text if text.split('.').count() < 3 => {
            causes.invalid(&name, "should be a domain with at least three segments separated by dots");
        }
        text => causes.each(&name, names::dns_subdomain(text)),
    }
    for rule in hook.at("rules").items() {
        self::rule(&rule, causes);
    }
    causes.optional_of(&hook.at("failurePolicy"), &["Fail", "Ignore"]);
    causes.optional_of(&hook.at("matchPolicy"), &["Equivalent", "Exact"]);
    causes.optional_of(&hook.at("reinvocationPolicy"), &["IfNeeded", "Never"]);
    match hook.at("sideEffects") {
        effects if effects.is_missing() => causes.required(&effects, "must specify one of None, NoneOnDryRun"),
        effects => causes.optional_of(&effects, &["None", "NoneOnDryRun"]),
    }
    let limit = hook.at("timeoutSeconds");
    if limit.number().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        causes.invalid(&limit, "the timeout value must be between 1 and 30 seconds");
    }
    for field in ["namespaceSelector", "objectSelector"] {
        labels::selector(&hook.at(field), causes);
    }
    let reviews = hook.at("admissionReviewVersions");
    let known: Vec<&str> = reviews.value().as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if known.is_empty() {
        causes.required(&reviews, "must specify one of v1, v1beta1");
    } else if !known.iter().any(|known| REVIEWS.contains(known)) {
        causes.invalid(&reviews, "must include at least one of v1, v1beta1");
    }
    client(&hook.at("clientConfig"), causes);
}

fn rule(rule: &At<'_>, causes: &mut Causes) {
    for field in ["apiGroups", "apiVersions", "resources"] {
        let list = rule.at(field);
        let all: Vec<&str> = list.value().as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if all.is_empty() {
            causes.required(&list, "");
        }
        match field {
            "resources" => resources(&list, &all, causes),
            _ if all.len() > 1 && all.contains(&"*") => {
                causes.invalid(&list, "if '*' is present, must not specify other values");
            }
            _ => {}
        }
    }
    let operations = rule.at("operations");
    if operations.count() == 0 {
        causes.required(&operations, "");
    }
    for operation in operations.items() {
        causes.optional_of(&operation, &OPERATIONS);
    }
    causes.optional_of(&rule.at("scope"), &["*", "Cluster", "Namespaced"]);
}

/// `*` is every resource and no subresource, `x/*` every subresource of one, `*/x` one of every resource.
fn resources(list: &At<'_>, all: &[&str], causes: &mut Causes) {
    for (index, item) in list.items().enumerate() {
        let text = item.text();
        if text.is_empty() {
            causes.required(&item, "");
        }
        let Some((resource, part)) = text.split_once('/') else { continue };
        for wide in [format!("{resource}/*"), format!("*/{part}")] {
            if all.iter().take(index).any(|before| *before == wide) {
                causes.invalid(&item, &format!("if '{wide}' is present, must not specify {text}"));
            }
        }
    }
    if all.len() > 1 && all.contains(&"*/*") {
        causes.invalid(list, "if '*/*' is present, must not specify other resources");
    }
    if all.contains(&"*") && all.iter().any(|entry| *entry != "*" && !entry.contains('/')) {
        causes.invalid(list, "if '*' is present, must not specify other resources without subresources");
    }
}

/// What is wrong with the way to a webhook.
fn client(config: &At<'_>, causes: &mut Causes) {
    let (url, service) = (config.at("url"), config.at("service"));
    if url.is_missing() == service.is_missing() {
        causes.required(config, "exactly one of url or service is required");
        return;
    }
    if !url.is_missing() {
        let text = url.text();
        let rest = text.strip_prefix("https://");
        match rest {
            None => causes.invalid(&url, "'https' is the only allowed URL scheme; desired format: https://host[/path]"),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                causes.invalid(&url, "host must be specified; desired format: https://host[/path]");
            }
            Some(rest) if rest.contains('#') => {
                causes.invalid(&url, "fragments are not permitted; desired format: https://host[/path]");
            }
            Some(rest) if rest.contains('?') => {
                causes.invalid(&url, "query parameters not permitted; desired format: https://host[/path]");
            }
            Some(rest) if rest.split('/').next().is_some_and(|host| host.contains('@')) => {
                causes.invalid(&url, "user information is not permitted; desired format: https://host[/path]");
            }
            Some(_) => {}
        }
        return;
    }
    for (field, why) in [("name", "service name is required"), ("namespace", "service namespace is required")] {
        if service.at(field).text().is_empty() {
            causes.required(&service.at(field), why);
        }
    }
    let port = service.at("port");
    if port.number().is_some_and(|port| !(1..=65_535).contains(&port)) {
        causes.invalid(&port, "port is not valid: must be between 1 and 65535, inclusive");
    }
    let path = service.at("path");
    if !path.text().is_empty() && !path.text().starts_with('/') {
        causes.invalid(&path, "must start with a '/'");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let said = |change: fn(&mut Value)| {
            let mut hook = json!({"name": "a.b.c", "clientConfig": {"url": "https://a"}, "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]});
            change(&mut hook);
            let object = Object::from_value(json!({"webhooks": [hook]})).unwrap();
            webhooks(&object).into_iter().map(|cause| cause.field).collect::<Vec<_>>()
        };
        assert_eq!(said(|_| {}), Vec::<String>::new());
        assert_eq!(said(|hook| hook["name"] = json!("a.b")), ["webhooks[0].name"]);
        assert_eq!(said(|hook| hook["sideEffects"] = json!("Some")), ["webhooks[0].sideEffects"]);
        assert_eq!(said(|hook| hook["timeoutSeconds"] = json!(31)), ["webhooks[0].timeoutSeconds"]);
        assert_eq!(said(|hook| hook["clientConfig"]["url"] = json!("http://a")), ["webhooks[0].clientConfig.url"]);
        let resources = "webhooks[0].rules[0].resources";
        assert_eq!(
            said(|hook| hook["rules"][0]["resources"] = json!(["*", "pods/exec", "pods/log"])),
            Vec::<String>::new()
        );
        assert_eq!(said(|hook| hook["rules"][0]["resources"] = json!(["*", "pods"])), [resources]);
        assert_eq!(said(|hook| hook["rules"][0]["resources"] = json!(["*/*", "pods"])), [resources]);
        let second = format!("{resources}[1]");
        assert_eq!(said(|hook| hook["rules"][0]["resources"] = json!(["pods/*", "pods/log"])), [second.as_str()]);
        assert_eq!(said(|hook| hook["rules"][0]["resources"] = json!(["*/log", "pods/log"])), [second.as_str()]);
        assert_eq!(
            said(|hook| hook["rules"][0]["operations"] = json!(["MAKE"])),
            ["webhooks[0].rules[0].operations[0]"]
        );
    }
}
