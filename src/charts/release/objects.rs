//! What a release has on the cluster: its objects and what they own, with how far each is.

use super::Actions;
use super::error::Error;
use super::manifest;
use super::readiness::{State, Until, Verdict, judge};
use super::record::Release;
use crate::charts::graph::{Health, Live};
use serde_json::Value;
use std::collections::BTreeSet;

/// Kinds that workloads make, owners before what they own.
const OWNED: &[(&str, &str)] = &[("apps/v1", "ReplicaSet"), ("batch/v1", "Job"), ("v1", "Pod")];
/// Kinds that own some of them.
const OWNERS: &[&str] =
    &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob"];

impl Actions {
    /// A revision (the newest for 0) with its objects as they are now, and those that its workloads own.
    pub async fn objects(&self, name: &str, revision: i64) -> Result<(Release, Vec<Live>), Error> {
        let release = self.find(name, revision).await?;
        let mut items = manifest::items(&self.cluster, &release.manifest).await?;
        // What got its name from the server is not found by the manifest.
        items.retain(|item| !item.name.is_empty());
        let found = self.cluster.find_all(&items).await?;
        let own = items.iter().zip(found).map(|(item, object)| {
            let verdict = judge(object.as_ref(), Until::Ready);
            live(object.unwrap_or_else(|| Value::Object(item.object.0.clone())), verdict)
        });
        let mut objects: Vec<Live> = own.collect();
        let owners = items.iter().filter(|item| OWNERS.contains(&item.kind.kind.as_str()));
        let namespaces: BTreeSet<&str> = owners.map(|item| item.namespace.as_str()).collect();
        for namespace in namespaces {
            for (api_version, kind) in OWNED {
                self.add_owned(namespace, api_version, kind, &mut objects).await?;
            }
        }
        Ok((release, objects))
    }

    /// Adds the objects of a kind that some of `objects` own. What replicas were taken from is left out.
    async fn add_owned(
        &self,
        namespace: &str,
        api_version: &str,
        kind: &str,
        objects: &mut Vec<Live>,
    ) -> Result<(), Error> {
        let Some(served) = self.cluster.kind(api_version, kind).await? else { return Ok(()) };
        let mut list = self.cluster.get_json(&served.all(namespace)?).await?;
        let uids: BTreeSet<String> =
            objects.iter().filter_map(|one| one.object["metadata"]["uid"].as_str().map(String::from)).collect();
        let Some(items) = list["items"].as_array_mut().map(std::mem::take) else { return Ok(()) };
        for mut object in items {
            let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            let is_owned = owners.filter_map(|owner| owner["uid"].as_str()).any(|uid| uids.contains(uid));
            if !is_owned || object["spec"]["replicas"] == 0 {
                continue;
            }
            // Objects of a list do not say of what kind they are.
            object["apiVersion"] = api_version.into();
            object["kind"] = kind.into();
            let verdict = judge(Some(&object), Until::Ready);
            objects.push(live(object, verdict));
        }
        Ok(())
    }
}

fn live(object: Value, verdict: Verdict) -> Live {
    let health = match verdict.state {
        State::Current => Health::Good,
        State::InProgress | State::Terminating => Health::Underway,
        State::Failed => Health::Bad,
        State::NotFound => Health::Missing,
    };
    let message = if health == Health::Good { String::new() } else { verdict.message };
    Live { object, health, message }
}

#[cfg(test)]
mod tests {
    use super::super::record::Status;
    use super::super::{Cluster, Silent};
    use super::*;
    use crate::client::mock::Mock;
    use serde_json::json;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_a_release_owns_is_found_by_its_owners() {
        let mock = Mock::default();
        let actions = Actions::new(Cluster::new(mock.client(), "one"), "memory", Arc::new(Silent)).unwrap();
        let manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n---\napiVersion: v1\nkind: ConfigMap\n\
                        metadata: {name: gone}\n";
        let mut release = Release { name: "web".into(), version: 1, manifest: manifest.into(), ..Release::default() };
        release.info.status = Status::Deployed;
        actions.storage.create(&release, None).await.unwrap();
        let owned = |uid: &str, owner: &str, replicas: i64| json!({"metadata": {"name": uid, "uid": uid, "ownerReferences": [{"uid": owner}]}, "spec": {"replicas": replicas}});
        mock.answer(
            200,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "d"}}),
        );
        mock.answer(
            404,
            json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no"}),
        );
        mock.answer(200, json!({"items": [owned("new", "d", 1), owned("old", "d", 0), owned("other", "x", 1)]}));
        mock.answer(200, json!({"items": []}));
        mock.answer(200, json!({"items": [owned("pod", "new", 1), owned("else", "other", 1)]}));
        let (_, objects) = actions.objects("web", 0).await.unwrap();
        let names: Vec<&str> = objects.iter().map(|one| one.object["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["web", "gone", "new", "pod"]);
        assert_eq!(objects[1].health, Health::Missing);
        assert_eq!(objects[3].object["kind"], "Pod");
    }
}
