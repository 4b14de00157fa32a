//! The store as its users see it: archives of every form in, images and folders out.

use super::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive of regular files.
fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    archive(&files.iter().map(|(path, text)| (path.to_string(), text.as_bytes().to_vec())).collect::<Vec<_>>())
}

fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    json!({ "config": { "Cmd": ["/bin/app"], "Entrypoint": null, "Env": ["A=b"] }, "rootfs": { "diff_ids": diff_ids } })
        .to_string()
        .into_bytes()
}

/// As `docker save` of old wrote it: the names of folders mean nothing.
fn docker_save(layers: &[Vec<u8>], tags: &[&str]) -> Vec<(String, Vec<u8>)> {
    let config = config(layers);
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("folder{n}/layer.tar")).collect();
    let manifest = json!([{ "Config": "c.json", "RepoTags": tags, "Layers": paths }]).to_string();
    let mut files: Vec<_> = paths.into_iter().zip(layers.iter().cloned()).collect();
    files.push(("c.json".into(), config));
    files.push(("manifest.json".into(), manifest.into_bytes()));
    files
}

/// An OCI layout whose index points to an index of two platforms.
fn oci(layers: &[Vec<u8>], name: &str) -> Vec<(String, Vec<u8>)> {
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", &digest(bytes)[7..]);
    let config = config(layers);
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    let descriptor =
        |bytes: &[u8], kind: &str| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    let manifest = json!({
        "schemaVersion": 2, "config": descriptor(&config, "application/vnd.oci.image.config.v1+json"),
        "layers": packed.iter().map(|layer| descriptor(layer, layer_type)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    let mut mine = descriptor(&manifest, "application/vnd.oci.image.manifest.v1+json");
    mine["platform"] = json!({ "os": "linux", "architecture": archive::architecture() });
    let other = json!({ "digest": digest(b"x"), "platform": { "os": "linux", "architecture": "vax" } });
    let inner = json!({ "schemaVersion": 2, "manifests": [other, mine] }).to_string().into_bytes();
    let mut entry = descriptor(&inner, "application/vnd.oci.image.index.v1+json");
    entry["annotations"] = json!({ "io.containerd.image.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes();
    let mut files = vec![("index.json".to_string(), index)];
    files.extend(packed.into_iter().chain([config, manifest, inner]).map(|bytes| (path(&bytes), bytes)));
    files
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("images")).unwrap();
    (folder, store)
}

fn content(store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["blobs/sha256", "layers", "staging"] {
        for entry in std::fs::read_dir(store.root().join(folder)).unwrap() {
            found.push(entry.unwrap().path().display().to_string());
        }
    }
    found
}

#[test]
fn a_docker_archive_becomes_an_image() {
    let (_folder, store) = store();
    let layers = [layer(&[("bin/app", "one")]), layer(&[("etc/x", "two")])];
    let images = store.load(&archive(&docker_save(&layers, &["app:1", "app:2"]))[..]).unwrap();
    let image = store.resolve("app:1").unwrap().unwrap();
    assert_eq!(images, std::slice::from_ref(&image));
    assert_eq!(image.repo_tags, ["docker.io/library/app:1", "docker.io/library/app:2"]);
    assert_eq!((image.config.cmd[0].as_str(), image.config.env[0].as_str()), ("/bin/app", "A=b"));
    assert_eq!(std::fs::read_to_string(image.layers[0].join("bin/app")).unwrap(), "one");
    assert_eq!(std::fs::read_to_string(image.layers[1].join("etc/x")).unwrap(), "two");
    assert_eq!(store.resolve(&image.id).unwrap().as_ref(), Some(&image));
    assert_eq!(store.resolve(&image.id[7..20]).unwrap().as_ref(), Some(&image));
    assert_eq!(store.resolve("app:3").unwrap(), None);
}

#[test]
fn oci_archives_and_folders_and_compressed_ones_are_the_same_image() {
    let layers = [layer(&[("bin/app", "one")])];
    let files = oci(&layers, "docker.io/library/app:oci");
    let (folder, first) = store();
    let image = first.load(&gzip(&archive(&files))[..]).unwrap().remove(0);
    assert_eq!(image.repo_tags, ["docker.io/library/app:oci"]);
    let layout = folder.path().join("layout");
    for (path, bytes) in &files {
        std::fs::create_dir_all(layout.join(path).parent().unwrap()).unwrap();
        std::fs::write(layout.join(path), bytes).unwrap();
    }
    let (_folder, second) = store();
    let other = second.load_path(&layout).unwrap().remove(0);
    assert_eq!((other.id, other.config), (image.id, image.config));
    assert!(other.layers[0].join("bin/app").exists());
}

#[test]
fn a_broken_archive_names_its_entry_and_leaves_nothing() {
    let big = "x".repeat(40_000);
    let layers = [layer(&[("bin/app", &big)])];
    let whole = archive(&docker_save(&layers, &["app:1"]));
    let (_folder, store) = store();
    for cut in [600, 20_000, whole.len() / 2] {
        let error = store.load(&whole[..cut]).unwrap_err().to_string();
        assert!(error.contains("folder0/layer.tar"), "{cut}: {error}");
    }
    let packed = gzip(&whole);
    let error = store.load(&packed[..packed.len() - 20]).unwrap_err().to_string();
    assert!(error.contains("entry `"), "{error}");
    let mut wrong = docker_save(&layers, &["app:1"]);
    wrong[0].1[700] ^= 1;
    let error = store.load(&archive(&wrong)[..]).unwrap_err().to_string();
    assert!(error.contains("folder0/layer.tar") && error.contains("digest"), "{error}");
    let mut wrong = oci(&layers, "app:1");
    wrong[1].1[20] ^= 1;
    let error = store.load(&archive(&wrong)[..]).unwrap_err().to_string();
    assert!(error.contains("blobs/sha256/") && error.contains("corrupt"), "{error}");
    assert!(matches!(store.load(&b"no archive"[..]), Err(Error::Read { .. } | Error::NotAnImage)));
    assert!(matches!(store.load(&archive(&[])[..]), Err(Error::NotAnImage)));
    assert_eq!(content(&store), Vec::<String>::new());
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn whiteouts_links_and_owners_are_unpacked() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, link: &str, mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        builder.append_data(&mut header, path, std::io::empty()).unwrap();
    };
    add("usr/bin/", tar::EntryType::Directory, "", 0o750);
    add("bin", tar::EntryType::Symlink, "/usr/bin", 0o777);
    add("bin/tool", tar::EntryType::Regular, "", 0o4755);
    add("bin/same", tar::EntryType::Link, "usr/bin/tool", 0o755);
    add("etc/.wh.gone", tar::EntryType::Regular, "", 0o644);
    add("opt/.wh..wh..opq", tar::EntryType::Regular, "", 0o644);
    let bytes = builder.into_inner().unwrap();
    if !rustix::process::getuid().is_root() {
        println!("skipped: owners and whiteouts need root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    unpack::unpack(&bytes[..], folder.path()).unwrap();
    let at = |path: &str| std::fs::symlink_metadata(folder.path().join(path)).unwrap();
    let tool = at("usr/bin/tool");
    assert_eq!((tool.uid(), tool.gid(), tool.permissions().mode() & 0o7777, tool.nlink()), (7, 8, 0o4755, 2));
    assert_eq!((at("usr/bin").mtime(), tool.mtime()), (1_000_000_000, 1_000_000_000));
    assert!(at("etc/gone").file_type().is_char_device() && at("etc/gone").rdev() == 0);
    let mut value = [0; 4];
    let length = rustix::fs::getxattr(folder.path().join("opt"), "trusted.overlay.opaque", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"y");
}

#[test]
fn a_layer_cannot_reach_outside() {
    let escape = |path: &str, link: Option<&str>| {
        let mut builder = tar::Builder::new(Vec::new());
        if let Some(target) = link {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, "out", target).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, &b"evil"[..]).unwrap();
        builder.into_inner().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let unpack_in = |name: &str, bytes: Vec<u8>| {
        let root = folder.path().join(name);
        std::fs::create_dir(&root).unwrap();
        unpack::unpack(&bytes[..], &root)
    };
    assert!(unpack_in("a", escape("../outside/file", None)).is_err());
    unpack_in("b", escape("out/file", Some(outside.to_str().unwrap()))).ok();
    unpack_in("c", escape("out/file", Some("../outside"))).ok();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn removing_the_last_name_deletes_what_nobody_else_needs() {
    let (_folder, store) = store();
    let shared = layer(&[("shared", "1")]);
    store.load(&archive(&docker_save(&[shared.clone(), layer(&[("a", "1")])], &["a:1", "a:2"]))[..]).unwrap();
    store.load(&archive(&docker_save(&[shared, layer(&[("b", "1")])], &["b:1"]))[..]).unwrap();
    store.remove("a:1").unwrap();
    let image = store.resolve("a:2").unwrap().unwrap();
    let hold = store.hold(&image.id).unwrap();
    assert!(matches!(store.remove("a:2"), Err(Error::InUse(_))));
    drop(hold);
    store.remove("a:2").unwrap();
    assert!(matches!(store.remove("a:2"), Err(Error::NotFound(_))));
    assert!(image.layers[0].exists() && !image.layers[1].exists());
    assert!(matches!(store.hold(&image.id), Err(Error::NotFound(_))));
    store.remove("b:1").unwrap();
    assert_eq!(content(&store), Vec::<String>::new());
}

#[test]
fn tags_move_between_images() {
    let (_folder, store) = store();
    store.load(&archive(&docker_save(&[layer(&[("a", "1")])], &["a:1"]))[..]).unwrap();
    let again = Store::open(store.root()).unwrap();
    again.load(&archive(&docker_save(&[layer(&[("b", "1")])], &["b:1"]))[..]).unwrap();
    store.tag("a:1", "b:1").unwrap();
    assert_eq!(again.resolve("b:1").unwrap(), store.resolve("a:1").unwrap());
    assert_eq!(again.list().unwrap().len(), 2);
    assert!(matches!(store.tag("c", "d"), Err(Error::NotFound(_))));
}

#[test]
fn the_built_in_images_are_there_at_once_and_only_once() {
    let (folder, store) = store();
    let executable = folder.path().join("coracle");
    std::fs::write(&executable, b"program").unwrap();
    store.install_builtin(&executable, "1.2.3").unwrap();
    let before = std::fs::metadata(store.root().join("index.json")).unwrap().ino();
    store.install_builtin(&executable, "1.2.3").unwrap();
    assert_eq!(std::fs::metadata(store.root().join("index.json")).unwrap().ino(), before);
    let hello = store.resolve("coracle.local/hello").unwrap().unwrap();
    assert_eq!((hello.executable.as_deref(), hello.size), (Some(Path::new(&executable)), 7));
    assert_eq!((hello.config.entrypoint, hello.config.cmd), (vec!["/coracle".into()], vec!["hello".into()]));
    assert!(hello.layers[0].join("etc/passwd").exists());
    let plain = store.resolve("coracle.local/coracle:1.2.3").unwrap().unwrap();
    assert_eq!(plain.repo_tags.len(), 2);
    store.install_builtin(Path::new("/coracle"), "1.2.3").unwrap();
    assert_eq!(
        store.resolve("coracle.local/coracle").unwrap().unwrap().executable.as_deref(),
        Some(Path::new("/coracle"))
    );
}

#[test]
fn a_saved_image_loads_again_as_the_same_image_with_its_names() {
    let (_one, store) = self::store();
    let shared = layer(&[("bin/app", "one")]);
    store.load(&archive(&docker_save(&[shared.clone(), layer(&[("a", "b")])], &["app:1", "app:2"]))[..]).unwrap();
    store.load(&archive(&oci(&[shared], "docker.io/library/packed:1"))[..]).unwrap();
    let mut saved = Vec::new();
    store.save(&["app:1".into(), "packed:1".into(), "app:2".into()], &mut saved).unwrap();
    for docker in [true, false] {
        let (_two, other) = self::store();
        // Without Docker's list only the OCI side can be read.
        let bytes = if docker { saved.clone() } else { without(&saved, "manifest.json") };
        other.load(&bytes[..]).unwrap();
        let ids = |store: &Store| {
            store.list().unwrap().into_iter().map(|image| (image.id, image.repo_tags)).collect::<Vec<_>>()
        };
        assert_eq!(ids(&other), ids(&store), "docker side: {docker}");
    }
}

#[test]
fn an_image_is_saved_under_the_names_that_are_asked_for() {
    let (_one, store) = self::store();
    let image = store.load(&archive(&docker_save(&[layer(&[("a", "b")])], &["app:1", "app:2"]))[..]).unwrap().remove(0);
    let names = |reference: &str| {
        let (_two, other) = self::store();
        let mut saved = Vec::new();
        store.save(&[reference.into()], &mut saved).unwrap();
        other.load(&saved[..]).unwrap();
        other.list().unwrap().remove(0).repo_tags
    };
    assert_eq!(names("app:2"), ["docker.io/library/app:2"]);
    assert_eq!(names(&image.id), [""; 0]);
}

#[test]
fn what_cannot_be_saved_is_named_and_nothing_is_written() {
    let (folder, store) = store();
    store.install_builtin(&folder.path().join("coracle"), "1").unwrap();
    let mut out = Vec::new();
    let missing = store.save(&["nowhere:1".into()], &mut out).unwrap_err().to_string();
    assert_eq!(missing, "image `nowhere:1` is not present");
    assert!(matches!(store.save(&["coracle.local/hello".into()], &mut out), Err(Error::BuiltIn(_))));
    assert!(out.is_empty());
}

/// The archive without one of its entries.
fn without(archive: &[u8], name: &str) -> Vec<u8> {
    let mut kept = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if path != Path::new(name) {
            let mut header = entry.header().clone();
            kept.append_data(&mut header, path, &mut entry).unwrap();
        }
    }
    kept.into_inner().unwrap()
}
