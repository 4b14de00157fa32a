//! The root file system of a container: layers under a writable one, what the kernel shows, devices, mounts of the node.
//!
//! Sources are opened while the node's file system is still there. Everything is put in place after the pivot, when `/` is the
//! container's and nothing of the node has a path any more.

use super::files::{self, Root};
use super::process::Terminal;
use super::words;
use crate::runtime::spec::{Device, Mount, Propagation};
use crate::runtime::sys::{self, Sharing};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags, mount};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Devices that every container has.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Names in `/dev` that are links, not devices.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];
/// Hidden from containers that are not privileged, as Docker and containerd do.
pub const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Files of `/proc` that a volume may replace, as LXCFS does. Source: runc `libcontainer/rootfs_linux.go` (checkProcMount).
const REPLACEABLE: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];
/// Read-only in containers that are not privileged.
pub const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;
const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const STRICTATIME: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_STRICTATIME;

/// What a root file system is made of.
pub struct Rootfs {
    /// The folder that holds the layers.
    pub layers_folder: PathBuf,
    /// Names in it, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Holds what the container writes, and what overlayfs needs for itself.
    pub upper: PathBuf,
    pub work: PathBuf,
    /// An empty folder.
    pub target: PathBuf,
    /// Shown at `/coracle`.
    pub executable: Option<PathBuf>,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
    /// The sandbox's shared memory.
    pub shm: PathBuf,
    /// Hierarchies of version 1; nothing means version 2.
    pub hierarchies: Option<Vec<String>>,
    pub privileged: bool,
    pub read_only: bool,
    pub masked_paths: Vec<String>,
    pub read_only_paths: Vec<String>,
    /// Made if it is missing.
    pub working_directory: String,
}

/// What of the node goes into the container, opened.
pub struct Sources {
    shm: OwnedFd,
    executable: Option<OwnedFd>,
    mounts: Vec<(String, OwnedFd)>,
    devices: Vec<(PathBuf, OwnedFd)>,
    /// One for each path that is masked: what is put over a file.
    covers: Vec<OwnedFd>,
}

/// One thing to put in place.
enum Part {
    Proc,
    Devices(Vec<(PathBuf, OwnedFd)>),
    Terminals,
    Queues,
    System,
    Cgroups,
    Tree(OwnedFd),
}

impl Rootfs {
    /// Opens what comes from the node.
    pub fn open_sources(&self) -> Result<Sources, String> {
        let failed = |path: &Path, error: io::Error| format!("cannot open `{}`: {}", path.display(), words(&error));
        let shm = files::copy_mounts(&self.shm, false).map_err(|error| failed(&self.shm, error))?;
        make_private(&shm).map_err(|error| failed(&self.shm, error))?;
        let executable = self.executable.as_deref().map(|path| {
            let opened = files::copy_mounts(path, false)
                .and_then(|tree| sys::set_mount(&tree, RDONLY | NODEV, Some(Sharing::Private), false).map(|()| tree));
            opened.map_err(|error| failed(path, error))
        });
        let mounts = self.mounts.iter().map(|mount| {
            let opened = self.open_mount(mount);
            let to = |error: io::Error| {
                let (from, to) = (mount.host_path.display(), &mount.container_path);
                format!("error mounting \"{from}\" to rootfs at \"{to}\": {}", words(&error))
            };
            Ok((mount.container_path.clone(), opened.map_err(to)?))
        });
        Ok(Sources {
            shm,
            executable: executable.transpose()?,
            mounts: mounts.collect::<Result<_, String>>()?,
            devices: self.open_devices()?,
            covers: self
                .masked_paths
                .iter()
                .map(|_| files::copy_sealed("/dev/null"))
                .collect::<io::Result<_>>()
                .map_err(|error| failed(Path::new("/dev/null"), error))?,
        })
    }

