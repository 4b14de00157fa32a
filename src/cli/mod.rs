//! Words, flags, exit codes and all printing.
//!
//! stdout is data, stderr is talk; of commands without data (start, stop, …) what they do is the output. A command is one file
//! in `commands/` and one line in the table below.

mod amounts;
mod audit;
mod commands;
mod complete;
mod content;
mod events;
mod exit;
mod flags;
mod klog;
mod printer;
mod release;
mod stand_in;
mod table;
mod template;
mod tree;
mod words;

use crate::base::Hint;
use crate::config::Home;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::Exit;
use printer::Printer;
use std::process::ExitCode;

/// A Kubernetes cluster for one machine, in one file.
#[derive(Parser)]
#[command(name = "coracle", version, disable_help_subcommand = true, arg_required_else_help = false)]
struct Arguments {
    /// The cluster to use; the active one when left out
    #[arg(short, long, global = true, env = "CORACLE_PROFILE", add = complete::profiles())]
    profile: Option<String>,
    /// Print nothing but data and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Who runs the command, for the audit log
    #[arg(long, global = true, hide = true)]
    user: Option<String>,
    /// Leave the command out of the audit log
    #[arg(long, global = true, hide = true)]
    skip_audit: bool,
    #[command(flatten)]
    klog: klog::Klog,
}

/// The table of commands: a word and the file of `commands/` that it is made of.
macro_rules! commands {
    ($($(#[$attribute:meta])* $name:ident => $module:ident,)*) => {
        #[derive(Subcommand)]
        enum Command {
            $($(#[$attribute])* $name(commands::$module::Arguments),)*
            Chart(commands::chart::Arguments),
            #[command(flatten)]
            Part(commands::node::Part),
        }

        /// The command that a word names, alone.
        fn branch(word: &str) -> Option<clap::Command> {
            None$(.or_else(|| tree::named::<commands::$module::Arguments>(word, stringify!($name))))*
                .or_else(|| commands::node::Part::augment_subcommands(clap::Command::default()).find_subcommand(word).cloned())
        }

        async fn dispatch(command: Command, context: &Context) -> Result<Exit, Failure> {
            match command {
                $(Command::$name(arguments) => commands::$module::run(arguments, context).await,)*
                Command::Chart(arguments) => commands::chart::run(arguments, context),
                Command::Part(part) => commands::node::run(part),
            }
        }
    };
}

commands! {
    Start => start,
    Stop => stop,
    Status => status,
    Delete => delete,
    Pause => pause,
    #[command(visible_alias = "resume")]
    Unpause => unpause,
    Apply => apply,
    Addons => addons,
    Dashboard => dashboard,
    Service => service,
    Tunnel => tunnel,
    Forward => forward,
    Image => image,
    Cache => cache,
    Mount => mount,
    Cp => cp,
    Ssh => ssh,
    #[command(hide = true)]
    SshKey => ssh_key,
    #[command(hide = true)]
    SshHost => ssh_key,
    Node => nodes,
    Kubectl => kubectl,
    Ip => ip,
    Logs => logs,
    Export => export,
    Snapshot => snapshot,
    Config => config,
    Profile => profile,
    UpdateContext => update_context,
    Update => update,
    UpdateCheck => update_check,
    DockerEnv => docker_env,
    PodmanEnv => podman_env,
    Options => options,
    License => license,
    Doctor => doctor,
    Version => version,
    Man => man,
    Completion => completion,
    #[command(hide = true)]
    ScheduledStop => scheduled_stop,
    #[command(hide = true)]
    Forwarder => forwarder,
}

/// What every command is given besides its own arguments.
struct Context {
    home: Home,
    /// The profile that was named, or the active one.
    profile: String,
    /// Whether it was named.
    is_named: bool,
    printer: Printer,
}

/// Why a command failed: the error with its hint, and the exit code.
struct Failure {
    error: Box<dyn std::error::Error + Send + Sync>,
    exit: Exit,
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        match is_full(&*error) {
            true => Self {
                error: Box::new(Hint::new(error, "make room on the disk, and do it again")),
                exit: Exit::Code(26),
            },
            false => Self { error, exit: Exit::Failure },
        }
    }
}

/// Whether an error comes of a disk that is full.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|error| {
        let error = error.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
    })
}

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(exit) = commands::chart::run_direct(&words) {
        return exit.into();
    }
    if let Some(exit) = stand_in::run_direct(&words) {
        return exit.into();
    }
    // The one provider of cryptography; a second call would be refused, which is as good.
    crate::base::crypto::install();
    complete::answer();
    let begun = jiff::Timestamp::now();
    let (word, arguments, command) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return usage(error),
    };
    let home = Home::from_environment();
    let is_named = arguments.profile.is_some();
    let is_part = matches!(command, Some(Command::Part(_) | Command::Forwarder(_) | Command::ScheduledStop(_)));
    let profile = arguments.profile.unwrap_or_else(|| home.active());
    let log = match arguments.klog.folder.as_deref().map(|folder| open_log(folder, &word)).transpose() {
        Ok(log) => log,
        Err(error) => {
            printer::aside(format_args!("error: cannot write to --log_dir: {error}"));
            return Exit::Failure.into();
        }
    };
    let context = Context { home, profile, is_named, printer: Printer::new(arguments.quiet).logging(log) };
    let exit = match run(command, &context) {
        Ok(exit) => exit,
        Err(failure) => {
            context.printer.error(&*failure.error, failure.exit, is_part);
            failure.exit
        }
    };
    if !arguments.skip_audit && !is_part {
        audit::record(&context.home, &context.profile, arguments.user.as_deref(), begun, exit.code());
    }
    exit.into()
}

