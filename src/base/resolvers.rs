//! The machine's resolvers, wherever they are read from, and the folders whose changes may change them.
//!
//! A node may see other files than its machine. One that is made on the machine is handed the machine's folders as open
//! descriptors:
//!
//! ```text
//! Folders::open ─▶ hand_down ─▶ another program, in another root ─▶ Folders::inherited ─▶ read, changes
//! ```

use super::{FolderChanges, sys};
use rustix::fs::inotify::WatchFlags;
use rustix::io::FdFlags;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// What programs are told.
pub const OWN: &str = "/etc/resolv.conf";
/// Where programs that answer names on the loopback keep the resolvers behind them: systemd-resolved, NetworkManager.
const BEHIND_LOOPBACK: &[&str] =
    &["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf", "/run/NetworkManager/resolv.conf"];
/// As the kernel has it (`MAXSYMLINKS` is 40; nobody needs that many here).
const MOST_LINKS: usize = 8;
/// Tells a program which descriptors it has: `NUMBER:PATH`, with commas between them.
const VARIABLE: &str = "CORACLE_MACHINE_FOLDERS";

/// The machine's resolvers as a `resolv.conf`, from its files as `read` finds them; nothing if there is no [`OWN`]. One on the
/// loopback cannot be reached from a node, so those behind it are taken; if nobody knows them, the others.
pub fn choose(read: impl Fn(&Path) -> Option<String>) -> Option<String> {
    let own = read(Path::new(OWN))?;
    if servers(&own).all(|server| !server.is_loopback()) {
        return Some(own);
    }
    let usable = |text: &String| servers(text).any(|server| !server.is_loopback());
    let behind = BEHIND_LOOPBACK.iter().filter_map(|path| read(Path::new(path))).find(usable);
    Some(behind.unwrap_or_else(|| without_loopback(&own)))
}

/// The machine's resolvers as they are now, read on the machine itself.
pub fn of_this_machine() -> String {
    choose(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
}

/// The resolvers that a `resolv.conf` names.
fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(server)
}

/// The resolver that a line of a `resolv.conf` names.
fn server(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| *word == "nameserver")?;
    words.next()?.split('%').next()?.parse().ok()
}

fn without_loopback(text: &str) -> String {
    let kept = text.lines().filter(|line| server(line).is_none_or(|server| !server.is_loopback()));
    kept.map(|line| format!("{line}\n")).collect()
}

/// The folders of the machine in which its resolvers are written, open.
pub struct Folders(Vec<(PathBuf, OwnedFd)>);

impl Folders {
    /// Opens those that there are.
    pub fn open() -> Self {
        let behind = BEHIND_LOOPBACK.iter().map(PathBuf::from);
        let folders: BTreeSet<PathBuf> =
            chain(Path::new(OWN)).into_iter().chain(behind).filter_map(|path| Some(path.parent()?.into())).collect();
        let opened = folders.into_iter().filter_map(|folder| {
            let file = File::open(&folder).ok()?;
            Some((folder, file.into()))
        });
        Self(opened.collect())
    }

    /// A variable, with its value, for a program that this process is about to start; it inherits the descriptors, and so does
    /// every other that is started later.
    pub fn hand_down(&self) -> io::Result<(&'static str, String)> {
        for (_, descriptor) in &self.0 {
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        let named = |(path, descriptor): &(PathBuf, OwnedFd)| format!("{}:{}", descriptor.as_raw_fd(), path.display());
        Ok((VARIABLE, self.0.iter().map(named).collect::<Vec<_>>().join(",")))
    }

    /// What was handed down to this process; to be called once, before it starts others, who inherit nothing.
    pub fn inherited() -> io::Result<Option<Self>> {
        let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
        let mut found = Vec::new();
        for (number, path) in text.split(',').filter_map(|one| one.split_once(':')) {
            let number = number.parse().map_err(io::Error::other)?;
            found.push((PathBuf::from(path), sys::inherited(number)?));
        }
        Ok(Some(Self(found)))
    }

    /// The machine's resolvers as they are now; nothing while the file is not there, or is elsewhere than before.
    pub fn resolvers(&self) -> Option<String> {
        choose(|path| self.read(path))
    }

    /// Tells of changes in any of them.
    pub fn changes(&self) -> io::Result<FolderChanges> {
        let kinds = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE;
        let places: Vec<PathBuf> = self.0.iter().map(|(_, descriptor)| place(descriptor)).collect();
        FolderChanges::of_all(places.iter().map(PathBuf::as_path), kinds)
    }

    fn read(&self, path: &Path) -> Option<String> {
        let mut path = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            let (_, folder) = self.0.iter().find(|(folder, _)| Some(folder.as_path()) == path.parent())?;
            let file = place(folder).join(path.file_name()?);
            match std::fs::read_link(&file) {
                Ok(target) => path = led(&path, &target),
                Err(_) => return std::fs::read_to_string(file).ok(),
            }
        }
        None
    }
}

