//! Passes over a tree of commands that make every flag behave as minikube's and Helm's do (Go's `pflag`, and viper's reading
//! of the environment), so that no command has to think of it.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, Command};
use std::any::TypeId;
use std::ffi::OsString;

/// What flags of the environment begin with.
const PREFIX: &str = "CORACLE_";

/// Commands that remove what cannot be had back: what they are to remove is said on the command line only.
const ONLY_SAID: &[&str] = &["delete"];

/// Everything that holds for coracle's own tree.
pub fn all(command: Command) -> Command {
    let command = any_case(switches(command.args_override_self(true)));
    from_environment(command, &|name| std::env::var_os(name))
}

/// Switches take a value as Go's do: `--debug=false`.
pub fn switches(command: Command) -> Command {
    let is_truth = |argument: &Arg| argument.get_value_parser().type_id() == TypeId::of::<bool>();
    let command = command.mut_args(|argument| match argument.get_action() {
        ArgAction::SetTrue => argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .hide_possible_values(true)
            .value_parser(go_bool),
        ArgAction::Set if is_truth(&argument) => argument.value_parser(go_bool),
        _ => argument,
    });
    command.mut_subcommands(switches)
}

/// Forms of the answer are read in any case: `-o JSON`.
fn any_case(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let values = argument.get_possible_values();
        match argument.get_id() == "output" && !values.is_empty() {
            true => argument
                .ignore_case(true)
                .value_parser(PossibleValuesParser::new(values).map(|text: String| text.to_lowercase())),
            false => argument,
        }
    });
    command.mut_subcommands(any_case)
}

/// A flag that is not given is that of the environment, if it has one: `--apiserver-port` is `CORACLE_APISERVER_PORT`. An empty
/// variable is none. Commands that are not shown are parts of this executable, and get what they need from it alone.
fn from_environment(command: Command, variable: &dyn Fn(&str) -> Option<OsString>) -> Command {
    if command.is_hide_set() || ONLY_SAID.contains(&command.get_name()) {
        return command;
    }
    let command = command.mut_args(|argument| {
        let is_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::SetTrue | ArgAction::Append);
        let Some(long) = argument.get_long().filter(|_| is_value && argument.get_env().is_none()) else {
            return argument;
        };
        let name = format!("{PREFIX}{}", long.replace('-', "_").to_uppercase());
        match variable(&name) {
            // A process reads its words once, and clap wants names that last.
            Some(value) if !value.is_empty() => argument.env(&*name.leak()),
            _ => argument,
        }
    });
    command.mut_subcommands(|inner| from_environment(inner, variable))
}

/// The words that Go takes for a boolean.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Under the name `kubectl` every word is kubectl's, and the context that they name is the profile's name too.
pub fn of_kubectl(words: Vec<OsString>) -> Vec<OsString> {
    let texts: Vec<&str> =
        words.iter().skip(1).map_while(|word| word.to_str()).take_while(|word| *word != "--").collect();
    let named = texts.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--context") {
        Some("") => texts.get(at + 1).copied(),
        Some(rest) => rest.strip_prefix('='),
        None => None,
    });
    let profile = named.map(|name| OsString::from(format!("--profile={name}")));
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    [program, "kubectl".into()].into_iter().chain(profile).chain(["--".into()]).chain(words).collect()
}

/// `help start` is `start --help`, as with every program of cobra's.
pub fn of_help(mut words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_some_and(|word| word == "help") {
        words.remove(1);
        words.push("--help".into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches, Parser};

    #[derive(Parser, Debug)]
    #[command(name = "ship")]
    struct Ship {
        #[arg(long, global = true)]
        quiet: bool,
        #[command(subcommand)]
        command: Inner,
    }

    #[derive(clap::Subcommand, Debug)]
    enum Inner {
        Sail {
            #[arg(long)]
            far: bool,
            #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            crew: Option<bool>,
            #[arg(long)]
            top_speed: Option<u16>,
            #[arg(long, value_delimiter = ',')]
            ports: Vec<String>,
            #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
            output: String,
        },
        Delete {
            #[arg(long)]
            all: bool,
        },
    }

    fn read(line: &str, variables: &[(&str, &str)]) -> Result<Ship, String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let command = any_case(switches(Ship::command().args_override_self(true)));
        // clap reads the process's own environment; what is looked for is seen by the name alone.
        let command = from_environment(command, &variable);
        let matches = command.try_get_matches_from(line.split(' ')).map_err(|error| error.to_string())?;
        Ship::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn a_switch_is_said_alone_or_with_a_truth_and_the_last_one_counts() {
        for (line, is_far) in [
            ("ship sail --far", true),
            ("ship sail --far=true", true),
            ("ship sail --far=T", true),
            ("ship sail --far --far=false", false),
            ("ship sail", false),
        ] {
            let Inner::Sail { far, .. } = read(line, &[]).unwrap().command else { panic!() };
            assert_eq!(far, is_far, "{line}");
        }
        assert!(read("ship sail --quiet=true", &[]).unwrap().quiet);
        assert!(read("ship sail --far=maybe", &[]).unwrap_err().contains("strconv.ParseBool"));
        let Inner::Sail { crew, .. } = read("ship sail --crew=0", &[]).unwrap().command else { panic!() };
        assert_eq!(crew, Some(false));
    }

    #[test]
    fn forms_are_read_in_any_case() {
        let Inner::Sail { output, .. } = read("ship sail -o JSON", &[]).unwrap().command else { panic!() };
        assert_eq!(output, "json");
        assert!(read("ship sail -o xml", &[]).is_err());
    }

    #[test]
    fn every_flag_looks_into_the_environment_for_its_own_variable() {
        let names = std::cell::RefCell::new(Vec::new());
        let seen = |name: &str| {
            names.borrow_mut().push(name.to_string());
            (name == "CORACLE_TOP_SPEED").then(|| "7".into())
        };
        let command = from_environment(Ship::command(), &seen);
        let sail = command.find_subcommand("sail").unwrap();
        let of = |id: &str| {
            sail.get_arguments().find(|one| one.get_id() == id).unwrap().get_env().map(|name| name.to_owned())
        };
        assert_eq!(of("top_speed"), Some("CORACLE_TOP_SPEED".into()));
        assert_eq!(of("ports"), None, "its variable is not set");
        let names = names.into_inner();
        assert!(names.iter().any(|name| name == "CORACLE_QUIET") && names.iter().any(|name| name == "CORACLE_PORTS"));
        assert!(!names.iter().any(|name| name == "CORACLE_ALL"), "nothing is removed because of a variable");
    }

    #[test]
    fn help_is_asked_for_before_or_behind_a_command() {
        let read = |line: &str| of_help(line.split(' ').map(OsString::from).collect()).join(" ".as_ref());
        assert_eq!(read("coracle help"), "coracle --help");
        assert_eq!(read("coracle help image load"), "coracle image load --help");
        assert_eq!(read("coracle start help"), "coracle start help");
    }

    #[test]
    fn under_the_name_kubectl_the_context_is_the_profile() {
        let read = |line: &str| {
            let words = of_kubectl(line.split(' ').map(OsString::from).collect());
            words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(read("kubectl get pods"), "kubectl kubectl -- get pods");
        assert_eq!(read("kubectl --context two get pods"), "kubectl kubectl --profile=two -- --context two get pods");
        assert_eq!(read("kubectl get --context=two"), "kubectl kubectl --profile=two -- get --context=two");
        assert_eq!(read("kubectl exec x -- ls --context=y"), "kubectl kubectl -- exec x -- ls --context=y");
    }
}
