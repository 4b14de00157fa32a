//! What the user wants of every new cluster: `coracle config set`, kept in the home as minikube keeps its own.

use super::resolve::{check, unknown};
use super::{Home, Problem, Wanted, settings};
use crate::base::atomic;
use std::collections::BTreeMap;
use std::io;

/// Preferences that are no settings of a cluster: `profile` is the active one, the others are read by single commands.
const OTHERS: &[&str] =
    &["profile", "MaxAuditEntries", "WantUpdateNotification", "namespace", "wait", "releases", "release-key"];

/// Preferences of minikube that mean nothing here: scripts may set them.
const IDLE: &[&str] = &[
    "EmbedCerts",
    "ReminderWaitPeriodInHours",
    "WantBetaUpdateNotification",
    "WantNoneDriverWarning",
    "WantVirtualBoxDriverWarning",
    "bootstrapper",
    "cache",
    "container-runtime",
    "disable-driver-mounts",
    "disk-size",
    "dns-servers",
    "feature-gates",
    "host-only-cidr",
    "hyperv-virtual-switch",
    "insecure-registry",
    "iso-url",
    "kubernetes-version",
    "log_dir",
    "mdns",
    "native-ssh",
    "rootless",
    "v",
    "vm-driver",
];

/// The preferences, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences(pub BTreeMap<String, String>);

impl Preferences {
    /// Those of a home; none where there is no file.
    pub fn load(home: &Home) -> io::Result<Self> {
        match std::fs::read(home.preferences_file()) {
            Ok(bytes) => Ok(Self(serde_json::from_slice(&bytes).map_err(io::Error::other)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes them.
    pub fn save(&self, home: &Home) -> io::Result<()> {
        atomic::write(&home.preferences_file(), &serde_json::to_vec_pretty(&self.0)?, 0o644)
    }

    /// Sets one, if it exists and can have the value; lists are separated by commas.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        if !OTHERS.contains(&key) && !IDLE.contains(&key) {
            check(key, &split(key, value))?;
        }
        self.0.insert(key.into(), value.into());
        Ok(())
    }

    /// Whether there is a preference of that name.
    pub fn is_known(key: &str) -> Result<(), Problem> {
        match OTHERS.contains(&key) || IDLE.contains(&key) || settings::find(key).is_some() {
            true => Ok(()),
            false => Err(Problem::new(key, unknown(key))),
        }
    }

    /// The names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        settings::SETTINGS.iter().map(|setting| setting.key).chain(OTHERS.iter().copied())
    }

    /// What they ask of a new cluster.
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for (key, value) in &self.0 {
            if let Some(setting) = settings::find(key) {
                wanted.set(setting.key, split(key, value));
            }
        }
        wanted
    }
}

fn split(key: &str, value: &str) -> Vec<String> {
    match settings::find(key).is_some_and(|setting| setting.is_list()) {
        true => value.split(',').map(|part| part.trim().to_string()).filter(|part| !part.is_empty()).collect(),
        false => vec![value.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_asked_of_new_clusters() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let mut preferences = Preferences::load(&home).unwrap();
        preferences.set("memory", "4g").unwrap();
        preferences.set("addons", "ingress, registry").unwrap();
        assert!(preferences.set("memory", "plenty").is_err());
        assert!(preferences.set("memroy", "4g").unwrap_err().to_string().contains("`memory`"));
        preferences.save(&home).unwrap();
        let wanted = Preferences::load(&home).unwrap().wanted();
        assert_eq!(wanted.settings["memory"], ["4g"]);
        assert_eq!(wanted.settings["addons"], ["ingress", "registry"]);
    }
}
