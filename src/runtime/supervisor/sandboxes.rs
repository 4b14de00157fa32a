//! Sandboxes: namespaces pinned by path, the pod's cgroup, its shared memory, and the first process where one is shared.

use super::{Supervisor, new_id, other, told};
use crate::runtime::child::{self, SandboxPlan};
use crate::runtime::spec::*;
use crate::runtime::sys;
use crate::runtime::wire::Failure;
use jiff::Timestamp;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::sync::watch;
use tokio::task::spawn_local;

/// What a pod may do in its own network, as containerd sets it: low ports and pings need no right.
const DEFAULT_SYSCTLS: &[(&str, &str)] =
    &[("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];
/// Memory that `/dev/shm` may take (containerd, Docker).
const SHM_OPTIONS: &std::ffi::CStr = c"mode=1777,size=65536k";

/// A sandbox and what of it runs.
pub struct SandboxEntry {
    pub known: RefCell<Sandbox>,
    /// Held while it is made, stopped or removed.
    pub busy: tokio::sync::Mutex<()>,
    /// The first process of its pid namespace.
    pub first: RefCell<Option<OwnedFd>>,
    first_ended: watch::Sender<bool>,
}

impl SandboxEntry {
    fn new(known: Sandbox) -> Self {
        Self {
            known: RefCell::new(known),
            busy: tokio::sync::Mutex::default(),
            first: RefCell::default(),
            first_ended: watch::channel(true).0,
        }
    }

    /// Its cgroup.
    pub fn cgroup(&self) -> String {
        let known = self.known.borrow();
        match known.spec.cgroup.trim_matches('/') {
            "" => format!("coracle/{}", known.id),
            path => path.to_string(),
        }
    }
}

/// Mounts below a folder stay in this mount namespace.
pub fn make_private(folder: &Path) -> io::Result<()> {
    let is_mounted = rustix::mount::mount_change(folder, MountPropagationFlags::PRIVATE).is_ok();
    if !is_mounted {
        rustix::mount::mount_bind(folder, folder)?;
        rustix::mount::mount_change(folder, MountPropagationFlags::PRIVATE)?;
    }
    Ok(())
}

impl Supervisor {
    pub(super) fn sandbox(&self, id: &str) -> Result<Rc<SandboxEntry>, Failure> {
        self.sandboxes.borrow().get(id).cloned().ok_or_else(|| Failure::NotFound(id.into()))
    }

    /// Where a sandbox's things are pinned.
    fn pinned(&self, id: &str) -> PathBuf {
        self.paths.namespaces.join(id)
    }

    /// The sandbox's `/dev/shm`.
    pub(super) fn shm(&self, sandbox: &Sandbox) -> PathBuf {
        if sandbox.spec.host_ipc { "/dev/shm".into() } else { self.pinned(&sandbox.id).join("shm") }
    }

    /// The pinned namespaces that containers join.
    pub(super) fn namespaces(&self, sandbox: &Sandbox) -> Vec<(PathBuf, LinkNameSpaceType)> {
        let folder = self.pinned(&sandbox.id);
        let kinds = namespaces(&sandbox.spec);
        kinds.into_iter().map(|(name, kind)| (folder.join(name), kind)).collect()
    }

    /// After a restart of the supervisor its namespaces are still there, after one of the node they are not.
    pub(super) fn adopt_sandbox(&self, mut sandbox: Sandbox) -> io::Result<()> {
        let is_there = self.pinned(&sandbox.id).exists();
        if sandbox.ready && (!is_there || sandbox.spec.share_pid) {
            sandbox.ready = false;
            self.records.save_sandbox(&sandbox)?;
        }
        if !sandbox.ready {
            self.unpin(&sandbox.id);
        }
        self.sandboxes.borrow_mut().insert(sandbox.id.clone(), Rc::new(SandboxEntry::new(sandbox)));
        Ok(())
    }

    pub(super) async fn run_sandbox(self: &Rc<Self>, spec: SandboxSpec) -> Result<Sandbox, Failure> {
        if let Some(same) = self.same_sandbox(&spec) {
            let _done = same.busy.lock().await;
            let known = same.known.borrow().clone();
            if known.ready {
                return Ok(known);
            }
        }
        let id = new_id();
        let network_namespace = (!spec.host_network).then(|| self.pinned(&id).join("net"));
        let known = Sandbox { id: id.clone(), spec, ready: false, created_at: Timestamp::now(), network_namespace };
        let entry = Rc::new(SandboxEntry::new(known));
        self.sandboxes.borrow_mut().insert(id.clone(), entry.clone());
        let _busy = entry.busy.lock().await;
        if let Err(failure) = self.make_sandbox(&entry).await {
            self.sandboxes.borrow_mut().remove(&id);
            self.unpin(&id);
            self.remove_pod_cgroup(&entry);
            return Err(failure);
        }
        entry.known.borrow_mut().ready = true;
        let known = entry.known.borrow().clone();
        self.records.save_sandbox(&known).map_err(other("cannot record the sandbox"))?;
        Ok(known)
    }

    /// The sandbox that an earlier call with these arguments made, or is making.
    fn same_sandbox(&self, spec: &SandboxSpec) -> Option<Rc<SandboxEntry>> {
        self.sandboxes.borrow().values().find(|entry| entry.known.borrow().spec == *spec).cloned()
    }

    async fn make_sandbox(self: &Rc<Self>, entry: &Rc<SandboxEntry>) -> Result<(), Failure> {
        let sandbox = entry.known.borrow().clone();
        let (spec, cgroup) = (&sandbox.spec, entry.cgroup());
        self.cgroups.create(&cgroup).map_err(other("cannot make the pod's cgroup"))?;
        self.cgroups.limit(&cgroup, &spec.resources).map_err(other("cannot limit the pod"))?;
        std::fs::create_dir_all(&spec.log_directory).map_err(other("cannot make the log directory"))?;
        let pins = self.prepare_pins(&sandbox).map_err(other("cannot pin the sandbox"))?;
        if !pins.is_empty() {
            self.fork_sandbox(spec, pins).await?;
        }
        if spec.share_pid && !spec.host_pid {
            self.start_first(entry).await?;
        }
        Ok(())
    }

    fn prepare_pins(&self, sandbox: &Sandbox) -> io::Result<Vec<(&'static str, PathBuf)>> {
        let folder = self.pinned(&sandbox.id);
        std::fs::create_dir_all(&folder)?;
        // One mount to let go of takes the others with it: the kernel makes every unmount wait.
        rustix::mount::mount_bind(&folder, &folder)?;
        if !sandbox.spec.host_ipc {
            let shm = folder.join("shm");
            std::fs::create_dir_all(&shm)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("shm", &shm, "tmpfs", flags, SHM_OPTIONS)?;
        }
        let pins = namespaces(&sandbox.spec).into_iter().map(|(name, _)| {
            let path = folder.join(name);
            std::fs::File::create(&path).map(|_| (name, path))
        });
        pins.collect()
    }

    async fn fork_sandbox(&self, spec: &SandboxSpec, pins: Vec<(&'static str, PathBuf)>) -> Result<(), Failure> {
        let mut sysctls = BTreeMap::new();
        if !spec.host_network {
            sysctls.extend(DEFAULT_SYSCTLS.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        }
        sysctls.extend(spec.sysctls.clone());
        let mut new = UnshareFlags::empty();
        new.set(UnshareFlags::NEWNET | UnshareFlags::NEWUTS, !spec.host_network);
        new.set(UnshareFlags::NEWIPC, !spec.host_ipc);
        let plan = SandboxPlan {
            pins,
            hostname: (!spec.host_network && !spec.hostname.is_empty()).then(|| spec.hostname.clone()),
            own_network: !spec.host_network,
            new,
            sysctls,
        };
        let failed = || other("cannot make the sandbox");
        let (status, theirs) = UnixStream::pair().map_err(failed())?;
        let (pid, _) = sys::fork(false, || child::sandbox(&plan, &theirs)).map_err(failed())?;
        let exit = self.expect(pid);
        drop(theirs);
        let told = told(status).await.map_err(failed())?;
        let exit = exit.await.map_err(|_| Failure::Other("cannot make the sandbox: its maker was lost".into()))?;
        match told.failure {
            Some(why) => Err(Failure::Other(format!("cannot make the sandbox: {why}"))),
            None if exit.code != 0 => Err(Failure::Other(format!("cannot make the sandbox: exit code {}", exit.code))),
            None => Ok(()),
        }
    }

    /// Starts the first process of a shared pid namespace; its end is the sandbox's end.
    async fn start_first(self: &Rc<Self>, entry: &Rc<SandboxEntry>) -> Result<(), Failure> {
        let failed = || other("cannot start the pod's first process");
        let id = entry.known.borrow().id.clone();
        let cgroup = format!("{}/{id}", entry.cgroup());
        let empty = self.pinned(&id).join("empty");
        std::fs::create_dir_all(&empty).map_err(failed())?;
        self.cgroups.create(&cgroup).map_err(failed())?;
        let entrances = self.cgroups.entrances(&cgroup);
        let (status, theirs) = UnixStream::pair().map_err(failed())?;
        let (pid, process) = sys::fork(true, || child::pause(&entrances, &empty, &theirs)).map_err(failed())?;
        let exit = self.expect(pid);
        drop(theirs);
        let told = told(status).await.map_err(failed())?;
        if let Some(why) = told.failure {
            return Err(Failure::Other(why));
        }
        entry.first.replace(Some(process));
        entry.first_ended.send_replace(false);
        let (supervisor, entry) = (self.clone(), entry.clone());
        spawn_local(async move {
            // The sender goes away only with the supervisor.
            exit.await.ok();
            supervisor.first_ended(&entry);
        });
        Ok(())
    }

    fn first_ended(&self, entry: &SandboxEntry) {
        entry.first.take();
        let was_ready = std::mem::replace(&mut entry.known.borrow_mut().ready, false);
        entry.first_ended.send_replace(true);
        if was_ready {
            let known = entry.known.borrow().clone();
            if let Err(error) = self.records.save_sandbox(&known) {
                tracing::warn!(%error, "sandbox not recorded");
            }
            self.emit(Event::SandboxGone(known.id));
        }
    }

    pub(super) fn update_sandbox(&self, id: &str, resources: Resources) -> Result<(), Failure> {
        let entry = self.sandbox(id)?;
        self.cgroups.limit(&entry.cgroup(), &resources).map_err(other("cannot limit the pod"))?;
        entry.known.borrow_mut().spec.resources = resources;
        let known = entry.known.borrow().clone();
        self.records.save_sandbox(&known).map_err(other("cannot record the sandbox"))
    }

    pub(super) async fn stop_sandbox(&self, id: &str) -> Result<(), Failure> {
        let Ok(entry) = self.sandbox(id) else { return Ok(()) };
        let _busy = entry.busy.lock().await;
        self.stop_sandbox_entry(&entry).await
    }

    async fn stop_sandbox_entry(&self, entry: &SandboxEntry) -> Result<(), Failure> {
        let id = entry.known.borrow().id.clone();
        let was_ready = std::mem::replace(&mut entry.known.borrow_mut().ready, false);
        let containers = self.containers_of(&id);
        futures::future::join_all(containers.iter().map(|one| self.stop_entry(one, std::time::Duration::ZERO))).await;
        let first = entry.first.take();
        if let Some(first) = first {
            // One that has ended needs no signal.
            sys::signal(&first, libc::SIGKILL).ok();
            let mut ended = entry.first_ended.subscribe();
            ended.wait_for(|ended| *ended).await.ok();
        }
        self.unpin(&id);
        if was_ready {
            let known = entry.known.borrow().clone();
            self.records.save_sandbox(&known).map_err(other("cannot record the sandbox"))?;
        }
        Ok(())
    }

    pub(super) async fn remove_sandbox(&self, id: &str) -> Result<(), Failure> {
        let Ok(entry) = self.sandbox(id) else { return Ok(()) };
        let _busy = entry.busy.lock().await;
        self.stop_sandbox_entry(&entry).await?;
        for container in self.containers_of(id) {
            let id = container.known.borrow().id.clone();
            self.remove_container(&id).await?;
        }
        self.sandboxes.borrow_mut().remove(id);
        self.remove_pod_cgroup(&entry);
        match self.records.remove_sandbox(id) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(other("cannot forget the sandbox")(error)),
            _ => Ok(()),
        }
    }

    /// A later sandbox of the same pod has the same cgroup, which then stays.
    fn remove_pod_cgroup(&self, entry: &SandboxEntry) {
        let (id, cgroup) = (entry.known.borrow().id.clone(), entry.cgroup());
        let is_used = self.sandboxes.borrow().values().any(|other| other.cgroup() == cgroup);
        let path = if is_used { format!("{cgroup}/{id}") } else { cgroup };
        if let Err(error) = self.cgroups.remove(&path) {
            tracing::warn!(%error, path, "cgroup not removed");
        }
    }

    /// Lets go of what is pinned. What is not there, or never was, is as good as let go.
    fn unpin(&self, id: &str) {
        let folder = self.pinned(id);
        rustix::mount::unmount(&folder, UnmountFlags::DETACH).ok();
        std::fs::remove_dir_all(&folder).ok();
    }
}

/// The namespaces that a sandbox has for itself.
fn namespaces(spec: &SandboxSpec) -> Vec<(&'static str, LinkNameSpaceType)> {
    let all = [
        (!spec.host_network, "net", LinkNameSpaceType::Network),
        (!spec.host_ipc, "ipc", LinkNameSpaceType::InterProcessCommunication),
        (!spec.host_network, "uts", LinkNameSpaceType::HostNameAndNISDomainName),
    ];
    all.into_iter().filter(|(is_own, ..)| *is_own).map(|(_, name, kind)| (name, kind)).collect()
}
