//! What the node takes over of its machine's surroundings at every start: the authorities that the machine trusts, and the
//! user's own files for nodes.
//!
//! Authorities: the machine's bundle, what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, and `certs/` and `files/etc/ssl/certs/` of
//! the home.

use super::life::{Cluster, Error};
use crate::base::atomic;
use crate::config::paths::TRUSTED_NAMES;
use crate::drivers::{self, Say};
use crate::pki::trust;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Where distributions keep all authorities in one file.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where the user's files for nodes have certificates: the machine's own are laid over that folder of the node, so these are
/// handed over as authorities.
const CERTIFICATES: &str = "etc/ssl/certs";
/// Ends of names of files with certificates.
const ENDS: &[&str] = &["pem", "crt", "cer"];

/// What a node is to trust.
#[derive(Debug, Default)]
struct Authorities {
    /// The machine's own.
    machine: Vec<String>,
    /// Others, by a name for their files.
    own: Vec<(String, String)>,
}

impl Cluster {
    /// Gives a node that runs what its machine and the user's files for nodes are now, as its start does.
    pub async fn refresh_surroundings(&self, say: Say<'_>) -> Result<(), Error> {
        let is_other = self.hand_over_trust(say)?;
        let refreshed = self.bring_surroundings(is_other, say).await;
        if !matches!(refreshed, Ok(true)) {
            // The node may not have them yet: the next start is to try again.
            std::fs::remove_file(self.paths().trust().join(TRUSTED_NAMES)).ok();
        }
        refreshed.map(drop)
    }

    /// `false` where the node will have other authorities when it starts again.
    async fn bring_surroundings(&self, is_other: bool, say: Say<'_>) -> Result<bool, Error> {
        self.hand_down_profile().await?;
        if !is_other {
            return Ok(true);
        }
        say("giving the node the authorities that are trusted now");
        if let Err(error) = self.play(&["node-trust"]) {
            // A node of an older coracle does not know how.
            let cause = crate::base::causes::chain(&error);
            let again = format!("coracle stop -p {name}; coracle start -p {name}", name = self.profile.name);
            say(&format!("other authorities reach the node when it starts again ({again}): {cause}"));
            return Ok(false);
        }
        // It reads them when it begins; pods run on.
        self.renew_server().await?;
        Ok(true)
    }

    /// Writes what the node is to trust where its driver takes it from, and tells which of the user's files it cannot have;
    /// `true` if it is to trust something else than before.
    pub(super) fn hand_over_trust(&self, say: Say<'_>) -> Result<bool, Error> {
        self.tell_hidden(say)?;
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let found = gather(
            BUNDLES.iter().map(Path::new),
            variable("SSL_CERT_FILE").as_deref(),
            &[variable("SSL_CERT_DIR"), Some(self.home.certificates()), Some(self.home.files().join(CERTIFICATES))]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>(),
            say,
        );
        found.write(&self.paths().trust()).map_err(Error::io("cannot hand authorities over to the node"))
    }

    fn tell_hidden(&self, say: Say<'_>) -> Result<(), Error> {
        let files = self.home.files();
        let hidden = drivers::hidden_files(&files);
        let hidden = hidden.map_err(Error::io(format!("cannot look into {}", files.display())))?;
        let trusted = files.join(CERTIFICATES);
        for path in hidden.iter().filter(|path| !(path.starts_with(&trusted) && is_certificate(path))) {
            say(&format!("{} is not taken over: a node has that folder of its machine, read-only", path.display()));
        }
        Ok(())
    }
}

/// The certificates of a folder's files, each as a text of its own.
pub fn of_folder(folder: &Path) -> io::Result<Vec<String>> {
    let read = |path: PathBuf| {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        Ok(trust::certificates(&std::fs::read_to_string(&path).map_err(named)?))
    };
    let all: io::Result<Vec<Vec<String>>> = files(folder).into_iter().map(read).collect();
    Ok(all?.concat())
}

