//! What is in folders, and what it takes on disk.

use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is in a folder, by name; nothing where there is no such folder.
pub fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = entries.collect::<io::Result<Vec<_>>>()?;
    found.sort_by_key(DirEntry::file_name);
    Ok(found)
}

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
    fn a_folder_that_is_not_there_has_nothing_in_it_and_a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b");
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let names: Vec<_> = entries(folder.path()).unwrap().iter().map(DirEntry::file_name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(entries(&folder.path().join("missing")).unwrap().is_empty());
        assert!(entries(&file).is_err());
    }

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
