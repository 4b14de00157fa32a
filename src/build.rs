//! The build script: what is data in the tree and a table in the executable. Each room that has such data has its own part.

#[path = "addons/build.rs"]
mod addons;
#[path = "api/build.rs"]
mod api;

use std::path::PathBuf;

/// Which commit this is and of when, for `/version`: `CORACLE_COMMIT` and `CORACLE_DATE`. Outside a repository all digits of the
/// commit are 0, and the date is that of `SOURCE_DATE_EPOCH` or the first of all.
fn identify() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_string()).filter(|text| !text.is_empty())
    };
    // Builds for development keep the commit that they started from: nobody waits for a build because of a commit.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"])
    {
        println!("cargo:rerun-if-changed={head}");
    }
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "0".repeat(40));
    let date = git(&["show", "-s", "--format=%ct", "HEAD"]);
    let seconds = std::env::var("SOURCE_DATE_EPOCH").ok().or(date).and_then(|text| text.parse().ok()).unwrap_or(0);
    println!("cargo:rustc-env=CORACLE_COMMIT={commit}");
    println!("cargo:rustc-env=CORACLE_DATE={}", date_of(seconds));
}

/// Seconds since 1970 as RFC 3339.
fn date_of(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

fn main() {
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).expect("cargo sets it"));
    identify();
    addons::generate(&variable("CARGO_MANIFEST_DIR").join("addons"), &variable("OUT_DIR"));
    api::generate(&variable("CARGO_MANIFEST_DIR").join("src/api/schema/facts.txt"), &variable("OUT_DIR"));
}
