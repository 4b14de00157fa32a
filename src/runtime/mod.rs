//! Sandboxes, containers, cgroups, exec, logs, stats; knows no pod object.
//!
//! The trait [`Runtime`] has the shape of CRI (k8s.io/cri-api), so that a CRI socket can be a second implementation. The
//! first one talks to the supervisor (`coracle supervisor`), which outlives the server: containers are its children, it
//! holds their stdio, writes their logs, reaps them and answers over a unix socket ([`Supervised`] is the client).

mod capabilities;
mod cgroups;
mod child;
mod client;
pub mod spec;
mod streams;
pub mod supervisor;
mod sys;
#[cfg(test)]
mod tests;
mod wire;

pub use client::Supervised;
pub use spec::*;
