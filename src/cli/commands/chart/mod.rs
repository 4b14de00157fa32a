//! `coracle chart …`: Helm's command line. Under the name `helm` this executable has the same words.
//!
//! The tree of commands is apart from coracle's own, because flags of the same name mean other things there. Errors look
//! like Helm's (`Error: …`) and every failure exits with 1.

mod completion;
mod create;
mod dependency;
mod diff;
mod env;
mod fields;
mod flags;
mod get;
mod graph;
mod history;
mod install;
mod jsonpath;
mod lint;
mod list;
mod making;
mod operate;
mod package;
mod plugin;
mod printing;
mod pull;
mod push;
mod registry;
mod rendering;
mod repo;
mod rollback;
mod scope;
mod search;
mod session;
mod show;
mod status;
mod table;
mod template;
mod test;
mod uninstall;
mod upgrade;
mod usage;
mod verify;
mod version;

use super::super::flags::{go_bool, switches};
use super::super::printer::aside;
use super::super::tree::{self, Tree};
use super::super::{Context, Exit, Failure};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use scope::{Globals, Scope};
use std::ffi::OsString;

/// Render, install and look after charts, as Helm does
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Helm's command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// The Kubernetes package manager
#[derive(Parser)]
#[command(name = "helm", disable_help_subcommand = true, disable_version_flag = true, args_override_self = true)]
struct Helm {
    #[command(flatten)]
    globals: Globals,
}

