//! Tables of objects and what is said of them.

use crate::api::{Object, kinds};
use serde_json::{Value, json};

/// What is wrong with an object after its defaults, as the server does it, `FIELD: MESSAGE`.
fn found(group: &str, version: &str, kind: &str, object: Value) -> Vec<String> {
    let kind = kinds::find_kind(group, version, kind).unwrap();
    let mut object = Object::from_value(object).unwrap();
    (kind.rules.default)(&mut object);
    let causes = (kind.rules.validate)(&object);
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

fn pod(spec: Value) -> Vec<String> {
    let mut whole = json!({"containers": [{"name": "c", "image": "i"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    found("", "v1", "Pod", json!({"metadata": {"name": "p"}, "spec": whole}))
}

/// A pod whose one container has further fields.
fn container(fields: Value) -> Vec<String> {
    let mut whole = json!({"name": "c", "image": "i"});
    whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    pod(json!({"containers": [whole]}))
}

fn service(spec: Value) -> Vec<String> {
    found("", "v1", "Service", json!({"spec": spec}))
}

fn deployment(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut object = json!({"spec": {"selector": {"matchLabels": {"app": "a"}}, "template":
        {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    change(&mut object["spec"]);
    found("apps", "v1", "Deployment", object)
}

#[test]
fn plain_objects_are_fine() {
    assert_eq!(pod(json!({})), Vec::<String>::new());
    assert_eq!(service(json!({"ports": [{"port": 80}]})), Vec::<String>::new());
    assert_eq!(deployment(|_| {}), Vec::<String>::new());
}

#[test]
fn containers() {
    let twice = json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]});
    assert_eq!(pod(twice), ["spec.containers[1].name: Duplicate value: \"c\""]);
    assert_eq!(pod(json!({"containers": []})), ["spec.containers: Required value"]);
    let cases = [
        (json!({"image": ""}), "spec.containers[0].image: Required value"),
        (
            json!({"image": " i"}),
            "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
        ),
        (
            json!({"imagePullPolicy": "Often"}),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            json!({"ports": [{"containerPort": 70000}]}),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}),
            "spec.containers[0].ports[1].name: Duplicate value: \"a\"",
        ),
        (
            json!({"ports": [{"containerPort": 1, "protocol": "ICMP"}]}),
            "spec.containers[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            json!({"env": [{"name": "a=b"}]}),
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
        (
            json!({"env": [{"name": "a", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        (
            json!({"volumeMounts": [{"name": "gone", "mountPath": "/a"}]}),
            "spec.containers[0].volumeMounts[0].name: Not found: \"gone\"",
        ),
        (
            json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            json!({"resources": {"requests": {"cpu": "-1"}}}),
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        (
            json!({"livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 80}}}),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            json!({"readinessProbe": {}}),
            "spec.containers[0].readinessProbe: Required value: must specify a handler type",
        ),
        (
            json!({"livenessProbe": {"tcpSocket": {"port": 80}, "exec": {"command": ["a"]}}}),
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            json!({"securityContext": {"runAsUser": -1}}),
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
    ];
    for (fields, wanted) in cases {
        assert_eq!(container(fields.clone()), [wanted], "{fields}");
    }
}

#[test]
fn pods() {
    let cases = [
        (
            json!({"restartPolicy": "Sometimes"}),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 4294967295, inclusive",
        ),
        (
            json!({"dnsPolicy": "None"}),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}),
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (json!({"volumes": [{"name": "v", "secret": {}}]}), "spec.volumes[0].secret.secretName: Required value"),
        (
            json!({"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]}),
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
        ),
        (json!({"volumes": [{"name": "v"}, {"name": "v"}]}), "spec.volumes[1].name: Duplicate value: \"v\""),
        (
            json!({"tolerations": [{"operator": "Equal"}]}),
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}}}),
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
        ),
        (
            json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]}]}),
            "spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when `hostNetwork` is true",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "livenessProbe": {"tcpSocket": {"port": 1}}}]}),
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
    ];
    for (spec, wanted) in cases {
        assert_eq!(pod(spec.clone()), [wanted], "{spec}");
    }
}

#[test]
fn services() {
    let cases = [
        (json!({}), "spec.ports: Required value"),
        (json!({"ports": [{"port": 1, "name": "a"}, {"port": 2}]}), "spec.ports[1].name: Required value"),
        (
            json!({"ports": [{"port": 0, "targetPort": 80}]}),
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"ports": [{"port": 1, "nodePort": 30000}]}),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (json!({"type": "ExternalName"}), "spec.externalName: Required value"),
        (
            json!({"ports": [{"port": 1}], "externalTrafficPolicy": "Local"}),
            "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
        ),
        (
            json!({"ports": [{"port": 1}], "sessionAffinity": "Sometimes"}),
            "spec.sessionAffinity: Unsupported value: \"Sometimes\": supported values: \"ClientIP\", \"None\"",
        ),
    ];
    for (spec, wanted) in cases {
        assert_eq!(service(spec.clone()), [wanted], "{spec}");
    }
}

#[test]
fn deployments() {
    let mismatch = deployment(|spec| spec["template"]["metadata"]["labels"] = json!({"app": "b"}));
    let wanted =
        "spec.template.metadata.labels: Invalid value: {\"app\":\"b\"}: `selector` does not match template `labels`";
    assert_eq!(mismatch, [wanted]);
    assert_eq!(
        deployment(|spec| spec["replicas"] = json!(-1)),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert_eq!(
        deployment(|spec| spec["selector"] = json!({})),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]
    );
    assert_eq!(
        deployment(|spec| spec["template"]["spec"]["restartPolicy"] = json!("Never")),
        ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
    );
    let zero = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}});
    assert_eq!(
        deployment(|spec| spec["strategy"] = zero),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
    let changed = |new: Value, old: Value| {
        let object = |selector: Value| Object::from_value(json!({"spec": {"selector": selector}})).unwrap();
        super::workloads::update(&object(new), &object(old), "")
    };
    let cause = changed(json!({"matchLabels": {"a": "b"}}), json!({"matchLabels": {"a": "c"}})).remove(0);
    assert_eq!(cause.message, "Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: field is immutable");
}

