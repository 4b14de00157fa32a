//! Names of capabilities and signals, as specifications write them.

use rustix::thread::CapabilitySet;

/// The kernel's number of the highest capability that has a name here.
const LAST: u32 = 40;
/// Names of signals; more than one where architectures agree on two.
const SIGNALS: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// Every capability that this process has to give.
pub fn all() -> CapabilitySet {
    let own = rustix::thread::capabilities(None).map(|sets| sets.permitted);
    own.unwrap_or_else(|_| CapabilitySet::from_bits_retain((1 << (LAST + 1)) - 1))
}

/// The set of some names, with or without `CAP_`.
pub fn set(names: &[String]) -> Result<CapabilitySet, String> {
    names.iter().try_fold(CapabilitySet::empty(), |set, name| {
        let plain = name.to_uppercase();
        let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
        let one = CapabilitySet::from_name(plain).ok_or_else(|| format!("unknown capability \"CAP_{plain}\""))?;
        Ok(set | one)
    })
}

/// The number of a signal: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`, `RTMAX-1`.
pub fn signal(name: &str) -> Result<i32, String> {
    let invalid = || format!("invalid signal: {name}");
    let plain = name.trim().to_uppercase();
    if let Ok(number) = plain.parse() {
        return if (1..=libc::SIGRTMAX()).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let plain = plain.strip_prefix("SIG").unwrap_or(&plain);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == plain) {
        return Ok(*number);
    }
    // The kernel's range, as runc counts it: libc keeps the first two for itself.
    let (base, offset) = match (plain.strip_prefix("RTMIN"), plain.strip_prefix("RTMAX")) {
        (Some(offset), _) => (34, offset),
        (_, Some(offset)) => (libc::SIGRTMAX(), offset),
        _ => return Err(invalid()),
    };
    let offset: i32 = if offset.is_empty() { 0 } else { offset.parse().map_err(|_| invalid())? };
    let number = base.checked_add(offset).ok_or_else(invalid)?;
    if (34..=libc::SIGRTMAX()).contains(&number) { Ok(number) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(["SIGTERM", "term", "15"].map(signal), [Ok(15), Ok(15), Ok(15)]);
        assert_eq!(["SIGRTMIN+3", "RTMAX-1", "SIGRTMIN"].map(signal), [Ok(37), Ok(63), Ok(34)]);
        for bad in ["", "SIGNOTHING", "0", "65", "RTMIN+99", "RTMIN+x"] {
            assert_eq!(signal(bad), Err(format!("invalid signal: {bad}")));
        }
    }

    #[test]
    fn capabilities_have_names_with_or_without_prefix() {
        let names = ["NET_ADMIN".to_string(), "cap_chown".to_string()];
        assert_eq!(set(&names), Ok(CapabilitySet::NET_ADMIN | CapabilitySet::CHOWN));
        assert!(set(&["FLY".to_string()]).is_err());
    }
}