/// The table of commands: a word and the file that it is made of.
macro_rules! commands {
    ($($(#[$attribute:meta])* $name:ident => $module:ident,)*) => {
        #[derive(Subcommand)]
        enum Command {
            $($(#[$attribute])* $name(Box<$module::Arguments>),)*
        }

        /// The command that a word names, alone.
        fn branch(word: &str) -> Option<clap::Command> {
            None$(.or_else(|| tree::named::<$module::Arguments>(word, stringify!($name))))*
        }

        fn dispatch(command: Command, scope: &Scope) -> Outcome {
            match command {
                $(Command::$name(arguments) => $module::run(*arguments, scope),)*
            }
        }
    };
}

commands! {
    Completion => completion,
    Create => create,
    #[command(visible_aliases = ["dep", "dependencies"])]
    Dependency => dependency,
    Env => env,
    Graph => graph,
    Lint => lint,
    Package => package,
    #[command(hide = true)]
    Plugin => plugin,
    #[command(visible_alias = "fetch")]
    Pull => pull,
    Push => push,
    Registry => registry,
    Repo => repo,
    Search => search,
    #[command(visible_alias = "inspect")]
    Show => show,
    Template => template,
    Verify => verify,
    Version => version,
    Diff => diff,
    Get => get,
    #[command(visible_alias = "hist")]
    History => history,
    Install => install,
    #[command(visible_alias = "ls")]
    List => list,
    Rollback => rollback,
    Status => status,
    Test => test,
    #[command(visible_aliases = ["del", "delete", "un"])]
    Uninstall => uninstall,
    Upgrade => upgrade,
}

/// What a command of Helm's ends with: nothing, or the text behind `Error: `.
type Outcome = Result<(), Problem>;

/// The text of a failure.
#[derive(Debug)]
pub struct Problem(pub String);

impl Problem {
    /// In the words of installing, which looks for the cluster before anything else.
    pub fn not_reached(self) -> Self {
        match self.0.starts_with("kubernetes cluster unreachable") {
            true => Self(format!("cluster reachability check failed: {}", self.0)),
            false => self,
        }
    }
}

impl<E: std::fmt::Display> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs a command out of coracle's own tree.
pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    Ok(run_words(arguments.arguments, Some(context.profile.clone())))
}

/// If the words of this process are Helm's, runs them: nothing else of coracle's command line is set up, so that
/// rendering starts at once.
pub fn run_direct(words: &[OsString]) -> Option<Exit> {
    let name = std::path::Path::new(words.first()?).file_name()?;
    let rest = match words.get(1) {
        _ if name == "helm" => &words[1..],
        Some(word) if word == "chart" => &words[2..],
        _ => return None,
    };
    // Templates may call each other deeply. One thread has the whole command, so that memory is used again.
    let done = crate::charts::template::on_stack(|| -> Exit {
        crate::base::memory::brief();
        let exit = run_words(rest.to_vec(), None);
        // The process is over: the stack and what else is left need not be taken apart.
        std::process::exit(exit.code().into())
    });
    Some(done.unwrap_or_else(|error| {
        aside(format_args!("Error: {error}"));
        Exit::Failure
    }))
}

fn run_words(words: Vec<OsString>, profile: Option<String>) -> Exit {
    let (globals, command) = match parse(words) {
        Ok(parsed) => parsed,
        Err(exit) => return exit,
    };
    let Some(command) = command else {
        // A closed pipe is no failure of ours.
        whole().print_help().ok();
        return Exit::Success;
    };
    crate::charts::chart::tell_oddities(|warning| aside(format_args!("{warning}")));
    let scope = Scope::new(globals, profile);
    match dispatch(command, &scope) {
        Ok(()) => Exit::Success,
        Err(Problem(text)) => {
            aside(format_args!("Error: {text}"));
            Exit::Failure
        }
    }
}

const TREE: Tree = Tree { root: Helm::command, branch, whole, pass: like_go };

/// The tree of all commands, as help shows it.
fn whole() -> clap::Command {
    Command::augment_subcommands(Helm::command())
}

/// Switches take a value as Go's do, and what is said again counts.
fn like_go(command: clap::Command) -> clap::Command {
    switches(command.args_override_self(true))
}

/// The words of `help COMMAND` as those of `COMMAND --help`.
fn of_help(mut words: Vec<OsString>) -> Result<Vec<OsString>, Exit> {
    if words.first().is_none_or(|word| word != "help") {
        return Ok(words);
    }
    words.remove(0);
    let plain = words.iter().filter_map(|word| word.to_str()).take_while(|word| !word.starts_with('-'));
    let topic: Vec<&str> = plain.collect();
    if topic.first().is_some_and(|first| whole().find_subcommand(first).is_none()) {
        aside(format_args!("Unknown help topic [`{}`]", topic.join("` `")));
        // A closed pipe is no failure of ours.
        whole().print_help().ok();
        return Err(Exit::Success);
    }
    words.push("--help".into());
    Ok(words)
}

/// The flags of every command, and the command.
fn parse(words: Vec<OsString>) -> Result<(Globals, Option<Command>), Exit> {
    let words: Vec<_> = std::iter::once(OsString::from("helm")).chain(of_help(words)?).collect();
    let parsed = TREE.read(&words).and_then(|(_, mut matches)| {
        let globals = Helm::from_arg_matches_mut(&mut matches)?.globals;
        let name = matches.subcommand_name().map(str::to_string);
        let command = name.is_some().then(|| Command::from_arg_matches_mut(&mut matches)).transpose()?;
        usage::old_flags(name.as_deref().unwrap_or_default(), &words).for_each(|line| aside(format_args!("{line}")));
        Ok((globals, command))
    });
    parsed.map_err(|error| match usage::said(&error, whole(), &words) {
        usage::Said::Help(text) => {
            // A reader that went away is no error of ours.
            std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).ok();
            Exit::Success
        }
        usage::Said::Problem(text) => {
            aside(format_args!("Error: {text}"));
            Exit::Failure
        }
    })
}

/// Helm's complaint about too few arguments.
fn at_least(count: usize, arguments: &[String], command: &str, usage: &str) -> Outcome {
    if arguments.len() >= count {
        return Ok(());
    }
    let s = if count == 1 { "" } else { "s" };
    Err(Problem(format!("\"helm {command}\" requires at least {count} argument{s}\n\nUsage:  helm {command} {usage}")))
}

/// Helm's complaint about another number of arguments.
fn exactly(count: usize, arguments: &[String], command: &str, usage: &str) -> Outcome {
    if arguments.len() == count {
        return Ok(());
    }
    let s = if count == 1 { "" } else { "s" };
    Err(Problem(format!("\"helm {command}\" requires {count} argument{s}\n\nUsage:  helm {command} {usage}")))
}