/// Where the kernel shows a folder that is open, whatever the root.
fn place(folder: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", folder.as_raw_fd()).into()
}

/// A path and every one that links lead to from there.
fn chain(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_path_buf()];
    while let Some(Ok(target)) = all.last().filter(|_| all.len() < MOST_LINKS).map(std::fs::read_link) {
        let next = led(&all[all.len() - 1], &target);
        all.push(next);
    }
    all
}

/// Where a link at `path` leads to.
fn led(path: &Path, target: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.parent().unwrap_or(path).join(target).components() {
        match part {
            Component::ParentDir => _ = found.pop(),
            Component::CurDir => {}
            other => found.push(other),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn resolvers_on_the_loopback_are_left_out() {
        let text =
            "search example.com\nnameserver\t127.0.0.53\nnameserver 10.0.0.1\nnameserver ::1\n# nameserver 127.0.0.1\n";
        assert_eq!(servers(text).count(), 3);
        assert_eq!(without_loopback(text), "search example.com\nnameserver 10.0.0.1\n# nameserver 127.0.0.1\n");
        let machine = |behind: Option<&'static str>| {
            choose(move |path| match path.to_str() {
                Some(OWN) => Some(text.into()),
                Some("/run/NetworkManager/resolv.conf") => behind.map(String::from),
                _ => None,
            })
        };
        assert_eq!(machine(Some("nameserver 10.0.0.9\n")).unwrap(), "nameserver 10.0.0.9\n");
        assert_eq!(machine(None).unwrap(), without_loopback(text));
        assert_eq!(choose(|_| None), None);
    }

    #[test]
    fn links_lead_from_folder_to_folder() {
        let led = |path: &str, target: &str| led(Path::new(path), Path::new(target));
        assert_eq!(led(OWN, "../run/systemd/./resolve/stub"), Path::new("/run/systemd/resolve/stub"));
        assert_eq!(led(OWN, "/mnt/wsl/resolv.conf"), Path::new("/mnt/wsl/resolv.conf"));
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("run")).unwrap();
        symlink("run/resolv.conf", at("resolv.conf")).unwrap();
        assert_eq!(chain(&at("resolv.conf")), [at("resolv.conf"), at("run/resolv.conf")]);
    }

    #[tokio::test]
    async fn folders_that_are_open_are_read_and_watched_without_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("etc")).unwrap();
        std::fs::create_dir(at("run")).unwrap();
        let open = |name: &str| (PathBuf::from("/").join(name), File::open(at(name)).unwrap().into());
        let folders = Folders(vec![open("etc"), open("run")]);
        assert_eq!(folders.resolvers(), None);
        let changes = folders.changes().unwrap();
        std::fs::write(at("run/stub"), "nameserver 10.0.0.1\n").unwrap();
        changes.next().await.unwrap();
        symlink("../run/stub", at("etc/resolv.conf")).unwrap();
        changes.next().await.unwrap();
        assert_eq!(folders.resolvers().unwrap(), "nameserver 10.0.0.1\n");
        std::fs::rename(at("etc"), at("moved")).unwrap();
        assert_eq!(folders.resolvers().unwrap(), "nameserver 10.0.0.1\n");
    }
}
