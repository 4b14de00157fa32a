//! The server through its own in-process client: what every client may rely on.

use super::*;
use crate::config::Wanted;
use crate::pki::{ClusterNames, ensure_cluster};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{
    Api as Door, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use serde_json::json;

pub struct TestServer {
    _folder: tempfile::TempDir,
    pub server: Server,
}

/// A server in a folder of its own, as every test of it and of its clients has one.
pub async fn whole() -> (Server, NodePaths, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let profile = Wanted::named("coracle").resolve(&[]).unwrap();
    let paths = NodePaths::new(folder.path());
    let names = ClusterNames {
        node_name: "coracle".into(),
        node_addresses: vec![],
        service_address: profile.network.api_service_address,
        domain: "cluster.local".into(),
        extra: vec![],
    };
    ensure_cluster(&paths.pki(), &names).unwrap();
    let server = Server::start(ServerConfig { profile, paths: paths.clone() }).await.unwrap();
    (server, paths, folder)
}

pub async fn server() -> TestServer {
    let (server, _, folder) = whole().await;
    TestServer { server, _folder: folder }
}

impl TestServer {
    pub fn admin(&self) -> kube::Client {
        self.server.client(Identity::new("admin", &["system:masters"]))
    }

    /// Makes the account that pods of `default` run as; no controller does it here.
    pub async fn account(&self) {
        let accounts: Door<k8s_openapi::api::core::v1::ServiceAccount> = Door::namespaced(self.admin(), "default");
        let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
    }

    fn config_maps(&self) -> Door<ConfigMap> {
        Door::namespaced(self.admin(), "default")
    }
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.into()), ..Default::default() },
        data: Some([("key".to_string(), value.to_string())].into()),
        ..Default::default()
    }
}

fn code(error: kube::Error) -> (u16, String, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn metrics_health_and_paths_are_told() {
    let test = server().await;
    test.config_maps().create(&PostParams::default(), &config_map("a", "b")).await.unwrap();
    let get = async |path: &str| {
        let request = http::Request::get(path).body(vec![]).unwrap();
        test.admin().request_text(request).await
    };
    let metrics = get("/metrics").await.unwrap();
    for line in [
        "apiserver_request_total{code=\"201\",dry_run=\"\",component=\"apiserver\",group=\"\",resource=\"configmaps\",\
         scope=\"namespace\",subresource=\"\",verb=\"POST\",version=\"v1\"} 1\n",
        "apiserver_storage_objects{resource=\"configmaps\"} ",
        "apiserver_storage_objects{resource=\"deployments.apps\"} 0\n",
        "verb=\"POST\",version=\"v1\",le=\"+Inf\"} 1\n",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert_eq!(get("/readyz?verbose").await.unwrap(), "[+]ping ok\n[+]log ok\n[+]etcd ok\nreadyz check passed\n");
    assert_eq!(get("/healthz/etcd").await.unwrap(), "ok");
    assert!(get("/livez/nothing").await.is_err());
    let index = get("/").await.unwrap();
    assert!(index.contains("\"/apis/apps/v1\"") && index.contains("\"/readyz/ping\""), "{index}");
}

#[tokio::test]
async fn an_object_is_made_read_changed_and_deleted() {
    let test = server().await;
    let maps = test.config_maps();
    let made = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let again = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap_err();
    assert_eq!(code(again), (409, "AlreadyExists".into(), "configmaps \"a\" already exists".into()));
    let mut changed = maps.get("a").await.unwrap();
    assert_eq!(changed, made);
    changed.data = Some([("key".to_string(), "2".to_string())].into());
    let changed = maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(changed.metadata.resource_version, made.metadata.resource_version);
    let stale = maps.replace("a", &PostParams::default(), &made).await.unwrap_err();
    assert_eq!(code(stale).1, "Conflict");
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(maps.get("a").await.unwrap_err()), (404, "NotFound".into(), "configmaps \"a\" not found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_name_no_version_do_not_conflict_with_each_other() {
    let test = server().await;
    test.config_maps().create(&PostParams::default(), &config_map("a", "0")).await.unwrap();
    let update = |writer: usize| {
        let maps = test.config_maps();
        tokio::spawn(async move {
            for round in 0..25 {
                let map = config_map("a", &format!("{writer} {round}"));
                maps.replace("a", &PostParams::default(), &map).await.unwrap();
            }
        })
    };
    futures::future::try_join_all((0..4).map(update)).await.unwrap();
}

#[tokio::test]
async fn a_patch_that_names_another_version_is_a_conflict_whatever_its_form() {
    let test = server().await;
    let maps = test.config_maps();
    maps.create(&PostParams::default(), &config_map("a", "0")).await.unwrap();
    let operations = json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]);
    let forms: [Patch<serde_json::Value>; 3] = [
        Patch::Json(serde_json::from_value(operations).unwrap()),
        Patch::Merge(json!({"metadata": {"resourceVersion": "1"}})),
        Patch::Strategic(json!({"metadata": {"resourceVersion": "1"}})),
    ];
    for form in &forms {
        let refused = maps.patch("a", &PatchParams::default(), form).await.unwrap_err();
        assert_eq!(code(refused).1, "Conflict", "{form:?}");
    }
}

#[tokio::test]
async fn a_lease_is_only_replaced_by_who_names_its_version() {
    let test = server().await;
    let leases: Door<k8s_openapi::api::coordination::v1::Lease> = Door::namespaced(test.admin(), "default");
    let lease = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}})).unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
    let (code, reason, message) = code(leases.replace("a", &PostParams::default(), &lease).await.unwrap_err());
    let wanted = "Lease.coordination.k8s.io \"a\" is invalid: metadata.resourceVersion: Invalid value: 0x0: \
        must be specified for an update";
    assert_eq!((code, reason.as_str(), message.as_str()), (422, "Invalid", wanted));
}

