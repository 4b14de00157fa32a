//! Part of the build script: the schemas of all built-in types, from `k8s-openapi` and the table of facts beside it.
//!
//! Two files come out. `schemas.bin` is the structure, read in place at run time (`schema::blob` has the format);
//! `documents.bin` is the OpenAPI v3 text of every type, compressed, which only the OpenAPI documents need.

use k8s_openapi::schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Where `SchemaGenerator` points to.
const REFERENCE: &str = "#/$defs/";

/// Fields of a type, each with its facts: `name=value` or a bare word. The field `.` is the type itself.
type Facts = BTreeMap<String, BTreeMap<String, Vec<String>>>;

macro_rules! types {
    ($generator:ident, $($($module:ident)::+: $($name:ident)*;)*) => {
        $({
            #[allow(clippy::wildcard_imports)]
            use k8s_openapi::$($module)::+::*;
            $($generator.subschema_for::<$name>();)*
        })*
    };
}

/// Every type that is served, by module; what they are made of comes along.
macro_rules! served {
    ($generator:ident) => {
        types! {
            $generator,
            api::admissionregistration::v1: MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration;
            api::apps::v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
            api::authentication::v1: SelfSubjectReview TokenRequest TokenReview;
            api::authorization::v1: LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview;
            api::autoscaling::v1: HorizontalPodAutoscaler Scale;
            api::autoscaling::v2: HorizontalPodAutoscaler;
            api::batch::v1: CronJob Job;
            api::certificates::v1: CertificateSigningRequest;
            api::coordination::v1: Lease;
            api::core::v1: Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
            api::discovery::v1: EndpointSlice;
            api::events::v1: Event;
            api::flowcontrol::v1: FlowSchema PriorityLevelConfiguration;
            api::networking::v1: IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR;
            api::node::v1: RuntimeClass;
            api::policy::v1: Eviction PodDisruptionBudget;
            api::rbac::v1: ClusterRole ClusterRoleBinding Role RoleBinding;
            api::scheduling::v1: PriorityClass;
            api::storage::v1: CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass;
            apiextensions_apiserver::pkg::apis::apiextensions::v1: CustomResourceDefinition;
            apimachinery::pkg::apis::meta::v1: APIGroup APIGroupList APIResourceList APIVersions DeleteOptions ListMeta Patch Status;
            apimachinery::pkg::version: Info;
            kube_aggregator::pkg::apis::apiregistration::v1: APIService;
        }
    };
}

/// Writes `OUT_DIR/schemas.bin` and `OUT_DIR/documents.bin`.
pub fn generate(facts: &Path, out: &Path) {
    println!("cargo:rerun-if-changed={}", facts.display());
    println!("cargo:rerun-if-changed=src/api/build.rs");
    let facts = read_facts(&std::fs::read_to_string(facts).unwrap());
    let mut generator = SchemaGenerator::default();
    served!(generator);
    let mut types = generator.take_definitions(false);
    check_facts(&facts, &types);
    for (name, schema) in &mut types {
        add_facts(name, schema, facts.get(name));
    }
    types.extend(metrics());
    old(&mut types);
    std::fs::write(out.join("schemas.bin"), structure(&types)).unwrap();
    std::fs::write(out.join("documents.bin"), documents(&types)).unwrap();
}

/// The types of `metrics.k8s.io`, which `k8s-openapi` does not have.
///
/// Source: k8s.io/metrics `pkg/apis/metrics/v1beta1/types.go`.
fn metrics() -> Map<String, Value> {
    const OWN: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1";
    let reference = |name: &str| json!({"$ref": format!("{REFERENCE}{name}")});
    let meta = |name: &str| reference(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"));
    let quantity = reference("io.k8s.apimachinery.pkg.api.resource.Quantity");
    let usage = json!({"type": "object", "additionalProperties": quantity,
        "description": "What is used: the amount by the name of the resource."});
    let whole = |about: &str, name: &str, content: Value| {
        json!({"description": about, "type": "object", "required": ["timestamp", "window", name], "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": meta("ObjectMeta"),
            "timestamp": meta("Time"), "window": {"type": "string"}, name: content}})
    };
    let containers = json!({"type": "array", "x-kubernetes-list-type": "atomic",
        "items": reference(&format!("{OWN}.ContainerMetrics"))});
    let container = json!({"description": "What a container uses.", "type": "object", "required": ["name", "usage"],
        "properties": {"name": {"type": "string"}, "usage": usage}});
    let all = [
        ("ContainerMetrics", container),
        ("NodeMetrics", whole("What a node uses, measured over a window of time.", "usage", usage.clone())),
        ("PodMetrics", whole("What a pod uses, measured over a window of time.", "containers", containers)),
    ];
    all.into_iter().map(|(name, schema)| (format!("{OWN}.{name}"), schema)).collect()
}

