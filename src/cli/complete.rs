//! Completion in a shell: words and flags from the commands themselves, profiles, addons and services as they are now.

use super::commands;
use crate::addons::CATALOG;
use crate::cluster::Cluster;
use crate::config::Home;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Zsh};
use std::io;
use std::time::Duration;

/// The variable by which a shell asks.
const VARIABLE: &str = "CORACLE_COMPLETE";
/// Shells that there are scripts for.
pub const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];
/// How long a completion may take: a cluster that does not answer offers no services.
const PATIENCE: Duration = Duration::from_millis(800);

/// Answers a shell that asks for completions, and ends the process then; returns at once otherwise.
pub fn answer() {
    CompleteEnv::with_factory(super::whole).var(VARIABLE).complete();
}

/// Writes the script of a shell.
pub fn script(shell: &str, out: &mut dyn io::Write) -> io::Result<()> {
    let shell: &dyn EnvCompleter = match shell {
        "bash" => &Bash,
        "elvish" => &Elvish,
        "fish" => &Fish,
        "powershell" => &Powershell,
        _ => &Zsh,
    };
    shell.write_registration(VARIABLE, "coracle", "coracle", "coracle", out)
}

/// Names of profiles.
pub fn profiles() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(Home::from_environment().names().unwrap_or_default()))
}

/// Names of addons.
pub fn addons() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(CATALOG.iter().map(|addon| addon.name.to_string()).collect()))
}

/// Names of services in the namespace `default` of the cluster that the line names, or the active one.
pub fn services() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(services_now().unwrap_or_default()))
}

fn candidates(names: Vec<String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn services_now() -> Option<Vec<String>> {
    use kube::ResourceExt;
    let home = Home::from_environment();
    let words: Vec<String> = std::env::args().collect();
    let named = named_profile(&words).or_else(|| std::env::var("CORACLE_PROFILE").ok());
    let named = named.filter(|name| !name.is_empty());
    let cluster = Cluster::open(&home, &named.unwrap_or_else(|| home.active())).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asking = async {
        let client = commands::client(&cluster).await.ok()?;
        let services = kube::Api::<k8s_openapi::api::core::v1::Service>::default_namespaced(client);
        let found = services.list(&kube::api::ListParams::default()).await.ok()?;
        Some(found.iter().map(ResourceExt::name_any).collect())
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await.ok().flatten() })
}

/// The profile that a line names which is being typed.
fn named_profile(words: &[String]) -> Option<String> {
    words.iter().enumerate().find_map(|(at, word)| match word.as_str() {
        "-p" | "--profile" => words.get(at + 1).cloned(),
        word => word.strip_prefix("--profile=").map(String::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_whose_services_are_meant() {
        let named = |line: &str| named_profile(&line.split(' ').map(String::from).collect::<Vec<_>>());
        assert_eq!(named("x -- coracle -p dev service w").as_deref(), Some("dev"));
        assert_eq!(named("x -- coracle service --profile=prod w").as_deref(), Some("prod"));
        assert_eq!(named("x -- coracle service w -p"), None);
    }

    #[test]
    fn every_shell_has_a_script_that_asks_this_executable() {
        for shell in SHELLS {
            let mut text = Vec::new();
            script(shell, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(VARIABLE) && text.contains("coracle"), "{shell}: {text}");
        }
    }
}
