//! What the user asked for: raw flags and files in, a resolved [`Profile`] out. All defaults and all validation are here.

pub mod file;
pub mod home;
pub mod minikube;
pub mod paths;
pub mod preferences;
pub mod profile;
pub mod resolve;
pub mod settings;
pub mod shortage;
pub mod values;

pub use home::Home;
pub use paths::NodePaths;
pub use preferences::Preferences;
pub use profile::{Network, Profile};
pub use resolve::{Change, Problem, Wanted};
pub use settings::Effect;
pub use shortage::{Limit, Shortage, Signal, Threshold};
