//! The runtime as the node agent sees it: a real supervisor in a process and a mount namespace of its own, real containers
//! whose image is busybox.
//!
//! The supervisor has to be a process with a single working thread, so it is this test program again, running the one test
//! [`supervisor_process`]. Without root, or without a static busybox, the tests say that they skip.

use super::supervisor::{self, Paths};
use super::*;
use crate::images::Store;
use futures::StreamExt;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says to the process that it is a supervisor, and where.
const HOME: &str = "CORACLE_TEST_SUPERVISOR";
const BUSYBOX: &str = "/bin/busybox";
const PROGRAMS: &[&str] = &[
    "sh", "sleep", "echo", "cat", "ls", "id", "pwd", "env", "mount", "touch", "hostname", "stat", "grep", "kill", "ps",
    "wc", "dd", "tail", "mkdir", "mknod", "nc", "stty", "true", "false", "ip", "readlink", "head", "tr", "unshare",
];

/// Not a test of its own: what [`World::new`] starts.
#[test]
fn supervisor_process() {
    let Some(home) = std::env::var_os(HOME).map(PathBuf::from) else { return };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    // SAFETY: mounts are all that is left, so that nothing leaks to the machine that runs the tests.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    // As a node's root is.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC).unwrap();
    let stdin: OwnedFd = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().unwrap();
    supervisor::main(paths(&home), UnixListener::from(stdin)).unwrap();
}

fn paths(home: &Path) -> Paths {
    Paths { containers: home.join("containers"), namespaces: home.join("run"), images: home.join("images") }
}

/// A supervisor with one image.
struct World {
    folder: tempfile::TempDir,
    listener: UnixListener,
    process: Option<Child>,
    image: String,
    runtime: Supervised,
}

impl World {
    /// Nothing without the rights or the programs.
    fn new() -> Option<Self> {
        Self::of(|| image(&[]))
    }

    fn of(image: impl FnOnce() -> Vec<u8>) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new(BUSYBOX).exists() {
            println!("skipped: needs root and {BUSYBOX}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let store = Store::open(folder.path().join("images")).unwrap();
        let image = store.load(&image()[..]).unwrap().remove(0).id;
        let socket = folder.path().join("supervisor.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut world = Self { folder, listener, process: None, image, runtime: Supervised::new(socket) };
        world.start();
        Some(world)
    }

    fn start(&mut self) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "runtime::tests::supervisor_process", "--nocapture", "--test-threads=1"]);
        command.env(HOME, self.folder.path()).stdout(Stdio::null());
        self.process = Some(command.stdin(OwnedFd::from(self.listener.try_clone().unwrap())).spawn().unwrap());
    }

    /// Kills the supervisor as a fault would.
    fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn home(&self) -> &Path {
        self.folder.path()
    }

    fn sandbox_spec(&self, name: &str) -> SandboxSpec {
        SandboxSpec {
            name: name.into(),
            namespace: "default".into(),
            uid: name.into(),
            attempt: 0,
            hostname: format!("{name}-host"),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            share_pid: false,
            sysctls: BTreeMap::new(),
            cgroup: format!("coracle-test-{}/pod{name}", self.home().file_name().unwrap().display()),
            resources: Resources::default(),
            log_directory: self.home().join("logs").join(name),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    async fn sandbox(&self, name: &str) -> Sandbox {
        self.runtime.run_sandbox(self.sandbox_spec(name)).await.unwrap()
    }

    fn spec(&self, name: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            name: name.into(),
            attempt: 0,
            image: self.image.clone(),
            image_reference: "busybox".into(),
            argv: vec!["sh".into(), "-c".into(), script.into()],
            working_directory: "/".into(),
            env: vec![("PATH".into(), "/bin".into())],
            mounts: vec![],
            devices: vec![],
            user: User::default(),
            security: Security { capabilities: vec!["CHOWN".into(), "KILL".into()], ..Security::default() },
            resources: Resources::default(),
            log_path: format!("{name}/0.log").into(),
            stdin: false,
            stdin_once: false,
            tty: false,
            stop_signal: "SIGTERM".into(),
            target_container: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    async fn run(&self, sandbox: &Sandbox, spec: ContainerSpec) -> Container {
        let made = self.runtime.create_container(&sandbox.id, spec).await.unwrap();
        assert_eq!(made.state, State::Created);
        self.runtime.start_container(&made.id).await.unwrap();
        self.runtime.container(&made.id).await.unwrap()
    }

    /// Runs a script to its end; returns its exit code and what it printed.
    async fn outcome(&self, sandbox: &Sandbox, spec: ContainerSpec) -> (i32, String) {
        let log = sandbox.spec.log_directory.join(&spec.log_path);
        let mut events = self.runtime.events().await.unwrap();
        let made = self.runtime.create_container(&sandbox.id, spec).await.unwrap();
        self.runtime.start_container(&made.id).await.unwrap();
        let ended = ended(&mut events, &made.id).await;
        let State::Exited { exit_code, .. } = ended.state else { unreachable!() };
        (exit_code, printed(&log))
    }

    async fn sh(&self, id: &str, script: &str) -> String {
        let argv = ["sh", "-c", script].map(String::from).to_vec();
        let output = self.runtime.exec_sync(id, argv, Duration::from_secs(20)).await.unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let pid = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            process.wait().ok();
        }
        let name = format!("coracle-test-{}", self.home().file_name().unwrap().display());
        if let Ok(cgroups) = super::cgroups::Cgroups::discover() {
            cgroups.remove(&name).ok();
        }
    }
}

async fn ended(events: &mut futures::stream::BoxStream<'static, Event>, id: &str) -> Container {
    loop {
        match events.next().await.unwrap() {
            Event::Container(one) if one.id == id && matches!(one.state, State::Exited { .. }) => return one,
            _ => {}
        }
    }
}

/// The text of a log without times and tags.
fn printed(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_string() + "\n").collect()
}

