//! Containers: from a specification to a process, and what is left of it.

use super::output::{Output, Stream};
use super::sandboxes::SandboxEntry;
use super::{Exit, Filter, Supervisor, Told, new_id, other, told};
use crate::base::disk;
use crate::images::Hold;
use crate::runtime::capabilities;
use crate::runtime::child::{self, ContainerPlan, Process, Rootfs, Stdio};
use crate::runtime::devices;
use crate::runtime::seccomp;
use crate::runtime::spec::*;
use crate::runtime::sys;
use crate::runtime::wire::Failure;
use jiff::Timestamp;
use rustix::process::Pid;
use rustix::thread::CapabilitySet;
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;

/// The exit code of a container whose process could not be started (CRI: StartError).
const NOT_STARTED: i32 = 128;

/// A container and what of it runs.
pub struct Entry {
    pub known: RefCell<Container>,
    /// Held while it is started or removed.
    busy: tokio::sync::Mutex<()>,
    pub run: RefCell<Option<Run>>,
    /// Whether it has ended.
    pub ended: watch::Sender<bool>,
    /// Its image stays while it lives.
    _hold: Option<Hold>,
}

/// A container's process.
pub struct Run {
    pub pid: Pid,
    pub process: Rc<OwnedFd>,
    pub output: Rc<Output>,
    /// The writing end; missing when it reads nothing, or when the only attachment has it.
    pub stdin: Option<OwnedFd>,
    pub terminal: Option<OwnedFd>,
}

/// This side's ends of the streams of a process.
struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Entry {
    fn new(known: Container, hold: Option<Hold>) -> Self {
        let is_ended = matches!(known.state, State::Exited { .. });
        Self {
            known: RefCell::new(known),
            busy: tokio::sync::Mutex::default(),
            run: RefCell::default(),
            ended: watch::channel(is_ended).0,
            _hold: hold,
        }
    }

    pub fn id(&self) -> String {
        self.known.borrow().id.clone()
    }

    /// Its process, if it runs.
    pub fn process(&self) -> Option<Rc<OwnedFd>> {
        self.run.borrow().as_ref().map(|run| run.process.clone())
    }

    /// Whether its stop signal does anything: a first process of a pid namespace gets only signals that it handles.
    pub fn reacts(&self) -> bool {
        let run = self.run.borrow();
        let Some(run) = run.as_ref() else { return false };
        let signal = capabilities::signal(&self.known.borrow().spec.stop_signal).unwrap_or(libc::SIGTERM);
        let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid.as_raw_nonzero())).unwrap_or_default();
        reacts(&status, signal)
    }
}

impl Supervisor {
    pub(super) fn entry(&self, id: &str) -> Result<Rc<Entry>, Failure> {
        self.containers.borrow().get(id).cloned().ok_or_else(|| Failure::NotFound(id.into()))
    }

    pub(super) fn containers_of(&self, sandbox: &str) -> Vec<Rc<Entry>> {
        let containers = self.containers.borrow();
        containers.values().filter(|entry| entry.known.borrow().sandbox == sandbox).cloned().collect()
    }

    /// The cgroup of a container.
    pub(super) fn cgroup_of(&self, entry: &Entry) -> Result<String, Failure> {
        let known = entry.known.borrow();
        Ok(format!("{}/{}", self.sandbox(&known.sandbox)?.cgroup(), known.id))
    }

