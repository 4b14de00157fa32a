//! Where records of releases are kept: Secrets, ConfigMaps, or this process' memory.
//!
//! Source: helm/helm `pkg/storage`.

use super::cluster::{Cluster, Kind, Write, query};
use super::error::Error;
use super::record::{self, Release, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Selects the records of all releases.
pub(super) const ALL: &str = "owner=helm";

/// The kind of the Secrets that hold records.
const SECRET_TYPE: &str = "helm.sh/release.v1";
/// The annotation that says who works on a release: see [`super::holder`].
pub const HOLDER: &str = "coracle.local/holder";

/// What holds the records.
#[derive(Clone, Debug)]
enum Driver {
    Secrets,
    ConfigMaps,
    Memory(Arc<Mutex<BTreeMap<String, Release>>>),
}

/// The records of a cluster.
#[derive(Clone)]
pub struct Storage {
    cluster: Arc<Cluster>,
    driver: Driver,
    /// Revisions to keep of a release; 0 keeps all.
    pub max_history: usize,
}

/// A record as it was found: with who works on it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub release: Release,
    /// The text of the holder's annotation.
    pub holder: Option<String>,
}

impl Storage {
    /// The storage that a word of `HELM_DRIVER` names; Secrets where it is empty.
    pub fn new(cluster: Arc<Cluster>, driver: &str) -> Result<Self, Error> {
        let driver = match driver {
            "" | "secret" | "secrets" => Driver::Secrets,
            "configmap" | "configmaps" => Driver::ConfigMaps,
            "memory" => Driver::Memory(Arc::default()),
            "sql" => return Err(Error::text("HELM_DRIVER `sql` is not supported: use `secret` or `configmap`")),
            other => return Err(Error::text(format!("unknown driver {other:?}"))),
        };
        Ok(Self { cluster, driver, max_history: 0 })
    }

    fn kind(&self) -> Kind {
        let (kind, plural) = match self.driver {
            Driver::ConfigMaps => ("ConfigMap", "configmaps"),
            _ => ("Secret", "secrets"),
        };
        Kind::core(kind, plural)
    }

    fn path(&self, key: &str) -> Result<String, Error> {
        self.kind().object(self.cluster.namespace(), key)
    }

    /// The path of all records.
    fn all(&self) -> Result<String, Error> {
        self.kind().all(self.cluster.namespace())
    }

    /// A revision.
    pub async fn get(&self, name: &str, version: i64) -> Result<Release, Error> {
        let key = record::key(name, version);
        if let Driver::Memory(records) = &self.driver {
            return records.lock().get(&key).cloned().ok_or(Error::NotFound);
        }
        let found = self
            .cluster
            .find(&self.path(&key)?)
            .await
            .map_err(|error| error.during(format!("get: failed to get {key:?}")))?;
        let decoded = self.decode(&found.ok_or(Error::NotFound)?);
        let mut release = decoded.map_err(|error| error.during(format!("get: failed to decode data {key:?}")))?.release;
        release.labels = release.user_labels();
        Ok(release)
    }

    /// Stores a new revision; drops the oldest ones beyond the limit first.
    pub async fn create(&self, release: &Release, holder: Option<&str>) -> Result<(), Error> {
        if self.max_history > 0 {
            self.prune(&release.name, self.max_history - 1).await?;
        }
        if let Driver::Memory(records) = &self.driver {
            let mut records = records.lock();
            if records.contains_key(&release.key()) {
                return Err(Error::Exists);
            }
            records.insert(release.key(), release.clone());
            return Ok(());
        }
        let body = self.body(release, "createdAt", holder)?;
        let made = self.cluster.write(Write::Create, &self.all()?, "", &body).await;
        match made {
            Err(error) if error.is_already_exists() => Err(Error::Exists),
            made => made.map(drop).map_err(|error| error.during("create: failed to create")),
        }
    }

    /// Writes a revision that is stored.
    pub async fn update(&self, release: &Release, holder: Option<&str>) -> Result<(), Error> {
        if let Driver::Memory(records) = &self.driver {
            records.lock().insert(release.key(), release.clone());
            return Ok(());
        }
        let body = self.body(release, "modifiedAt", holder)?;
        let made = self.cluster.write(Write::Replace, &self.path(&release.key())?, "", &body).await;
        made.map(drop).map_err(|error| error.during("update: failed to update"))
    }

    /// Says again who works on a revision.
    pub async fn hold(&self, key: &str, holder: &str) -> Result<(), Error> {
        if matches!(self.driver, Driver::Memory(_)) {
            return Ok(());
        }
        let body = json!({"metadata": {"annotations": {HOLDER: holder}}});
        self.cluster.write(Write::MergePatch, &self.path(key)?, "", &body).await.map(drop)
    }