/// As `docker save` writes it, with links of somebody's.
fn image(links: &[(&str, &str)]) -> Vec<u8> {
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let mut layer = tar::Builder::new(Vec::new());
    let header = |kind, size: usize, mode| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(mode);
        header
    };
    for folder in ["bin", "etc", "tmp"] {
        layer.append_data(&mut header(tar::EntryType::Directory, 0, 0o777), folder, std::io::empty()).unwrap();
    }
    let files = [
        ("bin/busybox", std::fs::read(BUSYBOX).unwrap()),
        ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n".to_vec()),
        ("etc/plain", b"text".to_vec()),
    ];
    for (path, bytes) in files {
        let mode = if path.starts_with("bin") { 0o755 } else { 0o644 };
        layer.append_data(&mut header(tar::EntryType::Regular, bytes.len(), mode), path, &bytes[..]).unwrap();
    }
    for name in PROGRAMS {
        layer.append_link(&mut header(tar::EntryType::Symlink, 0, 0o777), format!("bin/{name}"), "busybox").unwrap();
    }
    for (path, target) in links {
        layer.append_link(&mut header(tar::EntryType::Symlink, 0, 0o777), path, target).unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let config = json!({ "config": {}, "rootfs": { "diff_ids": [format!("sha256:{}", digest(&layer))] } }).to_string();
    let manifest = json!([{ "Config": "c.json", "RepoTags": ["busybox:latest"], "Layers": ["l.tar"] }]).to_string();
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in [("l.tar", &layer[..]), ("c.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]
    {
        archive.append_data(&mut header(tar::EntryType::Regular, bytes.len(), 0o644), path, bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

#[tokio::test]
async fn a_container_runs_prints_and_ends() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("plain").await;
    let script = "echo $HOSTNAME $HOME; hostname; pwd; id -u; echo bad >&2; exit 3";
    let (code, text) = world.outcome(&sandbox, world.spec("c", script)).await;
    // The two streams are read apart, so only the order within each is certain.
    let (bad, good): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| *line == "bad");
    assert_eq!((code, good.join(","), bad.len()), (3, "plain-host /root,plain-host,/,0".into(), 1));
    let (sandboxes, containers) = world.runtime.list().await.unwrap();
    assert_eq!((sandboxes.len(), containers.len()), (1, 1));
    world.runtime.stop_sandbox(&sandbox.id).await.unwrap();
    assert!(!world.runtime.list().await.unwrap().0[0].ready);
    world.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    assert_eq!(world.runtime.list().await.unwrap(), (vec![], vec![]));
    assert!(matches!(world.runtime.container(&containers[0].id).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn programs_that_cannot_be_started_say_why() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("refused").await;
    let cases = [
        ("foo", "exec: \"foo\": executable file not found in $PATH"),
        ("/etc/plain", "exec: \"/etc/plain\": permission denied"),
        ("/nothing", "exec: \"/nothing\": stat /nothing: no such file or directory"),
    ];
    for (program, expected) in cases {
        let spec = ContainerSpec { argv: vec![program.into()], ..world.spec("c", "") };
        let made = world.runtime.create_container(&sandbox.id, spec).await.unwrap();
        let Err(Error::Start(why)) = world.runtime.start_container(&made.id).await else { panic!("{program} started") };
        let prefix = "unable to start container process: error during container init: ";
        assert_eq!(why, format!("{prefix}{expected}"));
        let state = world.runtime.container(&made.id).await.unwrap().state;
        assert!(matches!(&state, State::Exited { exit_code: 128, message, .. } if *message == why), "{state:?}");
        world.runtime.remove_container(&made.id).await.unwrap();
    }
}

#[tokio::test]
async fn stopping_asks_first_and_kills_after_the_grace() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("stop").await;
    let script = "trap 'exit 7' TERM; echo up; while true; do sleep 0.1; done";
    let mut events = world.runtime.events().await.unwrap();
    let polite = world.run(&sandbox, world.spec("polite", script)).await;
    // Its trap is set when it has printed.
    let log = sandbox.spec.log_directory.join("polite/0.log");
    while printed(&log).is_empty() {
        world.sh(&polite.id, "true").await;
    }
    world.runtime.stop_container(&polite.id, Duration::from_secs(60)).await.unwrap();
    let State::Exited { exit_code, signal, .. } = ended(&mut events, &polite.id).await.state else { unreachable!() };
    assert_eq!((exit_code, signal), (7, 0));
    let deaf = world.run(&sandbox, world.spec("deaf", "sleep 1000")).await;
    world.runtime.stop_container(&deaf.id, Duration::from_millis(100)).await.unwrap();
    let state = world.runtime.container(&deaf.id).await.unwrap().state;
    assert!(matches!(state, State::Exited { exit_code: 137, signal: 9, .. }), "{state:?}");
    world.runtime.stop_container(&deaf.id, Duration::from_secs(1)).await.unwrap();
}

#[tokio::test]
async fn commands_run_in_the_container() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("exec").await;
    let web = world.run(&sandbox, world.spec("web", "sleep 1000")).await;
    assert_eq!(world.sh(&web.id, "hostname; readlink /proc/self/ns/pid; echo bad >&2").await.lines().count(), 3);
    let own = world.sh(&web.id, "readlink /proc/1/ns/pid; readlink /proc/self/ns/pid").await;
    let own: Vec<&str> = own.lines().collect();
    assert_eq!(own[0], own[1]);
    let run = |argv: &[&str]| argv.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    let second = Duration::from_secs(1);
    let output = world.runtime.exec_sync(&web.id, run(&["sh", "-c", "exit 5"]), second * 20).await.unwrap();
    assert_eq!(output.exit_code, 5);
    let missing = world.runtime.exec_sync(&web.id, run(&["foo"]), second).await;
    let expected = "exec failed: unable to start container process: exec: \"foo\": executable file not found in $PATH";
    assert!(matches!(&missing, Err(Error::Start(why)) if why == expected), "{missing:?}");
    let slow = world.runtime.exec_sync(&web.id, run(&["sleep", "1000"]), Duration::from_millis(50)).await;
    assert!(matches!(slow, Err(Error::Timeout(_))), "{slow:?}");
    let left =
        world.runtime.exec_sync(&web.id, run(&["sh", "-c", "sleep 1000 & echo out"]), second * 20).await.unwrap();
    assert_eq!(left.stdout, b"out\n");
    world.runtime.stop_container(&web.id, Duration::ZERO).await.unwrap();
    assert!(matches!(world.runtime.exec_sync(&web.id, run(&["true"]), second).await, Err(Error::NotRunning(_))));
}

fn command(argv: &[&str], tty: bool) -> ExecSpec {
    let argv = argv.iter().map(|word| word.to_string()).collect();
    ExecSpec { argv, tty, stdin: true, stdout: true, stderr: !tty, size: None }
}

async fn read_until(stream: &mut (impl tokio::io::AsyncRead + Unpin), text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut buffer = [0; 256];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "ended after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn commands_have_streams() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("streams").await;
    let web = world.run(&sandbox, world.spec("web", "sleep 1000")).await;
    let mut session =
        world.runtime.exec(&web.id, command(&["sh", "-c", "cat; echo bad >&2; exit 4"], false)).await.unwrap();
    session.stdin.as_mut().unwrap().write_all(b"hello").await.unwrap();
    session.stdin = None;
    let (mut out, mut bad) = (String::new(), String::new());
    session.stdout.unwrap().read_to_string(&mut out).await.unwrap();
    session.stderr.unwrap().read_to_string(&mut bad).await.unwrap();
    assert_eq!((out.as_str(), bad.as_str(), session.exit.await.unwrap()), ("hello", "bad\n", 4));
}

#[tokio::test]
async fn commands_have_terminals_of_any_size() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("terminal").await;
    let web = world.run(&sandbox, world.spec("web", "sleep 1000")).await;
    // The signal ends what is waited for, whether it comes before the wait or in it. The size and what is typed go different
    // ways, so the one is waited for.
    let script = "trap 'stty size; kill $!' WINCH; sleep 1000 & echo ready; wait; read x; echo $TERM; exit 6";
    let mut session = world.runtime.exec(&web.id, command(&["sh", "-c", script], true)).await.unwrap();
    let mut output = session.stdout.take().unwrap();
    read_until(&mut output, "ready").await;
    session.resize.send((101, 42)).await.unwrap();
    read_until(&mut output, "42 101").await;
    session.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    read_until(&mut output, "xterm").await;
    let mut rest = String::new();
    output.read_to_string(&mut rest).await.unwrap();
    assert_eq!(session.exit.await.unwrap(), 6);
}

#[tokio::test]
async fn attachments_share_a_container() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("attach").await;
    let spec = ContainerSpec { stdin: true, ..world.spec("cat", "while read line; do echo got $line; done; exit 9") };
    let cat = world.run(&sandbox, spec).await;
    let mut one = world.runtime.attach(&cat.id, command(&[], false)).await.unwrap();
    let mut two = world.runtime.attach(&cat.id, command(&[], false)).await.unwrap();
    one.stdin.as_mut().unwrap().write_all(b"a\n").await.unwrap();
    read_until(&mut one.stdout.as_mut().unwrap(), "got a\n").await;
    read_until(&mut two.stdout.as_mut().unwrap(), "got a\n").await;
    drop(one);
    two.stdin.as_mut().unwrap().write_all(b"b\n").await.unwrap();
    read_until(&mut two.stdout.as_mut().unwrap(), "got b\n").await;
    world.runtime.stop_container(&cat.id, Duration::ZERO).await.unwrap();
    assert_eq!(two.exit.await.unwrap(), 137);
    assert_eq!(printed(&sandbox.spec.log_directory.join("cat/0.log")), "got a\ngot b\n");
}

#[tokio::test]
async fn stdin_ends_after_the_first_attachment_if_it_is_for_once() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("once").await;
    let mut events = world.runtime.events().await.unwrap();
    let spec = ContainerSpec { stdin: true, stdin_once: true, ..world.spec("cat", "cat; echo end") };
    let cat = world.run(&sandbox, spec).await;
    let mut session = world.runtime.attach(&cat.id, command(&[], false)).await.unwrap();
    session.stdin.as_mut().unwrap().write_all(b"a\n").await.unwrap();
    session.stdin = None;
    assert_eq!(session.exit.await.unwrap(), 0);
    ended(&mut events, &cat.id).await;
    assert_eq!(printed(&sandbox.spec.log_directory.join("cat/0.log")), "a\nend\n");
}

