//! The API server: every rule that a request passes, from TLS to the store.
//!
//! ```text
//! http ─▶ authenticate ─▶ authorize ─▶ target ─┬─ resource: decode ▸ convert ▸ default ▸ admit ▸ validate ▸ store
//!                                              └─ other: discovery, health, version
//! ```
//!
//! The server's own parts reach it through [`Server::client`]: the same service without a socket, with an identity.

pub mod accept;
pub mod admission;
pub mod aggregate;
pub mod answer;
pub mod auth;
pub mod bootstrap;
pub mod cached;
pub mod cel;
pub mod components;
pub mod counters;
pub mod custom;
pub mod decode;
pub mod deletion;
pub mod discovery;
pub mod eviction;
pub mod form;
pub mod health;
pub mod identity;
pub mod listen;
pub mod metrics;
pub mod objects;
pub mod openapi;
pub mod options;
pub mod patch;
pub mod pieces;
pub mod proxy;
mod race;
pub mod read;
pub mod remote;
pub mod request;
pub mod resource;
pub mod route;
pub mod services;
pub mod watch;
pub mod write;

pub use identity::{Attributes, Authenticator, Identity, PeerCertificate};

use crate::api::Status;
use crate::config::{NodePaths, Profile};
use crate::control::store::{self, Store};
use axum::body::Body;
use http::Request;
use std::convert::Infallible;
use std::sync::Arc;

/// What a server is made from.
pub struct ServerConfig {
    pub profile: Profile,
    pub paths: NodePaths,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open the store")]
    Store(#[from] store::Error),
    #[error("cannot use the server's certificates")]
    Pki(#[from] crate::pki::Error),
    #[error("cannot make the first objects: {0}")]
    Bootstrap(Status),
    #[error("cannot serve")]
    Io(#[from] std::io::Error),
}

/// What every request is answered from.
pub struct Api {
    pub profile: Profile,
    pub paths: NodePaths,
    pub store: Store,
    pub authenticators: Vec<Box<dyn Authenticator>>,
    /// Service accounts and their tokens.
    pub accounts: Arc<auth::accounts::Accounts>,
    pub authorizer: Arc<auth::Rules>,
    pub admission: Vec<Box<dyn admission::Plugin>>,
    /// Those of the plugins that ask somebody else.
    pub webhooks: Arc<admission::Webhooks>,
    /// APIs that other servers answer.
    pub aggregated: aggregate::Aggregated,
    /// Webhooks and aggregated APIs, as servers.
    pub remotes: remote::Remotes,
    /// Custom kinds.
    pub custom: Arc<custom::Registry>,
    /// Addresses and node ports of Services.
    pub services: services::Services,
    /// How node agents are reached.
    pub agents: proxy::Agents,
    /// Who works through the server's own client.
    pub clients: components::Clients,
    /// Documents of what is served, for those who ask again.
    pub documents: openapi::Kept,
    /// What nodes used a while ago.
    pub looks: metrics::Looks,
    /// What was asked of this server.
    pub counters: counters::Counters,
}

/// The running server: cheap to clone.
#[derive(Clone)]
pub struct Server {
    api: Arc<Api>,
}

impl Server {
    /// Opens the store and makes the first objects.
    pub async fn start(config: ServerConfig) -> Result<Self, Error> {
        let store = Store::open(&config.paths.store())?;
        let accounts = auth::accounts(&config, &store)?;
        let webhooks = Arc::new(admission::Webhooks::new(&store));
        let api = Api {
            authenticators: auth::authenticators(&accounts),
            authorizer: Arc::new(auth::Rules::new(&store)),
            accounts,
            agents: proxy::Agents::load(&config.paths.pki())?,
            admission: admission::plugins(&config, &store, &webhooks),
            webhooks,
            aggregated: aggregate::Aggregated::new(&store, &config.paths.pki()),
            remotes: remote::Remotes::new(&store),
            clients: components::Clients::default(),
            documents: openapi::Kept::default(),
            looks: metrics::Looks::default(),
            counters: counters::Counters::default(),
            custom: custom::registry(),
            services: services::Services::load(&config.profile, &store),
            profile: config.profile,
            paths: config.paths,
            store,
        };
        let server = Self { api: Arc::new(api) };
        bootstrap::ensure(&server.api).await.map_err(Error::Bootstrap)?;
        custom::start(&server.api).await.map_err(Error::Bootstrap)?;
        aggregate::start(&server.api);
        Ok(server)
    }

    /// The store below, for tests of what stands between.
    #[cfg(test)]
    pub fn store(&self) -> &Store {
        &self.api.store
    }

    /// A client of this server without sockets, with an identity of its own; everything else is as for any other client.
    pub fn client(&self, identity: Identity) -> kube::Client {
        let api = self.api.clone();
        let held = api.clients.hand_out(&identity.name);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let _held = &held;
            let (api, identity) = (api.clone(), identity.clone());
            async move {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(identity);
                Ok::<_, Infallible>(route::answer(api, request).await)
            }
        });
        kube::Client::new(service, "default")
    }

    /// Names of those who work through clients of this server without sockets, the parts of the control plane among them; tells
    /// when one begins or ends.
    pub fn users(&self) -> tokio::sync::watch::Receiver<Vec<String>> {
        self.api.clients.names()
    }

    /// Serves HTTPS on `listener` until shutdown, then lets requests that run end.
    pub async fn serve(&self, listener: tokio::net::TcpListener, shutdown: crate::base::Shutdown) -> Result<(), Error> {
        listen::serve(self.api.clone(), listener, shutdown).await
    }
}

#[cfg(test)]
pub mod tests;
