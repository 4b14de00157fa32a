//! Files between a node and the outside, as a tar stream with one item: `coracle cp` runs the other half of this in the node.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The name of the item in the stream.
const ITEM: &str = "item";

/// Writes a file or folder as a stream.
pub fn pack(source: &Path, out: impl Write) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", source.display()));
    let metadata = std::fs::metadata(source).map_err(named)?;
    let mut archive = tar::Builder::new(out);
    match metadata.is_dir() {
        true => archive.append_dir_all(ITEM, source).map_err(named)?,
        false => archive.append_path_with_name(source, ITEM).map_err(named)?,
    }
    archive.into_inner()?.flush()
}

/// Puts what a stream holds at `target`; into it, under `name`, if it is a folder or ends with a slash.
pub fn unpack(input: impl Read, target: &Path, name: &str) -> io::Result<()> {
    let place = place(target, name);
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut archive = tar::Archive::new(input);
    archive.set_preserve_permissions(true);
    let mut is_empty = true;
    for entry in archive.entries()? {
        let mut entry = entry?;
        is_empty = false;
        let path = entry.path()?.into_owned();
        let below = path.strip_prefix(ITEM).map_err(io::Error::other)?;
        if below.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(io::Error::other(format!("{} leads out of the copy", below.display())));
        }
        let at = if below.as_os_str().is_empty() { place.clone() } else { place.join(below) };
        entry.unpack(&at)?;
    }
    if is_empty { Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was sent")) } else { Ok(()) }
}

fn place(target: &Path, name: &str) -> PathBuf {
    let is_folder = target.is_dir() || target.as_os_str().as_encoded_bytes().ends_with(b"/");
    if is_folder { target.join(name) } else { target.to_path_buf() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(source: &Path) -> Vec<u8> {
        let mut stream = Vec::new();
        pack(source, &mut stream).unwrap();
        stream
    }

    #[test]
    fn a_file_gets_the_name_that_was_asked_for_or_goes_into_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a.txt");
        std::fs::write(&source, "hello").unwrap();
        let (renamed, inside) = (folder.path().join("new/deep/b.txt"), folder.path().join("inside"));
        unpack(&sent(&source)[..], &renamed, "a.txt").unwrap();
        std::fs::create_dir(&inside).unwrap();
        unpack(&sent(&source)[..], &inside, "a.txt").unwrap();
        assert_eq!(std::fs::read_to_string(renamed).unwrap(), "hello");
        assert_eq!(std::fs::read_to_string(inside.join("a.txt")).unwrap(), "hello");
    }

    #[test]
    fn a_folder_is_copied_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("from/sub")).unwrap();
        std::fs::write(folder.path().join("from/sub/x"), "1").unwrap();
        unpack(&sent(&folder.path().join("from"))[..], &folder.path().join("to"), "from").unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("to/sub/x")).unwrap(), "1");
    }

    #[test]
    fn nothing_at_all_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(unpack(io::empty(), &folder.path().join("x"), "x").is_err());
        assert!(pack(&folder.path().join("missing"), io::sink()).is_err());
    }
}
