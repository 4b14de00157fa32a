//! What is wrong with an object: the rules behind `validate` and `validate_update` of the kinds table. Pure.
//!
//! A rule walks the object by [`At`] and puts what it finds into [`Causes`], with upstream's reason, wording and field
//! path, because clients match on them.

pub mod admission;
pub mod autoscaling;
pub mod batch;
mod causes;
pub mod certificates;
pub mod config;
mod labels;
pub mod metadata;
pub mod misc;
pub mod networking;
pub mod pod;
pub mod rbac;
pub mod service;
pub mod storage;
pub mod workloads;

pub use causes::{At, Causes, collect, same};

#[cfg(test)]
mod tests;
