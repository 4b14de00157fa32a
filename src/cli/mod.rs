//! Words, flags, exit codes and all printing.
//!
//! stdout is data, stderr is talk. A command is one file in `commands/` and one line in [`Command`].

mod commands;
mod exit;
mod printer;

use crate::base::Hint;
use crate::config::Home;
use clap::{Parser, Subcommand};
use exit::Exit;
use printer::Printer;
use std::process::ExitCode;

/// A Kubernetes cluster for one machine, in one file.
#[derive(Parser)]
#[command(name = "coracle", version, disable_help_subcommand = true, arg_required_else_help = false)]
struct Arguments {
    /// The cluster to use; the active one when left out
    #[arg(short, long, global = true, env = "CORACLE_PROFILE")]
    profile: Option<String>,
    /// Print nothing but data and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Start(commands::start::Arguments),
    Stop(commands::stop::Arguments),
    Status(commands::status::Arguments),
    Delete(commands::delete::Arguments),
    Service(commands::service::Arguments),
    Image(commands::image::Arguments),
    Ip(commands::ip::Arguments),
    Kubectl(commands::kubectl::Arguments),
    Logs(commands::logs::Arguments),
    Ssh(commands::ssh::Arguments),
    Profile(commands::profile::Arguments),
    UpdateContext(commands::update_context::Arguments),
    Version(commands::version::Arguments),
    Completion(commands::completion::Arguments),
    #[command(flatten)]
    Node(commands::node::Part),
}

/// What every command is given besides its own arguments.
struct Context {
    home: Home,
    /// The profile that was named, or the active one.
    profile: String,
    printer: Printer,
}

/// Why a command failed: the error with its hint, and the exit code.
struct Failure {
    error: Box<dyn std::error::Error + Send + Sync>,
    exit: Exit,
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), exit: Exit::Failure }
    }
}

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    // The one provider of cryptography; a second call would be refused, which is as good.
    crate::base::crypto::install();
    let arguments = match Arguments::try_parse_from(argv()) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let home = Home::from_environment();
    let profile = arguments.profile.unwrap_or_else(|| home.active());
    let context = Context { home, profile, printer: Printer::new(arguments.quiet) };
    match run(arguments.command, &context) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            context.printer.error(&*failure.error);
            failure.exit.into()
        }
    }
}

/// Under the name `kubectl` every argument is kubectl's.
fn argv() -> Vec<std::ffi::OsString> {
    let mut words: Vec<_> = std::env::args_os().collect();
    let is_kubectl =
        words.first().is_some_and(|name| std::path::Path::new(name).file_name() == Some("kubectl".as_ref()));
    if is_kubectl {
        words.splice(1..1, ["kubectl".into(), "--".into()]);
    }
    words
}

/// Help and version are no failure; a wrong word is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    // Printing to a closed pipe fails, and there is nobody to tell.
    error.print().ok();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() }
}

fn run(command: Option<Command>, context: &Context) -> Result<Exit, Failure> {
    use commands as c;
    let command = match command {
        None => return c::help(),
        Some(Command::Node(part)) => return c::node::run(part),
        Some(command) => command,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Start(arguments) => c::start::run(arguments, context).await,
            Command::Stop(arguments) => c::stop::run(arguments, context).await,
            Command::Status(arguments) => c::status::run(arguments, context).await,
            Command::Delete(arguments) => c::delete::run(arguments, context).await,
            Command::Service(arguments) => c::service::run(arguments, context).await,
            Command::Image(arguments) => c::image::run(arguments, context).await,
            Command::Ip(arguments) => c::ip::run(arguments, context).await,
            Command::Kubectl(arguments) => c::kubectl::run(arguments, context).await,
            Command::Logs(arguments) => c::logs::run(arguments, context).await,
            Command::Ssh(arguments) => c::ssh::run(arguments, context).await,
            Command::Profile(arguments) => c::profile::run(arguments, context).await,
            Command::UpdateContext(arguments) => c::update_context::run(arguments, context).await,
            Command::Version(arguments) => c::version::run(arguments, context).await,
            Command::Completion(arguments) => c::completion::run(arguments, context).await,
            Command::Node(part) => c::node::run(part),
        }
    })
}

/// An error of a cluster, with its hint and exit code.
fn cluster_failure(error: crate::cluster::Error, profile: &str) -> Failure {
    let exit = Exit::of(&error);
    let hinted: Hint = error.with_hint(profile);
    Failure { error: Box::new(hinted), exit }
}
