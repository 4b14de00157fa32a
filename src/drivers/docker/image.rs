//! The node's image, made from the running executable: one file in an empty root. Made once per executable; its tag has
//! the version and the digest, so an engine never runs an older build under the same name.

use super::super::{Error, Machine, Say};
use super::engine::{Engine, found, refused};
use super::{LABEL_DIGEST, LABEL_PROFILE};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tokio_util::io::ReaderStream;

/// Name of every node image.
pub const REPOSITORY: &str = "coracle.local/node";
/// Folders of the empty root that must be there before anything is mounted.
const FOLDERS: &[&str] = &["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var"];
/// Where the programs are that a local engine lends to the node (see [`super::container`]).
const LINKS: &[(&str, &str)] =
    &[("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("lib32", "usr/lib32")];
/// How much of the executable is sent at a time.
const CHUNK: usize = 256 * 1024;

/// The name of the image of this executable; the engine has it when this returns.
pub async fn ensure(engine: &Engine, machine: &Machine, say: Say<'_>) -> Result<String, Error> {
    let cannot = "cannot read this executable";
    let digest = digest(&machine.executable, &machine.cache.join("executable.json")).map_err(Error::io(cannot))?;
    let reference = format!("{REPOSITORY}:{}-{}", env!("CARGO_PKG_VERSION"), &digest[..12]);
    if found(engine.docker.inspect_image(&reference).await, "cannot look for the node's image")?.is_some() {
        return Ok(reference);
    }
    if !is_static(&machine.executable).map_err(Error::io(cannot))? {
        return Err(Error::Launch(
            "this build of coracle is linked dynamically, and a node's image holds nothing but the executable".into(),
        ));
    }
    say("making the node's image");
    make(engine, &machine.executable, &reference, &digest).await?;
    remove_others(engine, &reference).await;
    Ok(reference)
}

/// Removes every node image that no container uses.
pub async fn remove_all(engine: &Engine) {
    remove_others(engine, "").await;
}

async fn make(engine: &Engine, executable: &Path, reference: &str, digest: &str) -> Result<(), Error> {
    let cannot = "cannot make the node's image";
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(repository)
        .tag(tag)
        .message("made by coracle from its own executable")
        .changes(vec![
            r#"ENTRYPOINT ["/coracle","node-container"]"#.to_string(),
            format!("LABEL {LABEL_DIGEST}={digest} {LABEL_PROFILE}="),
        ])
        .build();
    let archive = archive(executable).await.map_err(Error::io(cannot))?;
    let answers = engine.docker.create_image(Some(options), Some(bollard::body_try_stream(archive)), None);
    let answers = answers.try_collect::<Vec<_>>().await.map_err(refused(cannot))?;
    if found(engine.docker.inspect_image(reference).await, cannot)?.is_some() {
        return Ok(());
    }
    // Podman takes the name and leaves the tag: the image is known by its digest, which is the last thing that was said.
    let digest =
        answers.iter().rev().find_map(|said| said.status.as_deref().filter(|word| word.starts_with("sha256:")));
    let digest = digest.ok_or_else(|| Error::Launch(format!("{cannot}: the engine made none")))?;
    let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
    engine.docker.tag_image(digest, Some(options)).await.map_err(refused(cannot))
}

/// Images of other builds. One that a container uses is refused, and stays.
async fn remove_others(engine: &Engine, kept: &str) {
    let filters = HashMap::from([("reference".to_string(), vec![REPOSITORY.to_string()])]);
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let images = engine.docker.list_images(Some(options)).await.unwrap_or_default();
    for tag in images.into_iter().flat_map(|image| image.repo_tags).filter(|tag| tag != kept) {
        engine.docker.remove_image(&tag, None::<RemoveImageOptions>, None).await.ok();
    }
}

/// The root file system as a tar stream; the executable is sent while it is read.
async fn archive(executable: &Path) -> io::Result<impl futures::Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let file = tokio::fs::File::open(executable).await?;
    let size = file.metadata().await?.len();
    let head = head(size)?;
    // A file is padded to blocks of 512 bytes, and two empty blocks end the archive.
    let tail = vec![0; (size.next_multiple_of(512) - size) as usize + 1024];
    let content = ReaderStream::with_capacity(file, CHUNK);
    let ends = |bytes: Vec<u8>| stream::iter([Ok(Bytes::from(bytes))]);
    Ok(ends(head).chain(content).chain(ends(tail)))
}

/// Everything of the archive before the executable's first byte.
fn head(size: u64) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let entry = |kind: tar::EntryType, mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        header.set_mtime(0);
        header
    };
    for folder in FOLDERS {
        let mode = if *folder == "tmp" { 0o1777 } else { 0o755 };
        builder.append_data(&mut entry(tar::EntryType::Directory, mode), format!("{folder}/"), io::empty())?;
    }
    for (name, target) in LINKS {
        builder.append_link(&mut entry(tar::EntryType::Symlink, 0o777), name, target)?;
    }
    let mut bytes = builder.get_ref().clone();
    let mut header = entry(tar::EntryType::Regular, 0o755);
    header.set_path("coracle")?;
    header.set_size(size);
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    Ok(bytes)
}

