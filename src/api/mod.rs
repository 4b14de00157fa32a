//! The vocabulary of the API: objects, kinds, selectors, patches, errors. Pure: no I/O, no async, no storage.

pub mod custom;
pub mod fields;
pub mod json_path;
pub mod kinds;
pub mod names;
pub mod object;
pub mod openapi;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
pub mod time;
pub mod validate;
pub mod yaml;

pub use kinds::{KINDS, Kind, Scope, find, find_kind};
pub use object::Object;
pub use status::{Cause, Reason, Status};
