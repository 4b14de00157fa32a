//! What a `HelmChart` with its `HelmChartConfig` asks for.
//!
//! Source: k3s-io/helm-controller `pkg/apis/helm.cattle.io/v1`, k3s' documentation of the HelmChart resource.

use crate::charts::release::{Error, Options};
use crate::charts::template;
use crate::charts::values::{self, Map, ValueFlags};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// What becomes of a release whose last revision failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It goes, and is installed anew.
    #[default]
    Reinstall,
    /// It is upgraded.
    Retry,
    /// It stays until somebody has looked at it.
    Abort,
}

/// Texts of values that Secrets hold, in the order of the objects' lists.
#[derive(Clone, Debug, Default)]
pub struct SecretValues {
    /// Those that the chart object names.
    pub of_chart: Vec<String>,
    /// Those that its config names.
    pub of_config: Vec<String>,
}

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
    /// Texts of values with the field that they are of, later ones over earlier ones: the chart object's, then its config's.
    pub values: Vec<(String, String)>,
    /// `--set` words.
    pub set: Vec<String>,
    /// `--set-string` words.
    pub set_text: Vec<String>,
    pub create_namespace: bool,
    pub take_ownership: bool,
    pub policy: Policy,
    pub timeout: Option<Duration>,
    /// Nothing goes on as the release began, and begins with server-side apply.
    pub server_side: Option<bool>,
    pub force_conflicts: bool,
    /// What keeps the release: `secret` or `configmap`.
    pub driver: String,
    /// Tells one state of all this from another.
    pub hash: String,
}

/// Reads a chart object, its config (or nothing), and the values of Secrets that they name.
pub fn read(chart: &Value, config: Option<&Value>, secrets: &SecretValues) -> Result<Wanted, Error> {
    let spec = &chart["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_string();
    let own = chart["metadata"]["namespace"].as_str().unwrap_or_default();
    let target = text("targetNamespace");
    let over = config.map(|config| &config["spec"]);
    // What the config says of a thing, or else the chart object.
    let either = |field: &str| over.map(|over| &over[field]).filter(|value| !value.is_null()).unwrap_or(&spec[field]);
    let mut values = texts(spec, &secrets.of_chart, "");
    values.extend(over.map(|over| texts(over, &secrets.of_config, " of the HelmChartConfig")).unwrap_or_default());
    let (set, set_text) = set_words(&spec["set"]);
    let mut wanted = Wanted {
        namespace: if target.is_empty() { own.to_string() } else { target },
        chart: text("chart"),
        repo: text("repo"),
        version: text("version"),
        content: text("chartContent"),
        values,
        set,
        set_text,
        create_namespace: spec["createNamespace"] == true,
        take_ownership: spec["takeOwnership"] == true,
        policy: policy(either("failurePolicy").as_str().unwrap_or_default())?,
        timeout: timeout(&spec["timeout"])?,
        server_side: match either("serverSide").as_str() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        },
        // Nobody is there to decide a conflict: what the object says wins, unless it says otherwise.
        force_conflicts: either("forceConflicts") != &Value::Bool(false),
        driver: text("driver"),
        hash: String::new(),
    };
    check(spec, &wanted)?;
    wanted.hash = hex::encode(Sha256::digest(format!("{wanted:?}")));
    Ok(wanted)
}

/// Refuses what cannot be installed whatever is tried.
fn check(spec: &Value, wanted: &Wanted) -> Result<(), Error> {
    if !matches!(spec["helmVersion"].as_str().unwrap_or_default(), "" | "v3") {
        return Err(Error::text("spec.helmVersion: only Helm v3 charts are supported"));
    }
    if !wanted.content.is_empty() {
        return Ok(());
    }
    if wanted.chart.is_empty() {
        return Err(Error::text("neither spec.chart nor spec.chartContent says what to install"));
    }
    // A name alone would be a path on the node, which is nobody's to read through an object.
    let is_remote = ["https://", "http://", "oci://"].iter().any(|scheme| wanted.chart.starts_with(scheme));
    if wanted.repo.is_empty() && !is_remote {
        let what = "is no address, and spec.repo names no repository that has it";
        return Err(Error::text(format!("spec.chart {:?} {what}", wanted.chart)));
    }
    Ok(())
}

