//! A node's own `/etc`, whatever made the node: written at every start, because the machine's resolvers may have changed.

use crate::base::disk;
use crate::config::{NodePaths, Profile};
use std::io;
use std::path::{Path, PathBuf};

/// Where a node has programs of its own, as links to the executable. Commands find them first: those of the machine would look
/// for a systemd, a `sudoers` and a runtime's socket that no node has.
pub const STAND_INS: &str = "/opt/coracle/bin";
/// Their names.
const PROGRAMS: &[&str] = &["sudo", "systemctl", "crictl"];

/// A path to look for programs on, with the stand-ins before everything else.
pub fn with_stand_ins(path: &str) -> String {
    if path.is_empty() { STAND_INS.into() } else { format!("{STAND_INS}:{path}") }
}

/// Folders of a node over which those of its machine stand, read-only: the programs that `coracle ssh` finds there.
pub const OF_MACHINE: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "etc/ssl"];

/// Where programs look for resolvers; a link to the file that changes.
pub const RESOLV_CONF: &str = "resolv.conf";

/// Writes the files below `root`.
pub fn write(root: &Path, profile: &Profile, resolvers: &str) -> io::Result<()> {
    let etc = root.join("etc");
    let network = &profile.network;
    let hosts = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost\n{}\t{}\n{}\thost.coracle.internal\n",
        network.node_address, profile.name, network.host_address
    );
    let files = [
        ("hostname", format!("{}\n", profile.name)),
        ("hosts", hosts),
        ("passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n".into()),
        ("group", "root:x:0:\nnogroup:x:65534:\n".into()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".into()),
    ];
    for (name, text) in files {
        crate::base::atomic::write(&etc.join(name), text.as_bytes(), 0o644)?;
    }
    let programs = root.join(STAND_INS.trim_start_matches('/'));
    std::fs::create_dir_all(&programs)?;
    for name in PROGRAMS {
        link(&programs.join(name), Path::new("/coracle"))?;
    }
    let folder = NodePaths::new(root).resolvers();
    std::fs::create_dir_all(&folder)?;
    crate::base::atomic::write(&folder.join(RESOLV_CONF), resolvers.as_bytes(), 0o644)?;
    link(&etc.join(RESOLV_CONF), Path::new("coracle/resolvers").join(RESOLV_CONF).as_path())?;
    let profile_json = serde_json::to_vec_pretty(profile)?;
    crate::base::atomic::write(&etc.join("coracle/profile.json"), &profile_json, 0o600)
}

/// A link in place of whatever is at `path`.
fn link(path: &Path, target: &Path) -> io::Result<()> {
    if std::fs::read_link(path).is_ok_and(|there| there == target) {
        return Ok(());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, path)
}

/// Whether a path, relative to the root of a node, is hidden there by a folder of the machine's.
pub fn is_hidden(path: &Path) -> bool {
    OF_MACHINE.iter().any(|folder| path.starts_with(folder))
}

/// The user's files for nodes that no node can have, because a folder of the machine's stands there.
pub fn hidden(files: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in OF_MACHINE {
        gather(&files.join(folder), &mut found)?;
    }
    Ok(found)
}

/// Everything below `path` that is no folder, or `path` itself.
fn gather(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            for entry in disk::entries(path)? {
                gather(&entry.path(), found)?;
            }
        }
        Ok(_) => found.push(path.to_path_buf()),
        // There is none.
        Err(_) => {}
    }
    Ok(())
}

/// Copies the user's files for nodes to below `root`: folders, files with their modes, and links; not those that are hidden.
pub fn copy_files(from: &Path, root: &Path) -> io::Result<()> {
    copy_below(from, root, Path::new(""))
}

fn copy_below(from: &Path, root: &Path, below: &Path) -> io::Result<()> {
    for entry in disk::entries(&from.join(below))? {
        let (kind, below) = (entry.file_type()?, below.join(entry.file_name()));
        let target = root.join(&below);
        if is_hidden(&below) {
            continue;
        }
        if kind.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_below(from, root, &below)?;
        } else if kind.is_symlink() {
            if target.symlink_metadata().is_ok() {
                std::fs::remove_file(&target)?;
            }
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_programs_of_its_own_before_those_of_its_machine() {
        let folder = tempfile::tempdir().unwrap();
        let profile = crate::config::Wanted::named("one").resolve(&[]).unwrap();
        for _ in 0..2 {
            write(folder.path(), &profile, "").unwrap();
        }
        let link = folder.path().join("opt/coracle/bin/sudo");
        assert_eq!(std::fs::read_link(link).unwrap(), Path::new("/coracle"));
        assert_eq!(with_stand_ins("/bin"), "/opt/coracle/bin:/bin");
    }

    #[test]
    fn files_for_nodes_keep_folders_and_modes() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("files/etc/test/nested")).unwrap();
        std::fs::write(at("files/etc/test/nested/run"), "x").unwrap();
        std::fs::set_permissions(at("files/etc/test/nested/run"), std::fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("nested/run", at("files/etc/test/link")).unwrap();
        std::fs::create_dir(at("root")).unwrap();
        copy_files(&at("files"), &at("root")).unwrap();
        copy_files(&at("files"), &at("root")).unwrap();
        copy_files(&at("nowhere"), &at("root")).unwrap();
        for name in ["usr/share", "etc/ssl"] {
            std::fs::create_dir_all(at("files").join(name)).unwrap();
        }
        std::fs::write(at("files/usr/share/x"), "x").unwrap();
        std::fs::write(at("files/etc/ssl/openssl.cnf"), "x").unwrap();
        std::fs::write(at("files/lib"), "x").unwrap();
        copy_files(&at("files"), &at("root")).unwrap();
        assert!(!at("root/usr").exists() && !at("root/etc/ssl").exists() && !at("root/lib").exists());
        let left = ["files/usr/share/x", "files/lib", "files/etc/ssl/openssl.cnf"].map(at);
        assert_eq!(hidden(&at("files")).unwrap(), left);
        let mode = std::fs::metadata(at("root/etc/test/link")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }
}
