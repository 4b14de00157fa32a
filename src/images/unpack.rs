//! One layer from a tar stream to a folder that overlayfs takes as a lower layer.
//!
//! Every path is resolved by the kernel below the layer's root (`openat2` with `RESOLVE_IN_ROOT`), so that neither `..` nor
//! a symbolic link leads outside. Whiteouts of the image format (`.wh.NAME`, `.wh..wh..opq`) become those of overlayfs: a
//! character device 0:0, the extended attribute `trusted.overlay.opaque`.

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use tar::{Entry, EntryType};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const BOOKKEEPING: &[u8] = b".wh..wh.";
/// The namespace of extended attributes in pax headers.
const PAX_XATTR: &[u8] = b"SCHILY.xattr.";

/// A layer that could not be unpacked: which entry, and what was wrong with it.
#[derive(Debug)]
pub(super) struct Failure {
    pub entry: String,
    pub source: io::Error,
}

/// Unpacks the tar stream `from` into the empty folder `root`.
pub(super) fn unpack(from: impl Read, root: &Path) -> Result<(), Failure> {
    let mut last = String::from("(none)");
    unpack_entries(from, root, &mut last).map_err(|source| Failure { entry: last, source })
}

/// Keeps in `last` the name of the entry that it is at.
fn unpack_entries(from: impl Read, root: &Path, last: &mut String) -> io::Result<()> {
    let mut layer = Layer::open(root)?;
    let mut archive = tar::Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        *last = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        layer.add(&mut entry)?;
    }
    layer.finish()
}

struct Layer {
    root: OwnedFd,
    /// The folder that the last entry was in: entries come folder by folder.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Times of folders, set last because adding to a folder changes them.
    times: Vec<(PathBuf, Timestamps)>,
}

/// Where an entry goes: an open folder and a name in it.
struct Place<'a> {
    folder: &'a OwnedFd,
    name: OsString,
}