    /// Drops a revision.
    pub async fn delete(&self, name: &str, version: i64) -> Result<(), Error> {
        let key = record::key(name, version);
        let was_there = match &self.driver {
            Driver::Memory(records) => records.lock().remove(&key).is_some(),
            _ => self.cluster.delete(&self.path(&key)?, "Background").await?,
        };
        if was_there { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Every revision of every release whose labels match `selector`. Records that cannot be read are left out, as by Helm.
    pub async fn list(&self, selector: &str) -> Result<Vec<Held>, Error> {
        if let Driver::Memory(records) = &self.driver {
            let releases = records.lock().values().cloned().collect::<Vec<_>>();
            return Ok(releases.into_iter().map(|release| Held { release, holder: None }).collect());
        }
        let collection = self.all()?;
        Ok(self.readable(&collection, selector).await?.0)
    }

    /// The records that can be read, and whether there are others.
    async fn readable(&self, collection: &str, selector: &str) -> Result<(Vec<Held>, bool), Error> {
        let path = format!("{collection}?{}", query(&[("labelSelector", selector)]));
        // Helm lists all releases, and asks for those of a name.
        let what = if selector == ALL { "list: failed to list" } else { "query: failed to query with labels" };
        let mut list = self.cluster.get_json(&path).await.map_err(|error| error.during(what))?;
        let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let decoded = items.iter().filter_map(|item| match self.decode(item) {
            Ok(held) => Some(held),
            Err(error) => {
                tracing::debug!(name = %item["metadata"]["name"], %error, "a record cannot be read");
                None
            }
        });
        let decoded: Vec<Held> = decoded.collect();
        let has_others = decoded.len() < items.len();
        Ok((decoded, has_others))
    }

    /// Every revision of a release, oldest first; [`Error::NotFound`] where there is none, and [`Error::NoRevision`] where
    /// none can be read.
    pub async fn history(&self, name: &str) -> Result<Vec<Held>, Error> {
        let selector = format!("name={name},owner=helm");
        let (mut found, has_others) = match &self.driver {
            Driver::Memory(_) => (self.list(&selector).await?, false),
            _ => self.readable(&self.all()?, &selector).await?,
        };
        found.retain(|held| held.release.name == name);
        found.sort_by_key(|held| held.release.version);
        match (found.is_empty(), has_others) {
            (false, _) => Ok(found),
            (true, true) => Err(Error::NoRevision(name.into())),
            (true, false) => Err(Error::NotFound),
        }
    }

    /// The newest revision.
    pub async fn last(&self, name: &str) -> Result<Release, Error> {
        Ok(self.history(name).await?.pop().ok_or(Error::NotFound)?.release)
    }

    /// Revisions that are marked as deployed, oldest first.
    pub async fn deployed(&self, name: &str) -> Result<Vec<Release>, Error> {
        let found = match self.history(name).await {
            Err(Error::NotFound | Error::NoRevision(_)) => Vec::new(),
            found => found?,
        };
        let deployed = found.into_iter().map(|held| held.release).filter(|one| one.info.status == Status::Deployed);
        Ok(deployed.collect())
    }

    /// Drops the oldest revisions until at most `keep` are left; the deployed one stays.
    async fn prune(&self, name: &str, keep: usize) -> Result<(), Error> {
        let found = match self.history(name).await {
            Err(Error::NotFound | Error::NoRevision(_)) => return Ok(()),
            found => found?,
        };
        for version in surplus(&found, keep) {
            self.delete(name, version).await?;
        }
        Ok(())
    }

    fn decode(&self, object: &Value) -> Result<Held, Error> {
        let text = object["data"]["release"].as_str().unwrap_or_default();
        let mut release = match self.driver {
            Driver::Secrets => record::decode(&STANDARD.decode(text).map_err(record::Broken::from)?)?,
            _ => record::decode(text.as_bytes())?,
        };
        let labels = object["metadata"]["labels"].as_object();
        let pairs =
            labels.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string())));
        release.labels = pairs.collect();
        let holder = object["metadata"]["annotations"][HOLDER].as_str().map(String::from);
        Ok(Held { release, holder })
    }

    fn body(&self, release: &Release, stamp: &str, holder: Option<&str>) -> Result<Value, Error> {
        let mut labels: Map<String, Value> =
            release.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        labels.insert(stamp.into(), jiff::Timestamp::now().as_second().to_string().into());
        labels.insert("name".into(), release.name.as_str().into());
        labels.insert("owner".into(), "helm".into());
        labels.insert("status".into(), release.info.status.word().into());
        labels.insert("version".into(), release.version.to_string().into());
        let mut metadata = json!({"name": release.key(), "namespace": self.cluster.namespace(), "labels": labels});
        if let Some(holder) = holder {
            metadata["annotations"] = json!({HOLDER: holder});
        }
        let text = record::encode(release)?;
        Ok(match self.driver {
            Driver::Secrets => json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": SECRET_TYPE,
                "data": {"release": STANDARD.encode(text)}}),
            _ => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"release": text}}),
        })
    }
}

