//! Where Helm keeps what it remembers, from its environment variables.

use std::path::PathBuf;

/// Paths of Helm's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HELM_CACHE_HOME`
    pub cache_home: PathBuf,
    /// `HELM_CONFIG_HOME`
    pub config_home: PathBuf,
    /// `HELM_DATA_HOME`
    pub data_home: PathBuf,
    /// Indexes of repositories.
    pub repository_cache: PathBuf,
    /// `repositories.yaml`
    pub repository_config: PathBuf,
    /// Logins of registries.
    pub registry_config: PathBuf,
    /// Downloaded charts by digest.
    pub content_cache: PathBuf,
}

impl Settings {
    /// The paths of this user.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = std::env::home_dir().unwrap_or_default();
        let base = |own: &str, xdg: &str, fallback: &str| {
            variable(own)
                .or_else(|| variable(xdg).map(|folder| folder.join("helm")))
                .unwrap_or_else(|| home.join(fallback).join("helm"))
        };
        let cache_home = base("HELM_CACHE_HOME", "XDG_CACHE_HOME", ".cache");
        let config_home = base("HELM_CONFIG_HOME", "XDG_CONFIG_HOME", ".config");
        let data_home = base("HELM_DATA_HOME", "XDG_DATA_HOME", ".local/share");
        let or = |name: &str, fallback: PathBuf| variable(name).unwrap_or(fallback);
        Self {
            repository_cache: or("HELM_REPOSITORY_CACHE", cache_home.join("repository")),
            repository_config: or("HELM_REPOSITORY_CONFIG", config_home.join("repositories.yaml")),
            registry_config: or("HELM_REGISTRY_CONFIG", config_home.join("registry/config.json")),
            content_cache: or("HELM_CONTENT_CACHE", cache_home.join("content")),
            cache_home,
            config_home,
            data_home,
        }
    }

    /// The cached index of a repository.
    pub fn index_path(&self, repository: &str) -> PathBuf {
        self.repository_cache.join(format!("{repository}-index.yaml"))
    }

    /// The cached list of a repository's charts, for completion.
    pub fn charts_path(&self, repository: &str) -> PathBuf {
        self.repository_cache.join(format!("{repository}-charts.txt"))
    }
}
