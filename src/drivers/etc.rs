//! A node's own `/etc`, whatever made the node: written at every start, because the machine's resolvers may have changed.

use crate::base::disk;
use crate::config::Profile;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// Where programs that answer names on the loopback keep the resolvers behind them: systemd-resolved, NetworkManager.
const BEHIND_LOOPBACK: &[&str] =
    &["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf", "/run/NetworkManager/resolv.conf"];

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
        ("resolv.conf", resolvers.into()),
        ("passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n".into()),
        ("group", "root:x:0:\nnogroup:x:65534:\n".into()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".into()),
    ];
    for (name, text) in files {
        crate::base::atomic::write(&etc.join(name), text.as_bytes(), 0o644)?;
    }
    let profile_json = serde_json::to_vec_pretty(profile)?;
    crate::base::atomic::write(&etc.join("coracle/profile.json"), &profile_json, 0o600)
}

/// Copies the user's files for nodes to below `root`: folders, files with their modes, and links.
pub fn copy_files(from: &Path, root: &Path) -> io::Result<()> {
    for entry in disk::entries(from)? {
        let (kind, target) = (entry.file_type()?, root.join(entry.file_name()));
        if kind.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_files(&entry.path(), &target)?;
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

/// The machine's resolvers, as they are now. One on its loopback cannot be reached from the node, so those behind it are
/// taken; if nobody knows them, the others.
pub fn resolvers() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let own = read("/etc/resolv.conf");
    if servers(&own).all(|server| !server.is_loopback()) {
        return own;
    }
    let behind = BEHIND_LOOPBACK.iter().map(|path| read(path));
    let usable = |text: &String| servers(text).any(|server| !server.is_loopback());
    behind.into_iter().find(usable).unwrap_or_else(|| without_loopback(&own))
}

/// The resolvers that a `resolv.conf` names.
fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(server)
}

/// The resolver that a line of a `resolv.conf` names.
fn server(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| *word == "nameserver")?;
    words.next()?.split('%').next()?.parse().ok()
}

fn without_loopback(text: &str) -> String {
    let kept = text.lines().filter(|line| server(line).is_none_or(|server| !server.is_loopback()));
    kept.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mode = std::fs::metadata(at("root/etc/test/link")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }

    #[test]
    fn resolvers_on_the_loopback_are_left_out() {
        let text =
            "search example.com\nnameserver\t127.0.0.53\nnameserver 10.0.0.1\nnameserver ::1\n# nameserver 127.0.0.1\n";
        assert_eq!(servers(text).count(), 3);
        assert_eq!(without_loopback(text), "search example.com\nnameserver 10.0.0.1\n# nameserver 127.0.0.1\n");
    }
}
