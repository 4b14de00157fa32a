//! The control plane: store, API server, controllers and scheduler. Each is a room of its own.

pub mod controllers;
pub mod scheduler;
pub mod server;
pub mod store;
