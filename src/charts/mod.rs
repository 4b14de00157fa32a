//! Helm's job: charts read, filled with values, rendered and installed.

pub mod release;
