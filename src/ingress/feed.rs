//! From the API to the table: follows all that it is made from, and makes it anew when any of it changes.

use super::Options;
use super::assemble::Assembler;
use super::proxy::Proxy;
use super::report;
use super::streams::Streams;
use super::world::World;
use crate::client::{Cache, Cached, Caches, Client, Selection};
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// Releases of charts are Secrets too, large ones, and no Ingress names one.
const SECRETS: &str = "type!=helm.sh/release.v1";

struct Sources {
    ingresses: Arc<Cache<Ingress>>,
    classes: Arc<Cache<IngressClass>>,
    services: Arc<Cache<Service>>,
    slices: Arc<Cache<EndpointSlice>>,
    secrets: Arc<Cache<Secret>>,
    maps: Arc<Cache<ConfigMap>>,
}

impl Sources {
    fn new(client: Client) -> Self {
        let caches = Caches::new(client);
        let secrets = Selection { fields: SECRETS.into(), ..Selection::default() };
        Self {
            ingresses: caches.of(),
            classes: caches.of(),
            services: caches.of(),
            slices: caches.of(),
            secrets: caches.some(secrets),
            maps: caches.of(),
        }
    }

    fn changes(&self) -> SelectAll<BoxStream<'static, ()>> {
        fn of<K: Cached>(cache: &Cache<K>) -> BoxStream<'static, ()> {
            cache.changes().map(drop).boxed()
        }
        let all = [
            of(&self.ingresses),
            of(&self.classes),
            of(&self.services),
            of(&self.slices),
            of(&self.secrets),
            of(&self.maps),
        ];
        all.into_iter().collect()
    }

    async fn ready(&self) {
        tokio::join!(
            self.ingresses.ready(),
            self.classes.ready(),
            self.services.ready(),
            self.slices.ready(),
            self.secrets.ready(),
            self.maps.ready()
        );
    }

    fn world(&self) -> World {
        World::new(
            self.ingresses.list(),
            self.classes.list(),
            self.services.list(),
            self.slices.list(),
            self.secrets.list(),
            self.maps.list(),
        )
    }
}

/// Keeps the table as the API says, for ever; tells `ready` when it is complete for the first time.
pub async fn follow(client: Client, options: &Options, proxy: Arc<Proxy>, ready: watch::Sender<bool>) {
    let sources = Sources::new(client.clone());
    let mut news = sources.changes();
    sources.ready().await;
    let (tell, told) = watch::channel(Vec::new());
    let mut assembler = Assembler::new(options.clone());
    let mut streams = Streams::default();
    let keep = async {
        loop {
            // Whatever came until now is in the caches.
            while news.next().now_or_never().flatten().is_some() {}
            let (table, findings) = assembler.assemble(&sources.world(), &proxy.totals);
            proxy.table.store(Arc::new(table));
            proxy.totals.tidy();
            proxy.totals.reloads.fetch_add(1, Ordering::Relaxed);
            streams.adjust(&proxy);
            tell.send_replace(findings);
            ready.send_replace(true);
            if news.next().await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        () = keep => {}
        () = report::run(client, options.publish, told) => {}
    }
}
