//! Who may do what, through the whole server.

use crate::control::server::Identity;
use crate::control::server::tests::{TestServer, server};
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenReview};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectRulesReview};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role, RoleBinding};
use kube::api::{Api as Door, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn made<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn refusal(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("{other}"),
    }
}

async fn bind(test: &TestServer, role: &str, user: &str) {
    let bindings: Door<RoleBinding> = Door::namespaced(test.admin(), "default");
    let binding = json!({
        "metadata": {"generateName": "b-"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    });
    bindings.create(&PostParams::default(), &made(binding)).await.unwrap();
}

fn jane(test: &TestServer) -> kube::Client {
    test.server.client(Identity::new("jane", &["people"]))
}

#[tokio::test]
async fn a_binding_counts_from_the_moment_it_is_made_and_in_its_namespace_only() {
    let test = server().await;
    let here: Door<Pod> = Door::namespaced(jane(&test), "default");
    let there: Door<Pod> = Door::namespaced(jane(&test), "kube-system");
    let expected =
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert_eq!(refusal(here.list(&ListParams::default()).await.unwrap_err()), expected);
    bind(&test, "view", "jane").await;
    here.list(&ListParams::default()).await.unwrap();
    assert!(there.list(&ListParams::default()).await.is_err());
    assert!(here.delete("x", &DeleteParams::default()).await.is_err());
}

#[tokio::test]
async fn a_role_with_the_label_becomes_a_part_of_the_aggregated_one() {
    let test = server().await;
    bind(&test, "view", "jane").await;
    let roles: Door<ClusterRole> = Door::all(test.admin());
    let role = json!({
        "metadata": {"name": "more", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}],
    });
    roles.create(&PostParams::default(), &made(role)).await.unwrap();
    let reviews: Door<SelfSubjectAccessReview> = Door::all(jane(&test));
    let wanted = json!({"namespace": "default", "verb": "get", "group": "example.com", "resource": "things"});
    let review = made(json!({"spec": {"resourceAttributes": wanted}}));
    let status = reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    assert!(status.allowed, "{status:?}");
    assert!(status.reason.unwrap().starts_with("RBAC: allowed by RoleBinding"));
}

#[tokio::test]
async fn nobody_gives_away_what_they_do_not_have() {
    let test = server().await;
    bind(&test, "admin", "jane").await;
    let roles: Door<Role> = Door::namespaced(jane(&test), "default");
    let role = |resource: &str| -> Role {
        made(json!({
            "metadata": {"name": resource},
            "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": [resource]}],
        }))
    };
    roles.create(&PostParams::default(), &role("pods")).await.unwrap();
    let message = refusal(roles.create(&PostParams::default(), &role("nodes")).await.unwrap_err());
    let expected = "roles.rbac.authorization.k8s.io \"nodes\" is forbidden: user \"jane\" (groups=[\"people\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"list\"]}";
    assert_eq!(message, expected);
    let bindings: Door<RoleBinding> = Door::namespaced(jane(&test), "default");
    let binding = json!({
        "metadata": {"name": "b"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    assert!(bindings.create(&PostParams::default(), &made(binding)).await.is_err());
}

/// A service account and a pod that runs as it.
async fn account(test: &TestServer) {
    let accounts: Door<ServiceAccount> = Door::namespaced(test.admin(), "default");
    accounts.create(&PostParams::default(), &made(json!({"metadata": {"name": "robot"}}))).await.unwrap();
    let pods: Door<Pod> = Door::namespaced(test.admin(), "default");
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}]},
    });
    pods.create(&PostParams::default(), &made(pod)).await.unwrap();
}

async fn token(test: &TestServer, spec: Value) -> Result<String, kube::Error> {
    let accounts: Door<ServiceAccount> = Door::namespaced(test.admin(), "default");
    let request: TokenRequest = made(json!({"spec": spec}));
    let made = accounts.create_token_request("robot", &PostParams::default(), &request).await?;
    Ok(made.status.unwrap().token.unwrap_or_default())
}

async fn reviewed(test: &TestServer, token: &str, audiences: &[&str]) -> Value {
    let reviews: Door<TokenReview> = Door::all(test.admin());
    let review = made(json!({"spec": {"token": token, "audiences": audiences}}));
    serde_json::to_value(reviews.create(&PostParams::default(), &review).await.unwrap().status).unwrap()
}