#[tokio::test]
async fn containers_have_terminals() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("tty").await;
    let script = "echo start; read line; echo got $line; stty size; test -c /dev/console && exit 2";
    let spec = ContainerSpec { stdin: true, tty: true, ..world.spec("tty", script) };
    let shell = world.run(&sandbox, spec).await;
    let mut session = world.runtime.attach(&shell.id, command(&[], true)).await.unwrap();
    session.resize.send((90, 30)).await.unwrap();
    session.stdin.as_mut().unwrap().write_all(b"hi\n").await.unwrap();
    read_until(&mut session.stdout.as_mut().unwrap(), "got hi\r\n30 90").await;
    assert_eq!(session.exit.await.unwrap(), 2);
}

#[tokio::test]
async fn containers_see_what_they_may() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("confined").await;
    let script = "ls /dev | tr '\\n' ' '; echo; cat /proc/sys/kernel/hostname; \
        touch /sys/x 2>&1; echo 1 2>&1 > /proc/sys/net/ipv4/ip_forward; cat /proc/interrupts | wc -c; \
        grep Cap /proc/self/status | tr '\\n\\t' '  '; echo; ls /sys/fs/cgroup/memory/cgroup.procs; \
        mount -t tmpfs x /tmp 2>&1; ip addr show lo | grep -o 127.0.0.1/8; ls /proc | grep -c '^[0-9]'; echo hi > /root.txt; \
        mknod /tmp/d b 254 0 2>&1; stat -c %T /dev/shm /dev/null";
    let (code, text) = world.outcome(&sandbox, world.spec("c", script)).await;
    println!("{text}");
    assert_eq!(code, 0, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
    assert_eq!(lines[1], "confined-host");
    assert!(lines[2].ends_with("Read-only file system") && lines[3].ends_with("Read-only file system"), "{text}");
    assert_eq!(lines[4], "0");
    assert!(lines[5].contains("CapPrm: 0000000000000021 CapEff: 0000000000000021 CapBnd: 0000000000000021"), "{text}");
    assert!(lines[7].contains("permission denied"), "{text}");
    assert_eq!(lines[8], "127.0.0.1/8");
}