/// Types of versions that `k8s-openapi` does not have any more, and today's types that they are copied from: the place of the
/// copies, the place of the types, their names.
const OLD: &[(&str, &str, &str)] = &[
    ("admissionregistration.v1beta1", "admissionregistration.v1", "MutatingWebhookConfiguration MutatingWebhook"),
    ("admissionregistration.v1beta1", "admissionregistration.v1", "ValidatingWebhookConfiguration ValidatingWebhook"),
    ("admissionregistration.v1beta1", "admissionregistration.v1", "MutatingAdmissionPolicy ValidatingAdmissionPolicy"),
    (
        "admissionregistration.v1beta1",
        "admissionregistration.v1",
        "MutatingAdmissionPolicyBinding ValidatingAdmissionPolicyBinding",
    ),
    ("apps.v1beta1", "apps.v1", "ControllerRevision Deployment DeploymentSpec StatefulSet StatefulSetSpec"),
    ("apps.v1beta2", "apps.v1", "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"),
    ("authentication.v1alpha1", "authentication.v1", "SelfSubjectReview"),
    ("authentication.v1beta1", "authentication.v1", "SelfSubjectReview TokenReview"),
    (
        "authorization.v1beta1",
        "authorization.v1",
        "LocalSubjectAccessReview SubjectAccessReview SubjectAccessReviewSpec",
    ),
    ("authorization.v1beta1", "authorization.v1", "SelfSubjectAccessReview SelfSubjectRulesReview"),
    ("autoscaling.v2beta2", "autoscaling.v2", "HorizontalPodAutoscaler"),
    ("batch.v1beta1", "batch.v1", "CronJob"),
    (
        "certificates.v1beta1",
        "certificates.v1",
        "CertificateSigningRequest CertificateSigningRequestSpec CertificateSigningRequestStatus \
         CertificateSigningRequestCondition",
    ),
    ("coordination.v1beta1", "coordination.v1", "Lease"),
    ("discovery.v1beta1", "discovery.v1", "EndpointSlice Endpoint"),
    ("events.v1beta1", "events.v1", "Event"),
    ("extensions.v1beta1", "apps.v1", "Deployment DeploymentSpec DaemonSet DaemonSetSpec ReplicaSet ReplicaSetSpec"),
    ("extensions.v1beta1", "networking.v1", "NetworkPolicy"),
    (
        "extensions.v1beta1",
        "networking.v1",
        "Ingress IngressSpec IngressRule HTTPIngressRuleValue HTTPIngressPath IngressBackend",
    ),
    ("flowcontrol.v1beta3", "flowcontrol.v1", "FlowSchema PriorityLevelConfiguration"),
    ("networking.v1beta1", "networking.v1", "IngressClass"),
    (
        "networking.v1beta1",
        "networking.v1",
        "Ingress IngressSpec IngressRule HTTPIngressRuleValue HTTPIngressPath IngressBackend",
    ),
    ("node.v1beta1", "node.v1", "RuntimeClass"),
    ("policy.v1beta1", "policy.v1", "PodDisruptionBudget"),
    ("rbac.v1beta1", "rbac.v1", "ClusterRole ClusterRoleBinding Role RoleBinding"),
    ("scheduling.v1beta1", "scheduling.v1", "PriorityClass"),
    ("storage.v1beta1", "storage.v1", "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment"),
    ("storage.v1beta1", "storage.v1", "VolumeAttributesClass"),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1beta1",
        "apiextensions-apiserver.pkg.apis.apiextensions.v1",
        "CustomResourceDefinition CustomResourceDefinitionSpec CustomResourceDefinitionVersion CustomResourceConversion \
         CustomResourceColumnDefinition",
    ),
    ("kube-aggregator.pkg.apis.apiregistration.v1beta1", "kube-aggregator.pkg.apis.apiregistration.v1", "APIService"),
];

/// Where a group's types stand; the groups of Kubernetes itself are written without what they have in common.
fn place(short: &str) -> String {
    if short.contains(".pkg.") { format!("io.k8s.{short}") } else { format!("io.k8s.api.{short}") }
}