    fn open_mount(&self, mount: &Mount) -> io::Result<OwnedFd> {
        let tree = files::copy_mounts(&mount.host_path, true)?;
        let sharing = match mount.propagation {
            Propagation::Private => Sharing::Private,
            Propagation::HostToContainer => Sharing::Receive,
            Propagation::Bidirectional => Sharing::Both,
        };
        sys::set_mount(&tree, MountAttrFlags::empty(), Some(sharing), true)?;
        // Device files in volumes are a privileged container's only: others could make the node's disk there and open it.
        let is_harmless = DEVICES.iter().any(|name| mount.host_path == Path::new("/dev").join(name));
        if !self.privileged {
            sys::set_mount(&tree, if is_harmless { RDONLY } else { NODEV }, None, true)?;
        }
        if mount.read_only || mount.recursive_read_only {
            sys::set_mount(&tree, RDONLY, None, mount.recursive_read_only)?;
        }
        Ok(tree)
    }

    /// Names below the container's `/dev`, or absolute paths, with the devices themselves.
    fn open_devices(&self) -> Result<Vec<(PathBuf, OwnedFd)>, String> {
        let mut wanted: Vec<(PathBuf, PathBuf)> = match self.privileged {
            true => every_device(Path::new("/dev")).into_iter().map(|path| (path.clone(), path)).collect(),
            false => DEVICES.iter().map(|name| Path::new("/dev").join(name)).map(|path| (path.clone(), path)).collect(),
        };
        wanted.extend(
            self.devices.iter().map(|device| (PathBuf::from(&device.container_path), device.host_path.clone())),
        );
        let opened = wanted.into_iter().map(|(path, source)| {
            // Everybody has the same devices: who may write to one must not say who else may.
            let opened = match self.privileged {
                true => files::copy_mounts(&source, false).and_then(|tree| make_private(&tree).map(|()| tree)),
                false => files::copy_sealed(&source),
            };
            let failed = |error: io::Error| {
                let source = source.display();
                format!("error gathering device information while adding custom device \"{source}\": {}", words(&error))
            };
            Ok((path, opened.map_err(failed)?))
        });
        opened.collect()
    }

    /// Makes it, and makes it this process's root.
    pub fn build(&self, sources: Sources) -> Result<(), String> {
        self.pivot()?;
        let root = Root::open().map_err(|error| format!("cannot open the root: {}", words(&error)))?;
        if let Some(executable) = sources.executable {
            let placed = root.make(Path::new("/coracle"), false).and_then(|target| files::place(executable, target));
            placed.map_err(|error| format!("cannot show the executable: {}", words(&error)))?;
        }
        let put = |path: &str, part: Part| {
            self.put(&root, path, part)
                .map_err(|error| format!("error mounting to rootfs at \"{path}\": {}", words(&error)))
        };
        let (own, guarded) = self.own_parts(sources.shm, &sources.mounts, sources.devices);
        own.into_iter().try_for_each(|(path, part)| put(path, part))?;
        // Before the user's mounts, which the image may lead anywhere; what they replace is guarded after them.
        let mut covers = sources.covers.into_iter();
        self.protect(&root, &mut covers, |path| guarded.iter().any(|own| Path::new(path).starts_with(own)))?;
        let mut mounts = sources.mounts;
        mounts.sort_by_key(|(path, _)| Path::new(path).components().count());
        mounts.into_iter().try_for_each(|(path, tree)| put(&path, Part::Tree(tree)))?;
        self.protect(&root, &mut covers, |path| !guarded.iter().any(|own| Path::new(path).starts_with(own)))?;
        self.make_working_directory(&root)?;
        self.seal(&root)
    }

