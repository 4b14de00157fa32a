//! `coracle supervisor`: the process that containers are children of. It outlives the server.
//!
//! It has one thread, for ever: it forks containers from itself, and only the copy of a process with a single thread is whole.
//! So nothing here may start a thread (no `tokio::fs`, no `spawn_blocking`), and what takes long is done by forked children.
//!
//! ```text
//! sandbox:   run ─▶ ready ─▶ stopped (namespaces gone) ─▶ removed
//! container: create ─▶ Created ─start─▶ Running ─▶ Exited ─▶ removed
//!                         └──── start failed ──────▶ Exited (128, with a message)
//! ```
//!
//! When it ends, its containers end; when it was killed, the next one kills what is left of them and reports them as exited.
//! Sandboxes live on, unless the node was restarted: their namespaces are pinned in `/run`.

mod commands;
mod containers;
mod output;
mod records;
mod sandboxes;

use super::cgroups::Cgroups;
use super::devices::Guard;
use super::spec::*;
use super::wire::{self, Failure, Reply, Request};
use crate::base::disk;
use crate::images::Store;
use containers::Entry;
use records::Records;
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, wait};
use sandboxes::SandboxEntry;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

/// How long containers that react to their stop signal may take when the node ends.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// Where the supervisor's things are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Records and writable layers, kept over a restart of the node.
    pub containers: PathBuf,
    /// Pinned namespaces, gone after a restart of the node.
    pub namespaces: PathBuf,
    /// The image store.
    pub images: PathBuf,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exit {
    /// 128 and the signal, when one ended it.
    code: i32,
    signal: i32,
}

/// Everything that the supervisor has.
struct Supervisor {
    paths: Paths,
    records: Records,
    cgroups: Cgroups,
    devices: Guard,
    images: Store,
    /// The pid namespace that it is in itself.
    own_processes: OwnedFd,
    sandboxes: RefCell<BTreeMap<String, Rc<SandboxEntry>>>,
    containers: RefCell<BTreeMap<String, Rc<Entry>>>,
    /// Who waits for which child.
    children: RefCell<BTreeMap<i32, oneshot::Sender<Exit>>>,
    subscribers: RefCell<Vec<mpsc::UnboundedSender<Event>>>,
    /// Default system call filters by capabilities.
    filters: RefCell<BTreeMap<u64, Filter>>,
    /// How many files containers may open: what this process was given.
    files: Rlimit,
}

/// A system call filter.
type Filter = Rc<Vec<libc::sock_filter>>;

/// Runs until SIGTERM; answers on `listener`. The process must have a single thread.
pub fn main(paths: Paths, listener: std::os::unix::net::UnixListener) -> io::Result<()> {
    // What is not yet a container must not be looked into by one that sees its processes.
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(hidden)?;
    let files = raise_files_limit()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let supervisor = Rc::new(Supervisor::open(paths, files)?);
        supervisor.run(UnixListener::from_std(listener)?).await
    })
}

impl Supervisor {
    fn open(paths: Paths, files: Rlimit) -> io::Result<Self> {
        let records = Records::open(&paths.containers)?;
        std::fs::create_dir_all(&paths.namespaces)?;
        sandboxes::make_private(&paths.namespaces)?;
        let images = Store::open(&paths.images).map_err(io::Error::other)?;
        let supervisor = Self {
            records,
            cgroups: Cgroups::discover()?,
            devices: Guard::default(),
            images,
            own_processes: File::open("/proc/self/ns/pid")?.into(),
            paths,
            sandboxes: RefCell::default(),
            containers: RefCell::default(),
            children: RefCell::default(),
            subscribers: RefCell::default(),
            filters: RefCell::default(),
            files,
        };
        supervisor.adopt()?;
        supervisor.sweep();
        Ok(supervisor)
    }

    /// Takes over what another supervisor, or the node before its restart, left.
    fn adopt(&self) -> io::Result<()> {
        let (sandboxes, containers) = self.records.load()?;
        for sandbox in sandboxes {
            self.adopt_sandbox(sandbox)?;
        }
        for container in containers {
            self.adopt_container(container)?;
        }
        Ok(())
    }

    async fn run(self: Rc<Self>, listener: UnixListener) -> io::Result<()> {
        let mut child = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        spawn_local(crate::base::memory::settle());
        // Children that ended before the signal was listened to.
        self.reap();
        loop {
            tokio::select! {
                _ = child.recv() => self.reap(),
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    spawn_local(self.clone().serve(stream));
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        let ending = self.clone().end();
        tokio::pin!(ending);
        loop {
            tokio::select! {
                _ = child.recv() => self.reap(),
                () = &mut ending => return Ok(()),
            }
        }
    }

    /// Collects every child that ended and tells who waits for it.
    fn reap(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let signal = status.terminating_signal().unwrap_or(0);
            let code = status.exit_status().unwrap_or(128 + signal);
            if let Some(waiting) = self.children.borrow_mut().remove(&pid.as_raw_nonzero().get()) {
                // Who waited may have gone away.
                waiting.send(Exit { code, signal }).ok();
            }
        }
    }

    /// Resolves when a child has ended. Must be called before anything else runs after the fork.
    fn expect(&self, child: Pid) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        self.children.borrow_mut().insert(child.as_raw_nonzero().get(), sender);
        receiver
    }

    fn emit(&self, event: Event) {
        self.subscribers.borrow_mut().retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }

    /// Ends every container: those that react to their signal get some time.
    async fn end(self: Rc<Self>) {
        let entries: Vec<Rc<Entry>> = self.containers.borrow().values().cloned().collect();
        let stops = entries.iter().map(|entry| {
            let grace = if entry.reacts() { LAST_GRACE } else { Duration::ZERO };
            self.stop_entry(entry, grace)
        });
        futures::future::join_all(stops).await;
    }