/// The log of this process's command.
fn open_log(folder: &std::path::Path, command: &str) -> std::io::Result<klog::Log> {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    klog::Log::open(folder, &program, command)
}

const TREE: tree::Tree = tree::Tree { root: Arguments::command, branch, whole, pass: flags::all };

/// The tree of all commands.
fn whole() -> clap::Command {
    let root = Arguments::command();
    // What a part of the table says about itself is not about the program.
    let about = root.get_about().cloned().unwrap_or_default();
    Command::augment_subcommands(root).about(about)
}

/// What this process was asked: the word for it, the flags of every command, and the command.
fn parse() -> Result<(String, Arguments, Option<Command>), clap::Error> {
    let words = argv();
    let (mut tree, matches) = TREE.read(&words).or_else(|error| match error.kind() {
        // A word that only groups others says what these are.
        clap::error::ErrorKind::MissingSubcommand
        | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            TREE.read(&[words, vec!["--help".into()]].concat())
        }
        _ => Err(error),
    })?;
    let word = matches.subcommand_name();
    let arguments = Arguments::from_arg_matches(&matches);
    let command = word.map(|_| Command::from_arg_matches(&matches)).transpose();
    let read = arguments.and_then(|arguments| Ok((word.unwrap_or("help").to_string(), arguments, command?)));
    read.map_err(|error| error.format(&mut tree))
}

/// An error that advises commands which people type, and not those that are parts of this executable.
fn without_hidden(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::Strings(names)) = error.get(ContextKind::SuggestedSubcommand) else { return error };
    let root = whole();
    let is_shown = |name: &&String| root.find_subcommand(name.as_str()).is_none_or(|command| !command.is_hide_set());
    let shown: Vec<String> = names.iter().filter(is_shown).cloned().collect();
    match shown.is_empty() {
        true => error.remove(ContextKind::SuggestedSubcommand),
        false => error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(shown)),
    };
    error
}

/// Under the name `kubectl` every argument is kubectl's; `help WORDS` asks for what is said of them.
fn argv() -> Vec<std::ffi::OsString> {
    let words: Vec<_> = std::env::args_os().collect();
    let is_kubectl =
        words.first().is_some_and(|name| std::path::Path::new(name).file_name() == Some("kubectl".as_ref()));
    if is_kubectl { flags::of_kubectl(words) } else { flags::of_help(words) }
}

/// Help and version are no failure; a wrong word is a usage error.
fn usage(error: clap::Error) -> ExitCode {
    let error = without_hidden(error);
    // Printing to a closed pipe fails, and there is nobody to tell.
    error.print().ok();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() }
}

fn run(command: Option<Command>, context: &Context) -> Result<Exit, Failure> {
    let command = match command {
        None => return commands::help(),
        // These make threads and runtimes of their own.
        Some(Command::Part(part)) => return commands::node::run(part),
        Some(Command::Chart(arguments)) => return commands::chart::run(arguments, context),
        Some(command) => command,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(command, context))
}

/// An error of a cluster, with its hint and exit code.
fn cluster_failure(error: crate::cluster::Error, profile: &str) -> Failure {
    let exit = Exit::of(&error);
    let hinted: Hint = error.with_hint(profile);
    Failure { error: Box::new(hinted), exit }
}
