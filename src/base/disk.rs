//! What is in folders, and what it takes on disk.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::DirEntry;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What is in a folder, by name; nothing where there is no such folder.
pub fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = entries.collect::<io::Result<Vec<_>>>()?;
    found.sort_by_key(DirEntry::file_name);
    Ok(found)
}

/// Bytes that everything below a folder takes, on its own file system; links are not followed. What cannot be read, or went
/// away meanwhile, counts as nothing.
pub fn used(folder: &Path) -> u64 {
    let mut total = 0;
    walk(folder, &mut |_, _, stat| total += stat.st_blocks as u64 * 512);
    total
}

/// Shows every file and folder below a folder, on its own file system: the folder that it is in, its name, what it is. However
/// deep they lie, no more than a few descriptors are open and no stack grows: what pods make may be deeper than any path.
pub fn walk(folder: &Path, show: &mut dyn FnMut(&OwnedFd, &CStr, &Stat)) {
    let Ok(mut here) = rustix::fs::open(folder, FOLDER, Mode::empty()) else { return };
    let Ok(id) = id(&here) else { return };
    let mut above = vec![Level { id, left: show_all(&here, show) }];
    while let Some(level) = above.last_mut() {
        let next = match level.left.pop() {
            Some(name) => match enter(&here, &name) {
                Ok((inner, id)) => {
                    above.push(Level { id, left: show_all(&inner, show) });
                    inner
                }
                // It went away, or is another file system.
                Err(_) => continue,
            },
            None => {
                above.pop();
                let Some(level) = above.last() else { return };
                match rustix::fs::openat(&here, c"..", FOLDER, Mode::empty()) {
                    // Somebody moved the folder: what it was in is not what is above it now.
                    Ok(outer) if self::id(&outer) == Ok(level.id) => outer,
                    _ => return,
                }
            }
        };
        here = next;
    }
}

/// Removes a folder with everything in it. What is mounted in it is another file system's, and an error.
///
/// Folders in folders are moved up until each is empty, so depth costs neither descriptors nor stack.
pub fn remove(folder: &Path) -> io::Result<()> {
    let top = rustix::fs::open(folder, FOLDER, Mode::empty())?;
    let mut fresh = 0;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            if !unlink(&top, &name)? {
                empty_out(&top, &name, &mut fresh)?;
                rustix::fs::unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
            }
        }
    }
    std::fs::remove_dir(folder)
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Names that are read at once.
const BATCH: usize = 4096;

/// A folder on the way down, and those in it that were not looked into yet.
struct Level {
    id: (u64, u64),
    left: Vec<CString>,
}

fn id(folder: &OwnedFd) -> Result<(u64, u64), Errno> {
    rustix::fs::fstat(folder).map(|stat| (stat.st_dev, stat.st_ino))
}

fn enter(folder: &OwnedFd, name: &CStr) -> Result<(OwnedFd, (u64, u64)), Errno> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let inner = rustix::fs::openat2(folder, name, FOLDER, Mode::empty(), resolve)?;
    let id = id(&inner)?;
    Ok((inner, id))
}

/// Shows what is in a folder; returns the folders among it.
fn show_all(folder: &OwnedFd, show: &mut dyn FnMut(&OwnedFd, &CStr, &Stat)) -> Vec<CString> {
    let entries = rustix::fs::Dir::read_from(folder).into_iter().flatten().flatten();
    let mut folders = Vec::new();
    for entry in entries.filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")) {
        let Ok(stat) = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        show(folder, entry.file_name(), &stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            folders.push(entry.file_name().to_owned());
        }
    }
    folders
}

/// Some names of what is in a folder.
fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == BATCH {
            break;
        }
    }
    Ok(names)
}

/// Removes one name; `false` for a folder that is not empty.
fn unlink(folder: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes the files of a folder in `top`, and moves the folders in it up there.
fn empty_out(top: &OwnedFd, name: &CStr, fresh: &mut u64) -> io::Result<()> {
    let (inner, _) = enter(top, name)?;
    loop {
        let names = names(&inner)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            while !unlink(&inner, &name)? {
                *fresh += 1;
                let to = format!(".{fresh}");
                match rustix::fs::renameat_with(&inner, &name, top, to, RenameFlags::NOREPLACE) {
                    Ok(()) => break,
                    // The name is one of theirs.
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_has_nothing_in_it_and_a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b");
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let names: Vec<_> = entries(folder.path()).unwrap().iter().map(DirEntry::file_name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(entries(&folder.path().join("missing")).unwrap().is_empty());
        assert!(entries(&file).is_err());
    }

    /// Folders in folders, deeper than any path may be.
    fn deep(folder: &Path, levels: usize) {
        let mut here = rustix::fs::open(folder, FOLDER, Mode::empty()).unwrap();
        for _ in 0..levels {
            rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o755)).unwrap();
            here = rustix::fs::openat(&here, "d", FOLDER, Mode::empty()).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = rustix::fs::openat(&here, "f", flags, Mode::from_raw_mode(0o644)).unwrap();
        std::io::Write::write_all(&mut std::fs::File::from(file), &vec![1; 1 << 20]).unwrap();
    }

    #[test]
    fn depth_hides_nothing_and_does_not_overflow() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        std::fs::create_dir(&top).unwrap();
        deep(&top, 5000);
        assert!(used(&top) >= 1 << 20);
        remove(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn a_folder_goes_with_what_is_in_it_and_nothing_else() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join("kept"), "").unwrap();
        let top = folder.path().join("top");
        std::fs::create_dir_all(top.join("a/b/c")).unwrap();
        std::fs::create_dir_all(top.join(".1/.2")).unwrap();
        for file in ["a/f", "a/b/f", ".1/.2/f", "f"] {
            std::fs::write(top.join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(elsewhere.path(), top.join("a/link")).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists() && elsewhere.path().join("kept").exists());
        assert_eq!(remove(&top).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn files_at_every_depth_count_and_what_links_lead_to_does_not() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join("big"), vec![1; 1 << 20]).unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/c"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        let used = used(folder.path());
        assert!((100_000..500_000).contains(&used), "{used}");
        assert_eq!(super::used(&folder.path().join("missing")), 0);
    }
}
