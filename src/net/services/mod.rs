//! Service rules: what kube-proxy does, without a program to call. Watches Services, EndpointSlices and pods with host ports
//! and keeps one table of the packet filter as they say.
//!
//! ```text
//! change ─▶ dirty owners ─▶ wanted (plain data) ─▶ ledger: least change ─▶ one transaction ─▶ stale UDP entries removed
//!              ▲   everything that waits is taken together                    │ refused: the table is made anew
//!              └──────────────────────────────────────────────────────────────┘
//! ```

mod host_ports;
mod own;
mod stale;
mod table;
#[cfg(test)]
mod tests;
mod wanted;

use super::Error;
use super::cidr::Cidr;
use super::kinds::{Pod, SERVICE_LABEL};
use super::nft::{self, Layout};
use crate::base::Shutdown;
use crate::base::causes::chain;
use crate::client::{Caches, Change, Recorder};
use crate::config::Profile;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nlink::netlink::{Connection, Nftables};
use own::Own;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use table::Networks;
use wanted::{Owner, Place};

/// When the kernel refuses even a new table: how long until the next attempt.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps the node's service rules until shutdown. The caches' client must be allowed to watch services, endpoint slices and pods.
pub async fn run(caches: Caches, profile: Profile, shutdown: Shutdown) -> Result<(), Error> {
    let serving = serve(caches, profile);
    tokio::select! {
        () = shutdown.wait() => Ok(()),
        ended = serving => ended,
    }
}

async fn serve(caches: Caches, profile: Profile) -> Result<(), Error> {
    let mut proxy = Proxy::new(&profile)?;
    let recorder = Recorder::new(caches.client().clone(), "kube-proxy", &profile.name);
    let (services, slices, pods) = (caches.of::<Service>(), caches.of::<EndpointSlice>(), caches.of::<Pod>());
    let mut news: SelectAll<BoxStream<News>> = SelectAll::new();
    news.push(services.changes().map(News::Service).boxed());
    news.push(slices.changes().map(News::Slice).boxed());
    news.push(pods.changes().map(News::Pod).boxed());
    tokio::join!(services.ready(), slices.ready(), pods.ready());
    // The first change is the whole, whatever a server before this one left.
    let mut is_whole = true;
    loop {
        while let Some(Some(one)) = news.next().now_or_never() {
            proxy.hear(one, &recorder);
        }
        let synced = proxy.sync(is_whole).await;
        if let Err(error) = &synced {
            tracing::error!(error = chain(error), "service rules were refused, the table is made anew");
        }
        // Somebody else may have changed the table: making it anew at once mends that.
        is_whole = synced.is_err() && (is_whole || proxy.sync(true).await.is_err());
        tokio::select! {
            one = news.next() => match one {
                Some(one) => proxy.hear(one, &recorder),
                None => return Ok(()),
            },
            () = tokio::time::sleep(RETRY), if is_whole => {}
        }
    }
}

/// A change of something that service rules are made from.
enum News {
    Service(Change<Service>),
    Slice(Change<EndpointSlice>),
    Pod(Change<Pod>),
}

/// The rules and what they are made from.
struct Proxy {
    connection: Connection<Nftables>,
    networks: Networks,
    place: Place,
    own: Own,
    table: wanted::Table,
    services: HashMap<Owner, Arc<Service>>,
    slices: HashMap<Owner, BTreeMap<String, Arc<EndpointSlice>>>,
    pods: HashMap<Owner, Arc<Pod>>,
    dirty: BTreeSet<Owner>,
}

impl Proxy {
    fn new(profile: &Profile) -> Result<Self, Error> {
        let network = &profile.network;
        let pods = Cidr::parse(&network.pod_cidr)?;
        let served = vec![Cidr::parse(&network.service_cidr)?, Cidr::parse(&network.load_balancer_cidr)?];
        let direct = vec![Cidr::around(network.node_address, network.prefix)];
        let gateway = super::leases::Network::parse(&network.pod_cidr)?.gateway();
        let own = Own::new(profile, gateway.into());
        Ok(Self {
            connection: nft::connect()?,
            networks: Networks { pods, served, direct, own_ports: own.ports },
            place: Place { node: profile.name.clone(), pods },
            own,
            table: wanted::Table::default(),
            services: HashMap::new(),
            slices: HashMap::new(),
            pods: HashMap::new(),
            dirty: BTreeSet::new(),
        })
    }