    /// What another supervisor left running is killed: nobody reads its output any more.
    pub(super) fn adopt_container(&self, mut container: Container) -> io::Result<()> {
        let sandbox = self.sandboxes.borrow().get(&container.sandbox).cloned();
        if let (State::Running { started_at, .. }, Some(sandbox)) = (&container.state, &sandbox) {
            self.cgroups.kill(&format!("{}/{}", sandbox.cgroup(), container.id))?;
            container.state = State::Exited {
                started_at: Some(*started_at),
                finished_at: Timestamp::now(),
                exit_code: 128 + libc::SIGKILL,
                signal: libc::SIGKILL,
                oom_killed: false,
                message: "the container's supervisor or node was restarted".into(),
            };
            self.records.save_container(&container)?;
        }
        if sandbox.is_none() {
            std::fs::rename(self.records.folder(&container.id), self.records.trash().join(&container.id))?;
            return Ok(());
        }
        // An image that is gone is missed only by a start, which says so.
        let hold = self.images.hold(&container.spec.image).ok();
        self.containers.borrow_mut().insert(container.id.clone(), Rc::new(Entry::new(container, hold)));
        Ok(())
    }

    pub(super) fn create_container(&self, sandbox: &str, spec: ContainerSpec) -> Result<Container, Failure> {
        let owner = self.sandbox(sandbox)?;
        if !owner.known.borrow().ready {
            return Err(Failure::Other(format!("sandbox {sandbox} is not ready")));
        }
        // A call that was answered but not heard is made again.
        let same = self.containers_of(sandbox).into_iter().find(|entry| {
            let known = entry.known.borrow();
            known.state == State::Created && known.spec == spec
        });
        if let Some(same) = same {
            return Ok(same.known.borrow().clone());
        }
        let hold = self.images.hold(&spec.image).map_err(|_| Failure::NoImage(spec.image_reference.clone()))?;
        let id = new_id();
        let known =
            Container { id, sandbox: sandbox.into(), spec, state: State::Created, created_at: Timestamp::now() };
        let folder = self.records.folder(&known.id);
        let made = ["upper", "work", "rootfs"].iter().try_for_each(|name| std::fs::create_dir_all(folder.join(name)));
        made.and_then(|()| self.records.save_container(&known)).map_err(other("cannot make the container's folder"))?;
        self.containers.borrow_mut().insert(known.id.clone(), Rc::new(Entry::new(known.clone(), Some(hold))));
        Ok(known)
    }

    pub(super) async fn start_container(self: &Rc<Self>, id: &str) -> Result<(), Failure> {
        let entry = self.entry(id)?;
        let _busy = entry.busy.lock().await;
        let state = entry.known.borrow().state.clone();
        match state {
            State::Created => {}
            State::Running { .. } => return Ok(()),
            State::Exited { message, .. } if !message.is_empty() => return Err(Failure::Start(message)),
            State::Exited { .. } => return Err(Failure::NotRunning(id.into())),
        }
        let started = self.launch(&entry).await;
        if let Err(Failure::Start(message)) = &started {
            let cgroup = self.cgroup_of(&entry)?;
            self.remove_cgroup(&cgroup);
            let ended = State::Exited {
                started_at: None,
                finished_at: Timestamp::now(),
                exit_code: NOT_STARTED,
                signal: 0,
                oom_killed: false,
                message: message.clone(),
            };
            self.set_state(&entry, ended);
        }
        started
    }

    /// Forks the container and waits until it is its own program.
    async fn launch(self: &Rc<Self>, entry: &Rc<Entry>) -> Result<(), Failure> {
        let (id, spec) = (entry.id(), entry.known.borrow().spec.clone());
        let owner = self.sandbox(&entry.known.borrow().sandbox)?;
        if !owner.known.borrow().ready {
            return Err(Failure::Other(format!("the sandbox of container {id} is not ready")));
        }
        let start = |what: &'static str| move |error: io::Error| Failure::Start(format!("{what}: {error}"));
        let cgroup = self.cgroup_of(entry)?;
        self.cgroups.create(&cgroup).map_err(start("cannot make the container's cgroup"))?;
        self.cgroups.limit(&cgroup, &spec.resources).map_err(start("cannot limit the container"))?;
        self.cgroups.kill_together(&cgroup);
        self.guard_devices(&cgroup, &spec)?;
        let log = owner.known.borrow().spec.log_directory.join(&spec.log_path);
        let output = Rc::new(Output::open(&log).map_err(start("cannot open the log"))?);
        let (ends, stdio) = streams(&spec).map_err(start("cannot make pipes"))?;
        let plan = ContainerPlan {
            entrances: self.cgroups.entrances(&cgroup),
            own_cgroups: !spec.security.privileged,
            namespaces: self.namespaces(&owner.known.borrow()),
            rootfs: self.rootfs(&id, &spec, &owner)?,
            process: self.process(&spec, &owner)?,
            stdio,
        };
        let (status, theirs) = UnixStream::pair().map_err(start("cannot talk to the container"))?;
        let beside = self.target(entry)?;
        let forked = self.fork_container(&owner, beside, &plan, &theirs).map_err(start("cannot fork the container"))?;
        let (pid, process) = forked;
        let exit = self.expect(pid);
        drop((theirs, plan));
        let told = told(status).await.map_err(start("cannot hear of the container"))?;
        if let Some(why) = told.failure {
            // Nothing of it may be left when the failure is known. The sender goes away only with the supervisor.
            exit.await.ok();
            return Err(Failure::Start(why));
        }
        self.started(entry, (pid, process), output, ends, told, exit);
        Ok(())
    }

