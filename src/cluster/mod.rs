//! A cluster's life as a list of steps: start, stop, delete, status; profiles and kubeconfig.

pub mod change;
pub mod doctor;
mod forwarder;
mod frozen;
mod inside;
pub mod kubeconfig;
mod layout;
pub mod life;
mod lock;
mod neighbours;
mod process;
pub mod ready;
mod schedule;
pub mod snapshot;
pub mod status;
pub mod trust;

pub use frozen::Pause;
pub use life::{Cluster, Error, Started, sweep};
pub use lock::Lock;
