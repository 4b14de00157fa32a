//! Network policies: watches NetworkPolicies, pods and namespaces and keeps one table of the packet filter as they say.
//!
//! With every change that matters all policies are read again (a machine's pods are few) and the ledger finds what differs,
//! so a pod that comes costs its elements only. Without policies nothing is read.

mod table;
#[cfg(test)]
mod tests;
mod wanted;

use super::Error;
use super::cidr::Cidr;
use super::kinds::{Namespace, NetworkPolicy, Pod};
use super::nft::{self, Layout};
use crate::base::Shutdown;
use crate::base::causes::chain;
use crate::client::{Caches, Change};
use crate::config::Profile;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nlink::netlink::{Connection, Nftables};
use std::time::Duration;
use wanted::{Numbers, World};

/// When the kernel refuses even a new table: how long until the next attempt.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps the node's policies until shutdown. The caches' client must be allowed to watch network policies, pods and namespaces.
pub async fn run(caches: Caches, profile: Profile, shutdown: Shutdown) -> Result<(), Error> {
    tokio::select! {
        () = shutdown.wait() => Ok(()),
        ended = serve(caches, profile) => ended,
    }
}

async fn serve(caches: Caches, profile: Profile) -> Result<(), Error> {
    let mut guard = Guard::new(&profile)?;
    let (policies, pods, namespaces) = (caches.of(), caches.of(), caches.of());
    let mut news: SelectAll<BoxStream<News>> = SelectAll::new();
    news.push(policies.changes().map(News::Policy).boxed());
    news.push(pods.changes().map(News::Pod).boxed());
    news.push(namespaces.changes().map(News::Namespace).boxed());
    tokio::join!(policies.ready(), pods.ready(), namespaces.ready());
    let mut is_whole = true;
    loop {
        while let Some(Some(one)) = news.next().now_or_never() {
            guard.note(one);
        }
        let synced = guard.sync(is_whole).await;
        if let Err(error) = &synced {
            tracing::error!(error = chain(error), "network policies were refused, the table is made anew");
        }
        is_whole = synced.is_err() && (is_whole || guard.sync(true).await.is_err());
        tokio::select! {
            one = news.next() => match one {
                Some(one) => guard.note(one),
                None => return Ok(()),
            },
            () = tokio::time::sleep(RETRY), if is_whole => {}
        }
    }
}

/// A change of something that policies are about.
enum News {
    Policy(Change<NetworkPolicy>),
    Pod(Change<Pod>),
    Namespace(Change<Namespace>),
}

/// The table and what it is made from.
struct Guard {
    connection: Connection<Nftables>,
    layout: Layout,
    world: World,
    numbers: Numbers,
    table: wanted::Table,
    is_dirty: bool,
}

impl Guard {
    fn new(profile: &Profile) -> Result<Self, Error> {
        let layout = Layout::of(Cidr::parse(&profile.network.pod_cidr)?.base);
        let (world, numbers, table) = Default::default();
        Ok(Self { connection: nft::connect()?, layout, world, numbers, table, is_dirty: false })
    }

    /// Takes a change in; nothing happens to the rules yet.
    fn note(&mut self, news: News) {
        self.is_dirty |= match news {
            News::Policy(change) => {
                let key = key(&change.object().metadata);
                match change {
                    Change::Applied { new, .. } => self.world.policies.insert(key, new),
                    Change::Deleted(_) => self.world.policies.remove(&key),
                };
                true
            }
            News::Pod(change) => {
                let key = key(&change.object().metadata);
                match change {
                    Change::Applied { new, .. } => {
                        let same = |old: &Pod| old.addresses() == new.addresses() && old.labels() == new.labels();
                        let is_same = self.world.pods.get(&key).is_some_and(|old| same(old));
                        self.world.pods.insert(key, new);
                        !is_same
                    }
                    Change::Deleted(_) => self.world.pods.remove(&key).is_some(),
                }
            }
            News::Namespace(change) => {
                let name = key(&change.object().metadata).1;
                match change {
                    Change::Applied { new, .. } => {
                        let old = self.world.namespaces.insert(name, new.clone());
                        old.is_none_or(|old| old.metadata.labels != new.metadata.labels)
                    }
                    Change::Deleted(_) => self.world.namespaces.remove(&name).is_some(),
                }
            }
        };
    }

    /// Brings the table to what was noted; `whole` makes it anew.
    async fn sync(&mut self, whole: bool) -> Result<(), Error> {
        let has_work = std::mem::take(&mut self.is_dirty);
        if !has_work && !whole {
            return Ok(());
        }
        let mut all = match self.world.policies.is_empty() {
            true => std::collections::BTreeMap::new(),
            false => wanted::all(&self.world, &mut self.numbers, self.layout == Layout::of([0, 0, 0, 0].into())),
        };
        for owner in self.table.owners() {
            all.entry(owner.clone()).or_default();
        }
        let change = self.table.update(all);
        let batch = self.connection.transaction();
        let batch = match whole {
            true => {
                nft::change::<table::Policies>(table::skeleton(batch, self.layout), &self.table.whole(), self.layout)
            }
            false if change.is_empty() => return Ok(()),
            false => nft::change::<table::Policies>(batch, &change, self.layout),
        };
        batch.commit(&self.connection).await.map_err(Error::kernel("cannot change the network policies"))
    }
}

fn key(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
