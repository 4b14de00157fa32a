//! A word that one process of this machine has at a time.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Keeps a word from all other processes that would claim it, whoever they belong to, until it is dropped or its process ends. It
/// is a name among the kernel's abstract sockets, of which every network namespace has its own, as it has its own addresses: no
/// file is left by one that was killed.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "the socket is the claim")] UnixDatagram);

impl Claim {
    /// Claims a word. `AddrInUse` if another has it.
    pub fn of(word: &str) -> io::Result<Self> {
        UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(word)?).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_free_again_when_its_claim_ends() {
        let word = format!("a test of claims in {}", std::process::id());
        let first = Claim::of(&word);
        assert!(first.is_ok());
        assert_eq!(Claim::of(&word).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(Claim::of(&word).is_ok());
    }
}
