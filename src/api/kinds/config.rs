//! ConfigMaps and Secrets.

use super::edit::{Fields, object};
use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Object, Rules, print};
use crate::api::validate;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::borrow::Cow;

pub(super) const CONFIG_MAP: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ConfigMap",
    "configmaps",
    "configmap",
    short: names!["cm"],
    columns: Cow::Borrowed(CONFIG_MAP_COLUMNS),
    rules: Rules {
        validate: validate::config::config_map,
        validate_update: validate::config::update_config_map,
        ..NO_RULES
    },
);

pub(super) const SECRET: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Secret",
    "secrets",
    "secret",
    columns: Cow::Borrowed(SECRET_COLUMNS),
    rules: Rules {
        validate: validate::config::secret,
        validate_update: validate::config::update_secret,
        default: default_secret,
        fields: |secret| vec![("type", secret.text(&["type"]).into())],
        ..NO_RULES
    },
);

const CONFIG_MAP_COLUMNS: &[Column] = &[
    NAME,
    print::column("Data", "string", "Number of keys.", |map, _| {
        (print::count(map, &["data"]) + print::count(map, &["binaryData"])).into()
    }),
    AGE,
];

const SECRET_COLUMNS: &[Column] = &[
    NAME,
    print::column("Type", "string", "What the secret is for.", |secret, _| print::text(secret, &["type"])),
    print::column("Data", "string", "Number of keys.", |secret, _| print::count(secret, &["data"]).into()),
    AGE,
];

/// `stringData` is a way to write, never to read: it goes over into `data`.
fn default_secret(secret: &mut Object) {
    super::edit::zero(&mut secret.0, "type", "Opaque");
    let Some(Value::Object(plain)) = secret.0.remove("stringData") else { return };
    let data: &mut Fields = object(&mut secret.0, "data");
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        data.insert(key, STANDARD.encode(text).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_text_is_written_over_encoded_data() {
        let mut secret =
            Object::from_value(json!({"data": {"a": "eA==", "b": "eA=="}, "stringData": {"a": "hello"}})).unwrap();
        default_secret(&mut secret);
        let wanted = json!({"type": "Opaque", "data": {"a": "aGVsbG8=", "b": "eA=="}});
        assert_eq!(Some(secret), Object::from_value(wanted));
    }
}
