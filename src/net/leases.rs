//! Which address belongs to which sandbox: one small file per address, so that a restart of server or node forgets none.

use super::Error;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u32,
    pub prefix: u8,
}

impl Network {
    /// Reads `10.244.0.0/16`.
    pub fn parse(cidr: &str) -> Result<Self, Error> {
        let bad = || Error::BadNetwork(cidr.into());
        let (base, prefix) = cidr.split_once('/').ok_or_else(bad)?;
        let (base, prefix): (Ipv4Addr, u8) = (base.parse().map_err(|_| bad())?, prefix.parse().map_err(|_| bad())?);
        if !(8..=29).contains(&prefix) {
            return Err(bad());
        }
        Ok(Self { base: u32::from(base) & (u32::MAX << (32 - prefix)), prefix })
    }

    /// The first address: the bridge's own, every pod's gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// How many addresses pods can have: all but the network's, the gateway's and the last.
    fn room(&self) -> u32 {
        (1 << (32 - self.prefix)) - 3
    }

    fn address(&self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 2 + index % self.room())
    }
}

/// The leases of one network.
pub struct Leases {
    folder: PathBuf,
    network: Network,
    by_sandbox: BTreeMap<String, Ipv4Addr>,
    /// Where to look next: an address that was just given back rests for as long as possible.
    next: u32,
}

impl Leases {
    /// The leases in `folder`.
    pub fn open(folder: &Path, network: Network) -> Result<Self, Error> {
        let unreadable = || Error::io(format!("cannot read {}", folder.display()));
        std::fs::create_dir_all(folder).map_err(unreadable())?;
        let mut by_sandbox = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable())? {
            let path = entry.map_err(unreadable())?.path();
            let address = path.file_name().and_then(|name| name.to_str()?.parse::<Ipv4Addr>().ok());
            let sandbox = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some(address) = address.filter(|_| !sandbox.is_empty()) {
                by_sandbox.insert(sandbox, address);
            }
        }
        let highest = by_sandbox.values().map(|address| u32::from(*address)).max().unwrap_or(network.base + 1);
        Ok(Self { folder: folder.into(), network, by_sandbox, next: highest.saturating_sub(network.base + 1) })
    }

    /// The sandbox's address; the one that it has, or a free one.
    pub fn take(&mut self, sandbox: &str) -> Result<Ipv4Addr, Error> {
        if let Some(address) = self.by_sandbox.get(sandbox) {
            return Ok(*address);
        }
        let taken: std::collections::BTreeSet<Ipv4Addr> = self.by_sandbox.values().copied().collect();
        let candidates = (0..self.network.room()).map(|step| self.network.address(self.next.wrapping_add(step)));
        let free = candidates.into_iter().find(|address| !taken.contains(address));
        let full = || Error::Full(format!("{}/{}", Ipv4Addr::from(self.network.base), self.network.prefix));
        let address = free.ok_or_else(full)?;
        let path = self.folder.join(address.to_string());
        let write = || std::fs::File::create(&path)?.write_all(sandbox.as_bytes());
        write().map_err(Error::io(format!("cannot write {}", path.display())))?;
        self.next = u32::from(address) - self.network.base - 1;
        self.by_sandbox.insert(sandbox.into(), address);
        Ok(address)
    }

    /// Who has which address.
    pub fn all(&self) -> impl Iterator<Item = (&String, Ipv4Addr)> {
        self.by_sandbox.iter().map(|(sandbox, address)| (sandbox, *address))
    }

    /// The sandbox's address, if it has one.
    pub fn of(&self, sandbox: &str) -> Option<Ipv4Addr> {
        self.by_sandbox.get(sandbox).copied()
    }

    /// Gives the sandbox's address back. No error if it has none.
    pub fn release(&mut self, sandbox: &str) {
        if let Some(address) = self.by_sandbox.remove(sandbox) {
            // A file that stays costs one address until the node is deleted.
            std::fs::remove_file(self.folder.join(address.to_string())).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_keeps_its_address_over_a_restart_until_it_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::parse("10.244.0.0/16").unwrap();
        let mut leases = Leases::open(folder.path(), network).unwrap();
        let (a, b) = (leases.take("a").unwrap(), leases.take("b").unwrap());
        assert_eq!((a.to_string(), b.to_string()), ("10.244.0.2".into(), "10.244.0.3".into()));
        let mut again = Leases::open(folder.path(), network).unwrap();
        assert_eq!(again.take("a").unwrap(), a);
        again.release("a");
        assert_eq!(again.take("c").unwrap().to_string(), "10.244.0.4", "an address that was given back rests");
    }

    #[test]
    fn a_full_network_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut leases = Leases::open(folder.path(), Network::parse("10.0.0.0/29").unwrap()).unwrap();
        for name in ["a", "b", "c", "d", "e"] {
            leases.take(name).unwrap();
        }
        assert!(matches!(leases.take("f"), Err(Error::Full(_))));
        leases.release("c");
        assert_eq!(leases.take("f").unwrap().to_string(), "10.0.0.4");
    }

    #[test]
    fn nonsense_is_no_network() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "x/16"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}
