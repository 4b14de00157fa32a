//! Limits of a node's processes, which are not those of the shell that `start` was typed into.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

/// Open files that a process of a node may have, as engines give them to their containers.
pub const FILES: u64 = 1 << 20;

/// The most open files that may be asked for: the kernel has a limit of its own.
pub fn most_files() -> u64 {
    let kernel = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    kernel.unwrap_or(FILES).min(FILES)
}

/// Gives this process, and those that it starts, the limits and the priority of a node's. Where the kernel refuses that,
/// because this process has not all rights of root, it has the most that it may have.
pub fn lift() {
    let files = most_files();
    raise(Resource::Nofile, Some(files));
    raise(Resource::Nproc, None);
    setpriority_process(None, 0).ok();
}

/// Raises a limit to `most`, or takes it away.
fn raise(resource: Resource, most: Option<u64>) {
    if setrlimit(resource, Rlimit { current: most, maximum: most }).is_ok() {
        return;
    }
    let maximum = getrlimit(resource).maximum;
    let current = match (most, maximum) {
        (Some(most), Some(maximum)) => Some(most.min(maximum)),
        (most, maximum) => most.or(maximum),
    };
    setrlimit(resource, Rlimit { current, maximum }).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_gets_what_the_kernel_lets_it_have() {
        lift();
        let limit = getrlimit(Resource::Nofile);
        assert!(limit.current.is_some_and(|current| current <= FILES) && limit.current <= limit.maximum);
    }
}
