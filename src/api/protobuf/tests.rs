//! The bytes were made by another implementation of the same messages: the `k8s-pb` crate (prost) 0.9.

use super::*;
use serde_json::json;

const POD: &str = "\
    6b3873000a090a0276311203506f641284020a770a037765621a0764656661756c7442080880e2cfaa0610005a0a0a036170\
    7012037765626a230a0a5265706c6963615365741a057765622d312201752a07617070732f7631300138008a012b0a076b75\
    626563746c12054170706c7932084669656c647356313a0f0a0d7b22663a73706563223a7b7d7d1288010a090a03746d7012\
    02120012620a046d61696e12056e67696e7822022d7822003207185022035443503a060a014112016242210a0d0a03637075\
    12060a043530306d0a100a066d656d6f727912060a0436344d6952160a1212100a032f6f6b1209080110001a037765622005\
    9001011a06416c776179732000720d10ffffffffffffffffff0118001a002200\
";
const PODLIST: &str = "\
    6b3873000a0d0a0276311207506f644c697374120c0a0312013712050a030a01611a002200\
";
const DEPLOYMENT: &str = "\
    6b3873000a150a07617070732f7631120a4465706c6f796d656e7412630a070a03776562380312580800121b0a0a0a036170\
    701203776562120d0a04746965721202496e1a01611a110a0862060a016b120176120512030a016322240a0d526f6c6c696e\
    6755706461746512130a06080010011a001209080110001a033235251a002200\
";
const SECRET: &str = "\
    6b3873000a0c0a0276311206536563726574121b0a030a0173120a0a036b6579120300ff011a064f706171756528001a0022\
    00\
";
const EVENT: &str = "\
    6b3873000a190a106576656e74732e6b38732e696f2f763112054576656e74121b0a030a0165120b0880e2cfaa06108094ef\
    3a3a07537461727465641a002200\
";
const REVISION: &str = "\
    6b3873000a1d0a07617070732f76311212436f6e74726f6c6c65725265766973696f6e121b0a030a017212120a107b227370\
    6563223a7b2278223a317d7d18021a002200\
";
const CRD: &str = "\
    6b3873000a330a17617069657874656e73696f6e732e6b38732e696f2f76311218437573746f6d5265736f75726365446566\
    696e6974696f6e12b0020a140a127468696e67732e6578616d706c652e636f6d1297020a0b6578616d706c652e636f6d1a0f\
    0a067468696e677322055468696e67220a4e616d657370616365643aea010a0276311001180122db010ad8012a066f626a65\
    6374ea01cc010a047370656312c3012a066f626a656374ba010473697a65ea01170a06636c6f736564120d2a066f626a6563\
    74f201020800ea01260a05636f6c6f72121d2a06737472696e67a201070a052272656422a201080a0622626c756522ea0122\
    0a046c697374121a2a056172726179c2010a0a082a06737472696e67d20203736574ea011e0a036d617012172a066f626a65\
    6374f2010c080112082a06737472696e67ea01280a0473697a6512202a07696e746567657242030a01334900000000000025\
    4059000000000000f03f2a020a001a002200\
";
const WATCH: &str = "\
    0a05414444454412080a066f626a656374\
";
const DELETE: &str = "\
    6b3873000a180a07617070732f7631120d44656c6574654f7074696f6e731213080012030a0175220a4261636b67726f756e\
    641a002200\
";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace([' ', '\n'], "")).unwrap()
}

/// The bytes read as the value, and the value is written as the same bytes.
#[track_caller]
fn same(text: &str, value: Value) {
    assert_eq!(decode(&bytes(text)).unwrap(), value);
    assert_eq!(hex::encode(encode(&value).unwrap()), hex::encode(bytes(text)));
}

#[test]
fn a_pod_is_read_and_written() {
    let value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "default", "creationTimestamp": "2023-11-14T22:13:20Z", "labels": {"app": "web"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": true,
                "blockOwnerDeletion": false,
            }],
            "managedFields": [{
                "manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}},
            }],
        },
        "spec": {
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [{
                "name": "main", "image": "nginx", "args": ["-x", ""], "tty": true,
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "env": [{"name": "A", "value": "b"}],
                "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
                "livenessProbe": {"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 5},
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsUser": -1, "runAsNonRoot": false},
        },
    });
    same(POD, value);
}

#[test]
fn a_list_has_items_without_types() {
    let items = [json!({"metadata": {"name": "a"}})];
    let value = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": items});
    assert_eq!(decode(&bytes(PODLIST)).unwrap(), value);
    let typed = [json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})];
    let written = encode_list("v1", "PodList", &value["metadata"], typed.into_iter().map(Ok)).unwrap();
    assert_eq!(hex::encode(written), hex::encode(bytes(PODLIST)));
}

#[test]
fn numbers_that_may_be_strings_and_zeros_behind_pointers_survive() {
    let value = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 3},
        "spec": {
            "replicas": 0,
            "selector": {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a"]}],
            },
            "template": {"metadata": {"annotations": {"k": "v"}}, "spec": {"containers": [{"name": "c"}]}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": "25%"}},
        },
    });
    same(DEPLOYMENT, value);
}

#[test]
fn bytes_are_base64_and_small_times_keep_microseconds() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "AP8B"}, "type": "Opaque",
        "immutable": false,
    });
    same(SECRET, secret);
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Started",
        "eventTime": "2023-11-14T22:13:20.123456Z",
    });
    same(EVENT, event);
}

#[test]
fn raw_json_is_carried_as_it_is() {
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "revision": 2,
        "data": {"spec": {"x": 1}},
    });
    same(REVISION, revision);
}

#[test]
fn schemas_in_schemas_are_read_and_written() {
    let schema = json!({
        "type": "object",
        "properties": {"spec": {
            "type": "object", "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 10.5, "default": 3},
                "color": {"type": "string", "enum": ["red", "blue"]},
                "list": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "closed": {"type": "object", "additionalProperties": false},
            },
        }},
    });
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}, "versions": [version],
        },
    });
    same(CRD, definition);
}

#[test]
fn options_are_read_in_the_version_of_any_group() {
    let options = json!({
        "apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"},
        "propagationPolicy": "Background",
    });
    same(DELETE, options);
}

#[test]
fn a_watch_frame_says_how_long_it_is() {
    let frame = watch_frame("ADDED", b"object");
    assert_eq!(frame[..4], 17u32.to_be_bytes());
    assert_eq!(hex::encode(&frame[4..]), WATCH);
}

#[test]
fn what_is_long_or_broken_is_told_apart() {
    let long =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "x".repeat(40_000)}});
    let written = encode(&long).unwrap();
    assert_eq!(decode(&written).unwrap(), long);
    assert_eq!(decode(&written[..written.len() - 5]), Err(Error::Truncated));
    assert_eq!(decode(b"{}"), Err(Error::NoPrefix));
    let wrong = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": 5}]}});
    let expected = Error::Mismatch { path: "spec.containers[0].name".into(), expected: "a string", got: "5".into() };
    assert_eq!(encode(&wrong), Err(expected));
    let custom = json!({"apiVersion": "example.com/v1", "kind": "Thing"});
    assert!(matches!(encode(&custom), Err(Error::Unknown { .. })));
}

#[test]
fn nesting_has_an_end() {
    let mut schema = json!({"type": "object"});
    for _ in 0..300 {
        schema = json!({"not": schema});
    }
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]},
    });
    assert_eq!(decode(&encode(&definition).unwrap()), Err(Error::TooDeep("JSONSchemaProps")));
}
