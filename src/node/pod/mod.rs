//! One pod on this machine: what to do next (plan), doing it (start, stop), and what is told about it (status).

pub mod backoff;
pub mod conditions;
mod drive;
pub mod environment;
pub mod expand;
pub mod fields;
mod files;
pub mod history;
pub mod hooks;
pub mod image;
pub mod messages;
pub mod parts;
pub mod plan;
pub mod publish;
mod resize;
pub mod resources;
pub mod room;
pub mod sandbox;
pub mod secrets;
mod security;
pub mod spec;
pub mod start;
pub mod status;
pub mod stop;
pub mod user;
pub mod worker;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// This moment as the API writes it: whole seconds.
pub fn now() -> Time {
    seconds(Timestamp::now())
}

/// A moment as the API writes it: whole seconds.
pub fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