#[tokio::test]
async fn devices_of_the_node_are_opened_only_by_who_was_given_them() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("devices").await;
    // One that may mount has a folder of its own where device files work; the numbers are the kernel's log and /dev/zero.
    let script = "mount -t tmpfs none /tmp 2>&1; cd /tmp; mknod log c 1 11; mknod zero c 1 5; \
        head -c 4 zero | wc -c; (echo a test of devices > log) 2>&1 && echo opened; true";
    let mounting = ["MKNOD", "SYS_ADMIN"].map(String::from).to_vec();
    let security = Security { capabilities: mounting, ..Security::default() };
    let spec = ContainerSpec { security, ..world.spec("strict", script) };
    let (_, text) = world.outcome(&sandbox, spec.clone()).await;
    assert!(text.starts_with("4\n") && text.contains("log: Operation not permitted"), "{text}");
    let log = Device { container_path: "/dev/log".into(), host_path: "/dev/kmsg".into(), permissions: "w".into() };
    let given = ContainerSpec { name: "given".into(), devices: vec![log], log_path: "given/0.log".into(), ..spec };
    let (_, text) = world.outcome(&sandbox, given).await;
    assert_eq!(text, "4\nopened\n");
}

#[tokio::test]
async fn users_are_who_they_are_asked_to_be() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("user").await;
    let user = User { uid: 101, gid: 102, additional_gids: vec![55, 66] };
    let spec = ContainerSpec {
        user,
        working_directory: "/work/here".into(),
        ..world.spec(
            "c",
            "id; pwd; echo $HOME; \
        echo x > /dev/stdout; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status",
        )
    };
    let spec = ContainerSpec { security: Security { no_new_privileges: true, ..spec.security.clone() }, ..spec };
    let (_, text) = world.outcome(&sandbox, spec).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["uid=101(web) gid=102 groups=55,66", "/work/here", "/srv", "x"], "{text}");
    assert!(lines[4].ends_with("0000000000000000") && lines[5].ends_with('1'), "{text}");
}

