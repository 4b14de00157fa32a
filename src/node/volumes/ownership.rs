//! Giving a volume to the pod's group (`fsGroup`). Source: kubelet `pkg/volume/volume_linux.go`.

use crate::base::disk;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const READ: u32 = 0o440;
const WRITE: u32 = 0o660;
/// Of folders besides: new files get the group, and the group may enter.
const FOLDER: u32 = 0o2110;

/// Gives everything in `root` to `group`, which may read or write it. With `OnRootMismatch` as policy only if the folder itself
/// is not the group's yet.
pub fn give(root: &Path, group: u32, read_only: bool, policy: Option<&str>) -> io::Result<()> {
    let mask = if read_only { READ } else { WRITE };
    if policy == Some("OnRootMismatch") {
        let known = std::fs::metadata(root)?;
        if known.gid() == group && known.mode() & (mask | FOLDER) == mask | FOLDER {
            return Ok(());
        }
    }
    give_one(&open(rustix::fs::CWD, root, OFlags::empty())?, group, mask)?;
    let mut done = Ok(());
    disk::walk(root, &mut |folder, name, _| {
        // One that went away needs no group.
        let one = open(folder, name, OFlags::NOFOLLOW).and_then(|file| give_one(&file, group, mask));
        match one {
            Err(error) if done.is_ok() && error.kind() != io::ErrorKind::NotFound => done = Err(error),
            _ => {}
        }
    });
    done
}

fn open(folder: impl AsFd, name: impl rustix::path::Arg, more: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, name, OFlags::PATH | OFlags::CLOEXEC | more, Mode::empty())?)
}

/// By the open file: another pod may have the volume, and put a link of its own in the place of what was looked at.
fn give_one(file: &OwnedFd, group: u32, mask: u32) -> io::Result<()> {
    rustix::fs::chownat(file, "", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?;
    let stat = rustix::fs::fstat(file)?;
    let more = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => return Ok(()),
        FileType::Directory => mask | FOLDER,
        _ => mask,
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::set_permissions(path, PermissionsExt::from_mode(stat.st_mode & 0o7777 | more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_write_and_folders_hand_it_on() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("v");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a"), "1").unwrap();
        std::fs::set_permissions(root.join("a"), PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        let group = rustix::process::getgid().as_raw();
        give(&root, group, false, None).unwrap();
        assert_eq!(std::fs::metadata(root.join("a")).unwrap().mode() & 0o7777, 0o660);
        assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o2770, 0o2770);
        std::fs::set_permissions(root.join("a"), PermissionsExt::from_mode(0o600)).unwrap();
        give(&root, group, false, Some("OnRootMismatch")).unwrap();
        assert_eq!(std::fs::metadata(root.join("a")).unwrap().mode() & 0o7777, 0o600);
    }
}
