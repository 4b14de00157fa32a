//! Rules about what the templates print.

use super::{Linter, Severity, deprecations};
use crate::api::names;
use crate::charts::capabilities::Capabilities;
use crate::charts::chart::Chart;
use crate::charts::decode::{self, Decoder, Place};
use crate::charts::manifests::Printed;
use crate::charts::values::{self, Value};

impl Linter<'_> {
    /// Checks every rendered template of the chart itself.
    pub(super) fn rendered(&mut self, chart: &Chart, rendered: &Printed, capabilities: &Capabilities) {
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
            let path = format!("{}/{}", chart.name(), file.name);
            let Some(text) = rendered.files.get(&path) else { continue };
            if let Some(problem) = rendered.problem(&path) {
                return self.tell(Severity::Error, &file.name, format!("unable to parse YAML: {problem}"));
            }
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
        for document in values::documents(text) {
            match document.and_then(read) {
                Err(problem) => {
                    self.tell(Severity::Error, path, format!("unable to parse YAML: {problem}"));
                    return false;
                }
                Ok((_, Value::Null)) => {}
                Ok((head, object)) => self.object(path, &head, &object, text, minor),
            }
        }
        true
    }

    fn object(&mut self, path: &str, head: &Head, object: &Value, text: &str, minor: u32) {
        let (kind, name) = (head.kind.as_str(), head.name.as_str());
        let problems = name_problems(kind, name);
        if !problems.is_empty() {
            let all: Vec<String> =
                problems.iter().map(|text| format!("metadata.name: Invalid value: {name:?}: {text}")).collect();
            let all = if all.len() == 1 { all.join("") } else { format!("[{}]", all.join(", ")) };
            let text = format!("object name does not conform to Kubernetes naming requirements: {name:?}: {all}");
            self.tell(Severity::Warning, path, text);
        }
        if let Some(text) = deprecations::warning(&head.api_version, kind, minor) {
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

/// What the rules look at in an object; numbers and booleans are texts there.
#[derive(Default)]
pub(super) struct Head {
    pub(super) api_version: String,
    pub(super) kind: String,
    name: String,
}

/// An object, and what the rules look at in it.
pub(super) fn read(document: &str) -> Result<(Head, Value), String> {
    let object = decode::yaml(document)?;
    Ok((Head::read(&object)?, object))
}

impl Head {
    fn read(object: &Value) -> Result<Self, String> {
        let mut head = Self::default();
        let mut from = Decoder::new(object, "k8sYamlStruct")?;
        // Most fields of Helm's struct have no names of their own in JSON.
        from.text("apiVersion", &mut head.api_version)?;
        from.text("Kind", &mut head.kind)?;
        if let Some(metadata) = from.field("Metadata") {
            let place = Place { owner: "k8sYamlStruct", field: "Metadata" };
            let mut from = Decoder::part(metadata, place, "k8sYamlMetadata", "rules.k8sYamlMetadata")?;
            from.text("Name", &mut head.name)?;
        }
        Ok(head)
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