    /// Takes a change in, and tells of what is asked for in vain.
    fn hear(&mut self, news: News, recorder: &Recorder) {
        if let News::Service(change) = &news {
            self.own.tell(recorder, change);
        }
        self.note(news);
    }

    /// Takes a change in; nothing happens to the rules yet.
    fn note(&mut self, news: News) {
        match news {
            News::Service(change) => {
                let owner = owner(&change.object().metadata, Owner::Service);
                match change {
                    Change::Applied { new, .. } => drop(self.services.insert(owner.clone(), new)),
                    Change::Deleted(_) => drop(self.services.remove(&owner)),
                }
                self.dirty.insert(owner);
            }
            News::Slice(Change::Applied { old, new }) => {
                if let Some(old) = old.filter(|old| service_of(old) != service_of(&new)) {
                    self.drop_slice(&old);
                }
                let Some(owner) = service_of(&new) else { return };
                let name = new.metadata.name.clone().unwrap_or_default();
                self.slices.entry(owner.clone()).or_default().insert(name, new);
                self.dirty.insert(owner);
            }
            News::Slice(Change::Deleted(last)) => self.drop_slice(&last),
            News::Pod(change) => {
                let owner = owner(&change.object().metadata, Owner::Pod);
                let has_ports = |pod: &Pod| pod.ports().any(|port| port.host_port.is_some());
                let known = match change {
                    Change::Applied { new, .. } if has_ports(&new) => {
                        self.pods.insert(owner.clone(), new);
                        true
                    }
                    Change::Applied { .. } | Change::Deleted(_) => self.pods.remove(&owner).is_some(),
                };
                if known {
                    self.dirty.insert(owner);
                }
            }
        }
    }

    fn drop_slice(&mut self, slice: &EndpointSlice) {
        let Some(owner) = service_of(slice) else { return };
        if let Some(slices) = self.slices.get_mut(&owner) {
            slices.remove(slice.metadata.name.as_deref().unwrap_or_default());
            if slices.is_empty() {
                self.slices.remove(&owner);
            }
        }
        self.dirty.insert(owner);
    }

    /// Brings the rules to what was noted; `whole` makes the table anew.
    async fn sync(&mut self, whole: bool) -> Result<(), Error> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut fronts = stale::Fronts::new();
        let mut wanted = Vec::with_capacity(dirty.len());
        for owner in dirty {
            let new = self.wanted(&owner);
            if let Some(old) = self.table.get(&owner) {
                fronts.extend(wanted::targets(old).into_keys().map(|front| (front, BTreeSet::new())));
            }
            fronts.extend(wanted::targets(&new));
            wanted.push((owner, new));
        }
        let change = self.table.update(wanted);
        let layout = Layout::of(self.place.pods.base);
        let batch = self.connection.transaction();
        let batch = match whole {
            true => nft::change::<table::Services>(table::skeleton(batch, &self.networks), &self.table.whole(), layout),
            false if change.is_empty() => return Ok(()),
            false => nft::change::<table::Services>(batch, &change, layout),
        };
        batch.commit(&self.connection).await.map_err(Error::kernel("cannot change the service rules"))?;
        if let Err(error) = stale::forget(&fronts, &self.own.addresses).await {
            // New packets of an old UDP flow may go to an endpoint that is gone until the flow rests for 30 s.
            tracing::warn!(error = chain(&error), "stale UDP flows were not forgotten");
        }
        Ok(())
    }

    fn wanted(&mut self, owner: &Owner) -> wanted::Wanted {
        if let Some(pod) = self.pods.get(owner) {
            return host_ports::of_pod(pod, &self.place);
        }
        let Some(service) = self.services.get(owner) else { return wanted::Wanted::default() };
        let slices: Vec<_> = self.slices.get(owner).into_iter().flat_map(BTreeMap::values).cloned().collect();
        wanted::of_service(service, &slices, &self.place, &mut self.table)
    }
}

fn owner(
    meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    kind: impl Fn(String, String) -> Owner,
) -> Owner {
    kind(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// The service that a slice is of.
fn service_of(slice: &EndpointSlice) -> Option<Owner> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(Owner::Service(slice.metadata.namespace.clone().unwrap_or_default(), service.clone()))
}
