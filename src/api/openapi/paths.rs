//! The paths of a kind and what can be done at each, for both forms of documents to write down.
//!
//! Source of names: api/openapi-spec of Kubernetes.

use super::definition;
use crate::api::Kind;
use crate::api::kinds::{GroupVersion, Subresource};

pub const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub const PATCH_BODY: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Query options: name, type, what for.
pub const QUERY: &[(&str, &str, &str)] = &[
    ("pretty", "string", "If true, the output is printed for people to read."),
    ("dryRun", "string", "With `All` nothing is written, and the answer is as if it were."),
    ("fieldManager", "string", "The name of whoever makes the change."),
    ("fieldValidation", "string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict."),
    ("force", "boolean", "Takes fields from other managers. Only for apply patches."),
    ("labelSelector", "string", "Selects objects by their labels."),
    ("fieldSelector", "string", "Selects objects by their fields."),
    ("limit", "integer", "The most objects in one answer; the rest follows with `continue`."),
    ("continue", "string", "Where the next part of a list starts."),
    ("resourceVersion", "string", "The version that the answer is at least as new as, or that a watch starts from."),
    ("resourceVersionMatch", "string", "How `resourceVersion` is applied to a list."),
    ("timeoutSeconds", "integer", "How long a list or watch may take."),
    ("watch", "boolean", "Follows changes instead of listing."),
    ("allowWatchBookmarks", "boolean", "Lets a watch say how far it is."),
    ("sendInitialEvents", "boolean", "Lets a watch start with what is there."),
    ("gracePeriodSeconds", "integer", "Seconds until the object is deleted."),
    ("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
    ("orphanDependents", "boolean", "Deprecated: use `propagationPolicy`."),
];

const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
const SELECT: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];

/// A path and what can be done there.
pub struct Item {
    pub path: String,
    pub is_namespaced: bool,
    pub is_named: bool,
    pub operations: Vec<Operation>,
}

/// One thing to do.
pub struct Operation {
    /// `get`, `put`, `post`, `delete` or `patch`.
    pub method: &'static str,
    /// `list`, `get`, …, as `x-kubernetes-action` has it.
    pub action: &'static str,
    pub id: String,
    pub description: String,
    /// Group, version and kind of what it is about.
    pub about: (String, String, String),
    pub query: &'static [&'static str],
    /// The schema of the body; a patch has its own.
    pub body: Option<String>,
    /// The schema of the answer; text without one.
    pub answer: Option<String>,
    pub codes: &'static [&'static str],
}

/// The word for a group and version in operation ids and tags: `core_v1`, `rbacAuthorization_v1`.
pub fn tag(served: &GroupVersion) -> String {
    let words = group_words(&served.group);
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    format!("{}{}_{}", first.into_iter().collect::<String>(), letters.as_str(), served.version)
}

fn group_words(group: &str) -> String {
    let own = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    own.split(['.', '-']).map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Every path of a kind in a version.
pub fn of(kind: &Kind, served: &GroupVersion) -> Vec<Item> {
    Paths { kind, served, name: definition(kind, served) }.all()
}

struct Paths<'a> {
    kind: &'a Kind,
    served: &'a GroupVersion,
    name: String,
}

