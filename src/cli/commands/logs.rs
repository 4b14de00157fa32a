//! `coracle logs`: what the node itself has to say, and what was done to it.

use super::super::{Context, Exit, Failure, audit, cluster_failure};
use crate::boot::init::NODE_STARTS;
use crate::cluster::Cluster;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Show the logs of the node: PID 1, control plane and node agent
#[derive(clap::Args)]
pub struct Arguments {
    /// Lines from the end of each log
    #[arg(short = 'n', long, default_value_t = 60)]
    length: usize,
    /// Write to a file instead of stdout
    #[arg(long)]
    file: Option<PathBuf>,
    /// Go on printing what is new
    #[arg(short, long)]
    follow: bool,
    /// Only lines that tell of problems
    #[arg(long)]
    problems: bool,
    /// Only the commands that were run
    #[arg(long)]
    audit: bool,
    /// Only since the last start
    #[arg(long)]
    last_start_only: bool,
    /// The node
    #[arg(long)]
    node: Option<String>,
}

/// Marks of a line that tells of a problem.
const PROBLEMS: &[&str] =
    &["error", "Error", "ERROR", "WARN", "failed", "panicked", "cannot", "refused", "was ended by"];

/// Rooms that are the node agent's, as lines of the log name them.
const AGENT: &[&str] = &["coracle::node", "coracle::runtime", "coracle::images", "coracle::boot::node"];

/// Prints the last lines of each log under a heading.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    if arguments.audit {
        write(&audit::table(&context.home, arguments.length), &arguments, context)?;
        return Ok(Exit::Success);
    }
    let cluster = super::open(context)?;
    super::check_node(&cluster, arguments.node.as_deref())?;
    if arguments.follow {
        follow(&cluster.paths().server_log(), &arguments, context).await?;
        return Ok(Exit::Success);
    }
    let text = all(&cluster, &arguments, context).await?;
    write(&text, &arguments, context)?;
    Ok(Exit::Success)
}

fn write(text: &str, arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    match &arguments.file {
        Some(path) => std::fs::File::create(path)?.write_all(text.as_bytes())?,
        None => context.printer.raw(text),
    }
    Ok(())
}

async fn all(cluster: &Cluster, arguments: &Arguments, context: &Context) -> Result<String, Failure> {
    let failure = |error: crate::cluster::Error| cluster_failure(error, &context.profile);
    let machine = cluster.machine().map_err(failure)?;
    let node = cluster.driver.log(&machine).await.map_err(|error| failure(error.into()))?;
    // A node that never ran has no log, and one elsewhere shows it by `coracle ssh` only.
    let mut server = std::fs::read_to_string(cluster.paths().server_log()).unwrap_or_default();
    if arguments.last_start_only {
        server = since_last_start(&server).to_string();
    }
    let mut text = String::new();
    if !arguments.problems {
        let system = rustix::system::uname();
        let (name, release) = (system.sysname().to_string_lossy(), system.release().to_string_lossy());
        text += &format!("==> Audit <==\n{}\n", audit::table(&context.home, arguments.length.min(20)));
        text += &format!("==> {name} <==\n{name} {release} {}\n\n", system.machine().to_string_lossy());
        let mark = server.lines().rfind(|line| line.starts_with(NODE_STARTS)).unwrap_or("the node never started");
        text += &format!("==> Last Start <==\n{mark}\n\n");
    }
    let (agent, control) = split(&server);
    for (title, log) in [("init", &node), ("apiserver, controllers, scheduler", &control), ("kubelet", &agent)] {
        text += &format!("==> {title} <==\n{}\n", tail(log, arguments));
    }
    Ok(text)
}

/// The part of a log behind the last mark of a node's start; all of it where there is none.
fn since_last_start(log: &str) -> &str {
    log.rfind(NODE_STARTS).map_or(log, |at| &log[at..])
}

/// What the server and the supervisor said of pods and the node, and all the rest. The marks of starts are in neither.
fn split(log: &str) -> (String, String) {
    let lines = log.lines().filter(|line| !line.starts_with(NODE_STARTS));
    let (agent, control): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| AGENT.iter().any(|module| line.contains(module)));
    let text = |lines: Vec<&str>| lines.into_iter().map(|line| format!("{line}\n")).collect();
    (text(agent), text(control))
}

/// The last lines that are asked for.
fn tail(log: &str, arguments: &Arguments) -> String {
    let is_wanted = |line: &&str| !arguments.problems || PROBLEMS.iter().any(|mark| line.contains(mark));
    let lines: Vec<&str> = log.lines().filter(is_wanted).collect();
    lines[lines.len().saturating_sub(arguments.length)..].iter().map(|line| format!("{line}\n")).collect()
}

/// Prints the end of a file and then what is appended to it, until interrupted.
async fn follow(path: &Path, arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    use rustix::fs::inotify;
    let mut file = std::fs::File::open(path)?;
    let mut log = String::new();
    file.read_to_string(&mut log)?;
    context.printer.raw(&tail(&log, arguments));
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&changes, path, inotify::WatchFlags::MODIFY)?;
    let changes = std::sync::Arc::new(changes);
    loop {
        let events = changes.clone();
        // Waits in a thread of its own until the file changes; what the events say is of no use.
        tokio::task::spawn_blocking(move || rustix::io::read(&*events, &mut [0u8; 4096])).await??;
        if file.metadata()?.len() < file.stream_position()? {
            file.seek(SeekFrom::Start(0))?;
        }
        let mut new = String::new();
        file.read_to_string(&mut new)?;
        match arguments.problems {
            true => context.printer.raw(&tail(&new, arguments)),
            false => context.printer.raw(&new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_shown_once_and_marks_of_starts_never() {
        let log = format!("{NODE_STARTS} v1\nINFO coracle::node::pods: a\nINFO coracle::control: node b\n");
        let (agent, control) = split(&log);
        assert_eq!(
            (agent.as_str(), control.as_str()),
            ("INFO coracle::node::pods: a\n", "INFO coracle::control: node b\n")
        );
    }

    #[test]
    fn only_what_is_behind_the_last_mark_is_of_the_last_start() {
        let log = format!("{NODE_STARTS} v1\nold\n{NODE_STARTS} v2\nnew\n");
        assert_eq!(since_last_start(&log), format!("{NODE_STARTS} v2\nnew\n"));
        assert_eq!(since_last_start("unmarked\n"), "unmarked\n");
    }
}
