//! Tests of this program on another kernel: in a virtual machine that has cgroup v2 alone, and whose clock may be set.
//!
//! ```text
//! this program ─makes─▶ initial file system: busybox, modules, coracle, kubectl, this program
//!              ─runs──▶ QEMU ─▶ init: mounts, enters a cgroup as a session's of systemd ─▶ this program, for TESTS
//! ```
//!
//! `CORACLE_TEST_KERNEL` names a folder that `.ci/guest` made. Without it, or without QEMU, the test says that it is skipped.
//! The processor is emulated, as not every machine has another way: it takes minutes. The machine's clock counts instructions,
//! so that no patience of a test in it depends on how busy the machine around it is.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What runs in the machine.
const TESTS: &[&str] = &["limits::", "clock::", "life::a_cluster_starts_stops"];
/// Set there.
pub const INSIDE: &str = "CORACLE_TEST_GUEST";
/// Minutes that the machine may take, on a machine that is busy.
const MINUTES: u32 = 60;
/// The last line that it prints, with the exit code behind it.
const ENDED: &str = "guest: the tests ended with";
/// Folders and files of modules that coracle's node asks the kernel for.
const MODULES: &[&str] = &[
    "net/netfilter",
    "net/ipv4",
    "net/ipv6",
    "net/bridge",
    "net/802",
    "net/llc",
    "lib",
    "crypto",
    "fs/overlayfs",
    "drivers/net/veth.ko",
    "drivers/net/tun.ko",
    "drivers/net/dummy.ko",
];
const PROGRAMS: &[&str] = &[
    "sh",
    "mount",
    "mkdir",
    "switch_root",
    "cp",
    "modprobe",
    "ip",
    "cat",
    "date",
    "poweroff",
    "sync",
    "ls",
    "ps",
    "rm",
    "setsid",
    "stty",
    "tty",
    "sleep",
    "test",
    "id",
    "grep",
    "tr",
];
/// The root has to be one that can be pivoted away from, which the initial one is not.
const INIT: &str = "#!/bin/sh
mount -t tmpfs -o mode=755 root /new
cp -a /bin /sbin /usr /etc /lib /root /work /tests /new/
mkdir -p /new/proc /new/sys /new/dev /new/run /new/tmp /new/var
exec switch_root /new /tests
";
/// As after the boot of a distribution: a session that is in no root cgroup, modules on demand.
const RUN: &str = "#!/bin/sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/user.slice/session-1.scope
echo $$ >/sys/fs/cgroup/user.slice/session-1.scope/cgroup.procs
ip link set lo up
";

#[test]
fn clusters_run_with_version_two_of_cgroups_and_while_the_clock_jumps() {
    let Some(kernel) = wanted() else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = initial_file_system(folder.path(), &kernel);
    let mut machine = Command::new("timeout");
    machine.args(["--kill-after=10", &format!("{MINUTES}m"), "qemu-system-x86_64"]);
    machine.args(["-machine", "q35,accel=tcg", "-cpu", "Haswell-v4", "-smp", "1", "-m", "3G"]);
    machine.args(["-icount", "shift=1,align=off,sleep=off", "-rtc", "clock=vm"]);
    machine.args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-serial", "stdio"]);
    machine.arg("-kernel").arg(kernel.join("vmlinuz")).arg("-initrd").arg(archive);
    machine.args(["-append", "console=ttyS0 quiet no_timer_check mitigations=off cryptomgr.notests panic=-1"]);
    let output = machine.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("{ENDED} 0")), "the tests in the machine failed, or did not end");
}

/// The folder of the kernel, if there are the means.
fn wanted() -> Option<PathBuf> {
    let Some(kernel) = std::env::var_os("CORACLE_TEST_KERNEL").map(PathBuf::from) else {
        println!("skipped: CORACLE_TEST_KERNEL names no folder made by .ci/guest");
        return None;
    };
    if Command::new("qemu-system-x86_64").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no qemu-system-x86_64");
        return None;
    }
    Some(kernel)
}

/// Everything that the machine has, as the kernel unpacks it.
fn initial_file_system(folder: &Path, kernel: &Path) -> PathBuf {
    let root = folder.join("root");
    for name in ["bin", "sbin", "usr/bin", "etc", "lib", "root", "new", "work"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    PROGRAMS.iter().for_each(|name| symlink("busybox", root.join("bin").join(name)).unwrap());
    // Where the kernel looks for it.
    symlink("../bin/busybox", root.join("sbin/modprobe")).unwrap();
    copy_modules(&root, &kernel.join("lib/modules"));
    place(Path::new(env!("CARGO_BIN_EXE_coracle")), &root, Path::new(env!("CARGO_BIN_EXE_coracle")));
    place(&std::env::current_exe().unwrap(), &root, Path::new("/usr/bin/tests"));
    place(&on_path("kubectl"), &root, Path::new("/usr/bin/kubectl"));
    script(&root.join("init"), INIT);
    let tests = TESTS.join(" ");
    script(
        &root.join("tests"),
        &format!("{RUN}{INSIDE}=1 tests --test-threads=1 --nocapture {tests}\necho {ENDED} $?\npoweroff -f\n"),
    );
    let archive = folder.join("archive");
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | /bin/busybox cpio -o -H newc"]).current_dir(&root).stderr(Stdio::null());
    let status = pack.stdout(std::fs::File::create(&archive).unwrap()).status().unwrap();
    assert!(status.success());
    archive
}

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Copies a program to the same path of the machine or another, without what only a debugger reads, and the libraries
/// that it asks for.
fn place(program: &Path, root: &Path, path: &Path) {
    let target = root.join(path.strip_prefix("/").unwrap());
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    let stripped = Command::new("strip").arg("-o").arg(&target).arg(program).stderr(Stdio::null()).status();
    if !stripped.is_ok_and(|status| status.success()) {
        std::fs::copy(program, &target).unwrap();
    }
    let libraries = Command::new("ldd").arg(program).output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&libraries).into_owned();
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(library, target).unwrap();
    }
}

fn on_path(program: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no {program}")).canonicalize().unwrap()
}

/// The modules that are wanted, and the tables by which the kernel's helper finds them.
fn copy_modules(root: &Path, modules: &Path) {
    let version = std::fs::read_dir(modules).unwrap().next().unwrap().unwrap().file_name();
    let (from, to) = (modules.join(&version), root.join("lib/modules").join(&version));
    for name in MODULES {
        let target = to.join("kernel").join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        // A kernel that has one built in, or compressed, is told by what does not work.
        Command::new("cp").arg("-a").arg(from.join("kernel").join(name)).arg(target).output().unwrap();
    }
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let tables = Command::new("/bin/busybox").args(["depmod", "-b"]).arg(root).arg(&version).output().unwrap();
    assert!(tables.status.success(), "{}", String::from_utf8_lossy(&tables.stderr));
}
