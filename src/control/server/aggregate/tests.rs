//! APIServices as clients see them.

use crate::control::server::tests::server;
use futures::StreamExt;
use kube::api::{Api as Door, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

fn door(client: kube::Client) -> Door<DynamicObject> {
    Door::all_with(client, &ApiResource::from_gvk(&GroupVersionKind::gvk("apiregistration.k8s.io", "v1", "APIService")))
}

#[tokio::test]
async fn every_group_that_is_served_here_is_registered_and_available() {
    let test = server().await;
    let doors = door(test.admin());
    let mut watch = doors.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let mut names = Vec::new();
    while !["v1.", "v1.apps", "v1.rbac.authorization.k8s.io"].iter().all(|name| names.iter().any(|own| own == name)) {
        match watch.next().await {
            Some(Ok(WatchEvent::Added(one))) => {
                assert_eq!(one.data["status"]["conditions"][0]["status"], "True");
                names.push(one.metadata.name.unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_group_whose_server_is_not_there_says_why_and_answers_503() {
    let test = server().await;
    let doors = door(test.admin());
    let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.far.example.com"},
        "spec": {"group": "far.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "far"}}});
    let made = doors.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let only = WatchParams::default().fields("metadata.name=v1.far.example.com");
    let mut watch = doors.watch(&only, &made.metadata.resource_version.unwrap()).await.unwrap().boxed();
    let Some(Ok(WatchEvent::Modified(one))) = watch.next().await else { panic!("the watch ended") };
    let condition = &one.data["status"]["conditions"][0];
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("ServiceNotFound")));
    let things = ApiResource::from_gvk(&GroupVersionKind::gvk("far.example.com", "v1", "Thing"));
    let error = Door::<DynamicObject>::all_with(test.admin(), &things).list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 503), "{error}");
    let groups = test.admin().list_api_groups().await.unwrap().groups;
    assert!(groups.iter().any(|group| group.name == "far.example.com"));
}

#[test]
fn keys_of_extras_are_encoded_as_header_names() {
    assert_eq!(super::encoded("example.com/Team"), "example.com%2fteam");
}