#[tokio::test]
async fn mounts_are_as_asked() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("mounts").await;
    let folder = world.home().join("volume");
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    std::fs::write(folder.join("file"), "node").unwrap();
    let mount = |path: &str, from: &Path, read_only| Mount {
        container_path: path.into(),
        host_path: from.into(),
        read_only,
        recursive_read_only: false,
        propagation: Propagation::Private,
    };
    let mut spec =
        world.spec("c", "cat /etc/file; cat /data/file; touch /data/x 2>&1; touch /rw/y; touch /x 2>&1; ls /");
    spec.mounts = vec![
        mount("/rw/deep", &folder.join("inner"), false),
        mount("/data", &folder, true),
        mount("/rw", &folder, false),
        mount("/etc/file", &folder.join("file"), true),
    ];
    spec.security.read_only_root = true;
    let (code, text) = world.outcome(&sandbox, spec).await;
    assert_eq!(code, 0);
    assert!(
        text.starts_with("nodenodetouch: /data/x: Read-only file system\ntouch: /x: Read-only file system\n"),
        "{text}"
    );
    assert!(folder.join("y").exists() && folder.join("deep").is_dir());
    let mut spec = world.spec("gone", "true");
    spec.mounts = vec![mount("/data", Path::new("/nothing/here"), false)];
    let made = world.runtime.create_container(&sandbox.id, spec).await.unwrap();
    let failed = world.runtime.start_container(&made.id).await.unwrap_err().to_string();
    assert!(
        failed.ends_with("error mounting \"/nothing/here\" to rootfs at \"/data\": no such file or directory"),
        "{failed}"
    );
}

