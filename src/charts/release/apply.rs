//! Making objects as a manifest wants them: created, changed, replaced, deleted.
//!
//! Objects of one kind go side by side, kinds one after the other, in the order of the manifest.

use super::cluster::{AT_ONCE, Cluster, Item, Kind, MANAGER, Write, query};
use super::error::Error;
use super::{merge, ownership};
use futures::StreamExt;
use serde_json::Value;

/// How objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// By server-side apply; else created, and changed by three-way merges.
    pub server_side: bool,
    /// Fields of others are taken over.
    pub force_conflicts: bool,
    /// Objects are replaced instead of changed.
    pub force_replace: bool,
    /// Fields that were written without server-side apply are handed over to it first.
    pub hand_over: bool,
    /// Unknown fields are let through; else they are refused, or warned of where the server does not apply.
    pub lenient: bool,
    /// The server is asked what it would do.
    pub dry_run: bool,
}

impl Method {
    fn parameters(&self) -> String {
        let mut pairs = vec![("fieldManager", MANAGER)];
        // What is not applied by the server is not asked to be strict either: it warns.
        if self.server_side || self.force_replace {
            pairs.push(("fieldValidation", if self.lenient { "Ignore" } else { "Strict" }));
        }
        if self.dry_run {
            pairs.push(("dryRun", "All"));
        }
        query(&pairs)
    }
}

/// What an update did. It is told as far as it came, also where it failed.
#[derive(Debug, Default)]
pub struct Changes {
    pub created: Vec<Item>,
    pub updated: Vec<Item>,
    pub deleted: Vec<Item>,
}

/// Runs of items of one kind: they do not depend on each other.
fn batches(items: &[Item]) -> impl Iterator<Item = &[Item]> {
    items.chunk_by(|a, b| a.kind.kind == b.kind.kind)
}

/// Makes objects that are not there yet, and puts what the server made of them into `items`.
pub async fn create(cluster: &Cluster, items: &mut [Item], method: Method) -> Result<(), Error> {
    let (mut made, mut errors) = (Vec::with_capacity(items.len()), Vec::new());
    // One that cannot be made keeps no other from being made.
    for batch in batches(items) {
        let results: Vec<Result<Value, Error>> = futures::stream::iter(batch)
            .map(|item| create_one(cluster, item, method))
            .buffered(AT_ONCE)
            .collect()
            .await;
        for result in results {
            match result {
                Ok(value) => made.push(value),
                Err(error) => errors.push(error),
            }
        }
    }
    if let Some(error) = Error::joined(errors, "\n") {
        return Err(error);
    }
    for (item, value) in items.iter_mut().zip(made) {
        refresh(item, value);
    }
    Ok(())
}

fn refresh(item: &mut Item, value: Value) {
    if let Some(object) = crate::api::Object::from_value(value) {
        if item.name.is_empty() {
            item.name = object.name().to_string();
        }
        item.object = object;
    }
}

async fn create_one(cluster: &Cluster, item: &Item, method: Method) -> Result<Value, Error> {
    let body = Value::Object(item.object.0.clone());
    // Apply needs a name.
    if !method.server_side || item.name.is_empty() {
        let collection = item.kind.all(&item.namespace)?;
        return cluster.write(Write::Create, &collection, &method.parameters(), &body).await;
    }
    apply_one(cluster, item, &body, method).await
}

async fn apply_one(cluster: &Cluster, item: &Item, body: &Value, method: Method) -> Result<Value, Error> {
    let how = Write::Apply { force: method.force_conflicts };
    let made = cluster.write(how, &item.path()?, &method.parameters(), body).await;
    made.map_err(|error| {
        let what = match &error {
            Error::Api { code: 415, .. } => "server-side apply not available on the server".to_string(),
            _ => {
                let why = if error.is_conflict() {
                    "conflict occurred while applying"
                } else {
                    "server-side apply failed for"
                };
                format!("{why} object {}/{} {}", item.namespace, item.name, item.gvk())
            }
        };
        error.during(what)
    })
}