#[test]
fn requests_for_certificates() {
    use base64::Engine;
    let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n";
    let pem = base64::engine::general_purpose::STANDARD.encode(pem);
    let of = |spec: Value| super::certificates::new_request(&Object::from_value(json!({"spec": spec})).unwrap());
    let right = json!({"request": pem, "signerName": "example.com/own", "usages": ["client auth"]});
    assert_eq!(of(right.clone()), vec![]);
    let wrong = json!({"request": "AA==", "signerName": "own", "usages": ["nothing"], "expirationSeconds": 1});
    let fields: Vec<String> = of(wrong).into_iter().map(|cause| cause.field).collect();
    assert_eq!(fields, ["spec.request", "spec.usages[0]", "spec.signerName", "spec.expirationSeconds"]);
    let mut legacy = right;
    legacy["signerName"] = json!(super::certificates::LEGACY);
    let causes = of(legacy);
    assert!(causes.len() == 1 && super::certificates::is_legacy(&causes[0]), "{causes:?}");
}

#[test]
fn config_and_rights() {
    let map = |object: Value| found("", "v1", "ConfigMap", object).concat();
    assert!(
        map(json!({"data": {"a/b": ""}})).starts_with("data[a/b]: Invalid value: \"a/b\": a valid config key must")
    );
    assert_eq!(map(json!({"data": {"a": "x".repeat(1_100_000)}})), "[]: Too long: may not be more than 1048576 bytes");
    let secret = found("", "v1", "Secret", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}));
    assert_eq!(secret, ["data[tls.key]: Required value"]);
    let group = "rbac.authorization.k8s.io";
    let role = found(group, "v1", "Role", json!({"rules": [{"apiGroups": [""], "resources": ["pods"]}]}));
    assert_eq!(role, ["rules[0].verbs: Required value: verbs must contain at least one value"]);
    let binding = json!({"roleRef": {"apiGroup": group, "kind": "Thing", "name": "n"}, "subjects": []});
    assert_eq!(
        found(group, "v1", "RoleBinding", binding),
        ["roleRef.kind: Unsupported value: \"Thing\": supported values: \"Role\", \"ClusterRole\""]
    );
    let account = json!({"roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "n"},
        "subjects": [{"kind": "ServiceAccount", "name": "a"}]});
    assert_eq!(found(group, "v1", "RoleBinding", account.clone()), [""; 0]);
    assert_eq!(found(group, "v1", "ClusterRoleBinding", account), ["subjects[0].namespace: Required value"]);
}

#[test]
fn jobs_and_others() {
    let job = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    assert_eq!(
        found("batch", "v1", "Job", job),
        ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
    );
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"]}});
    assert_eq!(found("", "v1", "PersistentVolumeClaim", claim), ["spec.resources.requests[storage]: Required value"]);
    let class = json!({"metadata": {"name": "x"}, "value": 2_000_000_000});
    assert_eq!(
        found("scheduling.k8s.io", "v1", "PriorityClass", class),
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
    );
}

#[test]
fn pods_of_a_stateful_set_may_mount_its_claims() {
    let mount = json!({"name": "data", "mountPath": "/data"});
    let template = json!({"metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [mount]}]}});
    let set = json!({"spec": {"selector": {"matchLabels": {"app": "a"}}, "serviceName": "a", "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}]}});
    assert_eq!(found("apps", "v1", "StatefulSet", set), Vec::<String>::new());
}