#[tokio::test]
async fn containers_of_a_pod_share_what_they_should() {
    let Some(world) = World::new() else { return };
    let spec = SandboxSpec { share_pid: true, ..world.sandbox_spec("shared") };
    let sandbox = world.runtime.run_sandbox(spec).await.unwrap();
    let one = world.run(&sandbox, world.spec("one", "sleep 1001")).await;
    let two = world.run(&sandbox, world.spec("two", "nc -l -p 8080 -e echo heard & sleep 1000")).await;
    world.sh(&one.id, "echo hi > /dev/shm/note").await;
    assert_eq!(world.sh(&two.id, "cat /dev/shm/note").await, "hi\n");
    let processes = world.sh(&two.id, "ps").await;
    let all = ["1 65535", "sleep 1000", "sleep 1001"];
    assert!(all.iter().all(|one| processes.contains(one)), "{processes}");
    let mut stream = loop {
        if let Ok(stream) = world.runtime.connect(&sandbox.id, 8080).await {
            break stream;
        }
    };
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "heard\n");
    world.runtime.stop_container(&one.id, Duration::ZERO).await.unwrap();
    let left = world.sh(&two.id, "ps").await;
    assert!(left.contains("sleep 1000") && !left.contains("sleep 1001"), "{left}");
    world.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