/// Texts of values of a spec, which win the later they come: the text, the object, those of Secrets.
fn texts(spec: &Value, secrets: &[String], whose: &str) -> Vec<(String, String)> {
    let text = spec["valuesContent"].as_str().filter(|text| !text.trim().is_empty()).map(String::from);
    let object = spec["values"].is_object().then(|| spec["values"].to_string());
    let own = [("spec.valuesContent", text), ("spec.values", object)];
    let own = own.into_iter().filter_map(|(field, text)| Some((field, text?)));
    let all = own.chain(secrets.iter().map(|text| ("spec.valuesSecrets", text.clone())));
    all.map(|(field, text)| (format!("{field}{whose}"), text)).collect()
}

fn policy(word: &str) -> Result<Policy, Error> {
    match word {
        "" | "reinstall" => Ok(Policy::Reinstall),
        "retry" => Ok(Policy::Retry),
        "abort" => Ok(Policy::Abort),
        other => Err(Error::text(format!("unknown failure policy {other:?}: abort, reinstall or retry"))),
    }
}

fn timeout(value: &Value) -> Result<Option<Duration>, Error> {
    let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { return Ok(None) };
    let nanoseconds = template::time::parse_duration(text).ok().and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
    let wrong = || Error::text(format!("spec.timeout: invalid duration {text:?}"));
    nanoseconds.map(|nanoseconds| Some(Duration::from_nanos(nanoseconds))).ok_or_else(wrong)
}

/// Values of `set` as words of `--set` and of `--set-string`: a text that looks like a number stays a text.
fn set_words(set: &Value) -> (Vec<String>, Vec<String>) {
    let (mut typed, mut texts) = (Vec::new(), Vec::new());
    let sorted: BTreeMap<&String, &Value> = set.as_object().into_iter().flatten().collect();
    for (key, value) in sorted {
        match value {
            Value::String(text) if !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null") => {
                texts.push(format!("{key}={}", with_plain_commas(text)));
            }
            Value::String(word) => typed.push(format!("{key}={word}")),
            other => typed.push(format!("{key}={other}")),
        }
    }
    (typed, texts)
}

/// The text with a backslash before each comma that has none: a comma would begin another value.
fn with_plain_commas(text: &str) -> String {
    let (mut out, mut backslashes) = (String::new(), 0);
    for letter in text.chars() {
        if letter == ',' && backslashes % 2 == 0 {
            out.push('\\');
        }
        backslashes = if letter == '\\' { backslashes + 1 } else { 0 };
        out.push(letter);
    }
    out
}

impl Wanted {
    /// The values that the objects give together.
    pub fn given(&self) -> Result<Map, Error> {
        let files = (0..self.values.len()).map(|place| place.to_string()).collect();
        let flags = ValueFlags { files, set: self.set.clone(), text: self.set_text.clone(), ..ValueFlags::default() };
        let read = |name: &str| {
            let found = name.parse().ok().and_then(|place: usize| self.values.get(place));
            found.map(|(_, text)| text.clone().into_bytes()).ok_or_else(|| format!("open {name}: no such values"))
        };
        values::merge(&flags, &read).map_err(|error| Error::text(self.named(&error.to_string())))
    }

    /// A problem of values with the field that they are of.
    fn named(&self, problem: &str) -> String {
        let parts = problem.strip_prefix("failed to parse ").and_then(|rest| rest.split_once(": "));
        let field = parts.and_then(|(place, why)| Some((self.values.get(place.parse::<usize>().ok()?)?, why)));
        field.map_or_else(|| problem.to_string(), |((field, _), why)| format!("{field}: {why}"))
    }

