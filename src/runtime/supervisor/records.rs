//! What the supervisor remembers on disk.
//!
//! ```text
//! sandboxes/ID.json
//! containers/ID/record.json
//! containers/ID/{upper,work,rootfs}   what the container wrote, overlayfs' own, where the root is put together
//! trash/ID                            on its way out
//! ```
//!
//! Records are replaced as a whole, but not synced: after a power cut nothing of what they tell of is left running.

use crate::runtime::spec::{Container, Sandbox};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The folder of records.
#[derive(Clone, Debug)]
pub struct Records {
    root: PathBuf,
}

impl Records {
    /// Opens the folder, making it if it is missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        for folder in ["sandboxes", "containers", "trash"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        // Records have the values of environment variables, and root file systems have programs that others must not run.
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700))?;
        Ok(Self { root: root.into() })
    }

    /// A container's own folder.
    pub fn folder(&self, container: &str) -> PathBuf {
        self.root.join("containers").join(container)
    }

    /// What is to be deleted.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    pub fn save_sandbox(&self, sandbox: &Sandbox) -> io::Result<()> {
        write(&self.sandbox(&sandbox.id), sandbox)
    }

    pub fn save_container(&self, container: &Container) -> io::Result<()> {
        write(&self.folder(&container.id).join("record.json"), container)
    }

    pub fn remove_sandbox(&self, id: &str) -> io::Result<()> {
        std::fs::remove_file(self.sandbox(id))
    }

    /// Everything that was saved. What cannot be read was cut short by a power cut, and goes to the trash.
    pub fn load(&self) -> io::Result<(Vec<Sandbox>, Vec<Container>)> {
        let mut sandboxes: Vec<Sandbox> = Vec::new();
        for entry in std::fs::read_dir(self.root.join("sandboxes"))? {
            let path = entry?.path();
            match read(&path) {
                Some(sandbox) => sandboxes.push(sandbox),
                None => std::fs::remove_file(&path)?,
            }
        }
        let mut containers: Vec<Container> = Vec::new();
        for entry in std::fs::read_dir(self.root.join("containers"))? {
            let entry = entry?;
            match read(&entry.path().join("record.json")) {
                Some(container) => containers.push(container),
                None => std::fs::rename(entry.path(), self.trash().join(entry.file_name()))?,
            }
        }
        Ok((sandboxes, containers))
    }

    fn sandbox(&self, id: &str) -> PathBuf {
        self.root.join("sandboxes").join(format!("{id}.json"))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(value)?)?;
    std::fs::rename(&new, path)
}
