//! Addons: the catalog (folders of `addons/`) and applying what is wanted.
//!
//! An addon is a folder of data: `addon.toml` says what it is, the manifests beside it are what is applied. No Rust file
//! names one. Manifests may hold `${name}` for the few values that differ between clusters.

pub mod catalog;
pub mod reconcile;

pub use catalog::{Addon, CATALOG};
pub use reconcile::{Error, apply_wanted, is_wanted, remove_unwanted};