    /// The layers become `/`, and what was there is gone from this mount namespace.
    fn pivot(&self) -> Result<(), String> {
        let failed = |what: &str| {
            let what = what.to_string();
            move |error: Errno| format!("cannot {what}: {}", words(&error.into()))
        };
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).map_err(failed("leave the node's mounts"))?;
        self.mount_layers().map_err(|error| format!("error mounting the image's layers: {}", words(&error)))?;
        rustix::process::chdir(&self.target).map_err(failed("enter the root"))?;
        rustix::process::pivot_root(".", ".").map_err(failed("pivot to the root"))?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(failed("let go of the node's root"))?;
        rustix::process::chdir("/").map_err(failed("enter the root"))
    }

    fn mount_layers(&self) -> io::Result<()> {
        // Relative names keep the options within a page.
        rustix::process::chdir(&self.layers_folder)?;
        let layers: Vec<String> = self.layers.iter().map(|layer| layer.display().to_string()).collect();
        let plain =
            format!("lowerdir={},upperdir={},workdir={}", layers.join(":"), self.upper.display(), self.work.display());
        let flags = if self.privileged { MountFlags::empty() } else { MountFlags::NODEV };
        let attempt = |options: &str| -> io::Result<()> {
            let options = CString::new(options)?;
            Ok(mount("overlay", &self.target, "overlay", flags, options.as_c_str())?)
        };
        // What a container writes ends with it, so nothing is gained by waiting for the disk.
        attempt(&format!("{plain},volatile")).or_else(|_| attempt(&plain))
    }

    /// What every container has, what is above first, and the paths that are ours. A mount of the user's replaces ours at its
    /// path and below: what is mounted into one that is shared with the node would show up there.
    fn own_parts(
        &self,
        shm: OwnedFd,
        mounts: &[(String, OwnedFd)],
        devices: Vec<(PathBuf, OwnedFd)>,
    ) -> (Vec<(&'static str, Part)>, Vec<&'static str>) {
        let own = [
            ("/proc", Part::Proc),
            ("/dev", Part::Devices(devices)),
            ("/sys", Part::System),
            ("/dev/pts", Part::Terminals),
            ("/dev/shm", Part::Tree(shm)),
            ("/dev/mqueue", Part::Queues),
            ("/sys/fs/cgroup", Part::Cgroups),
        ];
        let is_taken = |path: &str| mounts.iter().any(|(taken, _)| Path::new(path).starts_with(taken));
        let parts: Vec<_> = own.into_iter().filter(|(path, _)| !is_taken(path)).collect();
        let guarded = parts.iter().map(|(path, _)| *path).collect();
        (parts, guarded)
    }

    fn put(&self, root: &Root, path: &str, part: Part) -> io::Result<()> {
        let read_only = if self.privileged { MountAttrFlags::empty() } else { RDONLY };
        let strict = NOSUID | NODEV | NOEXEC;
        let path = Path::new(path);
        let mount = |tree: OwnedFd| files::place(tree, root.make_real(path)?);
        match part {
            Part::Proc => mount(files::new_mount("proc", &[], strict)?),
            Part::Devices(devices) => {
                let options = [("mode", "755"), ("size", "65536k")];
                // A privileged container makes devices of its own there.
                let nodev = if self.privileged { MountAttrFlags::empty() } else { NODEV };
                mount(files::new_mount("tmpfs", &options, NOSUID | STRICTATIME | nodev)?)?;
                fill_devices(root, devices)
            }
            Part::Terminals => {
                let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
                mount(files::new_mount("devpts", &options, NOSUID | NOEXEC)?)
            }
            Part::Queues => mount(files::new_mount("mqueue", &[], strict)?),
            Part::System => mount(files::new_mount("sysfs", &[], strict | read_only)?),
            Part::Cgroups => self.put_cgroups(root, path, strict | read_only),
            Part::Tree(tree) => {
                let is_folder = files::kind(&tree)? == FileType::Directory;
                let target = root.make(path, is_folder)?;
                check_proc(path, &tree, &target)?;
                files::place(tree, target)
            }
        }
    }

    fn put_cgroups(&self, root: &Root, path: &Path, flags: MountAttrFlags) -> io::Result<()> {
        let Some(hierarchies) = &self.hierarchies else {
            return files::place(files::new_mount("cgroup2", &[], flags)?, root.make_real(path)?);
        };
        let writable = flags.difference(RDONLY);
        files::place(files::new_mount("tmpfs", &[("mode", "755")], writable)?, root.make_real(path)?)?;
        for hierarchy in hierarchies {
            let options: Vec<(&str, &str)> = hierarchy.split(',').map(|name| (name, "")).collect();
            let folder = path.join(hierarchy);
            files::place(files::new_mount("cgroup", &options, flags)?, root.make(&folder, true)?)?;
            for name in hierarchy.split(',').filter(|name| name != hierarchy) {
                std::os::unix::fs::symlink(hierarchy, path.join(name))?;
            }
        }
        sys::set_mount(root.find(path, OFlags::PATH)?, flags, None, false)
    }

    fn make_working_directory(&self, root: &Root) -> Result<(), String> {
        let path = Path::new(&self.working_directory);
        match root.make(path, true) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("mkdir {}: {}", path.display(), words(&error))),
        }
    }

    /// Hides what a container must not see and keeps it from writing where it must not, of the paths that are `meant`.
    fn protect(
        &self,
        root: &Root,
        covers: &mut impl Iterator<Item = OwnedFd>,
        meant: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        for path in self.read_only_paths.iter().filter(|path| meant(path)) {
            on_existing(root, path, |file| {
                let tree = files::copy_mounts_of(&file, true)?;
                sys::set_mount(&tree, RDONLY, None, true)?;
                files::place(tree, file)
            })?;
        }
        for path in self.masked_paths.iter().filter(|path| meant(path)) {
            on_existing(root, path, |file| {
                let cover = match files::kind(&file)? {
                    FileType::Directory => files::new_mount("tmpfs", &[("size", "0")], RDONLY)?,
                    _ => covers.next().ok_or(Errno::NOENT)?,
                };
                files::place(cover, file)
            })?;
        }
        Ok(())
    }

    fn seal(&self, root: &Root) -> Result<(), String> {
        if !self.read_only {
            return Ok(());
        }
        let sealed = root.find(Path::new("/"), OFlags::PATH).map_err(io::Error::from);
        let sealed = sealed.and_then(|file| sys::set_mount(file, RDONLY, None, false));
        sealed.map_err(|error| format!("cannot make the root read-only: {}", words(&error)))
    }
}

