//! `coracle update` and `install.sh` against a release that the test signs and serves on localhost.

use super::harness::Said;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of this build, and one that is newer and one that is older.
const OWN: &str = env!("CARGO_PKG_VERSION");
const NEW: &str = "9.9.9";
const OLD: &str = "0.0.1";

/// A program that answers as a release of a version does.
fn program(version: &str) -> String {
    format!(
        "#!/bin/sh\ncase $1 in\n  version) echo v{version} ;;\n  man) touch \"$3/coracle.1\" ;;\n  completion) echo new ;;\nesac\n"
    )
}

/// A folder of releases, served until this is dropped, and the place where coracle is installed.
struct World {
    folder: tempfile::TempDir,
    key: Ed25519KeyPair,
    address: String,
}

impl World {
    fn new() -> Self {
        // Beside the build, so that the executable can be linked instead of copied.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let root = folder.path().join("releases");
        std::fs::create_dir_all(&root).unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(stream, &root))));
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        Self { folder, key, address }
    }

    fn release(&self, version: &str) -> PathBuf {
        self.folder.path().join("releases/download").join(format!("v{version}"))
    }

    fn archive(&self, version: &str) -> PathBuf {
        self.release(version).join(format!("coracle-{}-unknown-linux-gnu.tar.gz", std::env::consts::ARCH))
    }

    /// Publishes an archive with `content` as its executable, summed and signed, as the latest release.
    fn publish(&self, version: &str, content: &str) {
        let work = self.folder.path().join("packing");
        for folder in ["man", "completions"] {
            std::fs::create_dir_all(work.join(folder)).unwrap();
        }
        std::fs::write(work.join("man/coracle.1"), "page").unwrap();
        for shell in ["bash", "zsh", "fish"] {
            std::fs::write(work.join(format!("completions/coracle.{shell}")), "script").unwrap();
        }
        std::fs::create_dir_all(self.release(version)).unwrap();
        let file = std::fs::File::create(self.archive(version)).unwrap();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, "coracle", content.as_bytes()).unwrap();
        archive.append_dir_all("man", work.join("man")).unwrap();
        archive.append_dir_all("completions", work.join("completions")).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        let sum = hex::encode(Sha256::digest(std::fs::read(self.archive(version)).unwrap()));
        let name = self.archive(version).file_name().unwrap().to_string_lossy().into_owned();
        let sums = format!("{sum}  {name}\n");
        std::fs::write(self.release(version).join("SHA256SUMS.sig"), self.key.sign(sums.as_bytes())).unwrap();
        std::fs::write(self.release(version).join("SHA256SUMS"), sums).unwrap();
        let latest = self.folder.path().join("releases/latest/download");
        std::fs::create_dir_all(&latest).unwrap();
        std::fs::write(latest.join("VERSION"), format!("v{version}\n")).unwrap();
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// Installs this build, as a file that an update may replace.
    fn install_own(&self) -> PathBuf {
        let installed = self.bin().join("coracle");
        std::fs::create_dir_all(self.bin()).unwrap();
        // Linked, not written: a file that was just written may be busy while other tests start programs.
        if std::fs::hard_link(env!("CARGO_BIN_EXE_coracle"), &installed).is_err() {
            std::fs::copy(env!("CARGO_BIN_EXE_coracle"), &installed).unwrap();
        }
        installed
    }

    fn run(&self, program: &Path, words: &str) -> Said {
        let key = hex::encode(self.key.public_key());
        let mut command = Command::new(program);
        command.args(words.split_whitespace()).stdin(Stdio::null());
        command.env("CORACLE_RELEASES", format!("http://{}", self.address)).env("CORACLE_RELEASE_KEY", key);
        command.env("CORACLE_HOME", self.folder.path().join("home")).env("HOME", self.folder.path());
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.output().unwrap().into()
    }

    /// What the installed executable says that it is.
    fn installed(&self) -> String {
        self.run(&self.bin().join("coracle"), "version --short").ok().trim().to_string()
    }

    /// Runs `coracle update` where it must fail with a word, and looks that the old executable is there, alone.
    fn refused(&self, words: &str, wanted: &str) {
        let said = self.run(&self.bin().join("coracle"), &format!("update {words}"));
        assert!(said.code != 0 && said.err.contains(wanted) && said.err.contains("hint: "), "{wanted}: {}", said.err);
        assert_eq!(self.installed(), format!("v{OWN}"), "{wanted}");
        let names: Vec<_> = std::fs::read_dir(self.bin()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["coracle"], "{wanted}");
    }

    fn install(&self, words: &str) -> Said {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
        self.run(Path::new("/bin/sh"), &format!("{} {words}", script.display()))
    }
}

