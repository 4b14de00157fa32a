//! Folders of this machine in a node that runs: bound into its mount namespace from outside. Works for every node whose
//! processes this machine sees, whatever driver made it.

use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::thread::LinkNameSpaceType;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Shows `source` at `target` of the node whose PID 1 is `pid`. Must be called with a single thread, and changes its namespace.
pub fn attach(pid: u32, source: &Path, target: &Path, read_only: bool) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = named(rustix::mount::open_tree(CWD, source, flags), source)?;
    enter(pid)?;
    detach_all(target)?;
    if std::fs::symlink_metadata(target).is_err() {
        std::fs::create_dir_all(target)?;
    }
    let moved = rustix::mount::move_mount(tree.as_fd(), c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    named(moved, target)?;
    if read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        named(rustix::mount::mount_remount(target, flags, c""), target)?;
    }
    Ok(())
}

/// Takes away what [`attach`] showed. No error if it is gone.
pub fn detach(pid: u32, target: &Path) -> io::Result<()> {
    enter(pid)?;
    detach_all(target)
}

fn enter(pid: u32) -> io::Result<()> {
    let namespace: OwnedFd = std::fs::File::open(format!("/proc/{pid}/ns/mnt"))?.into();
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?)
}

fn detach_all(target: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(target, UnmountFlags::DETACH) {
            Ok(()) => {}
            // Not a mount point any more, or never there.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return named(Err(error), target),
        }
    }
}

fn named<T>(result: rustix::io::Result<T>, path: &Path) -> io::Result<T> {
    result.map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("{}: {error}", path.display())))
}
