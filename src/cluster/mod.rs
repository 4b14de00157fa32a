//! A cluster's life as a list of steps: start, stop, delete, status; profiles and kubeconfig.

pub mod kubeconfig;
pub mod life;
pub mod ready;
pub mod status;

pub use life::{Cluster, Error, Started};
