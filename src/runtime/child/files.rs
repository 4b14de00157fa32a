//! Paths inside a container's root, where neither a link of the image nor an open descriptor leads out.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Links in a row that point nowhere.
const LINKS: usize = 16;

/// This process's root directory.
pub struct Root(OwnedFd);

impl Root {
    /// Opens `/`.
    pub fn open() -> io::Result<Self> {
        Ok(Self(rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Finds a path without leaving the root; links of `/proc` to open files are refused.
    pub fn find(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Finds a folder or file, making it and what is above it if it is missing.
    pub fn make(&self, path: &Path, is_folder: bool) -> io::Result<OwnedFd> {
        self.make_linked(path, is_folder, LINKS)
    }

    fn make_linked(&self, path: &Path, is_folder: bool, links: usize) -> io::Result<OwnedFd> {
        match self.find(path, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        let path = clean(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::NOENT.into()) };
        let folder = self.make_linked(parent, true, links)?;
        let made = match is_folder {
            true => rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)),
            false => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        match made {
            Ok(()) => Ok(self.find(&path, OFlags::PATH)?),
            // Something is there and yet nothing was found: a link that points nowhere. What it means is made instead.
            Err(Errno::EXIST) if links > 0 => {
                let meant = rustix::fs::readlinkat(&folder, name, Vec::new())?;
                let meant = Path::new(std::ffi::OsStr::new(meant.to_str().map_err(|_| Errno::INVAL)?)).to_path_buf();
                self.make_linked(&parent.join(meant), is_folder, links - 1)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Absolute, without `.` and with `..` taken by the letter.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned
}

/// A copy of what is mounted at a path, not yet anywhere.
pub fn copy_mounts(path: impl rustix::path::Arg, recursive: bool) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, path, if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags })?)
}

/// The same of an open file.
pub fn copy_mounts_of(file: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(file.as_fd(), "", if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags })?)
}

/// A new file system of some kind, not yet anywhere. An option without a value is a flag.
pub fn new_mount(kind: &str, options: &[(&str, &str)], flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        match value.is_empty() {
            true => fsconfig_set_flag(&context, *name)?,
            false => fsconfig_set_string(&context, *name, *value)?,
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// Puts a mount where `target` is.
pub fn place(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount.as_fd(), "", target.as_fd(), "", flags)?)
}

/// What kind of file this is.
pub fn kind(file: impl AsFd) -> io::Result<FileType> {
    let stat = rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_the_letter() {
        assert_eq!(clean(Path::new("a/./b/../../../c/")), Path::new("/c"));
    }

    #[test]
    fn what_a_link_to_nowhere_means_is_made_inside_the_root() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/run", folder.path().join("var")).unwrap();
        std::os::unix::fs::symlink("../../../outside", folder.path().join("up")).unwrap();
        let root = Root(rustix::fs::open(folder.path(), OFlags::PATH, Mode::empty()).unwrap());
        root.make(Path::new("/var/lib/data"), true).unwrap();
        root.make(Path::new("/up/file"), false).unwrap();
        assert!(folder.path().join("run/lib/data").is_dir());
        assert!(folder.path().join("outside/file").is_file());
        root.make(Path::new("/var/lib/data"), true).unwrap();
    }
}
