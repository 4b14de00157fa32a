//! What the machine is: processors, memory, disk, kernel. Read from `/proc`, `/sys` and the node's cgroup.

use std::path::Path;

/// What a node offers and what it is called by its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes of the file system that holds pods and images.
    pub disk: u64,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
    /// As Go names it: `amd64`, `arm64`.
    pub architecture: &'static str,
    /// Whether processes may be given a lower oom score than the node's own.
    pub may_lower_oom_score: bool,
}

/// `CAP_SYS_RESOURCE` in `/proc/self/status`.
const SYS_RESOURCE: u64 = 24;

impl Machine {
    /// Looks at the machine; `folder` is on the file system whose size counts.
    pub fn look(folder: &Path) -> Self {
        let status = text("/proc/self/status");
        let effective = field(&status, "CapEff:").and_then(|mask| u64::from_str_radix(&mask, 16).ok()).unwrap_or(0);
        let ids = ["/etc/machine-id", "/var/lib/dbus/machine-id"].map(|path| text(path).trim().to_string());
        Self {
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            memory: memory_limit().map_or_else(total_memory, |limit| limit.min(total_memory())),
            disk: disk_size(folder),
            machine_id: ids.into_iter().find(|id| !id.is_empty()).unwrap_or_default(),
            system_uuid: text("/sys/class/dmi/id/product_uuid").trim().to_string(),
            boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_string(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            os_image: os_image(),
            architecture: architecture(),
            may_lower_oom_score: effective & (1 << SYS_RESOURCE) != 0,
        }
    }

    /// The same machine with ids where it has none, as most containers: the node gives itself some, and keeps them in its folder.
    pub fn known_in(mut self, folder: &Path) -> Self {
        if self.machine_id.is_empty() {
            self.machine_id = own_id(&folder.join("machine-id"));
        }
        if self.system_uuid.is_empty() {
            let id = uuid::Uuid::try_parse(&self.machine_id);
            self.system_uuid = id.map(|id| id.hyphenated().to_string()).unwrap_or_default();
        }
        self
    }
}

/// The id in a file, which is made if need be.
fn own_id(file: &Path) -> String {
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    if !kept.trim().is_empty() {
        return kept.trim().to_string();
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(error) = folder.and_then(|()| std::fs::write(file, &id)) {
        tracing::warn!(%error, "the node's machine id is not kept");
    }
    id
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_string())
}

fn total_memory() -> u64 {
    let kilobytes = field(&text("/proc/meminfo"), "MemTotal:");
    kilobytes.and_then(|value| value.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The limit of the cgroup that the node runs in, if it has one.
fn memory_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| text(path).trim().parse().ok())
}

fn disk_size(folder: &Path) -> u64 {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    rustix::fs::statvfs(existing).map_or(0, |stat| stat.f_blocks * stat.f_frsize)
}

fn os_image() -> String {
    let name = field(&text("/etc/os-release"), "PRETTY_NAME=").map(|name| name.trim_matches('"').to_string());
    name.unwrap_or_else(|| "Coracle".to_string())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_processors_memory_and_disk() {
        let machine = Machine::look(Path::new("/var/lib/nothing/here"));
        assert!(machine.cpus > 0 && machine.memory > 1 << 20 && machine.disk > 1 << 20, "{machine:?}");
        assert!(!machine.kernel.is_empty());
    }

    #[test]
    fn a_machine_without_ids_is_given_some_that_stay() {
        let folder = tempfile::tempdir().unwrap();
        let nameless =
            Machine { machine_id: String::new(), system_uuid: String::new(), ..Machine::look(folder.path()) };
        let known = nameless.clone().known_in(&folder.path().join("kubelet"));
        assert_eq!((known.machine_id.len(), known.system_uuid.len()), (32, 36));
        assert_eq!(known, nameless.known_in(&folder.path().join("kubelet")));
    }
}
