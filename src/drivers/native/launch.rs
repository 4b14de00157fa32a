//! `coracle node-launch`: leaves the host's namespaces, builds the node's root and starts PID 1. And `coracle node-enter`:
//! joins a running node's namespaces to run a command there.

use super::super::etc;
use super::{cgroups, limits, links, terminal};
use crate::base::resolvers;
use crate::config::Profile;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::Command;

/// Every namespace of a node.
const NODE_NAMESPACES: UnshareFlags = UnshareFlags::NEWNS
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWUTS)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWCGROUP)
    .union(UnshareFlags::NEWPID);

/// The launcher's whole life; speaks the protocol of [`super`] on stdin and stdout. Must be called with a single thread.
pub fn launch(profile: &Profile, mark: &str, root: &Path) -> io::Result<()> {
    // The caller may run under a shell that goes away, or be interrupted: the node must not be.
    rustix::process::setsid().ok();
    limits::lift();
    cgroups::join(mark)?;
    cgroups::limit(mark, profile.cpus, profile.memory)?;
    super::sys::unshare(NODE_NAMESPACES)?;
    say("ready")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != "go" {
        return Err(io::Error::other("the command that started the node went away"));
    }
    configure_network(profile)?;
    rustix::system::sethostname(profile.name.as_bytes())?;
    // Bound before the node lives, and handed down to the server, so that a client's first connection waits instead of failing.
    let listener = std::net::TcpListener::bind(("0.0.0.0", profile.api_port))?;
    // Behind the node's root nobody finds them.
    let folders = resolvers::Folders::open();
    build_root(root, profile)?;
    let (variable, value) = folders.hand_down()?;
    let mut init = Command::new("/coracle")
        .arg("init")
        .env_clear()
        .env(variable, value)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stdout(io::stderr())
        .current_dir("/")
        .spawn()?;
    let said = say(&format!("pid {}", init.id()));
    if said.is_err() {
        // Nobody would know of the node. It may have ended by itself, which is as good.
        init.kill().and_then(|()| init.wait()).ok();
    }
    said
}

/// Gives the node whose PID 1 is `pid` its address and route again. Must be called with a single thread, and changes its
/// network.
pub fn link(profile: &Profile, pid: u32) -> io::Result<()> {
    use std::os::fd::AsFd;
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(links::configure_node(&profile.network))
        .map_err(|error| io::Error::other(crate::base::causes::chain(&error)))
}

/// Replaces this process by `argv` (a shell, when empty) in the namespaces of process `pid`. Where a person sits in front of
/// this process, the command has a terminal of the node's.
pub fn enter(pid: u32, argv: &[String]) -> io::Result<std::convert::Infallible> {
    let kinds = [
        ("cgroup", LinkNameSpaceType::ControlGroup),
        ("ipc", LinkNameSpaceType::InterProcessCommunication),
        ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
        ("net", LinkNameSpaceType::Network),
        ("pid", LinkNameSpaceType::ProcessID),
        ("mnt", LinkNameSpaceType::Mount),
    ];
    let is_terminal = super::super::terminal::is_there();
    // All are opened before the first is joined: behind the mount namespace this /proc is gone.
    let files = kinds.map(|(name, kind)| (std::fs::File::open(format!("/proc/{pid}/ns/{name}")), kind));
    for (file, kind) in files {
        use std::os::fd::AsFd;
        rustix::thread::move_into_link_name_space(file?.as_fd(), Some(kind))?;
    }
    std::env::set_current_dir("/")?;
    limits::lift();
    let shell = ["/bin/sh".to_string()];
    let argv = if argv.is_empty() { &shell[..] } else { argv };
    // A pid namespace counts for children only, so the command is a child and its exit code is handed on.
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).env("PATH", etc::with_stand_ins(&std::env::var("PATH").unwrap_or_default()));
    let ended = if is_terminal { terminal::run(&mut command) } else { command.status() };
    let status = ended.unwrap_or_else(|error| {
        eprintln!("cannot run `{}`: {error}", argv[0]);
        // As shells have it.
        std::process::exit(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
    });
    use std::os::unix::process::ExitStatusExt;
    std::process::exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn configure_network(profile: &Profile) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(links::configure_node(&profile.network)).map_err(io::Error::other)?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
}

