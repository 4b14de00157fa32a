//! Coracle: a Kubernetes cluster for one machine, in one executable.
//!
//! The executable plays every part: the command line on your machine, PID 1 of the node (`coracle init`), the control
//! plane and node agent (`coracle server`), the supervisor that keeps containers alive apart from the server
//! (`coracle supervisor`), and the pods of `kube-system` (`coracle dns`, …).
//!
//! A module directly below this one is a *room*. Rooms know each other in one direction only. The table below is the
//! rule, `tests/tidy.rs` parses it from here and fails on any `crate::room` outside it. `control` has rooms of its own.
//!
//! ```text rooms
//! base      ->
//! config    -> base
//! pki       -> base config
//! api       -> base
//! images    -> base
//! client    -> base api
//! control::store       -> base api
//! control::server      -> base config pki api control::store
//! control::controllers -> base api client
//! control::scheduler   -> base api client
//! runtime   -> base images
//! net       -> base config api client
//! node      -> base config pki api client images runtime net
//! charts    -> base api client images
//! addons    -> base config api client charts
//! dashboard -> base api client
//! ingress   -> base pki client
//! boot      -> base config pki api client images control runtime net node charts addons dashboard ingress
//! drivers   -> base config
//! cluster   -> base config pki api client drivers
//! cli       -> base config api client images charts addons dashboard boot drivers cluster
//! ```
//!
//! Invariants:
//! * Every change of the world is `object -> store -> watch -> client -> reconcile -> client -> object`.
//! * Only `control::store` writes object data; only `control::server` calls it; everybody else uses `client`.
//! * The server reaches the node agent over HTTPS as Kubernetes does, so neither room names the other.
//! * Containers are children of the supervisor, never of the server.
//! * Nothing polls: a loop waits for a watch, a file descriptor or a timer that was asked for.

pub mod addons;
pub mod api;
pub mod base;
pub mod boot;
pub mod charts;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod control;
pub mod dashboard;
pub mod drivers;
pub mod images;
pub mod ingress;
pub mod net;
pub mod node;
pub mod pki;
pub mod runtime;
