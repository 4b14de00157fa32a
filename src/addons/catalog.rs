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
    /// A text field of `addon.toml`, or nothing.
    pub fn field(&self, name: &str) -> &'static str {
        let value = |line: &'static str| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().trim_matches('"'))
        };
        self.description.lines().find_map(value).unwrap_or_default()
    }

    /// Names of the images in its manifests.
    pub fn images(&self) -> Vec<&'static str> {
        let lines = self.manifests.iter().flat_map(|(_, text)| text.lines());
        let image = |line: &'static str| Some(line.trim().trim_start_matches("- ").strip_prefix("image:")?.trim());
        let mut images: Vec<&str> = lines.filter_map(image).map(|image| image.trim_matches(['"', '\''])).collect();
        images.sort_unstable();
        images.dedup();
        images
    }

    /// Whether it is on unless it was switched off.
    pub fn is_default(&self) -> bool {
        self.description.lines().any(|line| line.replace(' ', "") == "default=true")
    }
}

/// The word for an image of an addon: the last part of its name, without tag and digest.
pub fn key(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split([':', '@']).next().unwrap_or(last)
}

/// An image's name with another registry; one that names none has Docker Hub's, as a client of it has.
pub fn at_registry(image: &str, registry: &str) -> String {
    let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let rest = match image.split_once('/') {
        Some((first, rest)) if is_registry(first) => rest,
        _ => image,
    };
    format!("{}/{rest}", registry.trim_end_matches('/'))
}

/// The addon of that name.
pub fn find(name: &str) -> Option<&'static Addon> {
    CATALOG.iter().find(|addon| addon.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_words_and_move_to_other_registries() {
        assert_eq!(key("registry.k8s.io/sig/web-server:v1@sha256:ab"), "web-server");
        assert_eq!(at_registry("registry.k8s.io/sig/web:v1", "localhost:5000"), "localhost:5000/sig/web:v1");
        assert_eq!(at_registry("library/web:v1", "fake.domain/"), "fake.domain/library/web:v1");
    }

    #[test]
    fn the_catalog_has_what_every_cluster_needs() {
        for name in ["dns", "default-storageclass"] {
            assert!(find(name).is_some_and(Addon::is_default), "{name}");
        }
    }
}
