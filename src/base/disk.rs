//! What folders take on disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that everything below a folder takes; links are not followed. What cannot be read, or went away meanwhile, counts
/// as nothing.
pub fn used(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        let below = if metadata.is_dir() { used(&entry.path()) } else { 0 };
        Some(metadata.blocks() * 512 + below)
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_at_every_depth_count_and_what_links_lead_to_does_not() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join("big"), vec![1; 1 << 20]).unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/c"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        let used = used(folder.path());
        assert!((100_000..500_000).contains(&used), "{used}");
        assert_eq!(super::used(&folder.path().join("missing")), 0);
    }
}
