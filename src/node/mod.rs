//! The node agent: pods on this machine, their volumes, probes and status, and the kubelet API.
//!
//! ```text
//! agent ── watches pods of this node ──▶ pod::worker (one per pod) ── plan ▶ operations ▶ status
//!   ├── register: the Node object and its lease
//!   ├── static_pods: files of this node that are pods
//!   ├── mirrors: pods that stand for the parts of the control plane
//!   ├── pressure: what the node is short of; images and pods that go for it
//!   └── runtime events ──▶ the worker of the container's pod
//! ```

mod admit;
mod agent;
pub mod border;
mod context;
mod error;
#[cfg(test)]
mod fake;
mod http;
mod machine;
mod mirrors;
mod objects;
mod pod;
mod pods;
mod pressure;
mod probes;
mod quantity;
mod register;
mod server;
mod static_pods;
mod volumes;

pub use agent::{Setup, run};
pub use border::{Credentials, Image, ImageConfig, ImageError, Images, Links};
pub use error::Error;
