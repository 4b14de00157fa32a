//! Policies as clients meet them.

use crate::control::server::tests::{TestServer, server};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api as Door, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

async fn make(test: &TestServer, kind: &str, plural: &str, name: &str, spec: Value) -> Result<(), kube::Error> {
    let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let door: Door<DynamicObject> = Door::all_with(test.admin(), &ApiResource::from_gvk_with_plural(&gvk, plural));
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    door.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.map(drop)
}

async fn policy(test: &TestServer, more: Value) -> Result<(), kube::Error> {
    let mut spec = json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    make(test, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "p", spec).await
}

async fn bind(test: &TestServer, more: Value) -> Result<(), kube::Error> {
    let mut spec = json!({"policyName": "p", "validationActions": ["Deny"]});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    make(test, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "b", spec).await
}

async fn map(test: &TestServer, name: &str, data: Value) -> Result<ConfigMap, kube::Error> {
    let maps: Door<ConfigMap> = Door::namespaced(test.admin(), "default");
    let map = json!({"metadata": {"name": name}, "data": data});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await
}

fn said(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_a_bound_policy_does_not_allow_is_refused() {
    let test = server().await;
    let validations =
        json!([{"expression": "variables.count <= 1", "messageExpression": "'has ' + string(variables.count)"}]);
    let variables = json!([{"name": "count", "expression": "size(object.data)"}]);
    policy(&test, json!({"validations": validations, "variables": variables})).await.unwrap();
    map(&test, "unbound", json!({"a": "1", "b": "2"})).await.unwrap();
    bind(&test, json!({})).await.unwrap();
    map(&test, "good", json!({"a": "1"})).await.unwrap();
    let words = "configmaps \"bad\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: has 2";
    assert_eq!(said(map(&test, "bad", json!({"a": "1", "b": "2"})).await.unwrap_err()), (422, words.to_string()));
}

#[tokio::test]
async fn a_policy_may_ask_what_the_user_may_do() {
    let test = server().await;
    let secrets = "authorizer.group('').resource('secrets').namespace('default').check('get')";
    let account = "authorizer.serviceAccount('default', 'a').group('apps').resource('deployments').check('create')";
    let all = [
        format!("{secrets}.allowed() && !{secrets}.errored() && {secrets}.error() == ''"),
        format!("!{account}.allowed() && {account}.reason() == ''"),
        "authorizer.path('/metrics').check('get').allowed()".into(),
        "authorizer.requestResource.check('delete').allowed()".into(),
        "!authorizer.serviceAccount('default', 'a').path('/metrics').check('get').allowed()".into(),
    ];
    let validations: Vec<Value> = all.iter().map(|text| json!({"expression": text, "message": text})).collect();
    policy(&test, json!({"validations": validations})).await.unwrap();
    bind(&test, json!({})).await.unwrap();
    map(&test, "good", json!({"a": "1"})).await.unwrap();
}

#[tokio::test]
async fn parameters_are_what_the_binding_names() {
    let test = server().await;
    map(&test, "limits", json!({"most": "1"})).await.unwrap();
    let validations = json!([{"expression": "object.metadata.name == 'limits' || size(object.data) <= int(params.data.most)",
        "message": "too many"}]);
    policy(&test, json!({"validations": validations, "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}))
        .await
        .unwrap();
    let reference = json!({"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"});
    bind(&test, json!({"paramRef": reference})).await.unwrap();
    map(&test, "good", json!({"a": "1"})).await.unwrap();
    assert!(
        said(map(&test, "bad", json!({"a": "1", "b": "2"})).await.unwrap_err()).1.ends_with("denied request: too many")
    );
}

#[tokio::test]
async fn an_expression_that_fails_refuses_unless_it_may() {
    let test = server().await;
    let validations = json!([{"expression": "object.data.missing == '1'"}]);
    policy(&test, json!({"validations": validations})).await.unwrap();
    bind(&test, json!({})).await.unwrap();
    let (_, message) = said(map(&test, "a", json!({"a": "1"})).await.unwrap_err());
    assert!(
        message.ends_with("expression 'object.data.missing == '1'' resulted in error: no such key: missing"),
        "{message}"
    );
}

#[tokio::test]
async fn expressions_that_cannot_be_read_are_refused_when_they_are_written() {
    let test = server().await;
    let (code, message) = said(policy(&test, json!({"validations": [{"expression": "lost == 1"}]})).await.unwrap_err());
    assert_eq!(code, 422);
    assert!(
        message.contains("spec.validations[0].expression: Invalid value: \"lost == 1\": compilation failed"),
        "{message}"
    );
}
