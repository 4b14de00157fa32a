//! Ports of the `tcp-services` ConfigMap: connections are passed on as they are.

use super::endpoints::Backend;
use super::proxy::Proxy;
use super::upgrade::relay;
use crate::base::connection;
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long both sides may be silent, as ingress-nginx has it.
const SILENCE: Duration = Duration::from_secs(600);

/// The ports that are listened at.
#[derive(Default)]
pub struct Streams(HashMap<u16, AbortHandle>);

impl Streams {
    /// Listens at the ports of the present table, and no others.
    pub fn adjust(&mut self, proxy: &Arc<Proxy>) {
        let table = proxy.table.load();
        let wanted = |port: &u16| table.streams.iter().any(|(known, _)| known == port);
        self.0.retain(|port, task| {
            let stays = wanted(port) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for (port, _) in &table.streams {
            let start = || {
                let (port, proxy) = (*port, proxy.clone());
                tokio::spawn(async move {
                    if let Err(error) = listen(port, &proxy).await {
                        tracing::warn!(%error, port, "a port of tcp-services cannot be served");
                    }
                })
                .abort_handle()
            };
            self.0.entry(*port).or_insert_with(start);
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.0.values().for_each(AbortHandle::abort);
    }
}

async fn listen(port: u16, proxy: &Arc<Proxy>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    loop {
        let (client, _) = connection::accept(&listener).await;
        let table = proxy.table.load();
        let backend = table.streams.iter().find(|(known, _)| *known == port).map(|(_, backend)| backend.clone());
        let (Some(backend), patience) = (backend, table.config.connect) else { continue };
        tokio::spawn(pass_on(client, backend, patience));
    }
}

async fn pass_on(client: TcpStream, backend: Arc<Backend>, patience: Duration) {
    for address in backend.from(backend.in_turn()) {
        if let Ok(Ok(pod)) = timeout(patience, TcpStream::connect(&**address)).await {
            // Both are to be told at once what the other says; it only takes longer without. Who breaks off ends it.
            client.set_nodelay(true).and(pod.set_nodelay(true)).ok();
            relay(client, pod, SILENCE).await.ok();
            return;
        }
    }
}