    /// How it is installed or upgraded; `begun` says whether the release that is there began with server-side apply.
    pub fn options(&self, begun: Option<bool>) -> Options {
        let server_side = self.server_side.or(begun).unwrap_or(true);
        Options {
            create_namespace: self.create_namespace,
            take_ownership: self.take_ownership,
            timeout: self.timeout.unwrap_or(Options::default().timeout),
            reuse: crate::charts::release::Reuse::Reset,
            replace: true,
            // There are no conflicts without server-side apply, and it would be refused.
            force_conflicts: self.force_conflicts && server_side,
            server_side: Some(server_side),
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

    fn plain(chart: &Value) -> Result<Wanted, Error> {
        read(chart, None, &SecretValues::default())
    }

    #[test]
    fn values_are_laid_over_each_other_as_k3s_lays_them() {
        let chart = chart(json!({"chart": "web", "repo": "https://x.test", "targetNamespace": "site",
            "set": {"c": 3, "d": "x"}, "valuesContent": "a: 1\nb: 1\nc: 1\ne: 1\nf: 1\n", "values": {"e": 2, "f": 2}}));
        let config = json!({"spec": {"valuesContent": "b: 2\nf: 4\n"}});
        let secrets = SecretValues { of_chart: vec!["f: 3\ng: 3\n".into()], of_config: vec!["b: 5\n".into()] };
        let wanted = read(&chart, Some(&config), &secrets).unwrap();
        assert_eq!(wanted.namespace, "site");
        let given = values::plain(&Value::Object(wanted.given().unwrap()));
        assert_eq!(given, json!({"a": 1, "b": 5, "c": 3, "d": "x", "e": 2, "f": 4, "g": 3}));
        let other = plain(&chart).unwrap();
        assert_ne!(other.hash, wanted.hash);
        assert_eq!(read(&chart, Some(&config), &secrets).unwrap().hash, wanted.hash);
    }

    #[test]
    fn a_text_that_is_set_stays_a_text_unless_it_is_a_flag_or_null() {
        let set = json!({"tag": "16", "port": 80, "on": "true", "off": "FALSE", "none": "null", "list": "a,b", "kept": "a\\,b"});
        let given = plain(&chart(json!({"chartContent": "x", "set": set}))).unwrap().given().unwrap();
        let wanted =
            json!({"tag": "16", "port": 80, "on": true, "off": false, "none": null, "list": "a,b", "kept": "a,b"});
        assert_eq!(values::plain(&Value::Object(given)), wanted);
    }

    #[test]
    fn values_that_are_none_are_told_with_the_field_that_has_them() {
        let own = chart(json!({"chartContent": "x", "valuesContent": "a: 1"}));
        let config = json!({"spec": {"valuesContent": "a: [1"}});
        let wanted = read(&own, Some(&config), &SecretValues::default()).unwrap();
        let told = wanted.given().unwrap_err().to_string();
        assert!(told.starts_with("spec.valuesContent of the HelmChartConfig: cannot unmarshal yaml"), "{told}");
    }

    #[test]
    fn what_can_never_be_installed_is_refused() {
        let no_address = "spec.chart \"x\" is no address, and spec.repo names no repository that has it";
        for (spec, why) in [
            (json!({}), "neither spec.chart nor spec.chartContent says what to install"),
            (json!({"chart": "x"}), no_address),
            (
                json!({"chart": "/etc"}),
                "spec.chart \"/etc\" is no address, and spec.repo names no repository that has it",
            ),
            (
                json!({"chart": "file:///etc"}),
                "spec.chart \"file:///etc\" is no address, and spec.repo names no repository that has it",
            ),
            (json!({"chartContent": "x", "helmVersion": "v2"}), "spec.helmVersion: only Helm v3 charts are supported"),
            (json!({"chartContent": "x", "timeout": "soon"}), "spec.timeout: invalid duration \"soon\""),
            (
                json!({"chartContent": "x", "failurePolicy": "pray"}),
                "unknown failure policy \"pray\": abort, reinstall or retry",
            ),
        ] {
            assert_eq!(plain(&chart(spec)).unwrap_err().to_string(), why);
        }
        assert_eq!(plain(&chart(json!({"chart": "oci://x/y"}))).unwrap().namespace, "kube-system");
    }

    #[test]
    fn the_config_says_over_the_chart_what_becomes_of_failures_and_conflicts() {
        let own = chart(json!({"chartContent": "x", "failurePolicy": "abort", "forceConflicts": true}));
        let config = json!({"spec": {"failurePolicy": "retry", "forceConflicts": false, "serverSide": "false"}});
        let wanted = read(&own, Some(&config), &SecretValues::default()).unwrap();
        assert_eq!((wanted.policy, wanted.force_conflicts, wanted.server_side), (Policy::Retry, false, Some(false)));
        let alone = plain(&own).unwrap();
        assert_eq!((alone.policy, alone.force_conflicts, alone.server_side), (Policy::Abort, true, None));
        let begun = alone.options(Some(false));
        assert_eq!((begun.server_side, begun.force_conflicts), (Some(false), false));
    }

    #[test]
    fn timeouts_are_gos_durations() {
        let read = |text: &str| Some(plain(&chart(json!({"chartContent": "x", "timeout": text}))).ok()?.timeout);
        assert_eq!(read("1h2m3s"), Some(Some(Duration::from_secs(3723))));
        assert_eq!(read("1.5s"), Some(Some(Duration::from_millis(1500))));
        assert_eq!(read(""), Some(None));
        for wrong in ["fast", "5", "1e9h", "-5s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
