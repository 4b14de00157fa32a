//! What is wrong with a command line, in Helm's words, and flags that have other names today.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};
use std::ffi::OsString;

/// What is said of words that are no command.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// Help, which is no failure.
    Help(String),
    /// What is wrong.
    Problem(String),
}

/// What clap's error is in Helm's words, where it has some.
pub fn said(error: &Error, whole: Command, words: &[OsString]) -> Said {
    let (path, mut command) = named(whole, words);
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let word = context(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Said::Help(error.to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Said::Help(command.render_help().to_string()),
        // A command of ours, so that a name after it is taken for a mistake and not for a wish for help.
        ErrorKind::InvalidSubcommand if path.iter().any(|word| word == "diff") => {
            let word = context(ContextKind::InvalidSubcommand);
            Said::Problem(format!("unknown command {word:?} for \"helm diff\"\nRun 'helm diff --help' for usage."))
        }
        ErrorKind::InvalidSubcommand if path.len() > 1 => Said::Help(command.render_help().to_string()),
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand);
            Said::Problem(format!("unknown command {word:?} for \"helm\"\nRun 'helm --help' for usage."))
        }
        ErrorKind::UnknownArgument => Said::Problem(match word.strip_prefix("--") {
            Some(_) => format!("unknown flag: {word}"),
            None if word.starts_with('-') => {
                format!("unknown shorthand flag: '{}' in {word}", word.chars().nth(1).unwrap_or('-'))
            }
            None => too_many(&path.join(" "), &command),
        }),
        ErrorKind::InvalidValue if word.starts_with('-') && context(ContextKind::InvalidValue).is_empty() => {
            let last = words.last().and_then(|word| word.to_str()).unwrap_or_default();
            let short =
                last.strip_prefix('-').filter(|rest| !rest.starts_with('-')).and_then(|rest| rest.chars().last());
            let long = word.split([' ', '=']).next().unwrap_or(&word);
            Said::Problem(match short {
                Some(letter) => format!("flag needs an argument: '{letter}' in {last}"),
                None => format!("flag needs an argument: {long}"),
            })
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if word.starts_with("--") => {
            let value = context(ContextKind::InvalidValue);
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let flag = flag(&command, &word);
            Said::Problem(format!("invalid argument {value:?} for {flag:?} flag: {}", go_words(&why, &value)))
        }
        _ => {
            let text = error.to_string();
            Said::Problem(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_string())
        }
    }
}

/// The command that words name, as far as they name one, and its words.
fn named(whole: Command, words: &[OsString]) -> (Vec<String>, Command) {
    let (mut path, mut command) = (vec!["helm".to_string()], whole);
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        let Some(next) = command.find_subcommand(word) else { continue };
        path.push(next.get_name().to_string());
        command = next.clone().bin_name(path.join(" "));
    }
    (path, command)
}

/// Helm's complaint about arguments that a command does not take.
fn too_many(path: &str, command: &Command) -> String {
    let most = match command.get_positionals().count() {
        0 => "no arguments".into(),
        1 => "at most 1 argument".into(),
        more => format!("at most {more} arguments"),
    };
    let shown = command.get_positionals().filter(|argument| !argument.is_hide_set());
    let names: String = shown.map(|argument| format!("{} ", argument.get_id().as_str().to_uppercase())).collect();
    format!("{path:?} accepts {most}\n\nUsage:  {path} {names}[flags]")
}