#[tokio::test]
async fn lists_come_in_pages_of_one_revision() {
    let test = server().await;
    let maps = test.config_maps();
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(1));
    maps.create(&PostParams::default(), &config_map("d", "1")).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let second = maps.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(second.items.iter().map(|map| map.metadata.name.clone().unwrap()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
}

#[tokio::test]
async fn a_watch_with_a_selector_sees_objects_come_and_go() {
    let test = server().await;
    let maps = test.config_maps();
    let mut watch = maps.watch(&WatchParams::default().labels("on=yes"), "0").await.unwrap().boxed();
    maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    for on in ["yes", "no"] {
        let patch = json!({"metadata": {"labels": {"on": on}}});
        maps.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
    assert!(
        matches!(watch.next().await, Some(Ok(WatchEvent::Added(map))) if map.metadata.name.as_deref() == Some("a"))
    );
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Deleted(_)))));
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let test = server().await;
    let maps = test.config_maps();
    let mut map = config_map("a", "1");
    map.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get("a").await.unwrap().metadata.deletion_timestamp.is_some());
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_is_made_where_there_is_no_namespace() {
    let test = server().await;
    let maps: Door<ConfigMap> = Door::namespaced(test.admin(), "nowhere");
    let error = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap_err();
    assert_eq!(code(error), (404, "NotFound".into(), "namespaces \"nowhere\" not found".into()));
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let test = server().await;
    let maps = test.config_maps();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &config_map("a", "1")).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn status_and_object_are_written_apart() {
    let test = server().await;
    let namespaces: Door<Namespace> = Door::all(test.admin());
    let phase = |namespace: &Namespace| namespace.status.as_ref().and_then(|status| status.phase.clone());
    let patch = json!({"status": {"phase": "Odd"}, "metadata": {"labels": {"a": "b"}}});
    let after = namespaces.patch("default", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(phase(&after).as_deref(), Some("Active"));
    assert_eq!(after.metadata.labels.unwrap()["a"], "b");
}

#[tokio::test]
async fn a_pod_on_a_node_ends_with_grace_and_a_pod_on_none_at_once() {
    let test = server().await;
    test.account().await;
    let pods: Door<Pod> = Door::namespaced(test.admin(), "default");
    let pod = |name: &str, node: Option<&str>| -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}))
        .unwrap()
    };
    pods.create(&PostParams::default(), &pod("free", None)).await.unwrap();
    pods.create(&PostParams::default(), &pod("placed", Some("n"))).await.unwrap();
    pods.delete("free", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("free").await.unwrap().is_none());
    pods.delete("placed", &DeleteParams::default()).await.unwrap();
    let ending = pods.get("placed").await.unwrap();
    assert!(ending.metadata.deletion_grace_period_seconds.unwrap() > 0);
    pods.delete("placed", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(pods.get_opt("placed").await.unwrap().is_none());
}

