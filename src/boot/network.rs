//! The network's components: what keeps packet rules as the API says.

use crate::base::Shutdown;
use crate::client::{Caches, Client};
use crate::config::Profile;
use crate::net::{self, policies, services};

/// Keeps the rules until shutdown.
pub async fn run(client: Client, profile: Profile, shutdown: Shutdown) -> Result<(), net::Error> {
    let caches = Caches::new(client);
    let services = services::run(caches.clone(), profile.clone(), shutdown.clone());
    let policies = policies::run(caches, profile, shutdown);
    let (services, policies) =
        tokio::join!(told("services have no addresses", services), told("network policies do not hold", policies));
    services.and(policies)
}

/// Tells of an error when it happens: the server ends much later, and the rest of it works without this.
async fn told(what: &str, component: impl Future<Output = Result<(), net::Error>>) -> Result<(), net::Error> {
    let ended = component.await;
    if let Err(error) = &ended {
        tracing::error!(error = crate::base::causes::chain(error), "{what}");
    }
    ended
}