/// Adds the types of old versions: copies of today's, and what was different then.
///
/// Source: the API types of Kubernetes 1.15 to 1.26 (staging/src/k8s.io/api).
fn old(types: &mut Map<String, Value>) {
    for (to, from, names) in OLD {
        let (to, from) = (place(to), place(from));
        let names: Vec<&str> = names.split_whitespace().collect();
        for name in &names {
            let mut copy = types.get(&format!("{from}.{name}")).unwrap_or_else(|| panic!("no {from}.{name}")).clone();
            for name in &names {
                redirect(&mut copy, &format!("{REFERENCE}{from}.{name}"), &format!("{REFERENCE}{to}.{name}"));
            }
            differ(&to, name, &mut copy);
            types.insert(format!("{to}.{name}"), copy);
        }
    }
}

/// Makes references to one type references to another one.
fn redirect(schema: &mut Value, from: &str, to: &str) {
    match schema {
        Value::Object(map) => map.values_mut().for_each(|value| redirect(value, from, to)),
        Value::Array(list) => list.iter_mut().for_each(|value| redirect(value, from, to)),
        Value::String(text) if text == from => *text = to.into(),
        _ => {}
    }
}

/// What a type of an old version has otherwise.
fn differ(place: &str, name: &str, schema: &mut Value) {
    let text = |about: &str| json!({"type": "string", "description": about});
    let reference = |name: String| json!({"$ref": format!("{REFERENCE}{name}")});
    let number = json!({"type": "integer", "format": "int64"});
    let mut required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
    let mut optional = |names: &[&str]| required.retain(|name| !names.iter().any(|own| name == own));
    let empty = Map::new();
    let mut fields = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty).clone();
    let rename = |fields: &mut Map<String, Value>, from: &str, to: &str| {
        let field = fields.remove(from).unwrap_or_else(|| panic!("{name} has no {from}"));
        fields.insert(to.into(), field);
    };
    match (place.rsplit('.').nth(1).unwrap_or_default(), name) {
        (_, "DeploymentSpec" | "DaemonSetSpec" | "ReplicaSetSpec" | "StatefulSetSpec") => {
            optional(&["selector", "serviceName", "template"]);
            if name == "DaemonSetSpec" {
                fields.insert("templateGeneration".into(), number);
            } else if name == "DeploymentSpec" {
                let rollback = json!({"type": "object", "properties": {"revision": number},
                    "description": "The revision that the deployment is to go back to."});
                fields.insert("rollbackTo".into(), rollback);
            }
        }
        (_, "IngressSpec") => rename(&mut fields, "defaultBackend", "backend"),
        (_, "HTTPIngressPath") => optional(&["pathType"]),
        (_, "IngressBackend") => {
            fields.remove("service");
            fields.insert("serviceName".into(), text("The name of the service that is asked."));
            fields.insert("servicePort".into(), reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString".into()));
        }
        (_, "Endpoint") => {
            fields.remove("zone");
            let topology = json!({"type": "object", "additionalProperties": {"type": "string"},
                "description": "Where the endpoint is, by labels of its node."});
            fields.remove("deprecatedTopology");
            fields.insert("topology".into(), topology);
        }
        (_, "MutatingWebhook" | "ValidatingWebhook") => optional(&["sideEffects", "admissionReviewVersions"]),
        (_, "CertificateSigningRequestSpec") => optional(&["signerName"]),
        (_, "CertificateSigningRequestCondition") => optional(&["status"]),
        (_, "SubjectAccessReviewSpec") => rename(&mut fields, "groups", "group"),
        ("apiextensions", "CustomResourceDefinitionSpec") => {
            optional(&["versions"]);
            fields.insert("version".into(), text("The only version, where there is no list of them."));
            let version =
                |name: &str| reference(format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{name}"));
            fields.insert("validation".into(), version("v1.CustomResourceValidation"));
            fields.insert("subresources".into(), version("v1.CustomResourceSubresources"));
            let columns = json!({"type": "array", "x-kubernetes-list-type": "atomic",
                "items": version("v1beta1.CustomResourceColumnDefinition")});
            fields.insert("additionalPrinterColumns".into(), columns);
        }
        ("apiextensions", "CustomResourceConversion") => {
            fields.remove("webhook");
            let client = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookClientConfig";
            fields.insert("webhookClientConfig".into(), reference(client.into()));
            let versions = json!({"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}});
            fields.insert("conversionReviewVersions".into(), versions);
        }
        ("apiextensions", "CustomResourceColumnDefinition") => {
            rename(&mut fields, "jsonPath", "JSONPath");
            optional(&["jsonPath"]);
        }
        _ => {}
    }
    schema["properties"] = Value::Object(fields);
    if let Some(own) = schema.as_object_mut().filter(|_| required.is_empty()) {
        own.remove("required");
    } else {
        schema["required"] = Value::Array(required);
    }
}

fn read_facts(text: &str) -> BTreeMap<String, Facts> {
    let mut all: BTreeMap<String, Facts> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix(' ') {
            None => name = line.to_string(),
            Some(field) => {
                let (field, facts) = field.split_once(' ').expect("a field has facts");
                let facts = facts.split(' ').map(String::from);
                let words = facts.map(|fact| match fact.split_once('=') {
                    Some((word, value)) => (word.to_string(), vec![value.to_string()]),
                    None => (fact, Vec::new()),
                });
                all.entry(name.clone()).or_default().insert(field.into(), words.collect());
            }
        }
    }
    all
}

/// A fact about something that does not exist is a mistake.
fn check_facts(facts: &BTreeMap<String, Facts>, types: &Map<String, Value>) {
    for (name, fields) in facts {
        let schema = types.get(name).unwrap_or_else(|| panic!("facts.txt: there is no type {name}"));
        for (field, facts) in fields {
            let exists = field == "." || schema["properties"].get(field).is_some();
            assert!(exists, "facts.txt: {name} has no field {field}");
            for word in facts.keys() {
                const WORDS: &[&str] =
                    &["atomic", "granular", "set", "map", "patch", "key", "enum", "items", "default"];
                assert!(WORDS.contains(&word.as_str()), "facts.txt: {name}.{field}: what is {word}?");
            }
        }
    }
}

/// Puts the facts into the schema, in the form that OpenAPI documents have them.
fn add_facts(name: &str, schema: &mut Value, facts: Option<&Facts>) {
    let nothing = Facts::new();
    let facts = facts.unwrap_or(&nothing);
    if facts.get(".").is_some_and(|own| own.contains_key("atomic")) {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (field, schema) in properties {
        let own = facts.get(field);
        if schema["type"] == "array" && !(field == "items" && name.ends_with("List")) {
            schema["x-kubernetes-list-type"] = json!("atomic");
        }
        for (word, value) in own.into_iter().flatten() {
            let value = value.first().map(String::as_str).unwrap_or_default();
            match word.as_str() {
                "atomic" | "granular" => schema["x-kubernetes-map-type"] = json!(word),
                "set" => schema["x-kubernetes-list-type"] = json!("set"),
                "map" => {
                    schema["x-kubernetes-list-type"] = json!("map");
                    schema["x-kubernetes-list-map-keys"] = value.split(',').collect();
                }
                "patch" => schema["x-kubernetes-patch-strategy"] = json!(value),
                "key" => schema["x-kubernetes-patch-merge-key"] = json!(value),
                "enum" => schema["enum"] = value.split('|').collect(),
                "items" => schema["items"]["enum"] = value.split('|').collect(),
                _ => schema["default"] = serde_json::from_str(value).expect("a default is JSON"),
            }
        }
    }
}

/// The structure of every type: a count, an offset per type in the order of names, then name and node of each.
fn structure(types: &Map<String, Value>) -> Vec<u8> {
    let names: BTreeMap<&str, u16> = types.keys().map(String::as_str).zip(0..).collect();
    let mut offsets = Vec::new();
    let mut bodies = Vec::new();
    let start = 2 + 4 * names.len();
    for name in names.keys() {
        offsets.extend(u32::try_from(start + bodies.len()).unwrap().to_le_bytes());
        text(&mut bodies, name);
        node(&mut bodies, name, &types[*name], &names);
    }
    let mut all = u16::try_from(names.len()).unwrap().to_le_bytes().to_vec();
    all.extend(offsets);
    all.extend(bodies);
    all
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap());
    out.extend(text.as_bytes());
}

/// Types whose JSON is anything.
const ANY: &[&str] = &[
    "apiextensions.v1.JSON",
    "apiextensions.v1.JSONSchemaPropsOrArray",
    "apiextensions.v1.JSONSchemaPropsOrBool",
    "apiextensions.v1.JSONSchemaPropsOrStringArray",
    "meta.v1.FieldsV1",
    "runtime.RawExtension",
];

/// One node: a letter for its shape, then what belongs to it.
fn node(out: &mut Vec<u8>, name: &str, schema: &Value, names: &BTreeMap<&str, u16>) {
    if let Some(target) = schema["$ref"].as_str().and_then(|target| target.strip_prefix(REFERENCE)) {
        out.push(b'r');
        out.extend(names[target].to_le_bytes());
        return;
    }
    let ends = |end: &str| name.ends_with(end);
    if ANY.iter().any(|any| ends(any)) {
        return out.push(b'a');
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        _ if ends("intstr.IntOrString") => out.push(b'x'),
        _ if ends("resource.Quantity") => out.push(b'q'),
        _ if ends("meta.v1.Time") => out.push(b't'),
        _ if ends("meta.v1.MicroTime") => out.push(b'u'),
        (Some("string"), Some("byte")) => out.push(b'y'),
        (Some("string"), _) => out.push(b's'),
        (Some("integer"), Some("int32")) => out.push(b'i'),
        (Some("integer"), _) => out.push(b'l'),
        (Some("number"), _) => out.push(b'd'),
        (Some("boolean"), _) => out.push(b'b'),
        (Some("array"), _) => {
            out.push(b'[');
            match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => out.push(b's'),
                Some("map") => {
                    let keys = schema["x-kubernetes-list-map-keys"].as_array().unwrap();
                    out.push(b'm');
                    out.push(u8::try_from(keys.len()).unwrap());
                    keys.iter().for_each(|key| text(out, key.as_str().unwrap()));
                }
                _ => out.push(b'a'),
            }
            node(out, "", &schema["items"], names);
        }
        (Some("object"), _) if schema.get("properties").is_some() => fields(out, schema, names),
        (Some("object"), _) if schema.get("additionalProperties").is_some() => {
            out.push(b'{');
            out.push(u8::from(schema["x-kubernetes-map-type"] == "atomic"));
            node(out, "", &schema["additionalProperties"], names);
        }
        (Some("object"), _) => fields(out, schema, names),
        other => panic!("{name}: no shape for {other:?} {schema}"),
    }
}

fn fields(out: &mut Vec<u8>, schema: &Value, names: &BTreeMap<&str, u16>) {
    out.push(b'o');
    out.push(u8::from(schema["x-kubernetes-map-type"] == "atomic"));
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    out.push(u8::try_from(properties.len()).unwrap());
    for (name, schema) in properties {
        text(out, name);
        field(out, schema, required.contains(&name.as_str()), names);
    }
}

/// A field: a byte of flags, what the flags announce, and the node.
fn field(out: &mut Vec<u8>, schema: &Value, required: bool, names: &BTreeMap<&str, u16>) {
    let strategy = schema["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
    let has = |word: &str| strategy.split(',').any(|own| own == word);
    let key = schema["x-kubernetes-patch-merge-key"].as_str();
    let is_reference = schema.get("$ref").is_some();
    let map_type = schema["x-kubernetes-map-type"].as_str().filter(|_| is_reference);
    let flags = [
        required,
        has("merge"),
        has("replace"),
        has("retainKeys"),
        key.is_some(),
        schema.get("default").is_some(),
        schema.get("enum").is_some(),
        map_type.is_some(),
    ];
    out.push(flags.iter().enumerate().fold(0, |sum, (bit, flag)| sum | (u8::from(*flag) << bit)));
    key.into_iter().for_each(|key| text(out, key));
    schema.get("default").into_iter().for_each(|default| text(out, &default.to_string()));
    if let Some(allowed) = schema["enum"].as_array() {
        out.push(u8::try_from(allowed.len()).unwrap());
        allowed.iter().for_each(|value| text(out, value.as_str().unwrap()));
    }
    map_type.into_iter().for_each(|kind| out.push(u8::from(kind == "atomic")));
    node(out, "", schema, names);
}

/// Two lines per type, its name and its OpenAPI v3 schema, all in one zlib stream.
fn documents(types: &Map<String, Value>) -> Vec<u8> {
    let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for (name, schema) in types {
        let mut schema = schema.clone();
        for (end, form) in [
            (
                "intstr.IntOrString",
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
            ("resource.Quantity", json!({"oneOf": [{"type": "string"}, {"type": "number"}]})),
        ] {
            if name.ends_with(end) {
                let mut whole = form;
                whole["description"] = schema["description"].take();
                schema = whole;
            }
        }
        if ANY.iter().any(|any| name.ends_with(any) && any.contains("JSON")) {
            schema = json!({"description": schema["description"].take()});
        }
        to_v3(&mut schema);
        writeln!(stream, "{name}\n{schema}").unwrap();
    }
    stream.finish().unwrap()
}

/// A reference with anything beside it goes into `allOf`: OpenAPI v3 ignores what stands beside one.
fn to_v3(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(to_v3);
            let Some(target) = map.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(REFERENCE))
            else {
                return;
            };
            let reference = json!(format!("#/components/schemas/{target}"));
            map.remove("$ref");
            if map.is_empty() {
                map.insert("$ref".into(), reference);
            } else {
                map.insert("allOf".into(), json!([{"$ref": reference}]));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(to_v3),
        _ => {}
    }
}
