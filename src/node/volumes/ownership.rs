//! Giving a volume to the pod's group (`fsGroup`). Source: kubelet `pkg/volume/volume_linux.go`.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
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
    give_all(root, group, mask)
}

fn give_all(path: &Path, group: u32, mask: u32) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give_all(&entry?.path(), group, mask)?;
        }
    }
    let more = if metadata.is_dir() { mask | FOLDER } else { mask };
    std::fs::set_permissions(path, PermissionsExt::from_mode(metadata.mode() & 0o7777 | more))
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
