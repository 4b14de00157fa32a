//! `coracle dashboard-server`: the files of the dashboard's page, in a pod of the addon.

use crate::dashboard::server;
use std::io;
use std::net::Ipv4Addr;
use tokio::signal::unix::{SignalKind, signal};

/// Serves on `port` until SIGTERM.
pub fn main(port: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        tokio::spawn(crate::base::memory::settle());
        tokio::select! {
            ended = server::serve(listener) => ended,
            _ = terminate.recv() => Ok(()),
        }
    })
}
