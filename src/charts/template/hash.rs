//! Hashing of the short names that templates and functions have (FNV-1a). They come with the chart: nobody gains by making
//! them collide.

use std::hash::{BuildHasherDefault, Hasher};

/// A map by names.
pub type Names<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// The hasher of [`Names`].
pub struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        NameHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
