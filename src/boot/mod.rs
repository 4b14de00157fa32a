//! The order of components in the server process: start, wait ready, drain; and what `init` does as PID 1.

pub mod controllers;
pub mod copy;
pub mod dashboard;
pub mod dns;
pub mod freeze;
pub mod hello;
pub mod ingress;
pub mod init;
pub mod landmarks;
pub mod mounts;
pub mod network;
pub mod node;
pub mod renewal;
mod resolvers;
pub mod server;
pub mod supervisor;
pub mod trust;