/// The revisions to drop so that `keep` are left, oldest first. The newest deployed one is never among them.
fn surplus(history: &[Held], keep: usize) -> Vec<i64> {
    let count = history.len().saturating_sub(keep);
    let deployed = history.iter().rev().find(|held| held.release.info.status == Status::Deployed);
    let deployed = deployed.map(|held| held.release.version);
    let versions = history.iter().map(|held| held.release.version).filter(|version| Some(*version) != deployed);
    versions.take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;

    fn release(version: i64, status: Status) -> Release {
        let mut release = Release { name: "web".into(), namespace: "one".into(), version, ..Release::default() };
        release.info.status = status;
        release
    }

    fn held(version: i64, status: Status) -> Held {
        Held { release: release(version, status), holder: None }
    }

    fn storage(mock: &Mock, driver: &str) -> Storage {
        Storage::new(Arc::new(Cluster::new(mock.client(), "one")), driver).unwrap()
    }

    #[tokio::test]
    async fn a_secret_is_as_helm_makes_it_and_is_read_back() {
        let mock = Mock::default();
        let storage = storage(&mock, "");
        let mut release = release(3, Status::Deployed);
        release.labels.insert("team".into(), "a".into());
        storage.create(&release, Some("me")).await.unwrap();
        let (method, path, body) = mock.requests().pop().unwrap();
        assert_eq!((method.as_str(), path.as_str()), ("POST", "/api/v1/namespaces/one/secrets"));
        assert_eq!(body["type"], "helm.sh/release.v1");
        assert_eq!(body["metadata"]["name"], "sh.helm.release.v1.web.v3");
        let labels = body["metadata"]["labels"].as_object().unwrap();
        let keys: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(keys, ["createdAt", "name", "owner", "status", "team", "version"]);
        assert_eq!(
            (&labels["owner"], &labels["version"], &labels["status"]),
            (&json!("helm"), &json!("3"), &json!("deployed"))
        );
        mock.answer(200, body);
        let read = storage.get("web", 3).await.unwrap();
        assert_eq!(read, release);
    }

    #[tokio::test]
    async fn a_config_map_holds_the_text_itself() {
        let mock = Mock::default();
        let storage = storage(&mock, "configmaps");
        storage.update(&release(1, Status::Failed), None).await.unwrap();
        let (method, path, body) = mock.requests().pop().unwrap();
        assert_eq!(
            (method.as_str(), path.as_str()),
            ("PUT", "/api/v1/namespaces/one/configmaps/sh.helm.release.v1.web.v1")
        );
        assert!(body["data"]["release"].as_str().unwrap().starts_with("H4sI"));
        assert!(body.get("type").is_none() && body["metadata"].get("annotations").is_none());
    }

    #[tokio::test]
    async fn memory_keeps_a_history_up_to_its_limit() {
        let mut storage = storage(&Mock::default(), "memory");
        storage.max_history = 2;
        for (version, status) in
            [(1, Status::Superseded), (2, Status::Deployed), (3, Status::Failed), (4, Status::Failed)]
        {
            storage.create(&release(version, status), None).await.unwrap();
        }
        let history = storage.history("web").await.unwrap();
        assert_eq!(history.iter().map(|held| held.release.version).collect::<Vec<_>>(), [2, 4]);
        storage.max_history = 0;
        assert!(matches!(storage.create(&release(4, Status::Failed), None).await, Err(Error::Exists)));
        assert!(matches!(storage.get("web", 9).await, Err(Error::NotFound)));
    }

    #[test]
    fn the_deployed_revision_outlives_older_and_newer_ones() {
        let history =
            [held(1, Status::Superseded), held(2, Status::Deployed), held(3, Status::Failed), held(4, Status::Failed)];
        assert_eq!(surplus(&history, 1), [1, 3, 4]);
        assert_eq!(surplus(&history, 4), Vec::<i64>::new());
        assert_eq!(surplus(&history, 9), Vec::<i64>::new());
    }

    #[tokio::test]
    async fn a_driver_that_does_not_exist_is_refused() {
        let cluster = Arc::new(Cluster::new(Mock::default().client(), "one"));
        assert!(Storage::new(cluster, "carrier-pigeon").is_err());
    }
}
