//! `coracle init`: PID 1 of a node. Mounts, reaps, restarts, and ends everything in order. Never talks to the API.
//!
//! ```text
//! mount ─▶ start supervisor, server ─▶ wait ─┬─ a child ended: reap; supervisor or server: start again, later each time
//!                                            └─ SIGTERM: server ends first, then the supervisor with its containers ─▶ exit
//! ```

use super::mounts;
use crate::base::handed;
use crate::base::resolvers::Folders;
use crate::config::{NodePaths, Profile};
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// What PID 1 keeps running, in the order in which it is started; it ends in reverse order. Nothing in a node without
/// Kubernetes.
const SERVICES: &[&str] = &["supervisor", "server"];
/// How long one service may take to end: the supervisor waits for its containers' grace.
const END_SECONDS: u64 = 15;
/// What the log of a node says whenever it starts, with the version behind it.
pub const NODE_STARTS: &str = "==== the node starts: coracle";
/// What lived so long was not broken from the start: it is started again at once.
const OLD: Duration = Duration::from_secs(1);
/// The longest pause before something that keeps failing is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT.
pub fn main() -> io::Result<()> {
    mounts::mount_all()?;
    if let Err(error) = super::trust::install() {
        eprintln!("{error}");
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // Before anything is started that could inherit them.
    let folders = Folders::inherited()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(folders))
}

/// The services that run, by pid, and when each was last started.
struct Services {
    /// The supervisor's socket lives here, so that its clients wait while it is started again, instead of failing.
    supervisor: UnixListener,
    /// The node agent's port lives here as well: a pod in the node's network could take it while the server is started again.
    agent: Option<TcpListener>,
    running: BTreeMap<i32, &'static str>,
    started: BTreeMap<&'static str, Instant>,
    pauses: BTreeMap<&'static str, Duration>,
}

async fn run(folders: Option<Folders>) -> io::Result<()> {
    let mut child = signal(SignalKind::child())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (due_sender, mut due) = tokio::sync::mpsc::unbounded_channel();
    let supervisor = listen(&NodePaths::default().supervisor_socket())?;
    let profile = profile();
    let port = profile.as_ref().filter(|profile| profile.kubernetes).map(|profile| profile.agent_port);
    let agent = port.map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).transpose()?;
    let mut services =
        Services { supervisor, agent, running: BTreeMap::new(), started: BTreeMap::new(), pauses: BTreeMap::new() };
    note_start();
    if profile.is_none_or(|profile| profile.kubernetes) {
        SERVICES.iter().try_for_each(|service| services.start(service))?;
    }
    tokio::spawn(crate::base::memory::settle());
    tokio::spawn(super::resolvers::follow(folders));
    loop {
        tokio::select! {
            _ = child.recv() => {
                for (service, end) in services.reap() {
                    eprintln!("{service} {}, and is started again", ending(end));
                    let (pause, due) = (services.pause(service, end), due_sender.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(pause).await;
                        // The receiver goes away only when the node ends.
                        due.send(service).ok();
                    });
                }
            }
            Some(service) = due.recv() => services.start(service)?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    // What stands still cannot end, and not even be killed. Where nothing does, there is nothing to thaw.
    if let Err(error) = super::freeze::thaw() {
        eprintln!("cannot thaw what was paused: {error}");
    }
    for service in SERVICES.iter().rev() {
        services.end(service, &mut child).await;
    }
    Ok(())
}

impl Services {
    fn start(&mut self, service: &'static str) -> io::Result<()> {
        let log = append(&NodePaths::default().server_log())?;
        let mut command = Command::new("/coracle");
        command.arg(service).envs(variables()).stdout(log.try_clone()?).stderr(log);
        // The server inherits the listening socket that this process was given as stdin; nobody else does.
        if service == "supervisor" {
            command.stdin(OwnedFd::from(self.supervisor.try_clone()?));
        }
        let process = match &self.agent {
            Some(agent) if service == "server" => handed::spawn_with(agent, &mut command)?,
            _ => command.spawn()?,
        };
        spare(process.id(), service);
        self.running.insert(process.id() as i32, service);
        self.started.insert(service, Instant::now());
        Ok(())
    }

