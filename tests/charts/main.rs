//! `coracle chart` as a program: against Helm's own outputs where `../shared` is there, and against charts made here.

mod own;
mod registry;
mod repository;
mod shared;
mod signing;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run of `coracle chart` printed, stdout and stderr in the order in which they came, and whether it succeeded.
pub struct Ran {
    pub text: String,
    pub ok: bool,
}

/// Runs `coracle chart` with words as a shell takes them, in a folder, with Helm's files below `home`.
pub fn helm(folder: &Path, home: &Path, words: &str) -> Ran {
    run("exec \"$CORACLE\" chart", folder, home, words)
}

/// Helm itself: `CORACLE_TEST_HELM`, or the `helm` on the path.
pub fn real_helm() -> Option<PathBuf> {
    let named = std::env::var_os("CORACLE_TEST_HELM").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = named.into_iter().chain(std::env::split_paths(&paths).map(|folder| folder.join("helm")));
    let found = found.find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: there is no helm");
    }
    found
}

/// Runs a program in the surroundings of [`helm`].
pub fn run(program: &str, folder: &Path, home: &Path, words: &str) -> Ran {
    let both = tempfile::NamedTempFile::new().unwrap();
    let out = || Stdio::from(both.reopen_at_end());
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{program} {words}"))
        .env("CORACLE", env!("CARGO_BIN_EXE_coracle"))
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .env("KUBECONFIG", home.join("no-kubeconfig"))
        .env("DOCKER_CONFIG", home.join("docker"))
        .env_remove("HELM_NAMESPACE")
        .env_remove("HELM_DEBUG")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(out())
        .stderr(out())
        .status()
        .unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(both.path()).unwrap()).into_owned();
    Ran { text, ok: status.success() }
}

trait Reopen {
    fn reopen_at_end(&self) -> std::fs::File;
}

impl Reopen for tempfile::NamedTempFile {
    /// Both streams append, so that none overwrites the other.
    fn reopen_at_end(&self) -> std::fs::File {
        std::fs::OpenOptions::new().append(true).open(self.path()).unwrap()
    }
}

/// Writes a chart's files.
pub fn chart(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
