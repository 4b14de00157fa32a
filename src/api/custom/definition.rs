//! What is right and wrong with a CustomResourceDefinition, and what the server writes into its status.
//!
//! Source of rules and wording: k8s.io/apiextensions-apiserver `pkg/apis/apiextensions/validation/validation.go`,
//! `pkg/controller/status/naming_controller.go`, `pkg/registry/customresourcedefinition`.

use super::check::Check;
use super::{list, structural, text};
use crate::api::json_path::JsonPath;
use crate::api::{Cause, Object, names};
use serde_json::{Map, Value, json};

/// Holds a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Annotation of kinds in groups that belong to Kubernetes.
const APPROVED: &str = "api-approved.kubernetes.io";
const SCOPES: [&str; 2] = ["Cluster", "Namespaced"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// What is wrong with a definition.
pub fn validate(definition: &Object) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = definition.0.get("spec").unwrap_or(&Value::Null);
    let own = text(&spec["names"], "plural");
    if definition.name() != format!("{own}.{}", text(spec, "group")) {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(definition.name()), why));
    }
    group(&mut causes, definition, spec);
    match text(spec, "scope") {
        "" => causes.push(Cause::required("spec.scope", "")),
        own if !SCOPES.contains(&own) => {
            causes.push(Cause::not_supported("spec.scope", &spec["scope"], &SCOPES));
        }
        _ => {}
    }
    if spec["preserveUnknownFields"] == true {
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        causes.push(Cause::invalid("spec.preserveUnknownFields", &json!(true), why));
    }
    versions(&mut causes, list(spec.get("versions")));
    accepted_names(&mut causes, &spec["names"]);
    conversion(&mut causes, &spec["conversion"]);
    causes
}

/// What is wrong with a change of a definition.
pub fn validate_update(new: &Object, old: &Object, _subresource: &str) -> Vec<Cause> {
    const IMMUTABLE: &str = "field is immutable";
    let mut causes = Vec::new();
    let at = |object: &Object, path: &[&str]| object.at(path).cloned().unwrap_or_default();
    let mut fixed: Vec<&[&str]> = vec![&["spec", "group"], &["spec", "names", "plural"]];
    if is_true(old, "Established") {
        fixed.extend([&["spec", "scope"][..], &["spec", "names", "kind"]]);
    }
    for path in fixed.into_iter().filter(|path| at(new, path) != at(old, path)) {
        causes.push(Cause::invalid(path.join("."), &at(new, path), IMMUTABLE));
    }
    let known: Vec<&Value> = list(new.at(&["spec", "versions"])).iter().map(|version| &version["name"]).collect();
    for (index, stored) in list(new.at(&["status", "storedVersions"])).iter().enumerate() {
        if !known.contains(&stored) {
            let name = stored.as_str().unwrap_or_default();
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until \
                 a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            causes.push(Cause::invalid(format!("status.storedVersions[{index}]"), stored, &why));
        }
    }
    causes
}

fn group(causes: &mut Vec<Cause>, definition: &Object, spec: &Value) {
    let group = text(spec, "group");
    let wrong = names::dns_subdomain(group);
    if group.is_empty() {
        causes.push(Cause::required("spec.group", ""));
    } else if !wrong.is_empty() {
        causes.push(Cause::invalid("spec.group", &spec["group"], &wrong.join(",")));
    } else if !group.contains('.') {
        causes.push(Cause::invalid("spec.group", &spec["group"], "should be a domain with at least one dot"));
    }
    let is_protected = [".k8s.io", ".kubernetes.io"].iter().any(|end| group.ends_with(end))
        || matches!(group, "k8s.io" | "kubernetes.io");
    if !is_protected {
        return;
    }
    let at = format!("metadata.annotations[{APPROVED}]");
    match definition.annotations().find(|(name, _)| *name == APPROVED).map_or("", |(_, value)| value) {
        "" => {
            let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                       https://github.com/kubernetes/enhancements/pull/1111";
            causes.push(Cause::required(at, why));
        }
        value if value.starts_with("unapproved") || value.contains("://") => {}
        value => {
            let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a \
                       reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
            causes.push(Cause::invalid(at, &json!(value), why));
        }
    }
}