    /// Collects every child that ended; returns the services among them, and how each ended.
    fn reap(&mut self) -> Vec<(&'static str, WaitStatus)> {
        let mut ended = Vec::new();
        while let Ok(Some((pid, end))) = wait(WaitOptions::NOHANG) {
            ended.extend(self.running.remove(&pid.as_raw_nonzero().get()).map(|service| (service, end)));
        }
        ended
    }

    /// How long to wait before a service is started again: at once at first, longer each time it fails young. One that
    /// was killed from outside, by a user or for want of memory, did not fail.
    fn pause(&mut self, service: &'static str, end: WaitStatus) -> Duration {
        let age = self.started.get(service).map_or(Duration::MAX, Instant::elapsed);
        let was_killed = end.terminating_signal() == Some(Signal::KILL.as_raw());
        let pause = self.pauses.entry(service).or_default();
        *pause = match age {
            age if age > OLD || was_killed => Duration::ZERO,
            _ => (*pause * 2).clamp(Duration::from_millis(20), LONGEST_PAUSE),
        };
        *pause
    }

    /// Asks a service to end and waits for it; kills it when it takes too long.
    async fn end(&mut self, service: &str, child: &mut tokio::signal::unix::Signal) {
        let Some(pid) = self.running.iter().find(|(_, name)| **name == service).map(|(pid, _)| *pid) else { return };
        let Some(process) = Pid::from_raw(pid) else { return };
        kill_process(process, Signal::TERM).ok();
        let gone = async {
            while self.running.contains_key(&pid) {
                child.recv().await;
                self.reap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(END_SECONDS), gone).await.is_err() {
            kill_process(process, Signal::KILL).ok();
        }
    }
}

/// How a service ended.
fn ending(end: WaitStatus) -> String {
    match (end.terminating_signal(), end.exit_status()) {
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (_, Some(code)) => format!("ended with code {code}"),
        _ => "ended".into(),
    }
}

/// How much rather than others the kernel ends a service when memory is short: -1000 is never. As kubelet and containerd have
/// it; containers get values of their own.
const OOM_SCORES: &[(&str, i32)] = &[("supervisor", -999), ("server", -997)];

/// Has the kernel end other processes first when memory is short, where this one may say so.
fn spare(pid: u32, service: &str) {
    if let Some((_, score)) = OOM_SCORES.iter().find(|(name, _)| *name == service) {
        std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string()).ok();
    }
}

/// The node's profile. One that cannot be read is reported by the server.
fn profile() -> Option<Profile> {
    serde_json::from_slice(&std::fs::read(NodePaths::default().profile()).ok()?).ok()
}

/// The proxies through which images are pulled, and what else the profile says; the latter goes before.
fn variables() -> Vec<(String, String)> {
    let Some(profile) = profile() else { return Vec::new() };
    let proxies = profile.proxy.variables().into_iter().map(|(name, value)| (name.to_string(), value));
    let bundle = super::trust::bundle().map(|path| ("SSL_CERT_FILE".to_string(), path.display().to_string()));
    let named = profile.environment.iter().filter_map(|text| text.split_once('='));
    proxies.chain(bundle).chain(named.map(|(name, value)| (name.to_string(), value.to_string()))).collect()
}

/// A socket that only root may connect to.
fn listen(path: &Path) -> io::Result<UnixListener> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    listener
}

/// Marks in the log where this start begins. A disk that is full keeps the mark out, not the node down.
fn note_start() {
    let log = append(&NodePaths::default().server_log());
    let noted = log.and_then(|mut log| writeln!(log, "{NODE_STARTS} v{}", env!("CARGO_PKG_VERSION")));
    if let Err(error) = noted {
        eprintln!("cannot write to the log: {error}");
    }
}

fn append(path: &Path) -> io::Result<File> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    File::options().append(true).create(true).open(path)
}