fn gather<'a>(
    bundles: impl Iterator<Item = &'a Path>,
    file: Option<&Path>,
    folders: &[PathBuf],
    say: Say<'_>,
) -> Authorities {
    let mut found = Authorities::default();
    let read = |path: &Path| std::fs::read_to_string(path).map(|text| trust::certificates(&text));
    if let Some(bundle) = bundles.into_iter().find(|path| path.exists()) {
        // A machine whose bundle cannot be read trusts nobody, as it does itself.
        found.machine = read(bundle).unwrap_or_default();
    }
    let known: BTreeSet<String> = found.machine.iter().cloned().collect();
    let in_folders = folders.iter().flat_map(|folder| files(folder));
    for path in file.map(Path::to_path_buf).into_iter().chain(in_folders) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match read(&path) {
            Ok(all) => {
                let new: Vec<String> = all.into_iter().filter(|one| !known.contains(one)).collect();
                let is_one = new.len() == 1;
                let name = |number: usize| if is_one { stem.clone() } else { format!("{stem}-{number}") };
                found.own.extend(new.into_iter().enumerate().map(|(number, text)| (name(number), text)));
            }
            Err(error) => say(&format!("{} is not taken over: {error}", path.display())),
        }
    }
    found
}

/// Files of certificates in a folder, by name. Links are the names that OpenSSL looks for, and lead to other files.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_certificate(path)).collect();
    found.sort();
    found
}

fn is_certificate(path: &Path) -> bool {
    path.extension().is_some_and(|end| ENDS.iter().any(|one| end.eq_ignore_ascii_case(one)))
}

impl Authorities {
    /// One bundle of all, and a file for each that is not the machine's own; what was there before and is not now goes. `true`
    /// if it is something else than before.
    fn write(&self, folder: &Path) -> io::Result<bool> {
        let (bundle, list) = (folder.join("ca-certificates.crt"), folder.join(TRUSTED_NAMES));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let before = (read(&bundle), read(&list));
        let own = folder.join("own");
        if own.exists() {
            std::fs::remove_dir_all(&own)?;
        }
        std::fs::create_dir_all(&own)?;
        for (name, text) in &self.own {
            atomic::write(&own.join(format!("{name}.pem")), text.as_bytes(), 0o644)?;
        }
        let names: String = self.own.iter().map(|(name, _)| format!("{name}.pem\n")).collect();
        atomic::write(&list, names.as_bytes(), 0o644)?;
        let all: String =
            self.machine.iter().chain(self.own.iter().map(|(_, text)| text)).map(String::as_str).collect();
        match all.is_empty() {
            // What the node finds by itself is as good.
            true if bundle.exists() => std::fs::remove_file(&bundle)?,
            false if before.0 != all => atomic::write(&bundle, all.as_bytes(), 0o644)?,
            _ => {}
        }
        Ok(before != (all, names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn authorities_come_from_the_machine_the_environment_and_the_home() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("certs")).unwrap();
        std::fs::write(at("machine.crt"), certificate("machine")).unwrap();
        std::fs::write(at("named.pem"), certificate("machine") + &certificate("proxy")).unwrap();
        std::fs::write(at("certs/corp.crt"), certificate("one") + &certificate("two")).unwrap();
        std::fs::write(at("certs/key.txt"), certificate("not taken")).unwrap();
        let bundles = [at("nowhere.crt"), at("machine.crt")];
        let found = gather(
            bundles.iter().map(PathBuf::as_path),
            Some(&at("named.pem")),
            &[at("certs"), at("nowhere")],
            &|text| panic!("{text}"),
        );
        assert_eq!(of_folder(&at("certs")).unwrap(), ["one", "two"].map(certificate));
        assert_eq!(of_folder(&at("nowhere")).unwrap(), Vec::<String>::new());
        let names: Vec<&str> = found.own.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["named", "corp-0", "corp-1"]);
        assert!(found.write(&at("trust")).unwrap());
        assert!(!found.write(&at("trust")).unwrap(), "the same as before");
        let bundle = std::fs::read_to_string(at("trust/ca-certificates.crt")).unwrap();
        assert_eq!(bundle, ["machine", "proxy", "one", "two"].map(certificate).concat());
        assert_eq!(std::fs::read_to_string(at("trust/own/corp-1.pem")).unwrap(), certificate("two"));
        assert!(Authorities::default().write(&at("trust")).unwrap());
        assert!(!at("trust/own/corp-1.pem").exists() && !at("trust/ca-certificates.crt").exists());
    }
}
