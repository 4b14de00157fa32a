//! The capabilities of a node, by name: what it needs itself, and what it hands on to pods that ask.

/// How much a capability matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// No node without it.
    Node,
    /// Only pods that ask for it miss it.
    Pods,
}

/// Names, the kernel's numbers (`linux/capability.h`), and needs. What changes the machine below the engine (modules, raw
/// I/O, the clock, reboot, the rules of security modules) is not asked for.
const TABLE: &[(&str, u8, Need)] = &[
    ("CHOWN", 0, Need::Node),
    ("DAC_OVERRIDE", 1, Need::Node),
    ("DAC_READ_SEARCH", 2, Need::Pods),
    ("FOWNER", 3, Need::Node),
    ("FSETID", 4, Need::Node),
    ("KILL", 5, Need::Node),
    ("SETGID", 6, Need::Node),
    ("SETUID", 7, Need::Node),
    ("SETPCAP", 8, Need::Node),
    ("LINUX_IMMUTABLE", 9, Need::Pods),
    ("NET_BIND_SERVICE", 10, Need::Node),
    ("NET_BROADCAST", 11, Need::Pods),
    ("NET_ADMIN", 12, Need::Node),
    ("NET_RAW", 13, Need::Pods),
    ("IPC_LOCK", 14, Need::Pods),
    ("IPC_OWNER", 15, Need::Pods),
    ("SYS_CHROOT", 18, Need::Node),
    ("SYS_PTRACE", 19, Need::Node),
    ("SYS_ADMIN", 21, Need::Node),
    ("SYS_NICE", 23, Need::Pods),
    ("SYS_RESOURCE", 24, Need::Pods),
    ("SYS_TTY_CONFIG", 26, Need::Pods),
    ("MKNOD", 27, Need::Node),
    ("LEASE", 28, Need::Pods),
    ("AUDIT_WRITE", 29, Need::Pods),
    ("SETFCAP", 31, Need::Node),
    ("SYSLOG", 34, Need::Pods),
    ("PERFMON", 38, Need::Pods),
    ("BPF", 39, Need::Pods),
];

/// What to ask an engine for, and what it lacks.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub names: Vec<&'static str>,
    /// Needed by the node itself, and not to be had.
    pub lacking: Vec<&'static str>,
    /// Missed only by pods that ask for them.
    pub missed: Vec<&'static str>,
}

/// Splits the table by what an engine has: the kernel's bits, or all where they cannot be seen.
pub fn ask(engine: Option<u64>) -> Asked {
    let has = |bit: u8| engine.is_none_or(|bits| bits >> bit & 1 == 1);
    let pick = |wanted: &dyn Fn(u8, Need) -> bool| {
        TABLE.iter().filter(|(_, bit, need)| wanted(*bit, *need)).map(|(name, _, _)| *name).collect()
    };
    Asked {
        names: pick(&|bit, _| has(bit)),
        lacking: pick(&|bit, need| !has(bit) && need == Need::Node),
        missed: pick(&|bit, need| !has(bit) && need == Need::Pods),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_asked_only_for_what_it_has() {
        let all = ask(None);
        assert!(all.names.contains(&"SYS_RESOURCE") && all.lacking.is_empty() && all.missed.is_empty());
        let without_resource = ask(Some(!(1 << 24)));
        assert_eq!(without_resource.missed, ["SYS_RESOURCE"]);
        assert!(!without_resource.names.contains(&"SYS_RESOURCE"));
        assert_eq!(ask(Some(!(1 << 21))).lacking, ["SYS_ADMIN"]);
    }
}