#[tokio::test]
async fn whoever_is_nobody_may_read_the_version_and_nothing_else() {
    let test = server().await;
    let client = test.server.client(Identity::anonymous());
    assert!(client.apiserver_version().await.is_ok());
    let maps: Door<ConfigMap> = Door::namespaced(client, "default");
    let (code, reason, message) = code(maps.list(&ListParams::default()).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    let expected = "configmaps is forbidden: User \"system:anonymous\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"";
    assert_eq!(message, expected);
}

#[tokio::test]
async fn every_kind_is_discovered() {
    let test = server().await;
    let discovery = kube::discovery::Discovery::new(test.admin()).run().await.unwrap();
    let names: Vec<String> = discovery.groups().map(|group| group.name().to_string()).collect();
    for group in ["", "apps", "batch", "rbac.authorization.k8s.io", "discovery.k8s.io"] {
        assert!(names.iter().any(|name| name == group), "{group}: {names:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_with_reason_field_and_upstreams_words() {
    let test = server().await;
    let deployments: Door<k8s_openapi::api::apps::v1::Deployment> = Door::namespaced(test.admin(), "default");
    let with = |labels: serde_json::Value| {
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}))
        .unwrap()
    };
    let refused = deployments.create(&PostParams::default(), &with(json!({"app": "b"}))).await.unwrap_err();
    let (code_, reason, message) = code(refused);
    let wanted = "Deployment.apps \"web\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"b\"}: \
        `selector` does not match template `labels`";
    assert_eq!((code_, reason.as_str(), message.as_str()), (422, "Invalid", wanted));
    deployments.create(&PostParams::default(), &with(json!({"app": "a"}))).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"selector": {"matchLabels": {"app": "c"}}}}));
    let (code_, _, message) = code(deployments.patch("web", &PatchParams::default(), &patch).await.unwrap_err());
    assert_eq!(code_, 422);
    assert!(
        message.contains("spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"c\"}}: field is immutable"),
        "{message}"
    );
}

