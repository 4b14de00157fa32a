//! The build script: what is data in the tree and a table in the executable. Each room that has such data has its own part.

#[path = "addons/build.rs"]
mod addons;
#[path = "api/build.rs"]
mod api;

use std::path::PathBuf;

fn main() {
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).expect("cargo sets it"));
    addons::generate(&variable("CARGO_MANIFEST_DIR").join("addons"), &variable("OUT_DIR"));
    api::generate(&variable("CARGO_MANIFEST_DIR").join("src/api/schema/facts.txt"), &variable("OUT_DIR"));
}
