//! What is done with a container that runs: commands in it, attachments to it, connections into its network.

use super::containers::Entry;
use super::output::Listener;
use super::{Exit, Supervisor, gone, other, told};
use crate::runtime::child::{self, CommandPlan, Stdio};
use crate::runtime::spec::*;
use crate::runtime::sys;
use crate::runtime::wire::{self, Failure, Reply};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::Pid;
use rustix::thread::LinkNameSpaceType;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// A command that runs.
struct Command {
    pid: Pid,
    exit: oneshot::Receiver<Exit>,
    terminal: Option<OwnedFd>,
}

impl Supervisor {
    pub(super) async fn serve_exec(
        &self,
        stream: &UnixStream,
        id: &str,
        spec: ExecSpec,
        timeout: Option<Duration>,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let command = match self.exec(id, &spec, descriptors).await {
            Ok(command) => command,
            Err(failure) => return wire::send(stream, &Reply::Failed(failure), &[]).await,
        };
        let terminal: Vec<BorrowedFd<'_>> = command.terminal.iter().map(AsFd::as_fd).collect();
        let started = Reply::Started {
            stdin: spec.stdin,
            stdout: spec.stdout,
            stderr: spec.stderr,
            terminal: command.terminal.is_some(),
        };
        // A client that went away leaves the command to itself; its streams are closed.
        let sent = wire::send(stream, &started, &terminal).await;
        drop(terminal);
        drop(command.terminal);
        let mut exit = command.exit;
        let ended = match timeout {
            None => (&mut exit).await.ok(),
            Some(limit) => match tokio::time::timeout(limit, &mut exit).await {
                Ok(ended) => ended.ok(),
                Err(_) => {
                    sys::kill_group(command.pid);
                    // What was killed is reaped, but nobody needs its code.
                    exit.await.ok();
                    sent?;
                    return wire::send(stream, &Reply::Failed(Failure::Timeout(limit)), &[]).await;
                }
            },
        };
        sent?;
        let reply =
            ended.map_or_else(|| Reply::Failed(Failure::NotRunning(id.into())), |exit| Reply::Exited(exit.code));
        wire::send(stream, &reply, &[]).await
    }

    async fn exec(&self, id: &str, spec: &ExecSpec, descriptors: Vec<OwnedFd>) -> Result<Command, Failure> {
        let entry = self.entry(id)?;
        let container = entry.process().ok_or_else(|| Failure::NotRunning(id.into()))?;
        let known = entry.known.borrow().clone();
        let owner = self.sandbox(&known.sandbox)?;
        let mut process = self.process(&known.spec, &owner)?;
        process.argv = spec.argv.clone();
        if spec.tty && process.env.iter().all(|(name, _)| name != "TERM") {
            process.env.push(("TERM".into(), "xterm".into()));
        }
        let mut descriptors = descriptors.into_iter();
        let mut take = |wanted: bool| if wanted { descriptors.next() } else { None };
        let stdio = match spec.tty {
            true => Stdio::Terminal { size: spec.size },
            false => Stdio::Pipes { stdin: take(spec.stdin), stdout: take(spec.stdout), stderr: take(spec.stderr) },
        };
        let entrances = self.cgroups.entrances(&self.cgroup_of(&entry)?);
        let plan = CommandPlan { entrances, container: &container, process, stdio };
        let failed = || other("cannot run the command");
        let (status, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed())?;
        let forked = sys::with_children_in(&container, &self.own_processes, || {
            sys::fork(false, || child::command(&plan, &theirs))
        });
        let (pid, _) = forked.map_err(failed())?;
        let exit = self.expect(pid);
        drop((plan, theirs));
        let told = told(status).await.map_err(failed())?;
        match told.failure {
            Some(why) => {
                // Nothing of it may be left when the failure is known.
                exit.await.ok();
                Err(Failure::Start(why))
            }
            None => Ok(Command { pid, exit, terminal: told.terminal }),
        }
    }