#[tokio::test]
async fn a_token_is_worth_something_while_its_pod_is_there() {
    let test = server().await;
    account(&test).await;
    let reference = json!({"kind": "Pod", "apiVersion": "v1", "name": "p"});
    let token = token(&test, json!({"audiences": [], "boundObjectRef": reference})).await.unwrap();
    let status = reviewed(&test, &token, &[]).await;
    assert_eq!(status["authenticated"], true, "{status}");
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:robot");
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert!(reviewed(&test, &token, &["vault"]).await["authenticated"].is_null());
    let pods: Door<Pod> = Door::namespaced(test.admin(), "default");
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    let status = reviewed(&test, &token, &[]).await;
    assert!(status["authenticated"].is_null(), "{status}");
}

#[tokio::test]
async fn a_token_request_that_makes_no_sense_is_refused() {
    let test = server().await;
    account(&test).await;
    let short = token(&test, json!({"audiences": [], "expirationSeconds": 5})).await.unwrap_err();
    let expected = "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes";
    assert_eq!(refusal(short), expected);
    let reference = json!({"kind": "Pod", "apiVersion": "v1", "name": "q"});
    let missing = token(&test, json!({"audiences": [], "boundObjectRef": reference})).await.unwrap_err();
    assert_eq!(refusal(missing), "pods \"q\" not found");
}

#[tokio::test]
async fn everybody_learns_who_they_are_and_what_they_may() {
    let test = server().await;
    let reviews: Door<SelfSubjectReview> = Door::all(jane(&test));
    let who = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    assert_eq!(who.status.unwrap().user_info.unwrap().username.as_deref(), Some("jane"));
    let rules: Door<SelfSubjectRulesReview> = Door::all(jane(&test));
    let review = made(json!({"spec": {"namespace": "default"}}));
    let status = rules.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    assert!(
        status.resource_rules.iter().any(|rule| rule.resources.iter().flatten().any(|r| r == "selfsubjectreviews"))
    );
    assert!(!status.non_resource_rules.is_empty());
}

#[tokio::test]
async fn the_shared_identities_may_do_their_work() {
    let test = server().await;
    let manager = test.server.client(Identity::new("system:kube-controller-manager", &[]));
    let maps: Door<ConfigMap> = Door::namespaced(manager, "default");
    let map = made(json!({"metadata": {"name": "a"}}));
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "b"}}))).await.unwrap();
    let scheduler = test.server.client(Identity::new("system:kube-scheduler", &[]));
    let maps: Door<ConfigMap> = Door::namespaced(scheduler, "default");
    assert!(maps.get("a").await.is_err());
}

#[tokio::test]
async fn whoever_may_acts_as_somebody_else() {
    let test = server().await;
    let ask = |client: kube::Client, user: &'static str| async move {
        let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
            .header("impersonate-user", user)
            .header("content-type", "application/json")
            .body(b"{}".to_vec())
            .unwrap();
        client.request::<Value>(request).await
    };
    let seen = ask(test.admin(), "system:serviceaccount:default:robot").await.unwrap();
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(seen["status"]["userInfo"]["groups"], groups);
    let refused = refusal(ask(jane(&test), "root").await.unwrap_err());
    let expected = "users \"root\" is forbidden: User \"jane\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn keys_of_tokens_are_public_to_service_accounts() {
    let test = server().await;
    let get = |client: kube::Client, path: &'static str| async move {
        client.request::<Value>(http::Request::get(path).body(Vec::new()).unwrap()).await
    };
    let robot = Identity::new("system:serviceaccount:default:robot", &["system:serviceaccounts"]);
    let configuration = get(test.server.client(robot.clone()), "/.well-known/openid-configuration").await.unwrap();
    assert!(configuration["jwks_uri"].as_str().unwrap().ends_with("/openid/v1/jwks"));
    assert_eq!(get(test.server.client(robot), "/openid/v1/jwks").await.unwrap()["keys"][0]["alg"], "ES256");
    assert!(get(jane(&test), "/openid/v1/jwks").await.is_err());
}
