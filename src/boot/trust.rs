//! The authorities that a node's programs trust: those that the command line handed over are laid over the node's own, under
//! the names where OpenSSL and others look for them.

use crate::base::disk;
use crate::config::NodePaths;
use crate::config::paths::TRUSTED_NAMES as NAMES;
use crate::pki::trust::subject_hash;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

/// The bundle, if one was handed over: programs of the node are pointed at it by `SSL_CERT_FILE`.
pub fn bundle() -> Option<PathBuf> {
    Some(NodePaths::default().trust().join("ca-certificates.crt")).filter(|path| path.exists())
}

/// Where programs look.
const CERTIFICATES: &str = "/etc/ssl/certs";
/// Where distributions keep the certificates that the former is made of.
const SHARED: &str = "/usr/share/ca-certificates";

/// Lays what was handed over beside the machine's own over the folders where programs look, in place of what was laid there
/// before.
pub fn install() -> io::Result<()> {
    for place in [CERTIFICATES, SHARED] {
        take_away(place)?;
    }
    let own = certificates(&NodePaths::default().trust())?;
    let Some(bundle) = bundle().filter(|_| !own.is_empty()) else { return Ok(()) };
    // Pods may still look through what was shown before.
    let shown = free(&NodePaths::default().trust_shown());
    let (names, shared) = (shown.join("certs"), shown.join("share"));
    lay_out(&own, &bundle, &names, &shared)?;
    for (upper, place) in [(&names, CERTIFICATES), (&shared, SHARED)] {
        if Path::new(place).exists() {
            lay_over(upper, Path::new(place))?;
        }
    }
    Ok(())
}

/// A folder below `shown` that is not there yet.
fn free(shown: &Path) -> PathBuf {
    let mut number = 0u32;
    while shown.join(number.to_string()).exists() {
        number += 1;
    }
    shown.join(number.to_string())
}

/// The certificates that were handed over last. An engine adds files to a node and takes none away, so their names are told
/// beside them; an older command line told none.
fn certificates(trust: &Path) -> io::Result<Vec<PathBuf>> {
    let all: Vec<PathBuf> = disk::entries(&trust.join("own"))?.iter().map(DirEntry::path).collect();
    let Ok(names) = std::fs::read_to_string(trust.join(NAMES)) else { return Ok(all) };
    let is_named = |path: &PathBuf| names.lines().any(|name| path.file_name() == Some(name.as_ref()));
    Ok(all.into_iter().filter(is_named).collect())
}

/// Takes away what an earlier call laid over `place`, if one did.
fn take_away(place: &str) -> io::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    for _ in mounts.lines().filter(|line| is_laid_over(line, place)) {
        unmount(place, UnmountFlags::DETACH)?;
    }
    Ok(())
}

/// Whether a line of `/proc/PID/mountinfo` is of what was laid over `place`.
fn is_laid_over(line: &str, place: &str) -> bool {
    let is_overlay = line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("overlay overlay "));
    is_overlay && line.split(' ').nth(4) == Some(place)
}

/// Each certificate under its own name and under OpenSSL's, and the bundle of all.
fn lay_out(own: &[PathBuf], bundle: &Path, names: &Path, shared: &Path) -> io::Result<()> {
    std::fs::create_dir_all(names)?;
    std::fs::create_dir_all(shared)?;
    std::fs::copy(bundle, names.join("ca-certificates.crt"))?;
    for path in own {
        let Some(name) = path.file_name() else { continue };
        let text = std::fs::read_to_string(path)?;
        std::fs::write(names.join(name), &text)?;
        std::fs::write(shared.join(name), &text)?;
        let Some(hash) = subject_hash(&text) else { continue };
        // Subjects may be the same, as of an authority and the one that follows it.
        let free = (0..own.len()).map(|number| names.join(format!("{hash}.{number}"))).find(|path| !path.exists());
        if let Some(link) = free {
            std::os::unix::fs::symlink(name, link)?;
        }
    }
    Ok(())
}

/// Shows both folders at `place`, the upper one first; nothing can be written there.
fn lay_over(upper: &Path, place: &Path) -> io::Result<()> {
    let options = CString::new(format!("lowerdir={}:{}", upper.display(), place.display()))?;
    mount("overlay", place, "overlay", MountFlags::RDONLY | MountFlags::NODEV, options.as_c_str())
        .map_err(|error| io::Error::other(format!("cannot lay authorities over {}: {error}", place.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_certificate_has_no_name_of_openssls() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("own")).unwrap();
        std::fs::write(at("own/a.pem"), "nonsense").unwrap();
        std::fs::write(at("bundle"), "all").unwrap();
        let own = certificates(folder.path()).unwrap();
        lay_out(&own, &at("bundle"), &at("shown"), &at("share")).unwrap();
        let mut there: Vec<String> = std::fs::read_dir(at("shown"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, ["a.pem", "ca-certificates.crt"]);
        assert_eq!(certificates(&at("nowhere")).unwrap(), Vec::<PathBuf>::new());
        std::fs::write(at(NAMES), "b.pem\n").unwrap();
        assert_eq!(certificates(folder.path()).unwrap(), Vec::<PathBuf>::new(), "one that is not trusted any more");
    }

    #[test]
    fn only_what_was_laid_over_a_folder_is_taken_away() {
        let laid = "98 30 0:61 / /etc/ssl/certs ro,nodev shared:9 - overlay overlay ro,lowerdir=/run/a:/etc/ssl/certs";
        assert!(is_laid_over(laid, CERTIFICATES) && !is_laid_over(laid, SHARED));
        assert!(!is_laid_over("9 3 0:6 / /etc/ssl/certs rw - ext4 /dev/sda rw", CERTIFICATES));
    }
}
