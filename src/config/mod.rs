//! What the user asked for: raw flags and files in, a resolved [`Profile`] out. All defaults and all validation are here.

pub mod home;
pub mod paths;
pub mod profile;
pub mod resolve;

pub use home::Home;
pub use paths::NodePaths;
pub use profile::{Network, Profile};
pub use resolve::{Problem, Wanted};
