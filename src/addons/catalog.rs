//! The built-in addons, embedded in the executable by the build script from the folders of `addons/`.

/// One addon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addon {
    /// The folder's name.
    pub name: &'static str,
    /// The text of `addon.toml`.
    pub description: &'static str,
    /// File names and texts of the manifests, in the order of their names.
    pub manifests: &'static [(&'static str, &'static str)],
}

/// Every built-in addon, by name.
pub static CATALOG: &[Addon] = include!(concat!(env!("OUT_DIR"), "/addons.rs"));

impl Addon {
    /// Whether it is on unless it was switched off.
    pub fn is_default(&self) -> bool {
        self.description.lines().any(|line| line.replace(' ', "") == "default=true")
    }
}

/// The addon of that name.
pub fn find(name: &str) -> Option<&'static Addon> {
    CATALOG.iter().find(|addon| addon.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_has_what_every_cluster_needs() {
        for name in ["dns", "default-storageclass"] {
            assert!(find(name).is_some_and(Addon::is_default), "{name}");
        }
    }
}
