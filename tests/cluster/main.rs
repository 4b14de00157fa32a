//! Real clusters, driven by the real executable and a real `kubectl`, as a user would.
//!
//! Each test cluster has a home, a kubeconfig and a name of its own, so tests run side by side. They need root; without it
//! each says that it is skipped.

mod apply;
mod browser;
mod chart_objects;
mod charts;
mod clock;
mod completion;
mod custom;
mod dashboard;
mod docker;
mod extension;
mod faults;
mod guest;
mod harness;
mod helm;
mod ingress;
mod kubectls;
mod life;
mod life_commands;
mod limits;
mod network;
mod objects;
mod pressure;
mod release;
mod static_pods;
mod streams;
mod surroundings;
mod surviving;
mod terminal;
mod top;
mod tour;
