//! Folders, files and devices of the node as volumes. Source: kubelet `pkg/volume/hostpath/host_path.go`.

use super::Place;
use k8s_openapi::api::core::v1::HostPathVolumeSource;
use std::fs::{FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The path, of the type that was asked for; made if the type says so.
pub fn place(source: &HostPathVolumeSource) -> Result<Place, String> {
    let path = PathBuf::from(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    check(&path, kind).map_err(|why| format!("hostPath type check failed: {why}"))?;
    Ok(Place::folder(path, false))
}

fn check(path: &Path, kind: &str) -> Result<(), String> {
    let shown = path.display();
    let made = match kind {
        // A container runtime makes what is missing.
        "" if !path.exists() => std::fs::create_dir_all(path),
        "DirectoryOrCreate" if !path.exists() => make_folder(path),
        "FileOrCreate" if !path.exists() => make_file(path),
        _ => Ok(()),
    };
    made.map_err(|error| format!("{shown}: {error}"))?;
    let is = |wanted: fn(&FileType) -> bool| std::fs::metadata(path).is_ok_and(|found| wanted(&found.file_type()));
    let (fits, what) = match kind {
        "" => (true, ""),
        "Directory" | "DirectoryOrCreate" => (is(FileType::is_dir), "directory"),
        "File" | "FileOrCreate" => (is(FileType::is_file), "file"),
        "Socket" => (is(FileType::is_socket), "socket file"),
        "CharDevice" => (is(FileType::is_char_device), "character device"),
        "BlockDevice" => (is(FileType::is_block_device), "block device"),
        other => return Err(format!("{other} is an invalid volume type")),
    };
    if fits { Ok(()) } else { Err(format!("{shown} is not a {what}")) }
}

fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn make_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o644).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(check(&at("a"), "Directory").unwrap_err(), format!("{} is not a directory", at("a").display()));
        check(&at("a"), "DirectoryOrCreate").unwrap();
        check(&at("a"), "Directory").unwrap();
        check(&at("b"), "FileOrCreate").unwrap();
        check(&at("b"), "File").unwrap();
        assert!(check(&at("b"), "Socket").unwrap_err().ends_with("is not a socket file"));
        assert!(check(Path::new("/dev/null"), "CharDevice").is_ok());
        assert!(check(&at("c/d"), "").is_ok() && at("c/d").is_dir());
    }
}
