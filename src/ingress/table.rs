//! The routing table: made whole from what the API says, never changed after that.

use super::conditions::Canary;
use super::config::Config;
use super::endpoints::Backend;
use super::metrics::Counters;
use super::paths::{Rule, Rules};
use super::settings::Settings;
use super::tls::Certificates;
use std::collections::HashMap;
use std::sync::Arc;

/// The name of the server that takes every host that no other has.
pub const CATCH_ALL: &str = "_";

/// Everything that a request is answered by.
#[derive(Default)]
pub struct Table {
    pub config: Arc<Config>,
    /// By lower-case host name.
    pub servers: HashMap<String, Arc<Server>>,
    /// `*.example.com` by `example.com`: one more label, as the Ingress API has it.
    pub wildcards: HashMap<String, Arc<Server>>,
    pub catch_all: Arc<Server>,
    pub certificates: Arc<Certificates>,
    /// Ports of the node and the backends behind them, for TCP.
    pub streams: Vec<(u16, Arc<Backend>)>,
}

/// One host.
#[derive(Default)]
pub struct Server {
    pub rules: Rules<Location>,
    /// Whether an Ingress says that it has TLS, so that plain requests are sent there.
    pub has_tls: bool,
    /// Requests are sent to this host instead: `from-to-www-redirect`.
    pub instead: Option<String>,
}

/// What one path of a host leads to.
pub struct Location {
    pub rule: Rule,
    pub origin: Arc<Origin>,
    pub settings: Arc<Settings>,
    pub backend: Arc<Backend>,
    pub canary: Option<(Canary, Arc<Settings>, Arc<Backend>)>,
    pub counters: Arc<Counters>,
    /// Errors and missing endpoints are answered by this service.
    pub errors_to: Option<Arc<Backend>>,
}

/// Which Ingress a location is from, and the service that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    pub namespace: String,
    pub ingress: String,
    pub service: String,
    pub port: String,
}

impl Table {
    /// The server of a host name (lower case, without port).
    pub fn server(&self, host: &str) -> &Arc<Server> {
        let wildcard = || host.split_once('.').and_then(|(_, rest)| self.wildcards.get(rest));
        self.servers.get(host).or_else(wildcard).unwrap_or(&self.catch_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str) -> Arc<Server> {
        Arc::new(Server { instead: Some(host.into()), ..Server::default() })
    }

    #[test]
    fn a_wildcard_stands_for_one_label_and_a_whole_name_wins() {
        let mut table = Table { catch_all: server(CATCH_ALL), ..Table::default() };
        table.servers.insert("a.foo.com".into(), server("a.foo.com"));
        table.wildcards.insert("foo.com".into(), server("*.foo.com"));
        for (host, expected) in [
            ("a.foo.com", "a.foo.com"),
            ("b.foo.com", "*.foo.com"),
            ("a.b.foo.com", CATCH_ALL),
            ("foo.com", CATCH_ALL),
            ("", CATCH_ALL),
        ] {
            assert_eq!(table.server(host).instead.as_deref(), Some(expected), "{host}");
        }
    }
}
