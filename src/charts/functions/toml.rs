//! TOML as Helm reads and writes it.

use crate::charts::template::{Map, Value};

pub(super) fn encode(value: &Value) -> Result<String, String> {
    ::toml::to_string(&value.to_json()).map_err(|error| error.to_string())
}

pub(super) fn decode(text: &str) -> Result<Map, String> {
    let value: serde_json::Value = ::toml::from_str(text).map_err(|error| error.to_string())?;
    super::json::into_map(Value::from_json(&value))
}
