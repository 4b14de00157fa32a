//! Control groups of pods and containers: version 2, or the hierarchies of version 1 that limits and figures need.
//!
//! Every path is relative to the node's own cgroup, for example `kubepods/burstable/podUID/CONTAINER`.

use super::devices::{Guard, Rule};
use super::spec::{Resources, Stats};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Controllers of version 1 that are used; containers stay in the node's own cgroup of every other one.
const USED: &[&str] = &["cpu", "cpuacct", "memory", "pids", "hugetlb", "devices"];
/// The cgroup that `coracle init` moves the node's own processes to in version 2.
const INIT: &str = "init";
/// How often processes that fork while they are killed are looked for again.
const ROUNDS: usize = 100;

/// The node's cgroup, where all others are below.
#[derive(Clone, Debug)]
pub enum Cgroups {
    /// Controllers by name; some share a folder.
    One(BTreeMap<String, PathBuf>),
    Two(PathBuf),
}

impl Cgroups {
    /// Looks at what is mounted and where this process is.
    pub fn discover() -> io::Result<Self> {
        let memberships = std::fs::read_to_string("/proc/self/cgroup")?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        parse(&memberships, &mounts).ok_or_else(|| io::Error::other("no cgroup hierarchy is mounted"))
    }

    /// Makes a cgroup and what is above it. No error if it is there.
    pub fn create(&self, path: &str) -> io::Result<()> {
        match self {
            Self::One(_) => self.folders(path).iter().try_for_each(std::fs::create_dir_all),
            Self::Two(root) => {
                let mut folder = root.clone();
                for part in Path::new(path) {
                    hand_on(&folder);
                    folder.push(part);
                    match std::fs::create_dir(&folder) {
                        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }

    /// Sets limits.
    pub fn limit(&self, path: &str, resources: &Resources) -> io::Result<()> {
        match self {
            Self::One(_) => self.limit_one(path, resources),
            Self::Two(root) => limit_two(&root.join(path), resources),
        }
    }

    /// Lets what is in a cgroup open no device but those of the rules. Where version 1 has no devices controller nothing is done.
    pub fn protect(&self, path: &str, guard: &Guard, rules: &[Rule]) -> io::Result<()> {
        match (self, self.folder(path, "devices")) {
            (Self::One(_), Some(folder)) => guard.protect_one(&folder, rules),
            (Self::Two(_), Some(folder)) => guard.protect_two(&folder, rules),
            (_, None) => Ok(()),
        }
    }

    /// A container of version 2 is killed as a whole when it is out of memory (kubelet: singleProcessOOMKill is false).
    pub fn kill_together(&self, path: &str) {
        if let Self::Two(root) = self {
            // Without the file single processes are killed, which is how version 1 is.
            std::fs::write(root.join(path).join("memory.oom.group"), "1").ok();
        }
    }

    /// The files to which a process writes `0` to move itself into the cgroup.
    pub fn entrances(&self, path: &str) -> Vec<PathBuf> {
        self.folders(path).into_iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// Mounted hierarchies of version 1, as the options of a mount; none in version 2.
    pub fn hierarchies(&self) -> Option<Vec<String>> {
        let Self::One(controllers) = self else { return None };
        let mut by_folder: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
        for (name, folder) in controllers {
            by_folder.entry(folder).or_default().push(name);
        }
        Some(by_folder.values().map(|names| names.join(",")).collect())
    }

    /// Kills every process in a cgroup and below it.
    pub fn kill(&self, path: &str) -> io::Result<()> {
        if let Self::Two(root) = self
            && std::fs::write(root.join(path).join("cgroup.kill"), "1").is_ok()
        {
            return Ok(());
        }
        let folders = self.folders(path);
        let Some(folder) = folders.first() else { return Ok(()) };
        for _ in 0..ROUNDS {
            let pids = processes(folder)?;
            if pids.is_empty() {
                break;
            }
            for pid in pids.into_iter().filter_map(Pid::from_raw) {
                // One that ended meanwhile is what is wanted.
                kill_process(pid, Signal::KILL).ok();
            }
        }
        Ok(())
    }

    /// Removes a cgroup with what is below. No error if it is gone.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        self.folders(path).iter().try_for_each(|folder| remove_tree(folder))
    }

    /// How many processes were killed because memory ran out.
    pub fn out_of_memory_kills(&self, path: &str) -> u64 {
        let text = match self {
            Self::One(_) => self.read(path, "memory", "memory.oom_control"),
            Self::Two(root) => read(&root.join(path).join("memory.events")),
        };
        field(&text, "oom_kill")
    }

    /// Figures, without the disk.
    pub fn stats(&self, path: &str) -> Stats {
        let one = |controller: &str, file: &str| self.read(path, controller, file);
        match self {
            Self::One(_) => {
                let memory = one("memory", "memory.stat");
                let usage = number(&one("memory", "memory.usage_in_bytes"));
                Stats {
                    cpu_nanoseconds: number(&one("cpuacct", "cpuacct.usage")),
                    memory_usage_bytes: usage,
                    memory_working_set_bytes: usage.saturating_sub(field(&memory, "total_inactive_file")),
                    memory_rss_bytes: field(&memory, "total_rss"),
                    page_faults: field(&memory, "total_pgfault"),
                    major_page_faults: field(&memory, "total_pgmajfault"),
                    processes: number(&one("pids", "pids.current")),
                    disk_used_bytes: 0,
                }
            }
            Self::Two(root) => {
                let folder = root.join(path);
                let memory = read(&folder.join("memory.stat"));
                let usage = number(&read(&folder.join("memory.current")));
                Stats {
                    cpu_nanoseconds: field(&read(&folder.join("cpu.stat")), "usage_usec") * 1000,
                    memory_usage_bytes: usage,
                    memory_working_set_bytes: usage.saturating_sub(field(&memory, "inactive_file")),
                    memory_rss_bytes: field(&memory, "anon"),
                    page_faults: field(&memory, "pgfault"),
                    major_page_faults: field(&memory, "pgmajfault"),
                    processes: number(&read(&folder.join("pids.current"))),
                    disk_used_bytes: 0,
                }
            }
        }
    }

    /// The folder of a cgroup where a controller of version 1 is, or its only folder.
    pub fn folder(&self, path: &str, controller: &str) -> Option<PathBuf> {
        match self {
            Self::One(controllers) => controllers.get(controller).map(|root| root.join(path)),
            Self::Two(root) => Some(root.join(path)),
        }
    }

    fn folders(&self, path: &str) -> Vec<PathBuf> {
        match self {
            Self::One(controllers) => {
                let mut folders: Vec<PathBuf> = controllers.values().map(|root| root.join(path)).collect();
                folders.dedup();
                folders
            }
            Self::Two(root) => vec![root.join(path)],
        }
    }

    fn read(&self, path: &str, controller: &str, file: &str) -> String {
        self.folder(path, controller).map(|folder| read(&folder.join(file))).unwrap_or_default()
    }

    fn limit_one(&self, path: &str, resources: &Resources) -> io::Result<()> {
        let set = |controller: &str, file: &str, value: String| match self.folder(path, controller) {
            Some(folder) => write(&folder.join(file), &value),
            None => Err(io::Error::new(ErrorKind::Unsupported, format!("no cgroup controller `{controller}`"))),
        };
        if let Some(shares) = resources.cpu_shares {
            set("cpu", "cpu.shares", shares.to_string())?;
        }
        if let Some(period) = resources.cpu_period {
            set("cpu", "cpu.cfs_period_us", period.to_string())?;
        }
        if let Some(quota) = resources.cpu_quota {
            set("cpu", "cpu.cfs_quota_us", quota.to_string())?;
        }
        if let Some(limit) = resources.memory_limit {
            let swap = || set("memory", "memory.memsw.limit_in_bytes", limit.to_string());
            let plain = || set("memory", "memory.limit_in_bytes", limit.to_string());
            // Memory with swap may never be less than memory alone: raising starts with the one, lowering with the other.
            if plain().is_err() {
                without_missing(swap())?;
                plain()?;
            }
            without_missing(swap())?;
        }
        if let Some(limit) = resources.pids_limit {
            set("pids", "pids.max", maximum(limit))?;
        }
        for (size, bytes) in &resources.hugepages {
            without_missing(set("hugetlb", &format!("hugetlb.{size}.limit_in_bytes"), bytes.to_string()))?;
        }
        Ok(())
    }
}

fn limit_two(folder: &Path, resources: &Resources) -> io::Result<()> {
    if let Some(shares) = resources.cpu_shares {
        write(&folder.join("cpu.weight"), &weight(shares).to_string())?;
    }
    if resources.cpu_quota.is_some() || resources.cpu_period.is_some() {
        let quota = resources.cpu_quota.map_or_else(|| "max".to_string(), maximum);
        write(&folder.join("cpu.max"), &format!("{quota} {}", resources.cpu_period.unwrap_or(100_000)))?;
    }
    if let Some(limit) = resources.memory_limit {
        write(&folder.join("memory.max"), &maximum(limit))?;
        without_missing(write(&folder.join("memory.swap.max"), "0"))?;
    }
    if let Some(limit) = resources.pids_limit {
        write(&folder.join("pids.max"), &maximum(limit))?;
    }
    for (size, bytes) in &resources.hugepages {
        without_missing(write(&folder.join(format!("hugetlb.{size}.max")), &bytes.to_string()))?;
    }
    Ok(())
}

/// Shares (2 to 262144) as a weight (1 to 10000), the way runc does it.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn maximum(limit: i64) -> String {
    if limit <= 0 { "max".into() } else { limit.to_string() }
}

/// A limit that this kernel does not count cannot be kept, and is not missed.
fn without_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    // Opened without being made: a file that is not there is a limit that the kernel does not know.
    let mut file = std::fs::File::options().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
        .map_err(|error| io::Error::new(error.kind(), format!("cannot set `{}` to {value}: {error}", path.display())))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number behind a word at the beginning of a line.
fn field(text: &str, name: &str) -> u64 {
    let mut found = text.lines().filter_map(|line| line.split_once(' '));
    found.find(|(key, _)| *key == name).map_or(0, |(_, value)| number(value))
}

/// Hands every controller on to the cgroups below.
fn hand_on(folder: &Path) {
    let control = folder.join("cgroup.subtree_control");
    let (available, given) = (read(&folder.join("cgroup.controllers")), read(&control));
    for controller in available.split_whitespace().filter(|name| !given.split_whitespace().any(|one| one == *name)) {
        // One that cannot be handed on is missed only by limits of that kind, which then say so.
        std::fs::write(&control, format!("+{controller}")).ok();
    }
}

/// The processes of a cgroup and of those below it.
fn processes(folder: &Path) -> io::Result<Vec<i32>> {
    let text = match std::fs::read_to_string(folder.join("cgroup.procs")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for below in children(folder)? {
        found.extend(processes(&below)?);
    }
    Ok(found)
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    // Empty ones, the usual case, go at once.
    match std::fs::remove_dir(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    children(folder)?.iter().try_for_each(|below| remove_tree(below))?;
    std::fs::remove_dir(folder)
}

/// From `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn parse(memberships: &str, mounts: &str) -> Option<Cgroups> {
    let mut controllers = BTreeMap::new();
    let mut unified = None;
    for line in memberships.lines() {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        let Some((point, root)) = mounts.lines().find_map(|mount| hierarchy(mount, names)) else { continue };
        let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path).trim_start_matches('/');
        let folder = Path::new(point).join(below);
        if names.is_empty() {
            unified = Some(folder);
            continue;
        }
        for name in names.split(',').filter(|name| USED.contains(name)) {
            controllers.insert(name.to_string(), folder.clone());
        }
    }
    if !controllers.is_empty() {
        return Some(Cgroups::One(controllers));
    }
    let folder = unified?;
    let is_init = folder.file_name().is_some_and(|name| name == INIT);
    Some(Cgroups::Two(if is_init { folder.parent()?.to_path_buf() } else { folder }))
}

/// Mount point and root of a line of `mountinfo` if it is the hierarchy of `controllers` (none: version 2).
fn hierarchy<'a>(line: &'a str, controllers: &str) -> Option<(&'a str, &'a str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    let is_it = match controllers {
        "" => kind == "cgroup2",
        list => kind == "cgroup" && list.split(',').all(|one| options.split(',').any(|option| option == one)),
    };
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next()?, left.next()?);
    is_it.then_some((point, root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_version_one_are_found_below_the_nodes_own_cgroup() {
        let mounts = "30 25 0:26 /docker/x /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let found = parse("3:cpu,cpuacct:/docker/x/y\n2:memory:/\n0::/\n", mounts).unwrap();
        assert_eq!(found.folder("pod", "cpu"), Some("/sys/fs/cgroup/cpu,cpuacct/y/pod".into()));
        assert_eq!(found.folder("pod", "memory"), Some("/sys/fs/cgroup/memory/pod".into()));
        assert_eq!(found.hierarchies().unwrap(), ["cpu,cpuacct", "memory"]);
        assert_eq!(found.entrances("p").len(), 2);
    }

    #[test]
    fn version_two_is_found_above_the_leaf_of_init() {
        let mounts = "32 25 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let found = parse("0::/init\n", mounts).unwrap();
        assert_eq!(found.folder("pod", ""), Some("/sys/fs/cgroup/pod".into()));
        assert_eq!(found.hierarchies(), None);
    }

    #[test]
    fn shares_become_weights_as_runc_counts_them() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 39, 10_000]);
    }

    #[test]
    fn limits_of_version_two_are_written_in_its_words() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["cpu.weight", "cpu.max", "memory.max", "pids.max"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let resources = Resources {
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory_limit: Some(64 << 20),
            pids_limit: Some(-1),
            ..Resources::default()
        };
        limit_two(folder.path(), &resources).unwrap();
        let text = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!((text("cpu.weight"), text("cpu.max")), ("39".into(), "50000 100000".into()));
        assert_eq!((text("memory.max"), text("pids.max")), ("67108864".into(), "max".into()));
    }

    #[test]
    fn kills_by_lack_of_memory_are_read_from_either_version() {
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "oom_kill"), 2);
        assert_eq!(field("low 0\nmax 3\noom 1\noom_kill 1\n", "oom_kill"), 1);
    }
}
