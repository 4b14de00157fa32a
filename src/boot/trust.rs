//! The authorities that a node's programs trust: those that the command line handed over are laid over the node's own, under
//! the names where OpenSSL and others look for them.

use crate::base::disk;
use crate::config::NodePaths;
use crate::pki::trust::subject_hash;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

/// The bundle, if one was handed over: programs of the node are pointed at it by `SSL_CERT_FILE`.
pub fn bundle() -> Option<PathBuf> {
    Some(NodePaths::default().trust().join("ca-certificates.crt")).filter(|path| path.exists())
}

/// Lays what was handed over beside the machine's own over `/etc/ssl/certs` and `/usr/share/ca-certificates`.
pub fn install() -> io::Result<()> {
    let trust = NodePaths::default().trust();
    let own = certificates(&trust.join("own"))?;
    let Some(bundle) = bundle().filter(|_| !own.is_empty()) else { return Ok(()) };
    let shown = NodePaths::default().trust_shown();
    let (names, shared) = (shown.join("certs"), shown.join("share"));
    lay_out(&own, &bundle, &names, &shared)?;
    for (upper, place) in [(&names, "/etc/ssl/certs"), (&shared, "/usr/share/ca-certificates")] {
        if Path::new(place).exists() {
            lay_over(upper, Path::new(place))?;
        }
    }
    Ok(())
}

fn certificates(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(disk::entries(folder)?.iter().map(DirEntry::path).collect())
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
        let own = certificates(&at("own")).unwrap();
        lay_out(&own, &at("bundle"), &at("names"), &at("share")).unwrap();
        let mut there: Vec<String> = std::fs::read_dir(at("names"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, ["a.pem", "ca-certificates.crt"]);
        assert_eq!(certificates(&at("nowhere")).unwrap(), Vec::<PathBuf>::new());
    }
}
