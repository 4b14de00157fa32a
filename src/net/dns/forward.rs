//! Names that are not the cluster's: asked of the resolvers that the node has, answers are kept for a while.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError, NetError, runtime::TokioRuntimeProvider};
use hickory_resolver::{Resolver, TokioResolver};
use parking_lot::RwLock;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::watch;

/// Answers that are kept at most.
const CACHED: u64 = 256;
/// No answer is kept longer, so that a change of the network is not remembered for a day.
const LONGEST: Duration = Duration::from_secs(30);
/// How long one resolver may take; two attempts are within the five seconds of most clients.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a resolver elsewhere said.
pub struct Answer {
    pub code: ResponseCode,
    pub records: Vec<Record>,
    pub authorities: Vec<Record>,
}

impl Answer {
    fn nothing(code: ResponseCode) -> Self {
        Self { code, records: Vec::new(), authorities: Vec::new() }
    }
}

/// The way out.
pub struct Forwarder(RwLock<Option<TokioResolver>>);

impl Forwarder {
    /// Forwards to the resolvers that a `resolv.conf` names; to nobody if it names none.
    pub fn new(resolv_conf: &str) -> Result<Self, NetError> {
        Ok(Self(RwLock::new(resolver(resolv_conf)?)))
    }

    /// Forwards to others whenever they are told; never ends.
    pub async fn follow(&self, mut resolvers: watch::Receiver<String>) {
        while resolvers.changed().await.is_ok() {
            let made = resolver(&resolvers.borrow_and_update());
            match made {
                // What the ones before answered may not be true in another network: it is forgotten.
                Ok(resolver) => *self.0.write() = resolver,
                Err(error) => tracing::warn!(%error, "the new resolvers are not asked"),
            }
        }
        std::future::pending().await
    }

    /// Asks.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Answer {
        let Some(resolver) = self.0.read().clone() else { return Answer::nothing(ResponseCode::ServFail) };
        let mut name = name.clone();
        // A name with its last dot is asked for as it is, without search domains.
        name.set_fqdn(true);
        match resolver.lookup(name, kind).await {
            Ok(found) => {
                Answer { code: ResponseCode::NoError, records: found.answers().to_vec(), authorities: Vec::new() }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let authorities = none.soa.map(|soa| (*soa).into_record_of_rdata()).into_iter().collect();
                Answer { authorities, ..Answer::nothing(none.response_code) }
            }
            Err(NetError::Dns(DnsError::ResponseCode(code))) => Answer::nothing(code),
            Err(error) => {
                tracing::debug!(%error, "a resolver did not answer");
                Answer::nothing(ResponseCode::ServFail)
            }
        }
    }
}

/// Asks the resolvers that a `resolv.conf` names; nothing if it names none.
fn resolver(resolv_conf: &str) -> Result<Option<TokioResolver>, NetError> {
    let servers: Vec<NameServerConfig> = servers(resolv_conf).into_iter().map(NameServerConfig::udp_and_tcp).collect();
    if servers.is_empty() {
        return Ok(None);
    }
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options();
    Ok(Some(builder.build()?))
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = PATIENCE;
    options.attempts = 1;
    options.cache_size = CACHED;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(LONGEST);
    options.negative_max_ttl = Some(LONGEST);
    options.preserve_intermediates = true;
    options
}

/// The resolvers of a `resolv.conf`.
fn servers(resolv_conf: &str) -> Vec<IpAddr> {
    let lines = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.split_whitespace().next()?.split('%').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read() {
        let text = "# one\nsearch example.com\nnameserver 10.0.0.1\n nameserver\tfe80::1%eth0 # two\nnameserver x\n";
        let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.1", "fe80::1"]);
    }

    #[tokio::test]
    async fn without_a_resolver_the_server_says_that_it_failed() {
        let forwarder = Forwarder::new("search example.com\n").unwrap();
        let answer = forwarder.ask(&Name::from_ascii("example.com.").unwrap(), RecordType::A).await;
        assert_eq!(answer.code, ResponseCode::ServFail);
    }
}
