//! Controllers against the real API server, in process: what they make of objects together.

pub use whole::{PATIENCE, World, deployment, eventually, make_ready, with_node, world};

#[cfg(test)]
mod whole {
    use super::super::*;
    use crate::base::Jumps;
    use crate::base::shutdown::Trigger;
    use crate::client::wait;
    use crate::control::server::{Identity, tests};
    use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
    use kube::Api;
    use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use std::time::Duration;

    /// How long a test waits before it gives up; longer than a loaded machine takes.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    pub struct World {
        _folder: tempfile::TempDir,
        _trigger: Trigger,
        pub client: Client,
    }

    /// A server with all controllers, and nobody who runs pods.
    pub async fn world() -> World {
        let (server, paths, folder) = tests::whole().await;
        let config = ControllerConfig {
            root_ca: "-----BEGIN CERTIFICATE-----".into(),
            volumes: paths.volumes(),
            load_balancer_cidr: "192.0.2.128/25".into(),
            signer: Arc::new(|_| Err("no signer here".into())),
            tokens: Arc::new(|request| Ok(format!("token of {}", request.account))),
            jumps: Jumps::of(tokio::sync::watch::channel(()).1),
        };
        let (trigger, shutdown) = Shutdown::new();
        let identity = Identity::new("system:kube-controller-manager", &["system:masters"]);
        tokio::spawn(run(server.client(identity), config, shutdown));
        let client = server.client(Identity::new("admin", &["system:masters"]));
        World { _folder: folder, _trigger: trigger, client }
    }

    impl World {
        pub fn all<K: crate::client::Cached>(&self) -> Api<K> {
            Api::all(self.client.clone())
        }

        pub fn door<K>(&self) -> Api<K>
        where
            K: crate::client::Cached + Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        {
            Api::namespaced(self.client.clone(), "default")
        }

        pub async fn make<K>(&self, value: Value) -> K
        where
            K: crate::client::Cached + serde::Serialize + Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        {
            let object: K = serde_json::from_value(value).unwrap();
            self.door().create(&PostParams::default(), &object).await.unwrap()
        }
    }

    /// Waits until an object is as wanted.
    pub async fn eventually<K>(door: Api<K>, name: &str, is_met: impl FnMut(Option<&K>) -> bool) -> Option<K>
    where
        K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let waiting = wait::until(door.clone(), name, is_met);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(object) => object,
            Err(_) => panic!("{name} is not as wanted: {:?}", door.get_opt(name).await),
        }
    }

    /// Plays the node: every pod becomes ready.
    pub async fn make_ready(world: &World) -> usize {
        let pods = world.door::<Pod>().list(&ListParams::default()).await.unwrap();
        for pod in pods.iter().filter(|pod| !super::super::pods::is_ready(pod)) {
            let now = jiff::Timestamp::now();
            let status = json!({"status": {"phase": "Running", "podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now.to_string()}]}});
            let name = pod.metadata.name.as_deref().unwrap();
            world.door::<Pod>().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.ok();
        }
        pods.items.len()
    }

    /// Plays the node until `waiting` is over: whenever a pod changes, those that are not ready become so.
    pub async fn with_node<T>(world: &World, waiting: impl Future<Output = T>) -> T {
        let pods = Caches::new(world.client.clone()).of::<Pod>();
        let mut changes = pods.changes();
        let node = async {
            while futures::StreamExt::next(&mut changes).await.is_some() {
                make_ready(world).await;
            }
            panic!("the watch of pods ended");
        };
        tokio::select! { outcome = waiting => outcome, () = node => unreachable!() }
    }

    pub fn deployment(replicas: i32, image: &str) -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]}}}})
    }

    #[tokio::test]
    async fn every_namespace_gets_its_account_and_the_authority_and_goes_with_all_that_is_in_it() {
        let world = world().await;
        let one: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "one"}, "spec": {"finalizers": ["kubernetes"]}}))
                .unwrap();
        world.all::<Namespace>().create(&PostParams::default(), &one).await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "one");
        eventually(accounts, "default", |account| account.is_some()).await;
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "one");
        let map = eventually(maps.clone(), "kube-root-ca.crt", |map| map.is_some()).await.unwrap();
        assert!(map.data.unwrap()["ca.crt"].contains("BEGIN CERTIFICATE"));
        world.all::<Namespace>().delete("one", &DeleteParams::default()).await.unwrap();
        eventually(world.all::<Namespace>(), "one", |namespace| namespace.is_none()).await;
        assert!(maps.get_opt("kube-root-ca.crt").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn thirty_replicas_are_made_and_rolled_out() {
        let world = world().await;
        world.make::<Deployment>(deployment(30, "one")).await;
        let all = |count| {
            move |deployment: Option<&Deployment>| {
                let status = deployment.and_then(|deployment| deployment.status.as_ref());
                status.and_then(|status| status.replicas) == Some(count)
            }
        };
        eventually(world.door::<Deployment>(), "web", all(30)).await;
        make_ready(&world).await;
        let done = |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            let conditions = status.and_then(|status| status.conditions.clone()).unwrap_or_default();
            conditions.iter().any(|condition| condition.reason.as_deref() == Some("NewReplicaSetAvailable"))
        };
        let made = eventually(world.door::<Deployment>(), "web", done).await.unwrap();
        assert_eq!(made.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"], "1");

        let image =
            json!({"spec": {"replicas": 4, "template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}});
        let patch = Patch::Merge(image);
        world.door::<Deployment>().patch("web", &PatchParams::default(), &patch).await.unwrap();
        let finished = eventually(world.door::<Deployment>(), "web", |deployment| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.is_some_and(|status| status.updated_replicas == Some(4) && status.replicas == Some(4))
        });
        with_node(&world, finished).await;
        let sets = world.door::<ReplicaSet>().list(&ListParams::default()).await.unwrap();
        assert_eq!(sets.items.len(), 2);
    }
}
