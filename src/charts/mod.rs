//! Helm's job: charts read, filled with values, rendered and installed.

pub mod functions;
pub mod release;
pub mod template;
pub mod yaml;