    async fn serve(self: Rc<Self>, stream: UnixStream) {
        let served = async {
            let Some((request, descriptors)) = wire::receive::<Request>(&stream).await? else { return Ok(()) };
            match request {
                Request::Events => self.serve_events(&stream).await,
                Request::Exec { id, spec, timeout } => self.serve_exec(&stream, &id, spec, timeout, descriptors).await,
                Request::Attach { id, spec } => self.serve_attach(&stream, &id, spec).await,
                Request::Sockets(id) => self.serve_sockets(&stream, &id).await,
                request => {
                    let reply = self.answer(request).await.unwrap_or_else(Reply::Failed);
                    wire::send(&stream, &reply, &[]).await
                }
            }
        };
        if let Err(error) = served.await {
            // A client that went away, most often.
            tracing::debug!(%error, "connection lost");
        }
    }

    async fn answer(self: &Rc<Self>, request: Request) -> Result<Reply, Failure> {
        match request {
            Request::RunSandbox(spec) => Ok(Reply::Sandbox(Box::new(self.run_sandbox(*spec).await?))),
            Request::StopSandbox(id) => self.stop_sandbox(&id).await.map(|()| Reply::Done),
            Request::RemoveSandbox(id) => self.remove_sandbox(&id).await.map(|()| Reply::Done),
            Request::List => Ok(self.list()),
            Request::Create { sandbox, spec } => {
                Ok(Reply::Container(Box::new(self.create_container(&sandbox, *spec)?)))
            }
            Request::Start(id) => self.start_container(&id).await.map(|()| Reply::Done),
            Request::Stop { id, grace } => self.stop_container(&id, grace).await.map(|()| Reply::Done),
            Request::Remove(id) => self.remove_container(&id).await.map(|()| Reply::Done),
            Request::Container(id) => Ok(Reply::Container(Box::new(self.entry(&id)?.known.borrow().clone()))),
            Request::UpdateSandbox { id, resources } => self.update_sandbox(&id, resources).map(|()| Reply::Done),
            Request::Update { id, resources } => self.update_container(&id, resources).map(|()| Reply::Done),
            Request::ReopenLog(id) => self.reopen_log(&id).map(|()| Reply::Done),
            Request::Stats(id) => self.stats(&id).map(|(stats, layer)| Reply::Stats(stats, layer)),
            Request::Events | Request::Exec { .. } | Request::Attach { .. } | Request::Sockets(_) => {
                Err(Failure::Other("answered elsewhere".into()))
            }
        }
    }

    fn list(&self) -> Reply {
        let mut sandboxes: Vec<Sandbox> =
            self.sandboxes.borrow().values().map(|entry| entry.known.borrow().clone()).collect();
        let mut containers: Vec<Container> =
            self.containers.borrow().values().map(|entry| entry.known.borrow().clone()).collect();
        sandboxes.sort_by_key(|sandbox| sandbox.created_at);
        containers.sort_by_key(|container| container.created_at);
        Reply::List(sandboxes, containers)
    }

    async fn serve_events(&self, stream: &UnixStream) -> io::Result<()> {
        let (sender, mut events) = mpsc::unbounded_channel();
        self.subscribers.borrow_mut().push(sender);
        wire::send(stream, &Reply::Done, &[]).await?;
        loop {
            tokio::select! {
                Some(event) = events.recv() => wire::send(stream, &Reply::Event(Box::new(event)), &[]).await?,
                () = gone(stream) => return Ok(()),
            }
        }
    }

    /// Deletes what was thrown away, in a child: it may be much, and nothing waits for it.
    fn sweep(&self) {
        let trash = self.records.trash();
        let swept = super::sys::fork(false, || {
            for entry in std::fs::read_dir(&trash).into_iter().flatten().flatten() {
                // What stays is tried again at the next sweep.
                disk::remove(&entry.path()).ok();
            }
            0
        });
        if let Err(error) = swept {
            tracing::warn!(%error, "old containers not deleted");
        }
    }
}

/// Every container takes some descriptors here, so as many as may be. Returns the limit as it was.
fn raise_files_limit() -> io::Result<Rlimit> {
    let before = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum })?;
    Ok(before)
}

/// Resolves when the other side has closed the connection.
async fn gone(stream: &UnixStream) {
    let mut byte = [0];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut byte) {
            Ok(0) => return,
            // Nothing more is expected of this client, whatever it says.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// What a child told before it became something else, or ended.
#[derive(Default)]
struct Told {
    terminal: Option<OwnedFd>,
    failure: Option<String>,
}

/// Listens to a child until it closes its end, which it does by exec.
async fn told(status: std::os::unix::net::UnixStream) -> io::Result<Told> {
    status.set_nonblocking(true)?;
    let status = UnixStream::from_std(status)?;
    let (bytes, mut descriptors) = wire::receive_all(&status).await?;
    let is_terminal = bytes.first() == Some(&super::child::TERMINAL);
    let rest = if is_terminal { &bytes[1..] } else { &bytes[..] };
    let failure = rest.strip_prefix(&[super::child::FAILED]).map(|text| String::from_utf8_lossy(text).into_owned());
    Ok(Told { terminal: descriptors.pop(), failure })
}

fn other(what: &str) -> impl FnOnce(io::Error) -> Failure {
    let what = what.to_string();
    move |error| Failure::Other(format!("{what}: {error}"))
}

/// A name that nothing else has.
fn new_id() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
