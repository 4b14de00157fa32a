//! Bytes and packets of the links in a network namespace, from `/proc/PID/net/dev`.

use std::path::Path;

/// One link's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_errors: u64,
    pub received_dropped: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_errors: u64,
    pub sent_dropped: u64,
}

/// The links of a process's namespace, without the loopback; nothing once the process has ended.
pub fn of_process(pid: u32) -> Vec<Link> {
    let path = Path::new("/proc").join(pid.to_string()).join("net/dev");
    links(&std::fs::read_to_string(path).unwrap_or_default())
}

/// The links of the node that lead out of it: not those of pods.
pub fn of_node() -> Vec<Link> {
    let all = links(&std::fs::read_to_string("/proc/net/dev").unwrap_or_default());
    all.into_iter().filter(|link| !link.name.starts_with("veth")).collect()
}

fn links(text: &str) -> Vec<Link> {
    text.lines().filter_map(link).filter(|link| link.name != "lo").collect()
}

fn link(line: &str) -> Option<Link> {
    let (name, figures) = line.split_once(':')?;
    let figures: Vec<u64> = figures.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let at = |index: usize| figures.get(index).copied().unwrap_or(0);
    Some(Link {
        name: name.trim().into(),
        received_bytes: at(0),
        received_packets: at(1),
        received_errors: at(2),
        received_dropped: at(3),
        sent_bytes: at(8),
        sent_packets: at(9),
        sent_errors: at(10),
        sent_dropped: at(11),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_but_for_the_loopback() {
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n\
                    \x20 eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        let expected = Link {
            name: "eth0".into(),
            received_bytes: 1,
            received_packets: 2,
            received_errors: 3,
            received_dropped: 4,
            sent_bytes: 5,
            sent_packets: 6,
            sent_errors: 7,
            sent_dropped: 8,
        };
        assert_eq!(links(text), [expected]);
    }
}
