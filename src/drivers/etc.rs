//! A node's own `/etc`, whatever made the node: written at every start, because the machine's resolvers may have changed.

use crate::config::Profile;
use std::io;
use std::path::{Path, PathBuf};

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

/// The machine's resolvers. A resolver on its loopback cannot be reached from the node, so its upstreams are taken.
pub fn resolvers() -> String {
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let own = read("/etc/resolv.conf".into());
    let is_local = |line: &&str| line.trim().starts_with("nameserver") && line.contains(" 127.");
    if own.lines().any(|line| is_local(&line)) {
        return read("/run/systemd/resolve/resolv.conf".into());
    }
    own
}
