//! A file or folder inside a volume as a mount of its own. What is opened is what is mounted: a pod that swaps a folder for a
//! link in between gains nothing. Source: kubelet `pkg/volume/util/subpath/subpath_linux.go`.

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind_recursive, unmount};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path};

/// Links may be followed as long as they stay in the volume.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Binds `path` in `volume`, which is made as a folder if it is missing, to `target`.
pub fn bind(volume: &Path, path: &str, target: &Path) -> Result<(), String> {
    check(path)?;
    let found = open(volume, path).map_err(|error| explain(path, &error))?;
    show(&found, target).map_err(|error| format!("cannot mount subPath `{path}`: {error}"))
}

/// A sub path that can be shown at all; the API has checked it too, but not what variables put into it.
pub fn check(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
    }
    Ok(())
}

fn explain(path: &str, error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::XDEV | Errno::LOOP) => format!("subPath \"{path}\" not allowed: outside of volume path"),
        _ => format!("cannot open subPath `{path}`: {error}"),
    }
}

/// Opens `path` below `volume`, making folders that are missing with the permissions of the volume.
fn open(volume: &Path, path: &str) -> io::Result<OwnedFd> {
    let root = OwnedFd::from(File::open(volume)?);
    match openat2(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), INSIDE) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mode = Mode::from_raw_mode(fstat(&root)?.st_mode & 0o7777);
    let mut at = root;
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else { continue };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        at = match openat2(&at, name, flags, Mode::empty(), INSIDE) {
            Err(Errno::NOENT) => {
                match mkdirat(&at, name, mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                let made = openat2(&at, name, flags, Mode::empty(), INSIDE | ResolveFlags::NO_SYMLINKS)?;
                // Whatever mask this process has.
                rustix::fs::chmod(format!("/proc/self/fd/{}", made.as_raw_fd()), mode)?;
                made
            }
            other => other?,
        };
    }
    Ok(at)
}

/// Mounts what is open at `target`, instead of what an earlier attempt mounted there.
fn show(found: &OwnedFd, target: &Path) -> io::Result<()> {
    // Nothing is mounted there the first time.
    unmount(target, UnmountFlags::DETACH).ok();
    let parent = target.parent().unwrap_or(target);
    std::fs::create_dir_all(parent)?;
    let is_folder = FileType::from_raw_mode(fstat(found)?.st_mode) == FileType::Directory;
    let wrong = std::fs::symlink_metadata(target).is_ok_and(|known| known.is_dir() != is_folder);
    match (wrong, is_folder) {
        (true, true) => std::fs::remove_file(target)?,
        (true, false) => std::fs::remove_dir(target)?,
        (false, _) => {}
    }
    match is_folder {
        true => std::fs::create_dir_all(target)?,
        false => drop(File::options().create(true).append(true).open(target)?),
    }
    Ok(mount_bind_recursive(format!("/proc/self/fd/{}", found.as_raw_fd()), target)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn inode(fd: &OwnedFd) -> u64 {
        fstat(fd).unwrap().st_ino
    }

    #[test]
    fn links_inside_are_followed_and_links_outside_refused() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("volume");
        std::fs::create_dir_all(volume.join("a/b")).unwrap();
        std::fs::write(volume.join("a/file"), "x").unwrap();
        symlink("a/file", volume.join("inside")).unwrap();
        symlink("/etc/passwd", volume.join("absolute")).unwrap();
        symlink("../..", volume.join("up")).unwrap();
        let file = std::fs::metadata(volume.join("a/file")).unwrap().ino();
        assert_eq!(inode(&open(&volume, "inside").unwrap()), file);
        assert_eq!(inode(&open(&volume, "a/file").unwrap()), file);
        for outside in ["absolute", "up", "up/volume"] {
            let error = open(&volume, outside).unwrap_err();
            assert_eq!(explain(outside, &error), format!("subPath \"{outside}\" not allowed: outside of volume path"));
        }
    }

    #[test]
    fn what_is_missing_is_made_with_the_permissions_of_the_volume() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        open(folder.path(), "x/y").unwrap();
        assert_eq!(std::fs::metadata(folder.path().join("x/y")).unwrap().mode() & 0o777, 0o777);
    }

    #[test]
    fn paths_that_leave_the_volume_are_refused_by_their_text() {
        assert_eq!(check("/tmp").unwrap_err(), "error SubPath `/tmp` must not be an absolute path");
        assert!(check("a/../b").unwrap_err().starts_with("unable to provision SubPath `a/../b`"));
        assert!(check("a/..b").is_ok());
    }
}
