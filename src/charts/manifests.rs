//! Rendered text as documents: split, told apart from hooks, sorted by kind.
//!
//! Source of the rules: Helm `pkg/release/v1/util` (manifest.go, manifest_sorter.go, kind_sorter.go) and
//! `pkg/release/v1/hook.go`.

use super::values::{Warning, Warnings};
use super::{decode, yaml};
use crate::base::hand::{Lent, lend};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds in the order in which they are made.
pub const INSTALL_ORDER: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Kinds in the order in which they are deleted.
pub const UNINSTALL_ORDER: &[&str] = &[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "Ingress",
    "IngressClass",
    "Service",
    "CronJob",
    "Job",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "Pod",
    "DaemonSet",
    "RoleBindingList",
    "RoleBinding",
    "RoleList",
    "Role",
    "ClusterRoleBindingList",
    "ClusterRoleBinding",
    "ClusterRoleList",
    "ClusterRole",
    "CustomResourceDefinition",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "ConfigMap",
    "SecretList",
    "Secret",
    "ServiceAccount",
    "PodDisruptionBudget",
    "PodSecurityPolicy",
    "LimitRange",
    "ResourceQuota",
    "NetworkPolicy",
    "Namespace",
    "PriorityClass",
];

/// The annotation that makes a hook of an object.
pub const HOOK: &str = "helm.sh/hook";
/// The annotation with the order among hooks.
pub const HOOK_WEIGHT: &str = "helm.sh/hook-weight";
/// The annotation that says when a hook's object is deleted.
pub const HOOK_DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
/// The annotation that says when a hook's log is shown.
pub const HOOK_OUTPUT_LOG_POLICY: &str = "helm.sh/hook-output-log-policy";
/// What hooks may wait for; `test-success` is the old word for `test`.
const EVENTS: &[&str] = &[
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
];

/// One document of a rendered file that is no hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The template that it comes from: `app/templates/service.yaml`.
    pub source: String,
    /// `apiVersion`
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// `metadata.name`
    pub name: String,
    /// The document's text.
    pub text: String,
}

/// One document that is applied when something happens to the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `metadata.name`
    pub name: String,
    /// `kind`
    pub kind: String,
    /// The template that it comes from.
    pub path: String,
    /// The document's text.
    pub manifest: String,
    /// `pre-install`, `test` and so on.
    pub events: Vec<String>,
    /// Lower ones go first.
    pub weight: i64,
    /// `before-hook-creation`, `hook-succeeded`, `hook-failed`; none means `before-hook-creation`.
    pub delete_policies: Vec<String>,
    /// `hook-succeeded`, `hook-failed`.
    pub output_log_policies: Vec<String>,
}

/// The documents of a text: what is between lines that start with `---`, without blanks in front. Of two such lines with
/// nothing between them the second is a document, as the Helm has it that made most charts' reference output.
pub fn split(text: &str) -> Vec<&str> {
    let text = text.trim_start();
    let mut documents = Vec::new();
    let (mut start, mut at) = (0, 0);
    // Whether the last separator has nothing behind it yet.
    let mut is_bare = false;
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("---") {
            Some(rest) if is_bare && rest.trim().is_empty() => is_bare = false,
            Some(rest) => {
                documents.push(&text[start..at]);
                start = at + line.len() - rest.trim_start_matches([' ', '\t']).len();
                is_bare = rest.trim().is_empty();
            }
            None => is_bare = is_bare && line.trim().is_empty(),
        }
        at += line.len();
    }
    documents.push(&text[start..]);
    documents.into_iter().map(str::trim_start).filter(|document| !document.is_empty()).collect()
}

/// What templates printed, by path.
#[derive(Default)]
pub struct Printed {
    /// The texts.
    pub files: BTreeMap<String, String>,
    /// Why some of them are no text: what a reader of YAML says of their bytes.
    pub broken: BTreeMap<String, &'static str>,
    /// What is in long ones, which somebody else reads while further templates are executed.
    documents: BTreeMap<String, Lent<Documents>>,
}

/// What is in a file, or why it cannot be read.
type Documents = Result<Vec<Document>, String>;

/// What one template printed, of which somebody else begins to read what is in it.
pub struct Sheet {
    text: String,
    problem: Option<&'static str>,
    documents: Option<Lent<Documents>>,
}

impl Sheet {
    /// Shorter texts are read sooner than somebody else begins with them.
    const LONG: usize = 256;