impl Paths<'_> {
    fn all(&self) -> Vec<Item> {
        let root = match &*self.served.group {
            "" => format!("/api/{}", self.served.version),
            group => format!("/apis/{group}/{}", self.served.version),
        };
        let kind = self.kind;
        let mut items = Vec::new();
        let base = match kind.is_namespaced() {
            true => format!("{root}/namespaces/{{namespace}}/{}", kind.plural),
            false => format!("{root}/{}", kind.plural),
        };
        let is_namespaced = kind.is_namespaced();
        let main: Vec<Operation> =
            ["list", "create", "deletecollection"].into_iter().filter_map(|verb| self.main(verb)).collect();
        items.push(Item { path: base.clone(), is_namespaced, is_named: false, operations: main });
        let one: Vec<Operation> =
            ["get", "update", "patch", "delete"].into_iter().filter_map(|verb| self.main(verb)).collect();
        items.push(Item { path: format!("{base}/{{name}}"), is_namespaced, is_named: true, operations: one });
        for part in kind.subresources() {
            let operations = part.verbs.iter().filter_map(|verb| self.part(&part, verb)).collect();
            items.push(Item {
                path: format!("{base}/{{name}}/{}", part.name),
                is_namespaced,
                is_named: true,
                operations,
            });
        }
        if is_namespaced && kind.verbs.contains(&"list") {
            let mut list = self.operation("list", "", &kind.kind);
            list.id = format!("list{}{}ForAllNamespaces", self.group(), kind.kind);
            items.push(Item {
                path: format!("{root}/{}", kind.plural),
                is_namespaced: false,
                is_named: false,
                operations: vec![list],
            });
        }
        items.retain(|item| !item.operations.is_empty());
        items
    }

    fn group(&self) -> String {
        format!("{}{}", group_words(&self.served.group), capital(&self.served.version))
    }

    fn main(&self, verb: &'static str) -> Option<Operation> {
        self.kind.verbs.contains(&verb).then(|| self.operation(verb, "", &self.kind.kind))
    }

    fn part(&self, part: &Subresource, verb: &'static str) -> Option<Operation> {
        let mut operation = self.operation(verb, &capital(&part.name), &part.kind);
        let own = part.version.as_ref().unwrap_or(self.served);
        operation.about = (own.group.to_string(), own.version.to_string(), part.kind.to_string());
        let schema = match &*part.name {
            "scale" => Some("io.k8s.api.autoscaling.v1.Scale".to_string()),
            "eviction" => Some("io.k8s.api.policy.v1.Eviction".to_string()),
            "binding" => Some("io.k8s.api.core.v1.Binding".to_string()),
            "token" => Some("io.k8s.api.authentication.v1.TokenRequest".to_string()),
            _ if part.kind == self.kind.kind && part.name != "log" => Some(self.name.clone()),
            _ => None,
        };
        if operation.body.is_some() {
            operation.body.clone_from(&schema);
        }
        if verb != "delete" {
            operation.answer = schema;
        }
        Some(operation)
    }

    fn operation(&self, verb: &'static str, part: &str, kind: &str) -> Operation {
        let own = Some(self.name.clone());
        let list = self.name.clone() + "List";
        let (method, action, word, query, body, answer, codes): (_, _, _, _, _, _, &'static [&'static str]) = match verb
        {
            "list" => ("get", "list", "list", SELECT, None, Some(list), &["200"]),
            "create" => ("post", "post", "create", WRITE, own.clone(), own, &["200", "201", "202"]),
            "deletecollection" => (
                "delete",
                "deletecollection",
                "deleteCollection",
                DELETE,
                Some(DELETE_OPTIONS.into()),
                Some(STATUS.into()),
                &["200"],
            ),
            "get" => ("get", "get", "read", &[][..], None, own, &["200"]),
            "update" => ("put", "put", "replace", WRITE, own.clone(), own, &["200", "201"]),
            "patch" => ("patch", "patch", "patch", PATCH, None, own, &["200", "201"]),
            _ => (
                "delete",
                "delete",
                "delete",
                DELETE,
                Some(DELETE_OPTIONS.into()),
                Some(STATUS.into()),
                &["200", "202"],
            ),
        };
        let place = if self.kind.is_namespaced() { "Namespaced" } else { "" };
        let (start, end) = word.strip_suffix("Collection").map_or((word, ""), |start| (start, "Collection"));
        Operation {
            method,
            action,
            id: format!("{start}{}{end}{place}{}{part}", self.group(), self.kind.kind),
            description: format!("{verb} {}{}", if verb == "list" { "objects of kind " } else { "" }, kind),
            about: (self.served.group.to_string(), self.served.version.to_string(), kind.to_string()),
            query,
            body,
            answer,
            codes,
        }
    }
}

/// The media types of a patch: custom kinds take no strategic ones, and kubectl asks the documents about that.
pub fn patches<'a>(one: &Operation, all: &[&'a str]) -> Vec<&'a str> {
    let (group, version, kind) = &one.about;
    let is_custom = *kind != "Scale" && crate::api::kinds::find_kind(group, version, kind).is_none();
    all.iter().copied().filter(|media| !(is_custom && media.contains("strategic"))).collect()
}