/// Answers one request with a file. A file `NAME.cut` beside it says that the connection breaks off half way.
fn answer(mut stream: TcpStream, root: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = root.join(request.split_whitespace().nth(1).unwrap_or("/").trim_start_matches('/'));
    let Ok(content) = std::fs::read(&path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let is_cut = PathBuf::from(format!("{}.cut", path.display())).exists();
    let sent = if is_cut { &content[..content.len() / 2] } else { &content[..] };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    stream.write_all(sent)
}

#[test]
fn an_update_replaces_the_executable_by_a_release_that_is_signed_and_runs() {
    let world = World::new();
    let coracle = world.install_own();
    let missing = world.run(&coracle, "update-check --releases http://127.0.0.1:9");
    assert!(missing.code == 40 && missing.err.contains("cannot fetch"), "{}", missing.err);
    world.publish(NEW, &program(NEW));
    let checked = world.run(&coracle, "update-check").ok();
    assert_eq!(checked, format!("CurrentVersion: v{OWN}\nLatestVersion: v{NEW}\n"));
    let page = world.folder.path().join("share/man/man1/coracle.1");
    let script = world.folder.path().join("share/bash-completion/completions/coracle");
    for file in [&page, &script] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "old").unwrap();
    }
    world.run(&coracle, "update").ok();
    assert_eq!(world.installed(), format!("v{NEW}"));
    assert_eq!(std::fs::read_to_string(&script).unwrap(), "new\n", "completions are the new version's");
    assert!(!world.bin().join(".coracle.previous").exists());
}

#[test]
fn an_update_that_cannot_be_trusted_or_does_not_run_leaves_the_old_executable() {
    let world = World::new();
    world.install_own();
    world.publish(OLD, &program(OLD));
    world.refused("", "is older than this executable");
    world.publish(OWN, &program(OWN));
    assert!(world.run(&world.bin().join("coracle"), "update").err.contains("is here already"));
    world.refused("--version 7.7.7", "there is no release v7.7.7");
    world.refused("--version nonsense", "is no version");
    world.refused("--key 00", "64 hexadecimal digits");

    world.publish(NEW, &program("9.9.8"));
    world.refused("", "says that it is `v9.9.8`");
    world.publish(NEW, "#!/bin/sh\nexit 3\n");
    world.refused("", "does not run here");
    // It answers where it was unpacked and not where it was installed.
    world.publish(NEW, &format!("#!/bin/sh\ncase $0 in */bin/coracle) exit 3 ;; esac\necho v{NEW}\n"));
    world.refused("", "the old one was put back");

    world.publish(NEW, &program(NEW));
    let cut = PathBuf::from(format!("{}.cut", world.archive(NEW).display()));
    std::fs::write(&cut, "").unwrap();
    world.refused("", "nothing was installed");
    std::fs::remove_file(&cut).unwrap();
    std::fs::write(world.archive(NEW), "something else").unwrap();
    world.refused("", "is WRONG: nothing was installed");
    world.publish(NEW, &program(NEW));
    world.refused(&format!("--key {}", "ab".repeat(32)), "the signature of the release v9.9.9 is WRONG");
    std::fs::remove_file(world.release(NEW).join("SHA256SUMS.sig")).unwrap();
    world.refused("", "is not signed");

    world.run(&world.bin().join("coracle"), &format!("update --version {OLD} --allow-downgrade")).ok();
    assert_eq!(world.installed(), format!("v{OLD}"));
}

#[test]
fn the_installer_verifies_installs_and_removes() {
    let world = World::new();
    world.publish(OLD, &program(OLD));
    world.publish(NEW, &program(NEW));
    let bin = world.bin().display().to_string();
    let said = world.install(&format!("--dir {bin}"));
    assert!(said.code == 0 && said.err.contains("signature verified"), "{}", said.err);
    assert_eq!(world.installed(), format!("v{NEW}"));
    let share = world.folder.path().join("share");
    assert!(share.join("man/man1/coracle.1").exists() && share.join("zsh/site-functions/_coracle").exists());
    world.install(&format!("--dir={bin} --version {OLD}")).ok();
    assert_eq!(world.installed(), format!("v{OLD}"));

    let refused = |words: &str, wanted: &str| {
        let said = world.install(&format!("--dir {bin} {words}"));
        assert!(said.code == 1 && said.err.contains(wanted), "{wanted}: {}", said.err);
        assert_eq!(world.installed(), format!("v{OLD}"), "{wanted}");
    };
    refused("--version 7.7.7", "there is no release v7.7.7");
    refused("--frobnicate", "unknown option: --frobnicate");
    refused("--version", "--version needs a value");
    refused("--key xyz", "the key is not hexadecimal");
    refused(&format!("--key {}", "ab".repeat(32)), "is WRONG: nothing was installed");
    std::fs::write(world.archive(NEW), "something else").unwrap();
    refused("", "the checksum of coracle-");
    world.publish(NEW, "#!/bin/sh\nexit 3\n");
    refused("", "does not run here");
    world.publish(NEW, &program("0.0.1"));
    refused("", "holds coracle 0.0.1, which is another one");

    let removed = world.install(&format!("uninstall --dir {bin}"));
    assert!(removed.code == 0 && removed.err.contains("is removed"), "{}", removed.err);
    assert!(!world.bin().join("coracle").exists() && !share.join("man/man1/coracle.1").exists());
    assert!(world.install(&format!("uninstall --dir {bin}")).err.contains("there is no"));

    // A build that is there already stands for what cargo would build.
    let built = world.folder.path().join("built");
    std::fs::write(&built, program("5.5.5")).unwrap();
    std::os::unix::fs::symlink("/bin/true", world.folder.path().join("cargo")).unwrap();
    let script = format!(
        "PATH={}:$PATH CORACLE_BUILT={} exec sh {}/install.sh --from-source --dir {bin}",
        world.folder.path().display(),
        built.display(),
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::write(world.folder.path().join("from-source"), script).unwrap();
    std::fs::set_permissions(&built, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.run(Path::new("/bin/sh"), &world.folder.path().join("from-source").display().to_string()).ok();
    assert_eq!(world.installed(), "v5.5.5");
}
