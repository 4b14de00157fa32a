//! `coracle docker-enter`: a command in the node's container, with this process's streams, its terminal and its exit code.

use super::super::Error;
use super::super::etc;
use super::super::terminal::{self, Raw};
use super::engine::{Engine, refused};
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures::StreamExt;
use std::io::{self, Write};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

/// What `docker-enter` runs when nothing is named.
const SHELL: &str = "/bin/sh";

/// Runs `argv` in a container and returns its exit code.
pub async fn run(container: &str, argv: &[String]) -> Result<i32, Error> {
    let engine = Engine::connect().await?;
    let terminal = terminal::is_there();
    let shell = [SHELL.to_string()];
    let command = if argv.is_empty() { &shell[..] } else { argv };
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(terminal),
        env: Some(environment(terminal)),
        cmd: Some(command.to_vec()),
        ..CreateExecOptions::default()
    };
    let cannot = "cannot run a command in the node";
    let exec = engine.docker.create_exec(container, options).await.map_err(refused(cannot))?.id;
    let start = StartExecOptions { tty: terminal, ..StartExecOptions::default() };
    let started = engine.docker.start_exec(&exec, Some(start)).await.map_err(refused(cannot))?;
    let StartExecResults::Attached { output, input } = started else {
        return Err(Error::Launch("the engine did not attach to the command".into()));
    };
    let raw = terminal.then(Raw::begin).flatten();
    tokio::spawn(feed(input));
    let print = print(output);
    tokio::select! {
        printed = print => printed?,
        never = follow_size(&engine, &exec), if terminal => match never? {},
    }
    drop(raw);
    let ended = engine.docker.inspect_exec(&exec).await.map_err(refused(cannot))?;
    Ok(ended.exit_code.unwrap_or(0) as i32)
}

/// The command's variables beside those of the container.
fn environment(has_terminal: bool) -> Vec<String> {
    let path = etc::with_stand_ins("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let terminal = std::env::var("TERM").ok().filter(|_| has_terminal).map(|term| format!("TERM={term}"));
    std::iter::once(format!("PATH={path}")).chain(terminal).collect()
}

/// This process's stdin, to the command's; its end is the command's too.
async fn feed(mut input: std::pin::Pin<Box<dyn AsyncWrite + Send>>) {
    // A command that ended reads no more.
    tokio::io::copy(&mut tokio::io::stdin(), &mut input).await.ok();
    input.shutdown().await.ok();
}

type Output = std::pin::Pin<Box<dyn futures::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

async fn print(mut output: Output) -> Result<(), Error> {
    while let Some(piece) = output.next().await {
        let piece = piece.map_err(refused("the command's output broke off"))?;
        let written = match &piece {
            LogOutput::StdErr { message } => io::stderr().write_all(message),
            other => {
                let mut out = io::stdout().lock();
                out.write_all(other.as_ref()).and_then(|()| out.flush())
            }
        };
        // Nobody reads any more: the command is left to itself, as by a pipe that closed.
        if written.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Keeps the command's terminal as large as this one.
async fn follow_size(engine: &Engine, exec: &str) -> Result<std::convert::Infallible, Error> {
    let mut changed = signal(SignalKind::window_change()).map_err(Error::io("cannot follow the terminal's size"))?;
    loop {
        if let Ok(size) = rustix::termios::tcgetwinsize(io::stdout()) {
            let size = ResizeExecOptions { height: size.ws_row, width: size.ws_col };
            // A command that ended has no size.
            engine.docker.resize_exec(exec, size).await.ok();
        }
        changed.recv().await;
    }
}