#[tokio::test]
async fn limits_are_kept_and_counted() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("limits").await;
    let mut spec = world.spec("greedy", "head -c 200000000 /dev/zero | tail -c 190000000 | wc -c");
    spec.resources = Resources { memory_limit: Some(32 << 20), cpu_shares: Some(256), ..Resources::default() };
    let greedy = world.runtime.create_container(&sandbox.id, spec.clone()).await.unwrap();
    spec.argv = vec!["sh".into(), "-c".into(), "exec tail -c 190000000 /dev/zero".into()];
    let mut events = world.runtime.events().await.unwrap();
    world.runtime.remove_container(&greedy.id).await.unwrap();
    let greedy = world.run(&sandbox, spec).await;
    let State::Exited { exit_code, oom_killed, .. } = ended(&mut events, &greedy.id).await.state else {
        unreachable!()
    };
    assert_eq!((exit_code, oom_killed), (137, true));
    let web = world.run(&sandbox, world.spec("web", "echo x > /file; sleep 1000")).await;
    let limit = Resources { memory_limit: Some(64 << 20), pids_limit: Some(20), ..Resources::default() };
    world.runtime.update_container(&web.id, limit).await.unwrap();
    let limit = world
        .sh(&web.id, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null")
        .await;
    assert_eq!(limit, "67108864\n");
    let (stats, all) = (world.runtime.stats(&web.id).await.unwrap(), world.runtime.stats(&sandbox.id).await.unwrap());
    assert!(stats.memory_usage_bytes > 0 && stats.processes >= 1 && stats.disk_used_bytes > 0, "{stats:?}");
    assert!(all.cpu_nanoseconds >= stats.cpu_nanoseconds && stats.cpu_nanoseconds > 0, "{all:?}");
}

#[tokio::test]
async fn a_supervisor_that_was_killed_leaves_a_truth_behind() {
    let Some(mut world) = World::new() else { return };
    let sandbox = world.sandbox("killed").await;
    let web = world.run(&sandbox, world.spec("web", "sleep 1000")).await;
    let made = world.runtime.create_container(&sandbox.id, world.spec("made", "true")).await.unwrap();
    let events = world.runtime.events().await.unwrap();
    world.kill();
    assert_eq!(events.count().await, 0, "the stream ends with the supervisor");
    world.start();
    let (sandboxes, containers) = world.runtime.list().await.unwrap();
    assert_eq!(sandboxes.len(), 1);
    let state = |id: &str| containers.iter().find(|one| one.id == id).unwrap().state.clone();
    assert!(matches!(state(&web.id), State::Exited { exit_code: 137, .. }), "{:?}", state(&web.id));
    assert_eq!(state(&made.id), State::Created);
    world.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    assert_eq!(world.runtime.list().await.unwrap(), (vec![], vec![]));
}

#[tokio::test]
async fn logs_are_reopened() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("logs").await;
    let spec = ContainerSpec { stdin: true, ..world.spec("c", "echo one; read x; echo two; read x") };
    let web = world.run(&sandbox, spec).await;
    let log = sandbox.spec.log_directory.join("c/0.log");
    let mut session = world.runtime.attach(&web.id, command(&[], false)).await.unwrap();
    while printed(&log).is_empty() {
        world.sh(&web.id, "true").await;
    }
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    world.runtime.reopen_log(&web.id).await.unwrap();
    session.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    read_until(session.stdout.as_mut().unwrap(), "two").await;
    assert_eq!((printed(&log.with_extension("old")), printed(&log)), ("one\n".into(), "two\n".into()));
}

#[tokio::test]
async fn system_calls_are_filtered() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("seccomp").await;
    let script = "unshare -U true 2>&1; grep Seccomp: /proc/self/status";
    let (_, text) = world.outcome(&sandbox, world.spec("default", script)).await;
    assert_eq!(text, "unshare: unshare(0x10000000): Operation not permitted\nSeccomp:\t2\n");
    let mut spec = world.spec("free", "grep Seccomp: /proc/self/status");
    spec.security.seccomp = Seccomp::Unconfined;
    assert_eq!(world.outcome(&sandbox, spec).await.1, "Seccomp:\t0\n");
    let profile = world.home().join("profile.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    std::fs::write(&profile, text).unwrap();
    let mut spec = world.spec("own", "mkdir /tmp/x 2>&1");
    spec.security.seccomp = Seccomp::Localhost(profile);
    spec.security.no_new_privileges = true;
    assert_eq!(
        world.outcome(&sandbox, spec).await.1,
        "mkdir: can't create directory '/tmp/x': No space left on device\n"
    );
}