    /// What the template of that path printed.
    pub fn new(path: &str, bytes: Vec<u8>) -> Self {
        let (text, problem) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let bytes = error.as_bytes();
                (String::from_utf8_lossy(bytes).into_owned(), Some(yaml::octets_problem(bytes)))
            }
        };
        let documents = (text.len() > Self::LONG && !path.ends_with(".txt")).then(|| {
            let text = text.clone();
            lend(move || documents(&text))
        });
        Self { text, problem, documents }
    }

    /// The text; what was none is replaced.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Printed {
    /// Takes in what a template printed.
    pub fn add(&mut self, path: &str, sheet: Sheet) {
        self.broken.extend(sheet.problem.map(|problem| (path.to_string(), problem)));
        self.documents.extend(sheet.documents.map(|documents| (path.to_string(), documents)));
        self.files.insert(path.to_string(), sheet.text);
    }

    /// What is wrong with the bytes of a file, in Helm's words.
    pub fn problem(&self, path: &str) -> Option<String> {
        self.broken.get(path).map(|problem| format!("error converting YAML to JSON: yaml: {problem}"))
    }

    /// The documents of a file.
    fn documents(&mut self, path: &str) -> Documents {
        if let Some(problem) = self.problem(path) {
            return Err(problem);
        }
        let read = self.documents.remove(path).and_then(Lent::get);
        read.unwrap_or_else(|| documents(&self.files[path]))
    }
}

/// Sorts rendered files into manifests and hooks, each in the order in which kinds are installed.
pub fn sort(printed: &mut Printed, warnings: &mut Warnings) -> Result<(Vec<Manifest>, Vec<Hook>), String> {
    let (mut manifests, mut hooks) = (Vec::new(), Vec::new());
    let is_partial = |path: &str| path.rsplit('/').next().unwrap_or(path).starts_with('_');
    let paths: Vec<String> = printed.files.keys().filter(|path| !is_partial(path)).cloned().collect();
    for path in &paths {
        let documents = printed.documents(path).map_err(|problem| format!("YAML parse error on {path}: {problem}"))?;
        for document in documents {
            match document.hook(path) {
                None => manifests.push(document.manifest(path)),
                Some(None) => {
                    let text = "skipping unknown hooks".to_string();
                    warnings.push(Warning::info(text).with("hookTypes", &document.annotations[HOOK]));
                }
                Some(hook) => hooks.extend(hook),
            }
        }
    }
    by_kind(&mut manifests, INSTALL_ORDER, |manifest| &manifest.kind);
    by_kind(&mut hooks, INSTALL_ORDER, |hook| &hook.kind);
    Ok((manifests, hooks))
}

/// Sorts by the place of the kind in an order; unknown kinds come last, by name. What is equal keeps its place.
pub fn by_kind<T>(items: &mut [T], order: &[&str], kind: impl Fn(&T) -> &str) {
    let place = |item: &T| order.iter().position(|known| *known == kind(item)).unwrap_or(order.len());
    items.sort_by(|a, b| {
        let (first, second) = (place(a), place(b));
        let unknown = first == order.len() && second == order.len();
        first.cmp(&second).then_with(|| if unknown { kind(a).cmp(kind(b)) } else { std::cmp::Ordering::Equal })
    });
}

/// Go's type of what Helm looks at in `metadata`; it has no name.
const METADATA: &str =
    r#"struct { Name string "json:\"name\""; Annotations map[string]string "json:\"annotations\"" }"#;

/// A document of a rendered file, with what Helm looks at in it.
#[derive(Default)]
struct Document {
    text: String,
    api_version: String,
    kind: String,
    name: String,
    annotations: BTreeMap<String, String>,
}

/// The documents of a rendered file.
fn documents(file: &str) -> Documents {
    split(file).into_iter().map(Document::read).collect()
}

impl Document {
    fn read(text: &str) -> Result<Self, String> {
        let value = decode::yaml_of(text, &["apiVersion", "kind", "metadata"])?;
        let mut document = Self { text: text.to_string(), ..Self::default() };
        let mut from = decode::Decoder::new(&value, "SimpleHead")?;
        from.text("apiVersion", &mut document.api_version)?;
        from.text("kind", &mut document.kind)?;
        if let Some(metadata) = from.field("metadata") {
            let place = decode::Place { owner: "SimpleHead", field: "metadata" };
            let mut from = decode::Decoder::part(metadata, place, "", METADATA)?;
            from.text("name", &mut document.name)?;
            from.text_map("annotations", &mut document.annotations)?;
        }
        Ok(document)
    }

    fn manifest(self, path: &str) -> Manifest {
        let Self { text, api_version, kind, name, .. } = self;
        Manifest { source: path.to_string(), api_version, kind, name, text }
    }