/// What a digest was made of: while these are the same, so is the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    digest: String,
}

/// The SHA-256 of a file in hexadecimal, noted in `notes` so that the same file is read once only.
fn digest(file: &Path, notes: &Path) -> io::Result<String> {
    let mut opened = std::fs::File::open(file)?;
    let metadata = opened.metadata()?;
    let noted: Option<Noted> = std::fs::read(notes).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let mut now = Noted {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        digest: String::new(),
    };
    if let Some(noted) = noted {
        now.digest = noted.digest.clone();
        if noted == now && noted.digest.len() == 64 {
            return Ok(noted.digest);
        }
    }
    let mut hasher = Sha256::new();
    io::copy(&mut opened, &mut hasher)?;
    now.digest = hex::encode(hasher.finalize());
    // Without the note the file is read again next time.
    crate::base::atomic::write(notes, &serde_json::to_vec(&now)?, 0o600).ok();
    Ok(now.digest)
}

/// Whether an ELF file needs no loader: it has no `PT_INTERP` (3) among its program headers.
fn is_static(file: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(64 * 1024).read_to_end(&mut bytes)?;
    let number = |at: usize, length: usize| {
        bytes.get(at..at + length).map(|part| part.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let is_elf64 = bytes.starts_with(b"\x7fELF\x02\x01");
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return Ok(false);
    };
    Ok(is_elf64 && !(0..count).any(|index| number(table + index * size, 4) == Some(3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_archive_holds_the_executable_and_an_empty_root() {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("coracle");
        std::fs::write(&executable, vec![7; 1000]).unwrap();
        let bytes: Vec<Bytes> = archive(&executable).await.unwrap().try_collect().await.unwrap();
        let bytes = bytes.concat();
        assert_eq!(bytes.len() % 512, 0);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().display().to_string());
            if names.last().unwrap() == "coracle" {
                assert_eq!(entry.header().mode().unwrap(), 0o755);
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                assert_eq!(content, vec![7; 1000]);
            }
        }
        assert_eq!(names.last().unwrap(), "coracle");
        assert!(names.contains(&"bin".to_string()) && names.contains(&"proc/".to_string()));
    }

    #[test]
    fn a_digest_is_made_again_when_the_file_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, notes) = (folder.path().join("a"), folder.path().join("cache/notes"));
        std::fs::write(&file, "one").unwrap();
        let one = digest(&file, &notes).unwrap();
        assert_eq!(digest(&file, &notes).unwrap(), one);
        std::fs::write(&file, "another").unwrap();
        assert_eq!(digest(&file, &notes).unwrap(), hex::encode(Sha256::digest("another")));
    }

    #[test]
    fn only_a_static_elf_file_can_be_an_image() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let mut elf = vec![0u8; 64 + 2 * 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 2;
        elf[64] = 1;
        elf[64 + 56] = 2;
        std::fs::write(&file, &elf).unwrap();
        assert!(is_static(&file).unwrap());
        elf[64 + 56] = 3;
        std::fs::write(&file, &elf).unwrap();
        assert!(!is_static(&file).unwrap());
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        assert!(!is_static(&file).unwrap());
    }
}