    pub(super) async fn serve_attach(&self, stream: &UnixStream, id: &str, spec: ExecSpec) -> io::Result<()> {
        let entry = match self.entry(id) {
            Ok(entry) => entry,
            Err(failure) => return wire::send(stream, &Reply::Failed(failure), &[]).await,
        };
        let Some(attached) = attach(&entry, &spec)? else {
            return wire::send(stream, &Reply::Failed(Failure::NotRunning(id.into())), &[]).await;
        };
        let ends = [&attached.stdin, &attached.stdout, &attached.stderr];
        let descriptors: Vec<BorrowedFd<'_>> = ends.iter().filter_map(|end| end.as_ref().map(AsFd::as_fd)).collect();
        let reply = Reply::Started {
            stdin: attached.stdin.is_some(),
            stdout: attached.stdout.is_some(),
            stderr: attached.stderr.is_some(),
            terminal: attached.terminal,
        };
        wire::send(stream, &reply, &descriptors).await?;
        let (output, listener) = (attached.output.clone(), attached.listener.clone());
        output.listen(listener.clone());
        drop(descriptors);
        drop(attached);
        let mut ended = entry.ended.subscribe();
        let is_over = tokio::select! {
            _ = ended.wait_for(|ended| *ended) => true,
            () = gone(stream) => false,
        };
        output.forget(&listener);
        // Closes its pipes, which is the end of its streams.
        drop(listener);
        if !is_over {
            return Ok(());
        }
        let code = match entry.known.borrow().state {
            State::Exited { exit_code, .. } => exit_code,
            _ => 0,
        };
        wire::send(stream, &Reply::Exited(code), &[]).await
    }

    pub(super) async fn serve_sockets(&self, stream: &UnixStream, id: &str) -> io::Result<()> {
        match self.sockets(id) {
            Ok(sockets) => {
                let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
                wire::send(stream, &Reply::Sockets, &descriptors).await
            }
            Err(failure) => wire::send(stream, &Reply::Failed(failure), &[]).await,
        }
    }

    /// A socket belongs to the network that it was made in, wherever it is used.
    fn sockets(&self, id: &str) -> Result<Vec<OwnedFd>, Failure> {
        let sandbox = self.sandbox(id)?;
        let sandbox = sandbox.known.borrow();
        if !sandbox.ready {
            return Err(Failure::Other(format!("sandbox {id} is not ready")));
        }
        let make = || -> io::Result<Vec<OwnedFd>> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let one = |family| socket_with(family, SocketType::STREAM, flags, None);
            let first = one(AddressFamily::INET)?;
            // A kernel without IPv6 has only the first.
            Ok([Some(first), one(AddressFamily::INET6).ok()].into_iter().flatten().collect())
        };
        let made = match &sandbox.network_namespace {
            None => make(),
            Some(path) => File::open(path).and_then(|namespace| {
                let own = File::open("/proc/self/ns/net")?;
                sys::join(&namespace, LinkNameSpaceType::Network)?;
                let made = make();
                // Staying in a pod's network would be a fault of everything that follows.
                sys::join(&own, LinkNameSpaceType::Network)?;
                made
            }),
        };
        made.map_err(other("cannot connect to the pod"))
    }
}

/// An attachment: what its client gets, and who listens for it.
struct Attached {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    terminal: bool,
    output: Rc<super::output::Output>,
    listener: Rc<Listener>,
}

/// Nothing when the container does not run.
fn attach(entry: &Entry, spec: &ExecSpec) -> io::Result<Option<Attached>> {
    let stdin_once = entry.known.borrow().spec.stdin_once;
    let mut run = entry.run.borrow_mut();
    let Some(run) = run.as_mut() else { return Ok(None) };
    let copy = |end: &Option<OwnedFd>| end.as_ref().map(OwnedFd::try_clone).transpose();
    let is_terminal = run.terminal.is_some();
    let stdin = match (spec.stdin, is_terminal, stdin_once) {
        (false, ..) => None,
        (true, true, _) => copy(&run.terminal)?,
        // The only copy: when the client closes it, the container reads its end.
        (true, false, true) => run.stdin.take(),
        (true, false, false) => copy(&run.stdin)?,
    };
    let pipe = |wanted: bool| -> io::Result<(Option<OwnedFd>, Option<pipe::Sender>)> {
        if !wanted {
            return Ok((None, None));
        }
        let (reader, writer) = io::pipe()?;
        Ok((Some(reader.into()), Some(pipe::Sender::from_owned_fd(writer.into())?)))
    };
    let (stdout, for_stdout) = pipe(spec.stdout)?;
    let (stderr, for_stderr) = pipe(spec.stderr && !is_terminal)?;
    let listener = Rc::new(Listener::new(for_stdout, for_stderr));
    Ok(Some(Attached { stdin, stdout, stderr, terminal: is_terminal, output: run.output.clone(), listener }))
}
