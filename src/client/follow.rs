//! Following a kind: list, then watch from there, for ever. Re-lists when the server has forgotten the version (410) and
//! backs off when it refuses or closes early, so a broken server is never asked in a hot loop.

use futures::{Stream, StreamExt, TryStreamExt};
use kube::Resource;
use kube::api::{Api, ListParams, ObjectList, PartialObjectMeta, WatchEvent, WatchParams};
use rand::RngExt;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// What the server is asked to end a watch after, seconds (client-go takes 300 to 600; kube at most 295).
const WATCH_SECONDS: u32 = 290;
/// A watch on which nothing was heard for so long is dead: the server's end never arrived.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
/// A watch that lived so long was a good one: the next failure starts again with the shortest delay.
const HEALTHY: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// What following a kind tells, in order.
#[derive(Clone, Debug)]
pub enum Seen<K> {
    /// A list begins: whatever is not told before `Listed` is gone.
    Listing,
    /// An object of the list.
    Present(K),
    /// The list is complete, as of this version.
    Listed(String),
    /// An object was made or changed.
    Applied(K),
    /// An object is gone; this is its last state.
    Deleted(K),
}

type Events<K> = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<K>>> + Send>>;

/// A kind that can be listed and watched.
pub trait Source: Send + Sync {
    /// What its objects are read as.
    type Item: Resource + Clone + Send;
    /// One page.
    fn list(&self, params: &ListParams) -> impl Future<Output = kube::Result<ObjectList<Self::Item>>> + Send;
    /// Events after `version`.
    fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> impl Future<Output = kube::Result<Events<Self::Item>>> + Send;
}

/// Whole objects.
pub struct Whole<K>(pub Api<K>);
/// Metadata only.
pub struct MetadataOnly<K>(pub Api<K>);

impl<K> Source for Whole<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    type Item = K;

    async fn list(&self, params: &ListParams) -> kube::Result<ObjectList<K>> {
        self.0.list(params).await
    }

    async fn watch(&self, params: &WatchParams, version: &str) -> kube::Result<Events<K>> {
        Ok(self.0.watch(params, version).await?.into_stream().boxed())
    }
}

impl<K> Source for MetadataOnly<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    type Item = PartialObjectMeta<K>;

    async fn list(&self, params: &ListParams) -> kube::Result<ObjectList<PartialObjectMeta<K>>> {
        self.0.list_metadata(params).await
    }

    async fn watch(&self, params: &WatchParams, version: &str) -> kube::Result<Events<PartialObjectMeta<K>>> {
        Ok(self.0.watch_metadata(params, version).await?.into_stream().boxed())
    }
}

/// Which objects of a kind to follow; empty selectors take all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    pub labels: String,
    pub fields: String,
}

/// Follows `source` until the future is dropped.
pub async fn follow<S: Source>(source: &S, selection: &Selection, mut tell: impl FnMut(Seen<S::Item>) + Send) {
    let mut delay = Delay::default();
    let mut version = None;
    loop {
        if version.is_none() {
            match list(source, selection, &mut tell).await {
                Ok(listed) => version = Some(listed),
                Err(error) => {
                    tracing::debug!(%error, "list failed");
                    delay.wait().await;
                    continue;
                }
            }
        }
        let began = Instant::now();
        if let Err(error) = watch(source, selection, &mut version, &mut tell).await {
            tracing::debug!(%error, "watch ended");
        }
        if began.elapsed() >= HEALTHY {
            delay.reset();
        } else {
            delay.wait().await;
        }
    }
}

/// Lists everything in pages; returns the version of the list.
async fn list<S: Source>(
    source: &S,
    selection: &Selection,
    tell: &mut (impl FnMut(Seen<S::Item>) + Send),
) -> kube::Result<String> {
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector = Some(selection.labels.clone()).filter(|selector| !selector.is_empty());
    params.field_selector = Some(selection.fields.clone()).filter(|selector| !selector.is_empty());
    let mut page = source.list(&params).await?;
    tell(Seen::Listing);
    loop {
        page.items.into_iter().for_each(|item| tell(Seen::Present(item)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            None => {
                let version = page.metadata.resource_version.unwrap_or_default();
                tell(Seen::Listed(version.clone()));
                return Ok(version);
            }
            token => params.continue_token = token,
        }
        page = source.list(&params).await?;
    }
}

/// One watch from `version` on, which moves along; it becomes nothing when only a new list helps.
async fn watch<S: Source>(
    source: &S,
    selection: &Selection,
    version: &mut Option<String>,
    tell: &mut (impl FnMut(Seen<S::Item>) + Send),
) -> kube::Result<()> {
    let mut params = WatchParams::default().timeout(WATCH_SECONDS);
    params.label_selector = Some(selection.labels.clone()).filter(|selector| !selector.is_empty());
    params.field_selector = Some(selection.fields.clone()).filter(|selector| !selector.is_empty());
    let from = version.clone().unwrap_or_default();
    let mut events = match source.watch(&params, &from).await {
        Err(kube::Error::Api(status)) if status.code == 410 => {
            *version = None;
            return Ok(());
        }
        other => other?,
    };
    while let Ok(Some(event)) = tokio::time::timeout(SILENCE, events.next()).await {
        let (seen, at) = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let at = object.meta().resource_version.clone();
                (Seen::Applied(object), at)
            }
            WatchEvent::Deleted(object) => {
                let at = object.meta().resource_version.clone();
                (Seen::Deleted(object), at)
            }
            WatchEvent::Bookmark(bookmark) => {
                *version = Some(bookmark.metadata.resource_version);
                continue;
            }
            WatchEvent::Error(status) => {
                if status.code == 410 {
                    *version = None;
                }
                return Err(kube::Error::Api(status.boxed()));
            }
        };
        if at.is_some() {
            *version = at;
        }
        tell(seen);
    }
    Ok(())
}

/// Exponential delay with jitter.
struct Delay(Duration);

impl Default for Delay {
    fn default() -> Self {
        Self(FIRST_DELAY)
    }
}

impl Delay {
    fn reset(&mut self) {
        self.0 = FIRST_DELAY;
    }

    async fn wait(&mut self) {
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(self.0.mul_f64(jitter)).await;
        self.0 = (self.0 * 2).min(LAST_DELAY);
    }
}