    /// A kernel or an engine around the node that does not let it decide about devices leaves that to the mounts, all `nodev`.
    fn guard_devices(&self, cgroup: &str, spec: &ContainerSpec) -> Result<(), Failure> {
        if spec.security.privileged {
            return Ok(());
        }
        let rules = devices::rules(&spec.devices);
        let rules =
            rules.map_err(|error| Failure::Start(format!("cannot look at the container's devices: {error}")))?;
        if let Err(error) = self.cgroups.protect(cgroup, &self.devices, &rules) {
            tracing::warn!(%error, cgroup, "devices are kept from the container by its mounts alone");
        }
        Ok(())
    }

    /// The process whose pid namespace a container joins because it was told to.
    fn target(&self, entry: &Entry) -> Result<Option<Rc<OwnedFd>>, Failure> {
        let known = entry.known.borrow();
        let Some(name) = &known.spec.target_container else { return Ok(None) };
        let running = self.containers_of(&known.sandbox).into_iter().filter(|one| one.id() != known.id);
        let mut named = running.filter(|one| one.known.borrow().spec.name == *name);
        let process = named.find_map(|one| one.process());
        process.map(Some).ok_or_else(|| Failure::Start(format!("target container \"{name}\" is not running")))
    }

    fn fork_container(
        &self,
        owner: &SandboxEntry,
        beside: Option<Rc<OwnedFd>>,
        plan: &ContainerPlan,
        status: &UnixStream,
    ) -> io::Result<(Pid, OwnedFd)> {
        let host_pid = owner.known.borrow().spec.host_pid;
        let first = owner.first.borrow();
        match beside.as_deref().or(first.as_ref()) {
            Some(process) => sys::with_children_in(process, &self.own_processes, || {
                sys::fork(false, || child::container(plan, status))
            }),
            None => sys::fork(!host_pid, || child::container(plan, status)),
        }
    }

    fn started(
        self: &Rc<Self>,
        entry: &Rc<Entry>,
        (pid, process): (Pid, OwnedFd),
        output: Rc<Output>,
        ends: Ends,
        told: Told,
        exit: oneshot::Receiver<Exit>,
    ) {
        let (process_ended, hearing) = watch::channel(false);
        // Both streams of a terminal are one; a copy of it that cannot be made leaves the log empty and is told there.
        let master = told.terminal.as_ref().and_then(|terminal| terminal.try_clone().ok());
        let sources = [(master.or(ends.stdout), Stream::Stdout), (ends.stderr, Stream::Stderr)];
        let mut drained = Vec::new();
        for (source, stream) in sources {
            if let Some(source) = source {
                let (sender, receiver) = oneshot::channel();
                spawn_local(output.clone().copy(source, stream, hearing.clone(), sender));
                drained.push(receiver);
            }
        }
        entry.run.replace(Some(Run {
            pid,
            process: Rc::new(process),
            output,
            stdin: ends.stdin,
            terminal: told.terminal,
        }));
        let pid = pid.as_raw_nonzero().get() as u32;
        self.set_state(entry, State::Running { started_at: Timestamp::now(), pid });
        let (supervisor, entry) = (self.clone(), entry.clone());
        spawn_local(async move {
            // The sender goes away only with the supervisor.
            let Ok(exit) = exit.await else { return };
            process_ended.send_replace(true);
            supervisor.ended(&entry, exit, drained).await;
        });
    }