impl Layer {
    fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(root, flags, Mode::empty())?, parent: None, times: Vec::new() })
    }

    fn add<R: Read>(&mut self, entry: &mut Entry<R>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let path = inside(&entry.path_bytes())?;
        let (parent, Some(name)) = (path.parent().unwrap_or(Path::new("")), path.file_name()) else {
            return self.add_root(entry);
        };
        if name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(parent, name.as_bytes());
        }
        if kind == EntryType::Directory {
            self.times.push((path.clone(), times(entry)?));
        }
        let link = match kind {
            EntryType::Link => Some(self.link_source(entry)?),
            _ => None,
        };
        let place = Place { folder: self.folder(parent)?, name: name.to_owned() };
        match link {
            Some((folder, source)) => place.hard_link(&folder, &source),
            None => place.make(entry, kind),
        }
    }

    /// The layer's own root has an owner, a mode and times as well.
    fn add_root<R: Read>(&mut self, entry: &mut Entry<R>) -> io::Result<()> {
        let times = times(entry)?;
        self.times.push((PathBuf::from("."), times));
        let root = rustix::fs::openat(&self.root, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        set_owner_and_mode(&File::from(root), entry)
    }

    /// The folder at `path`, made with its parents if it is missing.
    fn folder(&mut self, path: &Path) -> io::Result<&OwnedFd> {
        let known = matches!(&self.parent, Some((last, _)) if last == path);
        if !known {
            let folder = match self.resolve(path) {
                Err(Errno::NOENT) => self.make_folders(path)?,
                other => other?,
            };
            self.parent = Some((path.to_path_buf(), folder));
        }
        self.parent.as_ref().map(|(_, folder)| folder).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn resolve(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    fn make_folders(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.resolve(Path::new(""))?;
        let mut done = PathBuf::new();
        for name in path.iter() {
            match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            done.push(name);
            folder = self.resolve(&done)?;
        }
        Ok(folder)
    }

    fn whiteout(&mut self, parent: &Path, name: &[u8]) -> io::Result<()> {
        let folder = self.folder(parent)?;
        if name == OPAQUE {
            let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
            return Ok(rustix::fs::setxattr(path, "trusted.overlay.opaque", b"y", XattrFlags::empty())?);
        }
        let hidden = name.strip_prefix(WHITEOUT).unwrap_or_default();
        if name.starts_with(BOOKKEEPING) || hidden.is_empty() {
            return Ok(());
        }
        match rustix::fs::mknodat(folder, OsStr::from_bytes(hidden), FileType::CharacterDevice, Mode::empty(), 0) {
            // What this layer itself has stays: a whiteout is for the layers below.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder and name of the file that a hard link is to.
    fn link_source<R: Read>(&self, entry: &Entry<R>) -> io::Result<(OwnedFd, OsString)> {
        let target = inside(&entry.link_name_bytes().unwrap_or_default())?;
        let name = target.file_name().ok_or_else(|| io::Error::other("is a hard link to nothing"))?;
        let folder = self.resolve(target.parent().unwrap_or(Path::new("")))?;
        Ok((folder, name.to_owned()))
    }

    fn finish(&mut self) -> io::Result<()> {
        for (path, times) in self.times.drain(..).rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.root, &path, flags, Mode::empty(), resolve) {
                Ok(folder) => rustix::fs::futimens(&folder, &times)?,
                // A later entry put something else there.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Place<'_> {
    fn make<R: Read>(&self, entry: &mut Entry<R>, kind: EntryType) -> io::Result<()> {
        match kind {
            EntryType::Directory => self.directory(entry),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(entry),
            EntryType::Symlink => self.symbolic_link(entry),
            EntryType::Char => self.node(entry, FileType::CharacterDevice),
            EntryType::Block => self.node(entry, FileType::BlockDevice),
            EntryType::Fifo => self.node(entry, FileType::Fifo),
            other => Err(io::Error::other(format!("is of a kind that layers do not have ({other:?})"))),
        }
    }

    fn directory<R: Read>(&self, entry: &mut Entry<R>) -> io::Result<()> {
        match rustix::fs::mkdirat(self.folder, &self.name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) if self.is_directory()? => {}
            Err(Errno::EXIST) => {
                self.clear()?;
                rustix::fs::mkdirat(self.folder, &self.name, Mode::from_raw_mode(0o700))?;
            }
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(self.folder, &self.name, flags, Mode::empty())?;
        set_owner_and_mode(&File::from(folder), entry)
    }

    fn file<R: Read>(&self, entry: &mut Entry<R>) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let made = match rustix::fs::openat(self.folder, &self.name, flags, mode) {
            Err(Errno::EXIST) => {
                self.clear()?;
                rustix::fs::openat(self.folder, &self.name, flags, mode)
            }
            made => made,
        };
        let mut file = File::from(made?);
        let (size, times) = (entry.size(), times(entry)?);
        if io::copy(entry, &mut file)? < size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "is cut short"));
        }
        set_owner_and_mode(&file, entry)?;
        Ok(rustix::fs::futimens(&file, &times)?)
    }

    fn symbolic_link<R: Read>(&self, entry: &mut Entry<R>) -> io::Result<()> {
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        let target = OsString::from_vec(target);
        if let Err(Errno::EXIST) = rustix::fs::symlinkat(&target, self.folder, &self.name) {
            self.clear()?;
            rustix::fs::symlinkat(&target, self.folder, &self.name)?;
        }
        let (user, group) = owner(entry)?;
        rustix::fs::chownat(self.folder, &self.name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(rustix::fs::utimensat(self.folder, &self.name, &times(entry)?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn hard_link(&self, folder: &OwnedFd, source: &OsStr) -> io::Result<()> {
        let link = || rustix::fs::linkat(folder, source, self.folder, &self.name, AtFlags::empty());
        let made = match link() {
            Err(Errno::EXIST) => {
                self.clear()?;
                link()
            }
            made => made,
        };
        match made {
            Err(Errno::NOENT) => Err(io::Error::other("is a hard link to what is not there")),
            made => Ok(made?),
        }
    }

    fn node<R: Read>(&self, entry: &mut Entry<R>, kind: FileType) -> io::Result<()> {
        let header = entry.header();
        let (major, minor) = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
        self.clear()?;
        let device = rustix::fs::makedev(major, minor);
        let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
        rustix::fs::mknodat(self.folder, &self.name, kind, mode, device)?;
        let (user, group) = owner(entry)?;
        rustix::fs::chownat(self.folder, &self.name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::chmodat(self.folder, &self.name, mode, AtFlags::empty())?;
        Ok(rustix::fs::utimensat(self.folder, &self.name, &times(entry)?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn is_directory(&self) -> io::Result<bool> {
        let stat = rustix::fs::statat(self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    /// Removes what an earlier entry put here: the last one counts.
    fn clear(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(self.folder, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                let folder = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()));
                crate::base::disk::remove(&folder.join(&self.name))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A relative path without `.`; refuses `..`, which no layer needs.
fn inside(bytes: &[u8]) -> io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => return Err(io::Error::other("leads out of the image (`..`)")),
        }
    }
    Ok(path)
}

fn owner<R: Read>(entry: &Entry<R>) -> io::Result<(Option<Uid>, Option<Gid>)> {
    // Some writers leave the fields empty, which is zero; a damaged header was refused for its checksum.
    let id = |id: u64| u32::try_from(id).map_err(|_| io::Error::other("has an owner that is out of range"));
    let (user, group) = (id(entry.header().uid().unwrap_or(0))?, id(entry.header().gid().unwrap_or(0))?);
    Ok((Some(Uid::from_raw(user)), Some(Gid::from_raw(group))))
}

fn times<R: Read>(entry: &Entry<R>) -> io::Result<Timestamps> {
    let seconds = i64::try_from(entry.header().mtime().unwrap_or(0)).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Ok(Timestamps { last_access: time, last_modification: time })
}

fn set_owner_and_mode<R: Read>(file: &File, entry: &mut Entry<R>) -> io::Result<()> {
    let (user, group) = owner(entry)?;
    rustix::fs::fchown(file, user, group)?;
    // After the owner: changing that clears the set-user-id bit.
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.header().mode()? & 0o7777))?;
    set_attributes(file, entry)
}

fn set_attributes<R: Read>(file: &File, entry: &mut Entry<R>) -> io::Result<()> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    for extension in extensions {
        let extension = extension?;
        let Some(name) = extension.key_bytes().strip_prefix(PAX_XATTR) else { continue };
        // Overlay's own attributes would let a layer redirect others.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        match rustix::fs::fsetxattr(file.as_fd(), OsStr::from_bytes(name), extension.value_bytes(), XattrFlags::empty())
        {
            // File systems without them are met in tests (tmpfs) and on odd hosts; other runtimes go on as well.
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