fn versions(causes: &mut Vec<Cause>, versions: &[Value]) {
    for (index, own) in versions.iter().enumerate() {
        version(causes, own, &format!("spec.versions[{index}]"));
    }
    let names: Vec<&str> = versions.iter().map(|version| text(version, "name")).collect();
    if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
        causes.push(Cause::invalid("spec.versions", &json!(versions), "must contain unique version names"));
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &json!(versions), why));
    }
}

fn version(causes: &mut Vec<Cause>, own: &Value, path: &str) {
    let wrong = names::dns_1035_label(text(own, "name"));
    if !wrong.is_empty() {
        causes.push(Cause::invalid(format!("{path}.name"), &json!(text(own, "name")), &wrong.join(",")));
    }
    if own["deprecated"] != true && own["deprecationWarning"].is_string() {
        let at = format!("{path}.deprecationWarning");
        causes.push(Cause::invalid(at, &own["deprecationWarning"], "can only be set for deprecated versions"));
    }
    let at = format!("{path}.schema.openAPIV3Schema");
    let parts = &own["subresources"];
    match own["schema"].get("openAPIV3Schema").filter(|schema| !schema.is_null()) {
        None => causes.push(Cause::required(at, "")),
        Some(schema) => {
            causes.extend(structural::faults(schema, &at, parts["status"].is_object()));
            defaults(causes, schema, &at);
        }
    }
    scale(causes, &parts["scale"], &format!("{path}.subresources.scale"));
    for (index, column) in list(own.get("additionalPrinterColumns")).iter().enumerate() {
        self::column(causes, column, &format!("{path}.additionalPrinterColumns[{index}]"));
    }
    for (index, field) in list(own.get("selectableFields")).iter().enumerate() {
        let at = format!("{path}.selectableFields[{index}].jsonPath");
        match JsonPath::parse(text(field, "jsonPath")) {
            _ if text(field, "jsonPath").is_empty() => causes.push(Cause::required(at, "")),
            Err(error) => causes.push(Cause::invalid(at, &field["jsonPath"], &format!("is an invalid path: {error}"))),
            Ok(own) if own.fields().is_some_and(|fields| fields.first() == Some(&"metadata")) => {
                causes.push(Cause::invalid(at, &field["jsonPath"], "must not point to fields in metadata"));
            }
            Ok(_) => {}
        }
    }
}

/// A default must be what its schema allows.
fn defaults(causes: &mut Vec<Cause>, schema: &Value, path: &str) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        causes.extend(Check::compile(schema).run(default, None, &format!("{path}.default")));
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        defaults(causes, child, &format!("{path}.properties[{name}]"));
    }
    for name in ["items", "additionalProperties"] {
        if schema[name].is_object() {
            defaults(causes, &schema[name], &format!("{path}.{name}"));
        }
    }
}

fn scale(causes: &mut Vec<Cause>, scale: &Value, path: &str) {
    if !scale.is_object() {
        return;
    }
    let places: [(&str, &[&str], &str, bool); 3] = [
        ("specReplicasPath", &[".spec."], "should be a json path under .spec", true),
        ("statusReplicasPath", &[".status."], "should be a json path under .status", true),
        ("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status", false),
    ];
    for (name, starts, why, is_required) in places {
        let (own, at) = (text(scale, name), format!("{path}.{name}"));
        match own {
            "" if is_required => causes.push(Cause::required(at, "")),
            "" => {}
            own if !own.starts_with('.') => {
                causes.push(Cause::invalid(at, &scale[name], "must be a simple json path starting with ."));
            }
            own if !starts.iter().any(|start| own.starts_with(start)) => {
                causes.push(Cause::invalid(at, &scale[name], why));
            }
            _ => {}
        }
    }
}

