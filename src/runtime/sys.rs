//! The kernel calls of this room that Rust cannot check.

use super::devices::Instruction;
use rustix::mount::MountAttrFlags;
use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// What a panic in a forked child exits with.
const PANICKED: i32 = 70;

/// Watches a descriptor for readiness in the current tokio runtime.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` answers the same open descriptor until it is dropped, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// `CLONE_CLEAR_SIGHAND`: handlers of the parent must not run in the child.
const CLEAR_HANDLERS: u64 = 0x1_0000_0000;

/// The first version of the kernel's `clone_args`.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Forks. The child runs `work` and exits with what it returns; the parent gets its pid and a descriptor of it. With `own_pids`
/// the child is the first process of a new pid namespace; other namespaces it makes itself, so that the parent does not wait.
///
/// Only for a process with a single thread (the supervisor): the child goes on with a copy of its memory, and a lock that
/// another thread held would stay locked in it for ever.
pub fn fork(own_pids: bool, work: impl FnOnce() -> i32) -> io::Result<(Pid, OwnedFd)> {
    let mut descriptor: libc::c_int = -1;
    let pids = if own_pids { libc::CLONE_NEWPID as u64 } else { 0 };
    let mut arguments = CloneArguments {
        flags: libc::CLONE_PIDFD as u64 | CLEAR_HANDLERS | pids,
        pidfd: &raw mut descriptor as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArguments::default()
    };
    // SAFETY: the arguments are of the size given; without CLONE_VM the child has its own copy of this stack. The caller has a
    // single thread, so the child's copy of memory is consistent.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArguments>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(PANICKED);
            // SAFETY: ends the process without running what the parent registered for its own exit.
            unsafe { libc::_exit(code) }
        }
        pid => {
            // SAFETY: the kernel made the descriptor for this process.
            let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
            let pid = Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("fork answered no pid"))?;
            Ok((pid, descriptor))
        }
    }
}

/// Leaves namespaces for new ones.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: no flag that callers give unshares the descriptor table, which is what other code could rely on.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Joins a namespace.
pub fn join(namespace: impl AsFd, kind: LinkNameSpaceType) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))?)
}

/// Joins namespaces of another process at once.
pub fn join_process(process: impl AsFd, kinds: ThreadNameSpaceType) -> io::Result<()> {
    Ok(rustix::thread::move_into_thread_name_spaces(process.as_fd(), kinds)?)
}

/// Runs `work` while children of this process are born into the pid namespace of `process`; `own` is this process's.
pub fn with_children_in<T>(process: impl AsFd, own: impl AsFd, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    join_process(process, ThreadNameSpaceType::PROCESS_ID)?;
    let result = work();
    join(own, LinkNameSpaceType::ProcessID)?;
    result
}

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Who sees mounts that are made below a mount later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    Private,
    /// Sees what the node mounts.
    Receive,
    Both,
}

/// Sets flags of a mount, and of those below it if asked to.
pub fn set_mount(mount: impl AsFd, set: MountAttrFlags, sharing: Option<Sharing>, recursive: bool) -> io::Result<()> {
    let propagation = match sharing {
        None => 0,
        Some(Sharing::Private) => libc::MS_PRIVATE,
        Some(Sharing::Receive) => libc::MS_SLAVE,
        Some(Sharing::Both) => libc::MS_SHARED,
    };
    let attributes = MountAttributes { set: set.bits().into(), clear: 0, propagation, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the structure is the kernel's first version of `mount_attr`, of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: u32) {
    // SAFETY: the caller is a forked child that uses none of them any more. Fails only on kernels before 5.9, where they close
    // on exec instead.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Makes `descriptor` known under `number`, open across exec if `number` is one of the standard three.
pub fn duplicate_to(descriptor: impl AsFd, number: i32) -> io::Result<()> {
    let flags = if number > 2 { libc::O_CLOEXEC } else { 0 };
    let own = descriptor.as_fd().as_raw_fd();
    // SAFETY: dup touches only the descriptor table; in a forked child nobody else owns `number`.
    let result = unsafe {
        match own == number {
            // dup3 refuses equal numbers; only the flag has to change.
            true => libc::fcntl(own, libc::F_SETFD, if flags == 0 { 0 } else { libc::FD_CLOEXEC }),
            false => libc::dup3(own, number, flags),
        }
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes over descriptor `number`, which [`duplicate_to`] made.
pub fn own(number: i32) -> OwnedFd {
    // SAFETY: called once for a number that this process just made for itself.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Signals as a program expects them: none blocked, none ignored.
pub fn reset_signals() {
    // SAFETY: changes only how this process takes signals; numbers that cannot be set are refused.
    unsafe {
        for number in 1..=libc::SIGRTMAX() {
            libc::signal(number, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Blocks SIGCHLD, then waits for it again and again, calling `reap` before each time.
pub fn on_every_child(mut reap: impl FnMut()) -> ! {
    // SAFETY: a signal set on this stack; sigwaitinfo only reads it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        loop {
            reap();
            libc::sigwaitinfo(&raw const set, std::ptr::null_mut());
        }
    }
}

/// Replaces this process. Returns only to say why not.
pub fn exec(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both lists end with null and their strings live until after the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Sends any signal, also real-time ones.
pub fn signal(process: impl AsFd, number: i32) -> io::Result<()> {
    let descriptor = process.as_fd().as_raw_fd();
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a signal sent to the process that the descriptor means; no memory is passed.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, descriptor, number, nothing, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kills a process and the group that it leads.
pub fn kill_group(leader: Pid) {
    // One that has ended, or leads no group, is as good as killed.
    rustix::process::kill_process_group(leader, Signal::KILL).ok();
    rustix::process::kill_process(leader, Signal::KILL).ok();
}

/// Sets the loopback link of this network namespace up.
pub fn raise_loopback() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketType, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: all bits zero is a valid `ifreq`; the name fits and ends with zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq` whose flags are set.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Installs a system call filter for this process.
pub fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which lives until after the call; it never writes to it.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a request to the kernel's virtual machine says, as far as it is used here (linux/bpf.h: `union bpf_attr`).
#[repr(C)]
#[derive(Default)]
struct ProgramArguments {
    kind: u32,
    length: u32,
    program: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct AttachArguments {
    target: u32,
    program: u32,
    place: u32,
    flags: u32,
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Programs of cgroups above are asked too, and all of them must agree.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// Gives the kernel a program that decides about devices.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let arguments = ProgramArguments {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        length: program.len() as u32,
        program: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..ProgramArguments::default()
    };
    // SAFETY: the kernel copies instructions and license, which live until after the call, and checks the program.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const arguments, size_of::<ProgramArguments>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made the descriptor for this process, closed on exec.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

/// Lets a program decide for a cgroup of version 2 and those below.
pub fn attach_device_program(program: impl AsFd, cgroup: impl AsFd) -> io::Result<()> {
    let arguments = AttachArguments {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        place: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: only numbers are passed.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const arguments, size_of::<AttachArguments>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