/// Brings the cluster from `originals` to `targets`: makes what is new, changes what is there, deletes what left.
pub async fn update(
    cluster: &Cluster,
    originals: &[Item],
    targets: &mut [Item],
    method: Method,
) -> (Changes, Result<(), Error>) {
    let mut changes = Changes::default();
    let result = match check(method) {
        Ok(()) => change(cluster, originals, targets, method, &mut changes).await,
        Err(error) => Err(error),
    };
    (changes, result)
}

fn check(method: Method) -> Result<(), Error> {
    if method.force_conflicts && method.force_replace {
        return Err(Error::text("invalid operation: cannot use force conflicts and force replace together"));
    }
    if method.server_side && method.force_replace {
        return Err(Error::text("invalid operation: cannot use server-side apply and force replace together"));
    }
    if !method.server_side && method.force_conflicts {
        return Err(Error::text(
            "invalid client update option(s): forceConflicts enabled when serverSideApply disabled",
        ));
    }
    Ok(())
}

async fn change(
    cluster: &Cluster,
    originals: &[Item],
    targets: &mut [Item],
    method: Method,
    changes: &mut Changes,
) -> Result<(), Error> {
    let live = cluster.find_all(&*targets).await;
    let live = live.map_err(|error| error.during("could not get information about the resource"))?;
    let mut errors = Vec::new();
    let mut start = 0;
    while start < targets.len() {
        let kind = targets[start].kind.kind.clone();
        let end = start + targets[start..].iter().take_while(|item| item.kind.kind == kind).count();
        let batch = &targets[start..end];
        let steps = batch.iter().zip(&live[start..end]);
        let results: Vec<Result<Value, Error>> = futures::stream::iter(steps)
            .map(|(target, live)| async move {
                match live {
                    None => create_one(cluster, target, method)
                        .await
                        .map_err(|error| error.during("failed to create resource")),
                    Some(live) => change_one(cluster, originals, target, live, method).await,
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        for (place, result) in (start..end).zip(results) {
            let is_new = live[place].is_none();
            let list = if is_new { &mut changes.created } else { &mut changes.updated };
            list.push(targets[place].clone());
            match result {
                Ok(value) => refresh(&mut targets[place], value),
                // Helm stops at once where something cannot be made, and goes on where something cannot be changed.
                Err(error) if is_new => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        start = end;
    }
    if let Some(error) = Error::joined(errors, " && ") {
        return Err(error);
    }
    delete_missing(cluster, originals, targets, changes).await
}

async fn change_one(
    cluster: &Cluster,
    originals: &[Item],
    target: &Item,
    live: &Value,
    method: Method,
) -> Result<Value, Error> {
    let body = Value::Object(target.object.0.clone());
    if method.force_replace {
        return replace(cluster, target, body, live, method).await;
    }
    if method.server_side {
        if method.hand_over
            && let Some(patch) = merge::hand_over(live)
        {
            hand_over(cluster, target, patch, method).await?;
        }
        return apply_one(cluster, target, &body, method).await;
    }
    let empty = serde_json::Map::new();
    let live_fields = live.as_object().unwrap_or(&empty);
    let original = originals.iter().find(|item| item.is_same(target)).map_or(live_fields, |item| &item.object.0);
    let Some(patch) = merge::patch(original, target, live_fields) else { return Ok(live.clone()) };
    let made = cluster.write(Write::MergePatch, &target.path()?, &method.parameters(), &patch).await;
    made.map_err(|error| error.during(format!("cannot patch {:?} with kind {}", target.name, target.kind.kind)))
}

/// A conflict means that the object changed meanwhile: the fields are read and handed over again.
async fn hand_over(cluster: &Cluster, target: &Item, patch: Value, method: Method) -> Result<(), Error> {
    let mut patch = Some(patch);
    for _ in 0..5 {
        let Some(next) = patch.take() else { return Ok(()) };
        match cluster.write(Write::JsonPatch, &target.path()?, &method.parameters(), &next).await {
            Err(error) if error.is_conflict() => {
                patch = cluster.live(target).await?.and_then(|live| merge::hand_over(&live));
            }
            done => {
                let what = format!("failed to upgrade managed fields for object {}/{}", target.namespace, target.name);
                return done.map(drop).map_err(|error| error.during(format!("{what} {}", target.gvk())));
            }
        }
    }
    Err(Error::text(format!("object {}/{} changes too fast to take it over", target.namespace, target.name)))
}

async fn replace(
    cluster: &Cluster,
    target: &Item,
    mut body: Value,
    live: &Value,
    method: Method,
) -> Result<Value, Error> {
    body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    // What the server chose once cannot be left out of a replacement.
    if target.kind.kind == "Service" && body["spec"].is_object() && body["spec"].get("clusterIP").is_none() {
        for field in ["clusterIP", "clusterIPs"] {
            if let Some(value) = live["spec"].get(field) {
                body["spec"][field] = value.clone();
            }
        }
    }
    let made = cluster.write(Write::Replace, &target.path()?, &method.parameters(), &body).await;
    made.map_err(|error| error.during("failed to replace object"))
}

/// Deletes objects that were in the release and are no more, unless their policy keeps them.
async fn delete_missing(
    cluster: &Cluster,
    originals: &[Item],
    targets: &[Item],
    changes: &mut Changes,
) -> Result<(), Error> {
    let is_left = |old: &&Item| !targets.iter().any(|new| new.is_same(old));
    // What got its name from the server is not found by the manifest, and stays, as by Helm.
    let left: Vec<&Item> = originals.iter().filter(|old| !old.name.is_empty()).filter(is_left).collect();
    let live = cluster.find_all(left.iter().copied()).await?;
    let mut errors = Vec::new();
    for (item, live) in left.into_iter().zip(live) {
        if live.is_none_or(|live| ownership::is_kept(&live)) {
            continue;
        }
        match cluster.delete(&item.path()?, "Background").await {
            Ok(true) => changes.deleted.push(item.clone()),
            Ok(false) => {}
            Err(error) => errors.push(error.during(format!(
                "failed to delete resource namespace={}, name={}, kind={}",
                item.namespace, item.name, item.kind.kind
            ))),
        }
    }
    Error::joined(errors, " && ").map_or(Ok(()), Err)
}

/// Deletes objects, kind after kind; what is gone already is no error. Every error is told at the end.
pub async fn delete(cluster: &Cluster, items: &[Item], propagation: &str) -> Vec<Error> {
    let mut errors = Vec::new();
    for batch in batches(items) {
        let done: Vec<Result<bool, Error>> = futures::stream::iter(batch)
            .map(|item| async move { cluster.delete(&item.path()?, propagation).await })
            .buffered(AT_ONCE)
            .collect()
            .await;
        errors.extend(done.into_iter().filter_map(Result::err));
    }
    errors
}

/// Reads what is live of `items`: of those that are gone nothing.
pub async fn live(cluster: &Cluster, items: &[Item]) -> Vec<(Item, Result<Option<Value>, Error>)> {
    let found = futures::stream::iter(items).map(|item| async move { (item.clone(), cluster.live(item).await) });
    found.buffered(AT_ONCE).collect().await
}

/// Makes a namespace unless it is there.
pub async fn namespace(cluster: &Cluster, name: &str, method: Method) -> Result<(), Error> {
    let body = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"name": name}}});
    let kind =
        Kind { api_version: "v1".into(), kind: "Namespace".into(), plural: "namespaces".into(), namespaced: false };
    let (how, path) = match method.server_side {
        true => (Write::Apply { force: false }, kind.object("", name)?),
        false => (Write::Create, kind.all("")?),
    };
    let made = cluster.write(how, &path, &method.parameters(), &body).await;
    match made {
        Err(error) if error.is_already_exists() => Ok(()),
        made => made.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Object;
    use crate::client::mock::Mock;
    use serde_json::json;

    fn item(kind: &str, name: &str, data: Value) -> Item {
        let plural = format!("{}s", kind.to_lowercase());
        let mut object = Object::from_value(data).unwrap();
        object.set(&["metadata", "name"], name);
        let kind = Kind::core(kind, &plural);
        Item { kind, namespace: "one".into(), name: name.into(), object }
    }

    fn absent() -> Value {
        json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"})
    }

    fn done(mock: &Mock) -> Vec<String> {
        mock.requests().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect()
    }

    #[tokio::test]
    async fn what_is_new_is_made_what_is_there_is_applied_and_what_left_is_deleted() {
        let mock = Mock::default();
        mock.answer(404, absent());
        for _ in 0..2 {
            mock.answer(200, json!({"metadata": {"name": "b"}}));
        }
        mock.answer(200, json!({"metadata": {"name": "b"}}));
        mock.answer(200, json!({"metadata": {"name": "old"}}));
        mock.answer(200, json!({"metadata": {"name": "kept", "annotations": {"helm.sh/resource-policy": "keep"}}}));
        let cluster = Cluster::new(mock.client(), "one");
        let mut targets = [item("Secret", "a", json!({})), item("Secret", "b", json!({}))];
        let originals =
            [item("Secret", "b", json!({})), item("Secret", "old", json!({})), item("Secret", "kept", json!({}))];
        let method = Method { server_side: true, ..Method::default() };
        let (changes, result) = update(&cluster, &originals, &mut targets, method).await;
        result.unwrap();
        let names = |items: &[Item]| items.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&changes.created), names(&changes.updated), names(&changes.deleted)),
            (vec!["a".into()], vec!["b".into()], vec!["old".to_string()])
        );
        let at = "/api/v1/namespaces/one/secrets";
        let query = "fieldManager=helm&fieldValidation=Strict&force=false";
        assert_eq!(
            done(&mock),
            [
                format!("GET {at}/a"),
                format!("GET {at}/b"),
                format!("PATCH {at}/a?{query}"),
                format!("PATCH {at}/b?{query}"),
                format!("GET {at}/old"),
                format!("GET {at}/kept"),
                format!("DELETE {at}/old"),
            ]
        );
    }

    #[tokio::test]
    async fn what_the_server_named_is_never_taken_for_all_objects_of_its_kind() {
        let mock = Mock::default();
        let cluster = Cluster::new(mock.client(), "one");
        let mut nameless = item("Secret", "", json!({"metadata": {"generateName": "a-"}}));
        let (changes, dropped) = update(&cluster, &[nameless.clone()], &mut [], Method::default()).await;
        dropped.unwrap();
        assert!(changes.deleted.is_empty());
        let told = delete(&cluster, &[nameless.clone()], "Background").await.pop().unwrap().to_string();
        assert_eq!(told, "resource name may not be empty");
        nameless.name = "../pods".into();
        let (_, changed) = update(&cluster, &[], &mut [nameless], Method::default()).await;
        let wanted =
            "could not get information about the resource: invalid resource name \"../pods\": [may not contain '/']";
        assert_eq!(changed.unwrap_err().to_string(), wanted);
        assert!(mock.requests().is_empty());
    }

    #[tokio::test]
    async fn a_release_of_helm_3_is_changed_by_merging() {
        let mock = Mock::default();
        mock.answer(200, json!({"metadata": {"name": "a"}, "data": {"x": "1", "other": "9"}}));
        let cluster = Cluster::new(mock.client(), "one");
        let mut targets = [item("ConfigMap", "a", json!({"data": {"y": "2"}}))];
        let originals = [item("ConfigMap", "a", json!({"data": {"x": "1"}}))];
        update(&cluster, &originals, &mut targets, Method::default()).await.1.unwrap();
        let (method, _, body) = mock.requests().pop().unwrap();
        assert_eq!((method.as_str(), body), ("PATCH", json!({"data": {"x": null, "y": "2"}})));
    }

    #[test]
    fn only_the_server_s_own_apply_and_replacing_are_strict_about_fields() {
        let apply = Method { server_side: true, ..Method::default() };
        assert_eq!(apply.parameters(), "fieldManager=helm&fieldValidation=Strict");
        assert_eq!(Method { lenient: true, ..apply }.parameters(), "fieldManager=helm&fieldValidation=Ignore");
        assert_eq!(Method { dry_run: true, ..Method::default() }.parameters(), "fieldManager=helm&dryRun=All");
        let replace = Method { force_replace: true, ..Method::default() };
        assert_eq!(replace.parameters(), "fieldManager=helm&fieldValidation=Strict");
    }

    #[tokio::test]
    async fn wishes_that_exclude_each_other_are_refused() {
        let cluster = Cluster::new(Mock::default().client(), "one");
        let method = Method { server_side: true, force_replace: true, ..Method::default() };
        let refused = update(&cluster, &[], &mut [], method).await.1.unwrap_err().to_string();
        assert_eq!(refused, "invalid operation: cannot use server-side apply and force replace together");
    }
}