fn column(causes: &mut Vec<Cause>, column: &Value, path: &str) {
    if text(column, "name").is_empty() {
        causes.push(Cause::required(format!("{path}.name"), ""));
    }
    let one_of = |names: &[&str]| format!("must be one of {}", names.join(","));
    match text(column, "type") {
        "" => causes.push(Cause::required(format!("{path}.type"), &one_of(&COLUMN_TYPES))),
        own if !COLUMN_TYPES.contains(&own) => {
            causes.push(Cause::invalid(format!("{path}.type"), &column["type"], &one_of(&COLUMN_TYPES)));
        }
        _ => {}
    }
    let format = text(column, "format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        causes.push(Cause::invalid(format!("{path}.format"), &column["format"], &one_of(&COLUMN_FORMATS)));
    }
    let at = format!("{path}.JSONPath");
    match text(column, "jsonPath") {
        "" => causes.push(Cause::required(at, "")),
        own if !own.starts_with('.') => {
            causes.push(Cause::invalid(at, &column["jsonPath"], "must be a simple json path starting with ."));
        }
        own => {
            if let Err(error) = JsonPath::parse(own) {
                causes.push(Cause::invalid(at, &column["jsonPath"], &error));
            }
        }
    }
}

fn accepted_names(causes: &mut Vec<Cause>, own: &Value) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let (name, at) = (text(own, field), format!("spec.names.{field}"));
        let is_cased = matches!(field, "kind" | "listKind");
        let wrong = names::dns_1035_label(&if is_cased { name.to_lowercase() } else { name.to_string() }).join(",");
        if name.is_empty() {
            causes.push(Cause::required(at, ""));
        } else if !wrong.is_empty() {
            let before = if is_cased { "may have mixed case, but should otherwise match: " } else { "" };
            causes.push(Cause::invalid(at, &own[field], &format!("{before}{wrong}")));
        }
    }
    if !text(own, "kind").is_empty() && own["kind"] == own["listKind"] {
        let why = "kind and listKind may not be the same";
        causes.push(Cause::invalid("spec.names.listKind", &own["listKind"], why));
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in list(own.get(field)).iter().enumerate() {
            let wrong = names::dns_1035_label(name.as_str().unwrap_or_default());
            if !wrong.is_empty() {
                causes.push(Cause::invalid(format!("spec.names.{field}[{index}]"), name, &wrong.join(",")));
            }
        }
    }
}

fn conversion(causes: &mut Vec<Cause>, conversion: &Value) {
    match text(conversion, "strategy") {
        "" if conversion.is_null() => {}
        "" => causes.push(Cause::required("spec.conversion.strategy", "")),
        "None" if !conversion["webhook"].is_null() => {
            let why = "should not be set when strategy is not set to Webhook";
            causes.push(Cause::forbidden("spec.conversion.webhookClientConfig", why));
        }
        "None" => {}
        "Webhook" => {
            let config = &conversion["webhook"]["clientConfig"];
            if config.is_null() {
                let why = "required when strategy is set to Webhook";
                causes.push(Cause::required("spec.conversion.webhookClientConfig", why));
            } else if config["url"].is_null() == config["service"].is_null() {
                let why = "exactly one of url or service is required";
                causes.push(Cause::required("spec.conversion.webhookClientConfig", why));
            }
            if list(conversion["webhook"].get("conversionReviewVersions")).is_empty() {
                causes.push(Cause::required("spec.conversion.conversionReviewVersions", ""));
            }
        }
        _ => {
            let known = ["None", "Webhook"];
            causes.push(Cause::not_supported("spec.conversion.strategy", &conversion["strategy"], &known));
        }
    }
}

/// Whether a condition of a definition is true.
pub fn is_true(definition: &Object, name: &str) -> bool {
    let conditions = list(definition.at(&["status", "conditions"]));
    conditions.iter().any(|condition| condition["type"] == name && condition["status"] == "True")
}