/// What starting a container with mounts is refused with.
async fn refused(world: &World, sandbox: &Sandbox, mounts: Vec<Mount>) -> String {
    let made =
        world.runtime.create_container(&sandbox.id, ContainerSpec { mounts, ..world.spec("c", "") }).await.unwrap();
    let started = world.runtime.start_container(&made.id).await;
    world.runtime.remove_container(&made.id).await.unwrap();
    match started {
        Err(Error::Start(why)) => why.rsplit("container init: ").next().unwrap().to_string(),
        other => panic!("{other:?}"),
    }
}

fn volume(folder: &Path, at: &str) -> Mount {
    let (container_path, host_path, propagation) = (at.into(), folder.into(), Propagation::Private);
    Mount { container_path, host_path, read_only: false, recursive_read_only: false, propagation }
}

#[tokio::test]
async fn what_the_kernel_shows_is_where_it_belongs_or_nowhere() {
    let Some(world) = World::of(|| image(&[("proc", "/tmp/elsewhere"), ("tmp/elsewhere", "/etc/p")])) else { return };
    let sandbox = world.sandbox("led").await;
    let wanted = "error mounting to rootfs at \"/proc\": it must be mounted on an ordinary directory";
    assert_eq!(refused(&world, &sandbox, vec![]).await, wanted);
}

#[tokio::test]
async fn nothing_of_a_users_stands_in_proc() {
    let Some(world) = World::of(|| image(&[("around", "/proc/self")])) else { return };
    let sandbox = world.sandbox("proc").await;
    let folder = world.home().join("volume");
    std::fs::create_dir(&folder).unwrap();
    for (at, why) in [
        ("/proc", "not of type proc"),
        ("/proc/sys", "inside /proc"),
        ("/proc/self/attr", "inside /proc"),
        ("/around/attr", "inside /proc"),
    ] {
        let wanted = format!("error mounting to rootfs at \"{at}\": \"{at}\" cannot be mounted because it is {why}");
        assert_eq!(refused(&world, &sandbox, vec![volume(&folder, at)]).await, wanted);
    }
    std::fs::write(folder.join("uptime"), "1 2\n").unwrap();
    let mounts = vec![volume(&folder.join("uptime"), "/proc/uptime")];
    let spec = ContainerSpec { mounts, ..world.spec("informs", "cat /proc/uptime") };
    assert_eq!(world.outcome(&sandbox, spec).await, (0, "1 2\n".into()));
}

#[tokio::test]
async fn a_volume_at_dev_changes_neither_streams_nor_what_is_hidden() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("dev").await;
    let folder = world.home().join("volume");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("/proc/kallsyms", folder.join("null")).unwrap();
    let script = "stat -L -c '%F %t,%T' /proc/self/fd/0; wc -c < /proc/keys; sleep 1000";
    let spec = ContainerSpec { mounts: vec![volume(&folder, "/dev")], ..world.spec("c", script) };
    let log = sandbox.spec.log_directory.join(&spec.log_path);
    let one = world.run(&sandbox, spec).await;
    let text = world.sh(&one.id, "stat -L -c '%F %t,%T' /proc/self/fd/0").await;
    assert_eq!(text, "character special file 1,3\n");
    while printed(&log).lines().count() < 2 {
        world.sh(&one.id, "true").await;
    }
    assert_eq!(printed(&log), "character special file 1,3\n0\n");
}

#[tokio::test]
async fn who_may_write_to_a_device_is_not_a_containers_to_say() {
    let Some(world) = World::new() else { return };
    let sandbox = world.sandbox("devices").await;
    let script = "echo x > /dev/null && echo written; for one in /dev/null /dev/full /proc/self/fd/0; do \
                  busybox chmod 600 $one 2>&1 | grep -c 'Read-only'; done";
    let mut spec = world.spec("c", script);
    spec.security.capabilities.push("FOWNER".into());
    assert_eq!(world.outcome(&sandbox, spec).await, (0, "written\n1\n1\n1\n".into()));
}
