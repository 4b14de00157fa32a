//! Where coracle keeps things on the user's machine: one folder, one subfolder per profile.

use super::Profile;
use crate::base::atomic;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The folder of all profiles: `$CORACLE_HOME`, or `~/.coracle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The home below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The home that environment and user say.
    pub fn from_environment() -> Self {
        let named = std::env::var_os("CORACLE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        let default = || dirs::home_dir().unwrap_or_else(|| PathBuf::from("/var/lib")).join(".coracle");
        Self::new(named.unwrap_or_else(default))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Everything of one profile.
    pub fn profile_folder(&self, name: &str) -> PathBuf {
        self.root.join("profiles").join(name)
    }

    /// The root file system of a profile's node.
    pub fn node_root(&self, name: &str) -> PathBuf {
        self.profile_folder(name).join("node")
    }

    /// What the user wants of every new cluster (`coracle config set`).
    pub fn preferences_file(&self) -> PathBuf {
        self.root.join("config").join("config.json")
    }

    /// Every command that was run, one JSON object a line.
    pub fn audit_file(&self) -> PathBuf {
        self.root.join("logs").join("audit.json")
    }

    /// What a node had to tell whose start failed last.
    pub fn failed_start(&self, name: &str) -> PathBuf {
        self.root.join("logs").join("failed").join(name)
    }

    /// Archives of images that every cluster loads (`coracle cache`).
    pub fn image_cache(&self) -> PathBuf {
        self.root.join("cache").join("images")
    }

    /// Certificates of authorities that every node trusts.
    pub fn certificates(&self) -> PathBuf {
        self.root.join("certs")
    }

    /// Files that every node gets, laid out as below its root.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Programs that were fetched for this machine.
    pub fn program_cache(&self) -> PathBuf {
        self.root.join("cache").join("bin")
    }

    /// Snapshots of one profile's state.
    pub fn snapshots(&self, name: &str) -> PathBuf {
        self.root.join("snapshots").join(name)
    }

    /// A lock that is held by the command that works on one profile.
    pub fn profile_lock(&self, name: &str) -> PathBuf {
        // A name that leads elsewhere is no profile's, and is refused as such.
        self.root.join("locks").join(name.replace('/', "_"))
    }

    /// A lock that is held while a profile is made.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The file that names the profile used when no `-p` is given.
    pub fn active_file(&self) -> PathBuf {
        self.root.join("active-profile")
    }

    fn profile_file(&self, name: &str) -> PathBuf {
        self.profile_folder(name).join("profile.json")
    }

    /// Reads a profile; `None` if there is no such profile.
    pub fn load(&self, name: &str) -> io::Result<Option<Profile>> {
        match std::fs::read(self.profile_file(name)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a profile.
    pub fn save(&self, profile: &Profile) -> io::Result<()> {
        // Others of the machine have no business in it: a node's state is there, with every Secret and pods' files.
        let folder = self.profile_folder(&profile.name);
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
        atomic::write(&self.profile_file(&profile.name), &serde_json::to_vec_pretty(profile)?, 0o600)?;
        // For programs that look where minikube keeps this; nothing reads it here.
        let described = serde_json::to_vec_pretty(&super::minikube::describe(profile))?;
        atomic::write(&folder.join("config.json"), &described, 0o600)
    }

    /// The names of all profiles, sorted; folders without a readable name are left out. One of another user's, into which this
    /// one may not look, is a profile.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.root.join("profiles")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| {
                let there = self.profile_file(name).try_exists();
                there.unwrap_or_else(|error| error.kind() == io::ErrorKind::PermissionDenied)
            })
            .collect();
        names.sort();
        Ok(names)
    }

    /// The profile used when none is named.
    pub fn active(&self) -> String {
        let text = std::fs::read_to_string(self.active_file()).unwrap_or_default();
        let name = text.trim();
        if name.is_empty() { "coracle".into() } else { name.into() }
    }

    /// Makes `name` the profile used when none is named.
    pub fn set_active(&self, name: &str) -> io::Result<()> {
        atomic::write(&self.active_file(), name.as_bytes(), 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Wanted;

    #[test]
    fn a_saved_profile_is_listed_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert_eq!(home.names().unwrap(), Vec::<String>::new());
        let profile = Wanted::named("two").resolve(&[]).unwrap();
        home.save(&profile).unwrap();
        assert_eq!(home.names().unwrap(), ["two"]);
        assert_eq!(home.load("two").unwrap(), Some(profile));
        assert_eq!(home.load("three").unwrap(), None);
    }

    #[test]
    fn the_active_profile_is_coracle_until_another_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert_eq!(home.active(), "coracle");
        home.set_active("two").unwrap();
        assert_eq!(home.active(), "two");
    }
}