#[tokio::test]
async fn a_service_is_given_an_address_and_keeps_it() {
    let test = server().await;
    let services: Door<k8s_openapi::api::core::v1::Service> = Door::namespaced(test.admin(), "default");
    let service =
        |spec: serde_json::Value| serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
    let node_port = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let made = services.create(&PostParams::default(), &service(node_port)).await.unwrap().spec.unwrap();
    let (address, port) = (made.cluster_ip.unwrap(), made.ports.unwrap()[0].node_port.unwrap());
    assert!(address.starts_with("10.") && (30_000..=32_767).contains(&port));
    let patch = Patch::Merge(json!({"spec": {"clusterIP": "10.96.77.77", "clusterIPs": ["10.96.77.77"]}}));
    let (code_, _, message) = code(services.patch("web", &PatchParams::default(), &patch).await.unwrap_err());
    assert!(
        code_ == 422
            && message.contains("spec.clusterIPs[0]: Invalid value: [\"10.96.77.77\"]: may not change once set"),
        "{message}"
    );
    let patch = Patch::Merge(json!({"spec": {"type": "ClusterIP"}}));
    let plain = services.patch("web", &PatchParams::default(), &patch).await.unwrap().spec.unwrap();
    assert_eq!(plain.cluster_ip.as_deref(), Some(address.as_str()));
    assert!(plain.ports.unwrap()[0].node_port.is_none());
    let taken = json!({"clusterIP": address, "ports": [{"port": 80}]});
    let mut other: k8s_openapi::api::core::v1::Service = service(taken);
    other.metadata.name = Some("other".into());
    let (code_, _, message) = code(services.create(&PostParams::default(), &other).await.unwrap_err());
    assert!(code_ == 422 && message.ends_with("provided IP is already allocated"), "{message}");
    services.delete("web", &DeleteParams::default()).await.unwrap();
    services.create(&PostParams::default(), &other).await.unwrap();
}

#[tokio::test]
async fn what_a_path_or_an_option_cannot_mean_is_refused_in_kubernetes_words() {
    let test = server().await;
    let client = test.admin();
    test.config_maps().create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let ask = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(format!("{MAPS}{path}"));
        let request = request
            .header("content-type", "application/json")
            .body(kube::client::Body::from(body.to_string().into_bytes()));
        let answer = client.send(request.unwrap()).await.unwrap();
        let code = answer.status().as_u16();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (code, status["message"].as_str().unwrap_or_default().to_string())
    };
    let no_such_method = "the server does not allow this method on the requested resource";
    let options = |kind: &str, why: &str| (422, format!("{kind}.meta.k8s.io \"\" is invalid: {why}"));
    let only_with_version =
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
    let policies = "propagationPolicy: Unsupported value: \"Foo\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
    let dry_run = "dryRun: Unsupported value: \"foo\": supported values: \"All\"";
    let both =
        "propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set";
    for (method, path, body, expected) in [
        ("PUT", "", "", (405, no_such_method.into())),
        ("PATCH", "", "{}", (405, no_such_method.into())),
        ("POST", "/a", "{}", (405, no_such_method.into())),
        ("FOO", "", "", (405, no_such_method.into())),
        ("OPTIONS", "/a", "", (405, no_such_method.into())),
        ("GET", "?resourceVersionMatch=Exact", "", options("ListOptions", only_with_version)),
        ("GET", "?labelSelector=a==b==c", "", (400, "found '==', expected: ',' or 'end of string'".into())),
        ("DELETE", "/a", "{\"propagationPolicy\":\"Foo\"}", options("DeleteOptions", policies)),
        ("DELETE", "/a?dryRun=foo", "", options("DeleteOptions", dry_run)),
        ("DELETE", "/a", "{\"dryRun\":[\"foo\"]}", options("DeleteOptions", dry_run)),
        ("DELETE", "?dryRun=foo", "", options("DeleteOptions", dry_run)),
        (
            "DELETE",
            "/a",
            "{\"orphanDependents\":true,\"propagationPolicy\":\"Orphan\"}",
            options("DeleteOptions", both),
        ),
        ("DELETE", "/a?gracePeriodSeconds=x", "", (400, "strconv.ParseInt: parsing \"x\": invalid syntax".into())),
    ] {
        assert_eq!(ask(method, path, body).await, expected, "{method} {path}");
    }
    let (code, why) = ask("GET", "?resourceVersion=1&resourceVersionMatch=Foo", "").await;
    assert!(
        code == 422 && why.contains("Unsupported value: \"Foo\": supported values: \"Exact\", \"NotOlderThan\""),
        "{why}"
    );
    let watched = ask("GET", "?watch=1&resourceVersion=1&resourceVersionMatch=Exact", "").await;
    assert_eq!(watched.0, 422, "{}", watched.1);
}
