//! Ranges of addresses: who is let in.

use std::net::IpAddr;

/// Networks, such as `10.0.0.0/24,172.10.0.1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(IpAddr, u8)>);

impl Ranges {
    /// Reads a list with commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| range(part).ok_or_else(|| format!("`{part}` is no network")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an address is in one of them.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(network, length)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn range(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address.parse::<IpAddr>().ok()?, Some(length.parse::<u8>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(most);
    (length <= most).then_some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_the_networks_that_hold_them() {
        let ranges = Ranges::parse("10.0.0.0/24, 172.10.0.1,fd00::/8").unwrap();
        for (address, expected) in [
            ("10.0.0.7", true),
            ("10.0.1.7", false),
            ("172.10.0.1", true),
            ("172.10.0.2", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("::ffff:10.0.0.9", true),
        ] {
            assert_eq!(ranges.hold(address.parse().unwrap()), expected, "{address}");
        }
        assert!(Ranges::parse("0.0.0.0/0").unwrap().hold("8.8.8.8".parse().unwrap()));
        for wrong in ["10.0.0.0/33", "somewhere", "10.0.0.0/x"] {
            assert!(Ranges::parse(wrong).is_err(), "{wrong}");
        }
    }
}
