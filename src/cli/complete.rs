//! Completion in a shell: words and flags from the commands themselves, profiles, addons and services as they are now.

use super::commands;
use crate::addons::CATALOG;
use crate::cluster::Cluster;
use crate::config::{Home, Preferences};
use crate::drivers::DRIVERS;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Zsh};
use std::ffi::OsString;
use std::io;
use std::time::Duration;

/// The variable by which a shell asks.
const VARIABLE: &str = "CORACLE_COMPLETE";
/// The variable by which it says which word is being typed.
const INDEX: &str = "_CLAP_COMPLETE_INDEX";
/// What no name of a command ends with.
const NO_COMMAND: char = ':';
/// Shells that there are scripts for.
pub const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];
/// How long a completion may take: a cluster that does not answer offers no services.
const PATIENCE: Duration = Duration::from_millis(800);

/// Answers a shell that asks for completions, and ends the process then; returns at once otherwise.
pub fn answer() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let index = std::env::var(INDEX).ok().and_then(|text| text.parse().ok());
    let words = told_apart(std::env::args_os().collect(), index);
    let folder = std::env::current_dir().ok();
    let shells = CompleteEnv::with_factory(super::whole).var(VARIABLE);
    if shells.try_complete(words, folder.as_deref()).unwrap_or_else(|error| error.exit()) {
        std::process::exit(0);
    }
}

/// The words of a question, in which values of flags that are spelled like a command are spelled otherwise: clap_complete takes
/// every such word for the command (`coracle -p status …`). `index` is the place of the word that is being typed, of those
/// behind `--`; without one it is the last.
fn told_apart(mut words: Vec<OsString>, index: Option<usize>) -> Vec<OsString> {
    let Some(first) = words.iter().position(|word| word == "--").map(|at| at + 1) else { return words };
    let typed = index.map_or(words.len().saturating_sub(1), |index| first + index);
    let mut root = super::whole();
    root.build();
    let mut command = &root;
    let mut is_value = false;
    // The first is the program's own name.
    for word in words.iter_mut().take(typed).skip(first + 1) {
        let text = word.to_string_lossy();
        let known = command.find_subcommand(&*text);
        match (is_value, known) {
            (false, Some(known)) => command = known,
            (true, Some(_)) => *word = OsString::from(format!("{text}{NO_COMMAND}")),
            _ => {}
        }
        is_value = !is_value && takes_next(command, &word.to_string_lossy());
    }
    words
}

/// Whether a word is a flag whose value is the next word.
fn takes_next(command: &clap::Command, word: &str) -> bool {
    let (long, short) = match word.strip_prefix("--") {
        Some(long) => (Some(long), None),
        None => (None, word.strip_prefix('-').and_then(|rest| rest.chars().next_back())),
    };
    let is_it = |flag: &&clap::Arg| match (long, short) {
        (Some(long), _) => flag.get_long_and_visible_aliases().is_some_and(|all| all.contains(&long)),
        (_, Some(short)) => flag.get_short_and_visible_aliases().is_some_and(|all| all.contains(&short)),
        _ => false,
    };
    let found = command.get_arguments().find(is_it);
    found.and_then(clap::Arg::get_num_args).is_some_and(|count| count.takes_values() && count.min_values() > 0)
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
    let built_in =
        || commands::addons::BUILT_IN.iter().map(|(name, _)| *name).filter(|name| commands::addons::is_built_in(name));
    ArgValueCandidates::new(move || {
        candidates(CATALOG.iter().map(|addon| addon.name).chain(built_in()).map(String::from).collect())
    })
}

/// Names of drivers.
pub fn drivers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(DRIVERS.iter().map(|driver| driver.name().to_string()).collect()))
}

/// Names of what `config` sets.
pub fn preferences() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(Preferences::names().map(String::from).collect()))
}

/// Names of snapshots of the cluster that the line names, or the active one.
pub fn snapshots() -> ArgValueCandidates {
    let names = || Some(cluster()?.snapshots().ok()?.into_iter().map(|snapshot| snapshot.name).collect());
    ArgValueCandidates::new(move || candidates(names().unwrap_or_default()))
}

/// Names of services in the namespace `default` of the cluster that the line names, or the active one.
pub fn services() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(services_now().unwrap_or_default()))
}

fn candidates(names: Vec<String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The cluster that the line names, or the active one.
fn cluster() -> Option<Cluster> {
    let home = Home::from_environment();
    let words: Vec<String> = std::env::args().collect();
    let named = named_profile(&words).or_else(|| std::env::var("CORACLE_PROFILE").ok());
    let named = named.filter(|name| !name.is_empty());
    Cluster::open(&home, &named.unwrap_or_else(|| home.active())).ok()
}

fn services_now() -> Option<Vec<String>> {
    use kube::ResourceExt;
    let cluster = cluster()?;
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
    fn a_value_that_is_spelled_like_a_command_is_none_unless_it_is_being_typed() {
        let told = |line: &str, index| {
            let words = told_apart(line.split(' ').map(OsString::from).collect(), index);
            words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told("x -- coracle -p status addons enable d", None), "x -- coracle -p status: addons enable d");
        assert_eq!(told("x -- coracle -p status", None), "x -- coracle -p status");
        assert_eq!(told("x -- coracle -p status addons", Some(2)), "x -- coracle -p status addons");
        assert_eq!(
            told("x -- coracle --profile start stop --all start d", Some(6)),
            "x -- coracle --profile start: stop --all start d"
        );
        assert_eq!(
            told("x -- coracle --profile=start addons list -p list", None),
            "x -- coracle --profile=start addons list -p list"
        );
        assert_eq!(told("x", None), "x");
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
