//! What a `HelmChart` with its `HelmChartConfig` asks for.
//!
//! Source: k3s-io/helm-controller `pkg/apis/helm.cattle.io/v1`, k3s' documentation of the HelmChart resource.

use crate::charts::release::{Error, Options};
use crate::charts::values::{self, Map, ValueFlags};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A release that objects ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The release's namespace.
    pub namespace: String,
    /// The name of a chart in `repo`, an address, or empty where `content` is given.
    pub chart: String,
    pub repo: String,
    pub version: String,
    /// A packed chart, base64.
    pub content: String,
    /// Texts of values, later ones over earlier ones: the chart object's, then its config's.
    pub values: Vec<String>,
    /// `--set` words.
    pub set: Vec<String>,
    pub create_namespace: bool,
    pub take_ownership: bool,
    /// A release that failed is not taken away before the next attempt.
    pub keeps_failed: bool,
    pub timeout: Option<Duration>,
    /// Tells one state of all this from another.
    pub hash: String,
}

/// Reads a chart object, its config (or nothing), and the values of Secrets that they name.
pub fn read(chart: &Value, config: Option<&Value>, secret_values: &[String]) -> Result<Wanted, Error> {
    let spec = &chart["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_string();
    let own = chart["metadata"]["namespace"].as_str().unwrap_or_default();
    let target = text("targetNamespace");
    let mut values: Vec<String> = Vec::new();
    for source in [Some(spec), config.map(|config| &config["spec"])].into_iter().flatten() {
        values.extend(source["valuesContent"].as_str().filter(|text| !text.trim().is_empty()).map(String::from));
        if source["values"].is_object() {
            values.push(source["values"].to_string());
        }
    }
    values.extend(secret_values.iter().cloned());
    let policy = config
        .and_then(|config| config["spec"]["failurePolicy"].as_str())
        .unwrap_or_else(|| spec["failurePolicy"].as_str().unwrap_or_default());
    let mut wanted = Wanted {
        namespace: if target.is_empty() { own.to_string() } else { target },
        chart: text("chart"),
        repo: text("repo"),
        version: text("version"),
        content: text("chartContent"),
        values,
        set: set_words(&spec["set"]),
        create_namespace: spec["createNamespace"] == true,
        take_ownership: spec["takeOwnership"] == true,
        keeps_failed: policy == "abort",
        timeout: spec["timeout"].as_str().and_then(go_duration),
        hash: String::new(),
    };
    if wanted.chart.is_empty() && wanted.content.is_empty() {
        return Err(Error::text("neither spec.chart nor spec.chartContent says what to install"));
    }
    wanted.hash = hex::encode(Sha256::digest(format!("{wanted:?}")));
    Ok(wanted)
}

/// Values of `set` as `--set` words: whole numbers and flags are typed there, texts stay what they look like.
fn set_words(set: &Value) -> Vec<String> {
    let words = set.as_object().into_iter().flatten();
    words
        .map(|(key, value)| match value {
            Value::String(text) => format!("{key}={}", text.replace(',', "\\,")),
            other => format!("{key}={other}"),
        })
        .collect()
}

fn go_duration(text: &str) -> Option<Duration> {
    let units = [("h", 3600u64), ("m", 60), ("s", 1)];
    let (mut rest, mut seconds) = (text, 0u64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let (name, unit) = units.iter().find(|(name, _)| rest[end..].starts_with(name))?;
        seconds = seconds.checked_add(number.checked_mul(*unit)?)?;
        rest = &rest[end + name.len()..];
    }
    Some(Duration::from_secs(seconds))
}

impl Wanted {
    /// The values that the objects give together.
    pub fn given(&self) -> Result<Map, Error> {
        let files = (0..self.values.len()).map(|place| place.to_string()).collect();
        let flags = ValueFlags { files, set: self.set.clone(), ..ValueFlags::default() };
        let read = |name: &str| {
            let text = name.parse().ok().and_then(|place: usize| self.values.get(place));
            text.map(|text| text.clone().into_bytes()).ok_or_else(|| format!("open {name}: no such values"))
        };
        values::merge(&flags, &read).map_err(|error| Error::text(error.to_string()))
    }

    /// How it is installed or upgraded.
    pub fn options(&self) -> Options {
        Options {
            create_namespace: self.create_namespace,
            take_ownership: self.take_ownership,
            timeout: self.timeout.unwrap_or(Options::default().timeout),
            reuse: crate::charts::release::Reuse::Reset,
            replace: true,
            force_conflicts: true,
            server_side: Some(true),
            ..Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chart(spec: Value) -> Value {
        json!({"metadata": {"name": "web", "namespace": "kube-system"}, "spec": spec})
    }

    #[test]
    fn the_config_wins_over_the_chart_and_set_over_both() {
        let chart = chart(json!({"chart": "web", "targetNamespace": "site", "set": {"c": 3, "d": "x"},
            "valuesContent": "a: 1\nb: 1\nc: 1\n"}));
        let config = json!({"spec": {"valuesContent": "b: 2\n"}});
        let wanted = read(&chart, Some(&config), &[]).unwrap();
        assert_eq!(wanted.namespace, "site");
        let given = values::plain(&Value::Object(wanted.given().unwrap()));
        assert_eq!(given, json!({"a": 1, "b": 2, "c": 3, "d": "x"}));
        let other = read(&chart, None, &[]).unwrap();
        assert_ne!(other.hash, wanted.hash);
        assert_eq!(read(&chart, Some(&config), &[]).unwrap().hash, wanted.hash);
    }

    #[test]
    fn an_object_that_names_no_chart_is_refused() {
        assert!(read(&chart(json!({})), None, &[]).is_err());
        assert_eq!(read(&chart(json!({"chart": "x"})), None, &[]).unwrap().namespace, "kube-system");
    }

    #[test]
    fn timeouts_are_gos_durations() {
        assert_eq!(go_duration("1h2m3s"), Some(Duration::from_secs(3723)));
        assert_eq!(go_duration("fast"), None);
    }
}
