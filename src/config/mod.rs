//! What the user asked for: raw flags and files in, a resolved [`Profile`] out. All defaults and all validation are here.

pub mod paths;
pub mod profile;

pub use paths::NodePaths;
pub use profile::{Network, Profile};
