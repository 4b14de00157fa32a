//! The network's components: what keeps packet rules as the API says.

use crate::base::Shutdown;
use crate::client::Client;
use crate::config::Profile;
use crate::net::{self, services};

/// Keeps the rules until shutdown.
pub async fn run(client: Client, profile: Profile, shutdown: Shutdown) -> Result<(), net::Error> {
    let ended = services::run(client, profile, shutdown).await;
    if let Err(error) = &ended {
        // Told when it happens: the server ends much later, and pods work without service addresses.
        tracing::error!(error = super::server::chain(error), "services have no addresses");
    }
    ended
}