/// Sets a condition; one that stays what it is keeps its time.
pub fn set_condition(definition: &mut Object, name: &str, status: &str, reason: &str, message: &str) {
    let now = crate::api::time::now();
    let generation = definition.at(&["metadata", "generation"]).cloned();
    let mut conditions = list(definition.at(&["status", "conditions"])).to_vec();
    let old = conditions.iter().position(|condition| condition["type"] == name);
    let since = match old.map(|at| &conditions[at]) {
        Some(old) if old["status"] == status => old["lastTransitionTime"].clone(),
        _ => json!(now),
    };
    let mut condition =
        json!({"type": name, "status": status, "reason": reason, "message": message, "lastTransitionTime": since});
    if let Some(generation) = generation {
        condition["observedGeneration"] = generation;
    }
    match old {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    definition.set(&["status", "conditions"], conditions);
}

/// Takes the names that are free, and says in conditions which are not; `taken` are those of other definitions of the group.
pub fn accept_names(definition: &mut Object, taken: &Taken) {
    let wanted = definition.at(&["spec", "names"]).cloned().unwrap_or_default();
    let mut accepted =
        definition.at(&["status", "acceptedNames"]).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut conflict: Option<(&str, String)> = None;
    let names = [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ];
    for (field, reason, used) in names {
        let name = text(&wanted, field);
        if accepted.get(field).is_some_and(|own| own == name) || !used.iter().any(|used| used == name) {
            accepted.insert(field.into(), json!(name));
        } else {
            conflict = Some((reason, format!("{name:?} is already in use")));
        }
    }
    short_names(&wanted, &mut accepted, taken, &mut conflict);
    match wanted.get("categories") {
        Some(categories) => drop(accepted.insert("categories".into(), categories.clone())),
        None => drop(accepted.remove("categories")),
    }
    definition.set(&["status", "acceptedNames"], accepted);
    match &conflict {
        Some((reason, message)) => set_condition(definition, "NamesAccepted", "False", reason, message),
        None => set_condition(definition, "NamesAccepted", "True", "NoConflicts", "no conflicts found"),
    }
    // Set anew each time: clients wait until a condition is about the generation that they wrote.
    let (status, reason, message) = match conflict.is_none() || is_true(definition, "Established") {
        true => ("True", "InitialNamesAccepted", "the initial names have been accepted"),
        false => ("False", "NotAccepted", "not all names are accepted"),
    };
    set_condition(definition, "Established", status, reason, message);
}

fn short_names(
    wanted: &Value,
    accepted: &mut Map<String, Value>,
    taken: &Taken,
    conflict: &mut Option<(&'static str, String)>,
) {
    let own = list(accepted.get("shortNames")).to_vec();
    let names = list(wanted.get("shortNames"));
    let is_used = |name: &&Value| !own.contains(name) && taken.resources.iter().any(|used| **name == **used);
    match names.iter().find(is_used) {
        Some(name) => *conflict = Some(("ShortNamesConflict", format!("{name} is already in use"))),
        None if names.is_empty() => drop(accepted.remove("shortNames")),
        None => drop(accepted.insert("shortNames".into(), json!(names))),
    }
}

/// Names that other definitions of a group have.
#[derive(Debug, Default)]
pub struct Taken {
    resources: Vec<String>,
    kinds: Vec<String>,
}

impl Taken {
    /// Adds the accepted names of another definition.
    pub fn add(&mut self, names: &Value) {
        let shorts = list(names.get("shortNames")).iter().filter_map(Value::as_str);
        let resources = [text(names, "plural"), text(names, "singular")].into_iter().chain(shorts);
        self.resources.extend(resources.filter(|name| !name.is_empty()).map(String::from));
        let kinds = [text(names, "kind"), text(names, "listKind")];
        self.kinds.extend(kinds.into_iter().filter(|name| !name.is_empty()).map(String::from));
    }
}

/// The deletion of a definition waits for its objects.
pub fn prepare_delete(definition: &mut Object) {
    if definition.finalizers().any(|own| own == FINALIZER) {
        return;
    }
    let mut finalizers = list(definition.at(&["metadata", "finalizers"])).to_vec();
    finalizers.push(json!(FINALIZER));
    definition.set(&["metadata", "finalizers"], finalizers);
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(definition, "Terminating", "True", "InstanceDeletionPending", message);
}

/// A version that becomes the one to store in is remembered as such.
pub fn prepare_update(new: &mut Object, _old: &Object) {
    let storage = list(new.at(&["spec", "versions"])).iter().find(|version| version["storage"] == true);
    let Some(name) = storage.map(|version| version["name"].clone()) else { return };
    let mut stored = list(new.at(&["status", "storedVersions"])).to_vec();
    if !stored.contains(&name) {
        stored.push(name);
        new.set(&["status", "storedVersions"], stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Object {
        Object::from_value(json!({
            "metadata": {"name": "things.example.com", "generation": 1},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"]},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}],
            },
        }))
        .unwrap()
    }

    fn said(change: impl FnOnce(&mut Object)) -> Vec<String> {
        let mut own = definition();
        change(&mut own);
        validate(&own).into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn a_sound_definition_is_taken() {
        assert_eq!(said(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        let name = said(|own| own.set(&["metadata", "name"], "other"));
        assert_eq!(name, ["metadata.name: Invalid value: \"other\": must be spec.names.plural+\".\"+spec.group"]);
        let scope = said(|own| own.set(&["spec", "scope"], "Odd"));
        assert_eq!(scope, ["spec.scope: Unsupported value: \"Odd\": supported values: \"Cluster\", \"Namespaced\""]);
        let schema = said(|own| own.entry(&["spec", "versions"])[0]["schema"] = Value::Null);
        assert_eq!(schema, ["spec.versions[0].schema.openAPIV3Schema: Required value"]);
        let storage = said(|own| own.entry(&["spec", "versions"])[0]["storage"] = json!(false));
        assert!(storage[0].ends_with("must have exactly one version marked as storage version"), "{storage:?}");
        let default = said(|own| {
            own.entry(&["spec", "versions"])[0]["schema"]["openAPIV3Schema"]["properties"] =
                json!({"x": {"type": "integer", "default": "a"}});
        });
        assert!(default[0].starts_with("spec.versions[0].schema.openAPIV3Schema.properties[x].default: Invalid value"));
        let column = said(|own| {
            own.entry(&["spec", "versions"])[0]["additionalPrinterColumns"] =
                json!([{"name": "A", "type": "odd", "jsonPath": ".a"}]);
        });
        let words = "spec.versions[0].additionalPrinterColumns[0].type: Invalid value: \"odd\": must be one of boolean,date,integer,number,string";
        assert_eq!(column, [words]);
    }

    #[test]
    fn groups_of_kubernetes_need_an_approval() {
        let protect = |own: &mut Object| {
            own.set(&["spec", "group"], "x.k8s.io");
            own.set(&["metadata", "name"], "things.x.k8s.io");
        };
        assert!(said(protect)[0].starts_with("metadata.annotations[api-approved.kubernetes.io]: Required value"));
        let approved = said(|own| {
            protect(own);
            own.set(&["metadata", "annotations", APPROVED], "https://github.com/kubernetes/kubernetes/pull/1");
        });
        assert_eq!(approved, Vec::<String>::new());
    }

    #[test]
    fn names_are_accepted_unless_somebody_has_them() {
        let mut first = definition();
        accept_names(&mut first, &Taken::default());
        assert!(is_true(&first, "NamesAccepted") && is_true(&first, "Established"));
        assert_eq!(first.text(&["status", "acceptedNames", "plural"]), "things");
        let mut taken = Taken::default();
        taken.add(first.at(&["status", "acceptedNames"]).unwrap());
        let mut second = definition();
        second.set(&["spec", "names", "plural"], "others");
        accept_names(&mut second, &taken);
        assert!(!is_true(&second, "NamesAccepted") && !is_true(&second, "Established"));
        let mut again = first.clone();
        accept_names(&mut again, &Taken::default());
        assert_eq!(again, first, "nothing changes twice");
        again.set(&["metadata", "generation"], 7);
        accept_names(&mut again, &Taken::default());
        let conditions = list(again.at(&["status", "conditions"]));
        assert!(conditions.iter().all(|condition| condition["observedGeneration"] == 7), "{conditions:?}");
    }

    #[test]
    fn what_identifies_objects_cannot_change() {
        let mut old = definition();
        accept_names(&mut old, &Taken::default());
        let mut new = old.clone();
        new.set(&["spec", "scope"], "Cluster");
        new.set(&["status", "storedVersions"], json!(["v0"]));
        let causes = validate_update(&new, &old, "");
        let fields: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(fields, ["spec.scope", "status.storedVersions[0]"]);
    }

    #[test]
    fn a_deletion_waits_and_says_so() {
        let mut own = definition();
        prepare_delete(&mut own);
        assert!(own.finalizers().any(|name| name == FINALIZER) && is_true(&own, "Terminating"));
    }
}