/// A flag as Go's errors name it: `-o, --output`.
fn flag(command: &Command, shown: &str) -> String {
    let name = shown.trim_start_matches('-');
    let name =
        &name[..name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').unwrap_or(name.len())];
    let found = command.get_arguments().find(|argument| argument.get_long() == Some(name));
    match found.and_then(Arg::get_short) {
        Some(short) => format!("-{short}, --{name}"),
        None => format!("--{name}"),
    }
}

/// Why a number is none, in Go's words; other reasons have them already.
fn go_words(why: &str, value: &str) -> String {
    let why_not = match why {
        _ if why.contains("invalid digit") || why.contains("from empty string") => "invalid syntax",
        _ if why.contains("number too ") || why.contains("is not in ") => "value out of range",
        _ => return why.to_string(),
    };
    format!("strconv.ParseInt: parsing {value:?}: {why_not}")
}

/// Flags with other names today: the commands that have them, and what is said.
const OLD_FLAGS: &[(&str, &[&str], &str)] = &[
    ("--atomic", &["install", "template", "upgrade"], "--rollback-on-failure"),
    ("--force", &["install", "template", "upgrade", "rollback"], "--force-replace"),
    ("--validate", &["template"], "'--dry-run=server'"),
];

/// Flags of Helm 3 that are read and do nothing: the command that has one, and why not.
const IDLE_FLAGS: &[(&str, &str, &str)] = &[
    ("--show-desc", "status", "the description is always shown"),
    ("--show-resources", "status", "the objects are always shown"),
    ("--hide-notes", "test", "notes are not shown"),
    ("--recreate-pods", "rollback", "pods are made anew where their workload changes"),
];

/// What is said of old flags among the words of a command.
pub fn old_flags<'w>(command: &'w str, words: &'w [OsString]) -> impl Iterator<Item = String> + 'w {
    let is_given = |flag: &str| {
        let mut words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
        words.any(|word| word.split('=').next() == Some(flag))
    };
    let renamed = OLD_FLAGS
        .iter()
        .filter(move |(flag, commands, _)| commands.contains(&command) && is_given(flag))
        .map(|(flag, _, other)| format!("Flag {flag} has been deprecated, use {other} instead"));
    let idle = IDLE_FLAGS
        .iter()
        .filter(move |(flag, of, _)| *of == command && is_given(flag))
        .map(|(flag, _, why)| format!("Flag {flag} has been deprecated, {why}"));
    renamed.chain(idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn told(text: &str) -> Said {
        let words = words(text);
        let error = super::super::like_go(super::super::whole()).try_get_matches_from(&words).unwrap_err();
        said(&error, super::super::whole(), &words)
    }

    #[test]
    fn wrong_words_are_told_as_by_helm() {
        for (text, wanted) in [
            ("helm list -o xml", "invalid argument \"xml\" for \"-o, --output\" flag: invalid format type"),
            (
                "helm get all x --revision x",
                "invalid argument \"x\" for \"--revision\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "helm list --date=x",
                "invalid argument \"x\" for \"-d, --date\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            // What the revision before was made with is no answer where there is none before.
            (
                "helm install a b --server-side=auto",
                "invalid argument \"auto\" for \"--server-side\" flag: strconv.ParseBool: parsing \"auto\": invalid syntax",
            ),
            // What a comparison does not use, it does not take.
            ("helm diff upgrade a b --skip-crds", "unknown flag: --skip-crds"),
            ("helm diff upgrade a b --output=json", "unknown flag: --output"),
            ("helm list extra", "\"helm list\" accepts no arguments\n\nUsage:  helm list [flags]"),
            ("helm repo list x", "\"helm repo list\" accepts no arguments\n\nUsage:  helm repo list [flags]"),
            ("helm env a b", "\"helm env\" accepts at most 1 argument\n\nUsage:  helm env [flags]"),
            (
                "helm dependency list a b",
                "\"helm dependency list\" accepts at most 1 argument\n\nUsage:  helm dependency list CHART [flags]",
            ),
            ("helm nope", "unknown command \"nope\" for \"helm\"\nRun 'helm --help' for usage."),
            ("helm diff web", "unknown command \"web\" for \"helm diff\"\nRun 'helm diff --help' for usage."),
            ("helm list --nope", "unknown flag: --nope"),
            ("helm template a b --set", "flag needs an argument: --set"),
            ("helm template a b -f", "flag needs an argument: 'f' in -f"),
        ] {
            assert_eq!(told(text), Said::Problem(wanted.into()), "{text}");
        }
    }

    #[test]
    fn a_command_that_only_has_others_below_it_is_help() {
        for text in ["helm get", "helm get nope", "helm repo", "helm repo foo", "helm search"] {
            assert!(matches!(told(text), Said::Help(text) if text.contains("Usage: helm ")), "{text}");
        }
    }

    #[test]
    fn old_flags_are_told_with_their_names_of_today() {
        let told = |command, text| old_flags(command, &words(text)).collect::<Vec<_>>();
        assert_eq!(
            told("install", "helm install --atomic=true a b"),
            ["Flag --atomic has been deprecated, use --rollback-on-failure instead"]
        );
        assert_eq!(told("repo", "helm repo add --force"), Vec::<String>::new());
        assert_eq!(told("install", "helm install -- --force"), Vec::<String>::new());
    }
}