    /// `None`: no hook. `Some(None)`: a hook of a kind that is not known, which is left out.
    fn hook(&self, path: &str) -> Option<Option<Hook>> {
        let wanted = self.annotations.get(HOOK)?;
        let words = |text: &str| text.split(',').map(|word| word.trim().to_lowercase()).collect::<Vec<_>>();
        let mut events = words(wanted);
        for event in &mut events {
            if event == "test-success" {
                *event = "test".into();
            }
        }
        if !events.iter().all(|event| EVENTS.contains(&event.as_str())) {
            return Some(None);
        }
        let policies = |name: &str| self.annotations.get(name).map(|text| words(text)).unwrap_or_default();
        Some(Some(Hook {
            name: self.name.clone(),
            kind: self.kind.clone(),
            path: path.to_string(),
            manifest: self.text.clone(),
            events,
            weight: self.annotations.get(HOOK_WEIGHT).and_then(|text| text.parse().ok()).unwrap_or(0),
            delete_policies: policies(HOOK_DELETE_POLICY),
            output_log_policies: policies(HOOK_OUTPUT_LOG_POLICY),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_another_type_is_told_as_go_does() {
        let told = |text: &str| Document::read(text).err().unwrap();
        let json = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";
        let of = r#"struct { Name string "json:\"name\""; Annotations map[string]string "json:\"annotations\"" }"#;
        let field = "into Go struct field";
        assert_eq!(told("metadata: x"), format!("{json} string {field} SimpleHead.metadata of type {of}"));
        assert_eq!(told("metadata: {name: []}"), format!("{json} array {field} .metadata.name of type string"));
        assert_eq!(told("kind: {}"), format!("{json} object {field} SimpleHead.kind of type string"));
    }

    #[test]
    fn documents_are_between_lines_of_dashes() {
        assert_eq!(split("\n---\na: 1\n--- \n# c\nb: 2\n\n---\n\n  \n"), ["a: 1\n", "# c\nb: 2\n\n"]);
        // As in Helm, what follows the dashes on their line is part of the document.
        assert_eq!(split("a: |\n  ---\n--- # next\nb: 1"), ["a: |\n  ---\n", "# next\nb: 1"]);
        assert_eq!(split(" \n"), Vec::<&str>::new());
    }

    #[test]
    fn kinds_are_sorted_for_install_and_unknown_ones_come_last() {
        let mut kinds = vec!["Zebra", "Deployment", "Apple", "Namespace", "Service"];
        by_kind(&mut kinds, INSTALL_ORDER, |kind| kind);
        assert_eq!(kinds, ["Namespace", "Service", "Deployment", "Apple", "Zebra"]);
        by_kind(&mut kinds, UNINSTALL_ORDER, |kind| kind);
        assert_eq!(kinds, ["Service", "Deployment", "Namespace", "Apple", "Zebra"]);
        assert_eq!(INSTALL_ORDER.len(), UNINSTALL_ORDER.len());
    }

    #[test]
    fn what_is_no_text_is_no_manifest() {
        for (bytes, problem) in [
            (&b"a: \xff"[..], "invalid leading UTF-8 octet"),
            (b"a: \xc3", "incomplete UTF-8 octet sequence"),
            (b"a: \xc3(\n", "invalid trailing UTF-8 octet"),
            (b"a: \xc0\x80\n", "invalid length of a UTF-8 sequence"),
            (b"a: \xed\xa0\x80\n", "invalid Unicode character"),
        ] {
            let mut printed = Printed::default();
            let path = "z/templates/a.yaml";
            printed.add(path, Sheet::new(path, bytes.to_vec()));
            let told = sort(&mut printed, &mut Warnings::new()).unwrap_err();
            let wanted = "YAML parse error on z/templates/a.yaml: error converting YAML to JSON: yaml: ";
            assert_eq!(told, format!("{wanted}{problem}"));
        }
    }

    #[test]
    fn hooks_are_told_by_their_annotation() {
        let text = "kind: Job\nmetadata:\n  name: j\n  annotations:\n    helm.sh/hook: pre-install, Test-Success\n    \
                    helm.sh/hook-weight: \"-5\"\n    helm.sh/hook-delete-policy: hook-succeeded\n---\nkind: Pod\nmetadata:\n  \
                    annotations:\n    helm.sh/hook: never-heard-of\n---\nkind: Service\n";
        let mut printed = Printed::default();
        let path = "a/templates/x.yaml";
        printed.add(path, Sheet::new(path, text.into()));
        let mut warnings = Warnings::new();
        let (manifests, hooks) = sort(&mut printed, &mut warnings).unwrap();
        let told = "level=INFO msg=\"skipping unknown hooks\" hookTypes=never-heard-of";
        assert_eq!(warnings.iter().map(Warning::to_string).collect::<Vec<_>>(), [told]);
        assert_eq!(manifests.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["Service"]);
        assert_eq!(hooks.len(), 1);
        assert_eq!((hooks[0].weight, &hooks[0].events[..]), (-5, &["pre-install".to_string(), "test".into()][..]));
        assert_eq!(hooks[0].delete_policies, ["hook-succeeded"]);
    }
}