/// Nothing of a user's may stand in `/proc`, from where the kernel and the runtime read and are told things, but `/proc` itself
/// of the node, and files that only inform.
fn check_proc(path: &Path, tree: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let refused =
        |why: &str| Err(io::Error::other(format!("\"{}\" cannot be mounted because it is {why}", path.display())));
    if path == Path::new("/proc") {
        return if files::is_of_proc(tree)? { Ok(()) } else { refused("not of type proc") };
    }
    if files::is_of_proc(target)? && !REPLACEABLE.iter().any(|known| path == Path::new(known)) {
        return refused("inside /proc");
    }
    Ok(())
}

/// Does something with a path that may not be there.
fn on_existing(root: &Root, path: &str, work: impl FnOnce(OwnedFd) -> io::Result<()>) -> Result<(), String> {
    let done = match root.find_real(Path::new(path)) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        found => found.map_err(io::Error::from).and_then(work),
    };
    done.map_err(|error| format!("cannot protect \"{path}\": {}", words(&error)))
}

fn make_private(tree: &OwnedFd) -> io::Result<()> {
    sys::set_mount(tree, MountAttrFlags::empty(), Some(Sharing::Private), true)
}

fn fill_devices(root: &Root, devices: Vec<(PathBuf, OwnedFd)>) -> io::Result<()> {
    for (path, device) in devices {
        files::place(device, root.make(&path, false)?)?;
    }
    for (name, target) in LINKS {
        let link = Path::new("/dev").join(name);
        match std::os::unix::fs::symlink(target, link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The devices below a folder of the node, without terminals and what else is made anew.
fn every_device(folder: &Path) -> Vec<PathBuf> {
    // What cannot be read cannot be handed on either.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in entries {
        use std::os::unix::fs::FileTypeExt;
        let path = entry.path();
        // Not the entry's own type: the node's devices may be mounted on plain files.
        let Ok(kind) = path.symlink_metadata().map(|metadata| metadata.file_type()) else { continue };
        let is_made_anew = ["pts", "shm", "mqueue", "console", "ptmx"].iter().any(|name| entry.file_name() == *name);
        if is_made_anew {
            continue;
        }
        if kind.is_dir() {
            found.extend(every_device(&path));
        } else if kind.is_char_device() || kind.is_block_device() {
            found.push(path);
        }
    }
    found
}

/// Shows a container's terminal at `/dev/console`.
pub fn show_console(terminal: &Terminal) -> Result<(), String> {
    let shown = Root::open().and_then(|root| {
        let tree = files::copy_mounts_of(&terminal.slave, false)?;
        files::place(tree, root.make(Path::new("/dev/console"), false)?)
    });
    shown.map_err(|error| format!("cannot show the terminal at /dev/console: {}", words(&error)))
}
