//! The network of the node: pod links, service rules, DNS.

mod cidr;
pub mod dns;
mod guard;
mod kinds;
mod leases;
mod ledger;
mod nft;
pub mod pods;
pub mod policies;
mod protocol;
pub mod services;
mod sys;
#[cfg(test)]
mod testing;

pub use pods::PodLinks;

/// Why the network could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("{what}")]
    Kernel {
        what: &'static str,
        #[source]
        source: nlink::Error,
    },
    /// A namespace or lease file cannot be used.
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    /// Every address of the pod network is taken.
    #[error("no address is left in {0}")]
    Full(String),
    /// The configuration names no network that can be used.
    #[error("`{0}` is no IPv4 network")]
    BadNetwork(String),
}

impl Error {
    fn kernel(what: &'static str) -> impl FnOnce(nlink::Error) -> Self {
        move |source| Error::Kernel { what, source }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}
