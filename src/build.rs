//! The build script: what is data in the tree and a table in the executable. Each room that has such data has its own part.

#[path = "addons/build.rs"]
mod addons;
#[path = "api/build.rs"]
mod api;
#[path = "dashboard/build.rs"]
mod dashboard;

use std::path::{Path, PathBuf};

/// Which commit this is, whether anything was changed since, and of when it is, for `/version`: `CORACLE_COMMIT`,
/// `CORACLE_TREE`, `CORACLE_SECONDS` since 1970. Outside a repository all digits of the commit are 0, and the time is that of
/// `SOURCE_DATE_EPOCH` or the first of all.
fn identify() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_string())
    };
    // Builds for development keep the commit that they started from: nobody waits for a build because of a commit.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"])
    {
        println!("cargo:rerun-if-changed={head}");
    }
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "0".repeat(40));
    let tree = git(&["status", "--porcelain"]).map_or("", |changes| if changes.is_empty() { "clean" } else { "dirty" });
    let seconds = std::env::var("SOURCE_DATE_EPOCH").ok().or_else(|| git(&["show", "-s", "--format=%ct", "HEAD"]));
    println!("cargo:rustc-env=CORACLE_COMMIT={commit}");
    println!("cargo:rustc-env=CORACLE_TREE={tree}");
    println!("cargo:rustc-env=CORACLE_SECONDS={}", seconds.as_deref().unwrap_or("0"));
}

/// The executable is linked at a fixed address: one that is not has hundreds of pages of addresses to fill in whenever it
/// starts, and keeps them for itself; a node runs it several times, and `chart template` is over in milliseconds.
/// Stack, heap and mappings are where chance has them all the same.
///
/// In a release, functions that came out the same are one: generic code is copied where it is used. And those that commands run
/// through lie side by side (`.ci/order` writes the list): each that lies apart costs a page fault. The linker that does both is
/// the one that Rust brings along for this target.
fn link(order: &Path) {
    for argument in ["-no-pie", "-static"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("PROFILE") == "release" && variable("TARGET") == "x86_64-unknown-linux-gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        if order.exists() {
            println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", order.display());
            println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
        }
    }
}

fn main() {
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).expect("cargo sets it"));
    link(&variable("CARGO_MANIFEST_DIR").join(".ci/order.txt"));
    identify();
    addons::generate(&variable("CARGO_MANIFEST_DIR").join("addons"), &variable("OUT_DIR"));
    dashboard::generate(&variable("CARGO_MANIFEST_DIR").join("addons/dashboard/page"), &variable("OUT_DIR"));
    api::generate(&variable("CARGO_MANIFEST_DIR").join("src/api/schema/facts.txt"), &variable("OUT_DIR"));
}
