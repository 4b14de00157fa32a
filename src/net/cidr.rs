//! Networks in CIDR notation, of either family.

use super::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: `10.244.0.0/16`, `fd00::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The network's address: all bits behind the prefix are zero.
    pub base: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    /// Reads `10.244.0.0/16`; bits behind the prefix are dropped.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = || Error::BadNetwork(text.into());
        let (base, prefix) = text.trim().split_once('/').ok_or_else(bad)?;
        let (base, prefix): (IpAddr, u8) = (base.parse().map_err(|_| bad())?, prefix.parse().map_err(|_| bad())?);
        if u32::from(prefix) > bits(base) {
            return Err(bad());
        }
        Ok(Self { base: masked(base, prefix), prefix })
    }

    /// The network of this prefix length that an address is in.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        Self { base: masked(address, prefix), prefix }
    }

    /// The bytes that an address of the family is compared under.
    pub fn mask(&self) -> Vec<u8> {
        match self.base {
            IpAddr::V4(_) => mask4(self.prefix).to_be_bytes().to_vec(),
            IpAddr::V6(_) => mask6(self.prefix).to_be_bytes().to_vec(),
        }
    }
}

/// The bytes of an address, in network order.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & mask4(prefix)).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & mask6(prefix)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    #[test]
    fn a_network_knows_its_base_and_mask() {
        assert_eq!(cidr("10.244.7.9/16").base.to_string(), "10.244.0.0");
        assert_eq!(cidr("10.244.7.9/16").mask(), [255, 255, 0, 0]);
        assert_eq!(cidr("0.0.0.0/0").mask(), [0; 4]);
        assert_eq!(cidr("fd12::1/8").base.to_string(), "fd00::");
    }

    #[test]
    fn nonsense_is_no_network() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "x/16", "1.2.3.4/-1"] {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
    }
}
