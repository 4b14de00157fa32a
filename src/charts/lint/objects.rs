//! Rules about what the templates print.

use super::{Linter, Severity, deprecations};
use crate::api::names;
use crate::charts::capabilities::Capabilities;
use crate::charts::chart::Chart;
use crate::charts::values::Value;
use crate::charts::{decode, manifests};
use std::collections::BTreeMap;

impl Linter<'_> {
    /// Checks every rendered template of the chart itself.
    pub(super) fn rendered(&mut self, chart: &Chart, rendered: &BTreeMap<String, String>, capabilities: &Capabilities) {
        let minor = capabilities.kube_version.minor.parse().unwrap_or(0);
        for file in &chart.templates {
            let extension = file.base().rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
            if !matches!(extension, "yaml" | "yml" | "tpl" | "txt") {
                let found = if extension.is_empty() { String::new() } else { format!(".{extension}") };
                let text =
                    format!("file extension '{found}' not valid. Valid extensions are .yaml, .yml, .tpl, or .txt");
                self.tell(Severity::Error, &file.name, text);
            }
            if !matches!(extension.to_ascii_lowercase().as_str(), "yaml" | "yml") {
                continue;
            }
            let Some(text) = rendered.get(&format!("{}/{}", chart.name(), file.name)) else { continue };
            if !text.trim().is_empty() && !self.documents(&file.name, text, minor) {
                return;
            }
        }
    }

    /// Whether the file could be read.
    fn documents(&mut self, path: &str, text: &str, minor: u32) -> bool {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if first.starts_with([' ', '\t']) {
            let problem =
                format!("document starts with an illegal indent: {first:?}, which may cause parsing problems");
            self.tell(Severity::Warning, path, problem);
        }
        for document in manifests::split(text) {
            match decode::yaml(document) {
                Err(problem) => {
                    self.tell(Severity::Error, path, format!("unable to parse YAML: {problem}"));
                    return false;
                }
                Ok(Value::Null) => {}
                Ok(object) => self.object(path, &object, text, minor),
            }
        }
        true
    }

    fn object(&mut self, path: &str, object: &Value, text: &str, minor: u32) {
        let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (word("/kind"), word("/metadata/name"));
        let problems = name_problems(kind, name);
        if !problems.is_empty() {
            let all: Vec<String> =
                problems.iter().map(|text| format!("metadata.name: Invalid value: {name:?}: {text}")).collect();
            let all = if all.len() == 1 { all.join("") } else { format!("[{}]", all.join(", ")) };
            let text = format!("object name does not conform to Kubernetes naming requirements: {name:?}: {all}");
            self.tell(Severity::Warning, path, text);
        }
        if let Some(text) = deprecations::warning(word("/apiVersion"), kind, minor) {
            self.tell(Severity::Warning, path, text);
        }
        let selects = ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"].contains(&kind);
        if selects && !text.contains("matchLabels") && !text.contains("matchExpressions") {
            let problem = format!("a {kind} must contain matchLabels or matchExpressions, and {name:?} does not");
            self.tell(Severity::Error, path, problem);
        }
        let items = object.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let kept = |item: &Value| item.pointer("/metadata/annotations/helm.sh~1resource-policy").is_some();
        if kind == "List" && items.iter().any(kept) {
            let problem = "annotation 'helm.sh/resource-policy' within List objects are ignored";
            self.tell(Severity::Error, path, problem);
        }
    }
}

fn name_problems(kind: &str, name: &str) -> Vec<String> {
    match kind.to_ascii_lowercase().as_str() {
        "service" => names::dns_1035_label(name),
        "namespace" => names::dns_label(name),
        "certificatesigningrequest" => Vec::new(),
        "role" | "clusterrole" | "rolebinding" | "clusterrolebinding" => names::path_segment(name),
        _ => names::dns_subdomain(name),
    }
}