    /// What is left to do when a container's process is gone.
    async fn ended(&self, entry: &Entry, exit: Exit, drained: Vec<oneshot::Receiver<()>>) {
        let mut oom_killed = false;
        if let Ok(cgroup) = self.cgroup_of(entry) {
            // With a pid namespace of its own the kernel has ended everything; without, others may be left.
            if let Err(error) = self.cgroups.kill(&cgroup) {
                tracing::warn!(%error, cgroup, "processes not killed");
            }
            oom_killed = exit.code != 0 && self.cgroups.out_of_memory_kills(&cgroup) > 0;
            self.remove_cgroup(&cgroup);
        }
        for one in drained {
            // Nothing is ever sent: the end of the sender is the answer.
            one.await.ok();
        }
        let started_at = match entry.known.borrow().state {
            State::Running { started_at, .. } => Some(started_at),
            _ => None,
        };
        entry.run.take();
        let state = State::Exited {
            started_at,
            finished_at: Timestamp::now(),
            exit_code: exit.code,
            signal: exit.signal,
            oom_killed,
            message: String::new(),
        };
        self.set_state(entry, state);
    }

    fn set_state(&self, entry: &Entry, state: State) {
        let is_ended = matches!(state, State::Exited { .. });
        entry.known.borrow_mut().state = state;
        let known = entry.known.borrow().clone();
        if let Err(error) = self.records.save_container(&known) {
            // It is known in memory; only a restart of the supervisor would miss it.
            tracing::warn!(%error, id = known.id, "container not recorded");
        }
        self.emit(Event::Container(known));
        if is_ended {
            entry.ended.send_replace(true);
        }
    }

    /// What is left in a cgroup for a moment is removed with the pod's.
    fn remove_cgroup(&self, cgroup: &str) {
        if let Err(error) = self.cgroups.remove(cgroup) {
            tracing::debug!(%error, cgroup, "cgroup not yet removed");
        }
    }

    pub(super) async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Failure> {
        let entry = self.entry(id)?;
        self.stop_entry(&entry, grace).await;
        Ok(())
    }

    /// Asks it to end, and makes it end when the time is over. Returns when it has.
    pub(super) async fn stop_entry(&self, entry: &Entry, grace: Duration) {
        // One that is being started is waited for, so that it cannot slip through.
        drop(entry.busy.lock().await);
        let Some(process) = entry.process() else { return };
        let mut ended = entry.ended.subscribe();
        if !grace.is_zero() {
            let signal = capabilities::signal(&entry.known.borrow().spec.stop_signal).unwrap_or(libc::SIGTERM);
            // One that has ended needs no signal.
            sys::signal(&process, signal).ok();
            if tokio::time::timeout(grace, ended.wait_for(|ended| *ended)).await.is_ok() {
                return;
            }
        }
        sys::signal(&process, libc::SIGKILL).ok();
        // The sender lives as long as the entry.
        ended.wait_for(|ended| *ended).await.ok();
    }