/// Makes `root` the root of this mount namespace: the executable as `/coracle`, the host's programs read-only, own devices.
/// What every node needs whatever its driver (`/proc`, cgroups, …) is mounted by `coracle init`.
fn build_root(root: &Path, profile: &Profile) -> io::Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    rustix::mount::mount_bind(root, root)?;
    etc::write(root, profile, &resolvers::of_this_machine())?;
    let executable = std::env::current_exe()?;
    bind_file(&executable, &root.join("coracle"), MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV)?;
    for folder in etc::OF_MACHINE {
        bind_host_folder(root, folder)?;
    }
    for folder in ["proc", "sys", "dev", "run", "tmp", "var/lib", "var/log", "root", ".host"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    make_devices(&root.join("dev"))?;
    rustix::process::pivot_root(root, root.join(".host"))?;
    std::env::set_current_dir("/")?;
    // /proc is needed once more to start PID 1, which mounts its own over it.
    rustix::mount::mount_bind_recursive("/.host/proc", "/proc")?;
    rustix::mount::unmount("/.host", UnmountFlags::DETACH)?;
    std::fs::remove_dir("/.host")?;
    // Bidirectional mounts of pods must reach the node.
    rustix::mount::mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    Ok(())
}

/// Shows a file of the machine, of which nothing can be changed from inside: neither content nor mode nor owner.
fn bind_file(source: &Path, target: &Path, flags: MountFlags) -> io::Result<()> {
    if !target.exists() {
        std::fs::File::create(target)?;
    }
    rustix::mount::mount_bind(source, target)?;
    Ok(rustix::mount::mount_remount(target, MountFlags::BIND | flags, "")?)
}

fn bind_host_folder(root: &Path, folder: &str) -> io::Result<()> {
    let (source, target) = (Path::new("/").join(folder), root.join(folder));
    let Ok(metadata) = std::fs::symlink_metadata(&source) else { return Ok(()) };
    if metadata.is_symlink() {
        // `/bin -> usr/bin` stays a link.
        std::fs::remove_file(&target).ok();
        return std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target);
    }
    std::fs::create_dir_all(&target)?;
    rustix::mount::mount_bind(&source, &target)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NODEV;
    Ok(rustix::mount::mount_remount(&target, flags, "")?)
}

/// `/dev` with the devices that a node hands on, and terminals of its own.
fn make_devices(dev: &Path) -> io::Result<()> {
    rustix::mount::mount("tmpfs", dev, "tmpfs", MountFlags::NOSUID, c"mode=755")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty", "fuse", "kvm", "net/tun"] {
        let source = Path::new("/dev").join(name);
        if source.exists() {
            let target = dev.join(name);
            std::fs::create_dir_all(target.parent().unwrap_or(dev))?;
            // A device can be written to all the same.
            bind_file(&source, &target, MountFlags::RDONLY | MountFlags::NOSUID)?;
        }
    }
    for folder in ["pts", "shm", "mqueue"] {
        std::fs::create_dir_all(dev.join(folder))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("devpts", dev.join("pts"), "devpts", flags, c"newinstance,ptmxmode=0666,mode=0620")?;
    rustix::mount::mount("tmpfs", dev.join("shm"), "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=1777")?;
    rustix::mount::mount("mqueue", dev.join("mqueue"), "mqueue", flags, c"")?;
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, dev.join(name));
    link("pts/ptmx", "ptmx")?;
    link("/proc/self/fd", "fd")?;
    link("/proc/self/fd/0", "stdin")?;
    link("/proc/self/fd/1", "stdout")?;
    link("/proc/self/fd/2", "stderr")
}
