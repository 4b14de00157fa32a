//! Paths inside a container's root, where neither a link of the image nor an open descriptor leads out.

use crate::runtime::sys::{self, Sharing};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
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

    /// Finds a folder or file that no link leads to: what is mounted there, and what guards it, must be in one place.
    pub fn find_real(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.0, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// The same for a folder, made with what is above it if it is missing.
    pub fn make_real(&self, path: &Path) -> io::Result<OwnedFd> {
        if matches!(self.find_real(path), Err(Errno::NOENT)) {
            self.make(path, true)?;
        }
        self.find_real(path).map_err(|error| match error {
            Errno::LOOP => io::Error::other("it must be mounted on an ordinary directory"),
            error => error.into(),
        })
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

/// Whether this is a file of `/proc` (linux/magic.h: PROC_SUPER_MAGIC).
pub fn is_of_proc(file: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_type as u64 == 0x9fa0)
}

/// The node's `/dev/null`, to be opened while the node's files are there: what a container has under that name may be anything.
/// Nobody who has the descriptor can change whose the device is.
pub fn open_null() -> io::Result<OwnedFd> {
    let tree = copy_sealed("/dev/null")?;
    let path = format!("/proc/self/fd/{}", tree.as_raw_fd());
    let null = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&null)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3);
    if is_null { Ok(null) } else { Err(io::Error::other("the node's /dev/null is not the device")) }
}

/// A copy of a file of the node's, through which neither mode nor owner of it can be changed. Devices can be written to.
pub fn copy_sealed(path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let tree = copy_mounts(path, false)?;
    sys::set_mount(&tree, MountAttrFlags::MOUNT_ATTR_RDONLY, Some(Sharing::Private), false)?;
    Ok(tree)
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

    #[test]
    fn what_must_be_in_one_place_is_behind_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root(rustix::fs::open(folder.path(), OFlags::PATH, Mode::empty()).unwrap());
        root.make_real(Path::new("/proc")).unwrap();
        root.make_real(Path::new("/proc")).unwrap();
        std::fs::create_dir_all(folder.path().join("real/fs")).unwrap();
        std::os::unix::fs::symlink("/real", folder.path().join("sys")).unwrap();
        for path in ["/sys", "/sys/fs"] {
            let why = root.make_real(Path::new(path)).unwrap_err().to_string();
            assert_eq!(why, "it must be mounted on an ordinary directory", "{path}");
        }
    }
}