    pub(super) async fn remove_container(&self, id: &str) -> Result<(), Failure> {
        let Ok(entry) = self.entry(id) else { return Ok(()) };
        let _busy = entry.busy.lock().await;
        if entry.run.borrow().is_some() {
            return Err(Failure::Other(format!("container {id} is running")));
        }
        let failed = || other("cannot remove the container");
        if let Ok(cgroup) = self.cgroup_of(&entry) {
            self.remove_cgroup(&cgroup);
        }
        let (folder, trash) = (self.records.folder(id), self.records.trash().join(id));
        match std::fs::rename(&folder, &trash) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            _ => {}
        }
        self.containers.borrow_mut().remove(id);
        if wrote_much(&trash) {
            self.sweep();
        } else {
            // What cannot be deleted now is tried again at the next sweep.
            disk::remove(&trash).ok();
        }
        Ok(())
    }

    pub(super) fn update_container(&self, id: &str, resources: Resources) -> Result<(), Failure> {
        let entry = self.entry(id)?;
        if entry.run.borrow().is_none() {
            return Err(Failure::NotRunning(id.into()));
        }
        let cgroup = self.cgroup_of(&entry)?;
        self.cgroups.limit(&cgroup, &resources).map_err(other("cannot update the container"))?;
        entry.known.borrow_mut().spec.resources = resources;
        let known = entry.known.borrow().clone();
        self.records.save_container(&known).map_err(other("cannot record the container"))
    }

    pub(super) fn reopen_log(&self, id: &str) -> Result<(), Failure> {
        let entry = self.entry(id)?;
        let run = entry.run.borrow();
        let run = run.as_ref().ok_or_else(|| Failure::NotRunning(id.into()))?;
        run.output.reopen().map_err(other("cannot reopen the log"))
    }

    /// Figures of a container, of a sandbox, or (id `/`) of the node; and where a container's writable layer is.
    pub(super) fn stats(&self, id: &str) -> Result<(Stats, Option<PathBuf>), Failure> {
        if id == "/" {
            return Ok((self.cgroups.stats(""), None));
        }
        if let Ok(sandbox) = self.sandbox(id) {
            return Ok((self.cgroups.stats(&sandbox.cgroup()), None));
        }
        let entry = self.entry(id)?;
        let cgroup = self.cgroup_of(&entry)?;
        Ok((self.cgroups.stats(&cgroup), Some(self.records.folder(id).join("upper"))))
    }

    fn rootfs(&self, id: &str, spec: &ContainerSpec, owner: &SandboxEntry) -> Result<Rootfs, Failure> {
        let image = self.images.resolve(&spec.image).map_err(|error| Failure::Other(error.to_string()))?;
        let image = image.ok_or_else(|| Failure::NoImage(spec.image_reference.clone()))?;
        let folder = self.records.folder(id);
        let layers_folder = self.images.root().join("layers");
        let name = |layer: &Path| layer.strip_prefix(&layers_folder).unwrap_or(layer).to_path_buf();
        let mut layers: Vec<_> = image.layers.iter().rev().map(|layer| name(layer)).collect();
        if layers.is_empty() {
            // An image of nothing; overlayfs wants something to lie on.
            layers.push(folder.join("rootfs"));
        }
        let security = &spec.security;
        let or_default = |own: &[String], default: &[&str]| match (security.privileged, own.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => default.iter().map(|path| path.to_string()).collect(),
            (false, false) => own.to_vec(),
        };
        Ok(Rootfs {
            layers_folder,
            layers,
            upper: folder.join("upper"),
            work: folder.join("work"),
            target: folder.join("rootfs"),
            executable: image.executable,
            mounts: spec.mounts.clone(),
            devices: spec.devices.clone(),
            shm: self.shm(&owner.known.borrow()),
            hierarchies: self.cgroups.hierarchies(),
            privileged: security.privileged,
            read_only: security.read_only_root,
            masked_paths: or_default(&security.masked_paths, child::MASKED),
            read_only_paths: or_default(&security.read_only_paths, child::READ_ONLY),
            working_directory: spec.working_directory.clone(),
        })
    }

    /// The system call filter of a container; the default one is made once for each set of capabilities.
    fn filter(&self, security: &Security, capabilities: CapabilitySet) -> Result<Option<Filter>, Failure> {
        match &security.seccomp {
            _ if security.privileged => Ok(None),
            Seccomp::Unconfined => Ok(None),
            Seccomp::Localhost(path) => Ok(Some(Rc::new(seccomp::load(path).map_err(Failure::Start)?))),
            Seccomp::RuntimeDefault => {
                let mut filters = self.filters.borrow_mut();
                let made =
                    filters.entry(capabilities.bits()).or_insert_with(|| Rc::new(seccomp::default(capabilities)));
                Ok(Some(made.clone()))
            }
        }
    }

    /// The process that a container, or a command in it, is to be.
    pub(super) fn process(&self, spec: &ContainerSpec, owner: &SandboxEntry) -> Result<Process, Failure> {
        let security = &spec.security;
        let capabilities = match security.privileged {
            true => capabilities::all(),
            false => capabilities::set(&security.capabilities).map_err(Failure::Start)?,
        };
        let mut env = spec.env.clone();
        let mut add = |name: &str, value: &str| {
            if env.iter().all(|(known, _)| known != name) {
                env.push((name.into(), value.into()));
            }
        };
        add("HOSTNAME", &owner.known.borrow().spec.hostname);
        if spec.tty {
            add("TERM", "xterm");
        }
        Ok(Process {
            argv: spec.argv.clone(),
            env,
            working_directory: if spec.working_directory.is_empty() {
                "/".into()
            } else {
                spec.working_directory.clone()
            },
            user: spec.user.clone(),
            capabilities,
            no_new_privileges: security.no_new_privileges,
            filter: self.filter(security, capabilities)?,
            apparmor_profile: security.apparmor_profile.clone(),
            oom_score_adj: spec.resources.oom_score_adj,
            files: self.files,
        })
    }
}

