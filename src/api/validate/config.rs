//! ConfigMaps and Secrets.
//!
//! Source: pkg/apis/core/validation `ValidateConfigMap`, `ValidateSecret`.

use super::causes::{At, Causes, collect, same};
use crate::api::{Cause, Object, names};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Most bytes of all values together.
const LARGEST: usize = 1024 * 1024;
const FIXED: &str = "field is immutable when `immutable` is set";
const ACCOUNT: &str = "kubernetes.io/service-account.name";

/// What is wrong with a ConfigMap.
pub fn config_map(map: &Object) -> Vec<Cause> {
    collect(|causes| {
        let (data, binary) = (At::top(map, "data"), At::top(map, "binaryData"));
        let mut size = 0;
        for (key, value) in data.entries() {
            key_of(key, &value, causes);
            if !binary.key(key).is_missing() {
                causes.invalid_as(&value, &key.into(), "duplicate of key present in binaryData");
            }
            size += value.text().len();
        }
        for (key, value) in binary.entries() {
            key_of(key, &value, causes);
            size += decoded_length(value.text());
        }
        if size > LARGEST {
            causes.too_long(&At::named("[]", &Value::Null), LARGEST);
        }
    })
}

fn key_of(key: &str, at: &At<'_>, causes: &mut Causes) {
    for wrong in names::config_key(key) {
        causes.invalid_as(at, &key.into(), &wrong);
    }
}

fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// What is wrong with a Secret.
pub fn secret(secret: &Object) -> Vec<Cause> {
    collect(|causes| {
        let data = At::top(secret, "data");
        let mut size = 0;
        for (key, value) in data.entries() {
            key_of(key, &value, causes);
            size += decoded_length(value.text());
        }
        if size > LARGEST {
            causes.too_long(&data, LARGEST);
        }
        of_type(secret, &data, causes);
    })
}

/// What a type of secret must hold.
fn of_type(secret: &Object, data: &At<'_>, causes: &mut Causes) {
    let is_anonymous = data.key("username").is_missing() && data.key("password").is_missing();
    let mut need = |keys: &[&str]| {
        for key in keys {
            if data.key(key).is_missing() {
                causes.required(&data.key(key), "");
            }
        }
    };
    match secret.text(&["type"]) {
        "kubernetes.io/service-account-token" => {
            let metadata = At::top(secret, "metadata");
            let annotations = metadata.at("annotations");
            if annotations.key(ACCOUNT).is_empty() {
                causes.required(&annotations.key(ACCOUNT), "");
            }
        }
        "kubernetes.io/dockercfg" => docker(data, ".dockercfg", causes),
        "kubernetes.io/dockerconfigjson" => docker(data, ".dockerconfigjson", causes),
        "kubernetes.io/basic-auth" if is_anonymous => need(&["username", "password"]),
        "kubernetes.io/ssh-auth" => need(&["ssh-privatekey"]),
        "kubernetes.io/tls" => need(&["tls.crt", "tls.key"]),
        _ => {}
    }
}

fn docker(data: &At<'_>, key: &str, causes: &mut Causes) {
    let at = data.key(key);
    if at.is_missing() {
        causes.required(&at, "");
        return;
    }
    let text = STANDARD.decode(at.text()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&text) {
        causes.invalid_as(&at, &json!("<secret contents redacted>"), &error.to_string());
    }
}

/// What is marked immutable stays.
pub fn update_config_map(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| fixed(new, old, causes))
}

/// What is marked immutable stays; the type of a secret always does.
pub fn update_secret(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        causes.immutable(&At::top(new, "type"), &At::top(old, "type"));
        fixed(new, old, causes);
    })
}

fn fixed(new: &Object, old: &Object, causes: &mut Causes) {
    if !At::top(old, "immutable").is_true() {
        return;
    }
    if !At::top(new, "immutable").is_true() {
        causes.forbidden(&At::top(new, "immutable"), FIXED);
    }
    for field in ["data", "binaryData"] {
        if !same(At::top(new, field).value(), At::top(old, field).value()) {
            causes.forbidden(&At::top(new, field), FIXED);
        }
    }
}
