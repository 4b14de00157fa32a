//! The one door to the API for everybody who is not the server: the client, shared list/watch caches, waiting, applying.
//!
//! In the server's process the client's transport is the server's own service, without sockets; elsewhere it is HTTPS. The
//! code that uses it cannot tell.

pub mod cache;
pub mod follow;
#[cfg(test)]
pub mod mock;

pub use cache::{Cache, Cached, Caches, Change};
pub use kube::Client;