/// The pipes of a container; a terminal is made by the container itself.
fn streams(spec: &ContainerSpec) -> io::Result<(Ends, Stdio)> {
    if spec.tty {
        return Ok((Ends { stdin: None, stdout: None, stderr: None }, Stdio::Terminal { size: None }));
    }
    let (stdout, their_stdout) = io::pipe()?;
    let (stderr, their_stderr) = io::pipe()?;
    let (their_stdin, stdin) =
        if spec.stdin { io::pipe().map(|(read, write)| (Some(read), Some(write)))? } else { (None, None) };
    let ends = Ends { stdin: stdin.map(Into::into), stdout: Some(stdout.into()), stderr: Some(stderr.into()) };
    let theirs = Stdio::Pipes {
        stdin: their_stdin.map(Into::into),
        stdout: Some(their_stdout.into()),
        stderr: Some(their_stderr.into()),
    };
    Ok((ends, theirs))
}

/// Whether a process, by its `/proc/PID/status`, does anything on a signal.
fn reacts(status: &str, signal: i32) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let has = |name: &str| {
        let mask = field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
        mask & (1 << (signal - 1)) != 0
    };
    let is_first = field("NSpid:").is_some_and(|pids| pids.split_whitespace().last() == Some("1"));
    has("SigCgt:") || (!is_first && !has("SigIgn:"))
}

/// Whether deleting a container's folder may take long: it is more than the few files that most write.
fn wrote_much(folder: &Path) -> bool {
    const FEW: usize = 16;
    fn count(folder: &Path, left: usize) -> usize {
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen < left && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                seen += count(&entry.path(), left - seen);
            }
            if seen >= left {
                break;
            }
        }
        seen
    }
    count(&folder.join("upper"), FEW) >= FEW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_processes_react_only_to_what_they_handle() {
        let status = |pids: &str, ignored: &str, caught: &str| {
            format!("NSpid:\t{pids}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n")
        };
        assert!(!reacts(&status("812\t1", "0", "0"), libc::SIGTERM));
        assert!(reacts(&status("812\t1", "0", "0000000000004000"), libc::SIGTERM));
        assert!(reacts(&status("812\t7", "0", "0"), libc::SIGTERM));
        assert!(!reacts(&status("812", "0000000000004000", "0"), libc::SIGTERM));
    }
}
