//! One command at a time works on a profile: what it makes, changes or takes away is its own until it ends.
//!
//! The lock is the kernel's (`flock`), so that it goes with the process that holds it, however that ends. Its file says which
//! process it is, and goes with the profile: whoever gets a lock of a file that is not there any more asks again.

use crate::config::Home;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A profile that is this process's until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// The profile's folder.
    folder: PathBuf,
}

impl Lock {
    /// Waits until nobody else works on the profile. `waits` is told of the process that does, by its number.
    pub fn hold(home: &Home, name: &str, waits: impl Fn(&str)) -> io::Result<Self> {
        let path = home.profile_lock(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(named(folder))?;
        }
        loop {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(named(&path))?;
            lock(&file, &waits)?;
            if is_at(&file, &path) {
                let mut held = Self { file, path, folder: home.profile_folder(name) };
                held.sign()?;
                return Ok(held);
            }
        }
    }

    /// The same for a profile that is there or being made; nothing for one that is neither, of which no trace is to be left.
    pub fn hold_known(home: &Home, name: &str, waits: impl Fn(&str)) -> io::Result<Option<Self>> {
        match home.profile_lock(name).exists() || home.profile_folder(name).exists() {
            true => Self::hold(home, name, waits).map(Some),
            false => Ok(None),
        }
    }

    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(std::process::id().to_string().as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.folder.exists() {
            // Of a profile that is gone nothing stays; with the whole home it went already.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// An error that tells which place it is about.
fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn lock(mut file: &File, waits: &impl Fn(&str)) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut holder = String::new();
    // Who holds it is told for a person's sake; a file without a number holds as well.
    file.read_to_string(&mut holder).ok();
    waits(holder.trim());
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

/// Whether a file is still the one that has the name.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: io::Result<std::fs::Metadata>| metadata.map(|own| (own.dev(), own.ino())).ok();
    id(file.metadata()).is_some_and(|own| id(std::fs::metadata(path)) == Some(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_second_holder_is_told_of_the_first_and_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        std::fs::create_dir_all(home.profile_folder("one")).unwrap();
        let first = Lock::hold(&home, "one", |_| panic!("nobody holds it")).unwrap();
        let (say, said) = mpsc::channel();
        let other = std::thread::spawn({
            let home = home.clone();
            move || drop(Lock::hold(&home, "one", |holder| say.send(holder.to_string()).unwrap()).unwrap())
        });
        assert_eq!(said.recv().unwrap(), std::process::id().to_string());
        assert!(!other.is_finished());
        drop(first);
        other.join().unwrap();
    }

    #[test]
    fn a_profile_that_is_gone_takes_its_lock_with_it_and_who_waited_asks_again() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let (say, said) = mpsc::channel();
        let first = Lock::hold(&home, "one", |_| {}).unwrap();
        let other = std::thread::spawn({
            let home = home.clone();
            move || {
                let held = Lock::hold(&home, "one", |_| say.send(()).unwrap()).unwrap();
                assert!(is_at(&held.file, &held.path), "the lock is of the file that others find");
            }
        });
        said.recv().unwrap();
        drop(first);
        other.join().unwrap();
        assert!(!home.profile_lock("one").exists());
        assert!(Lock::hold_known(&home, "one", |_| {}).unwrap().is_none());
        assert!(!home.profile_lock("one").exists(), "asking leaves no trace");
    }

    #[test]
    fn profiles_do_not_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let never = |_: &str| panic!("nobody holds it");
        let (_one, _two) = (Lock::hold(&home, "one", never).unwrap(), Lock::hold(&home, "two", never).unwrap());
    }
}
