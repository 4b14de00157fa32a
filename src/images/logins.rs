//! Names and secrets for registries, as the user's Docker client keeps them (`~/.docker/config.json`).

use super::pull::Login;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How Docker writes down the registry that it uses when none is named.
pub(super) const DOCKER_HUB: &str = "https://index.docker.io/v1/";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// `name:secret`, base64; empty when a helper keeps it.
    auth: String,
    /// The name, where it is written by itself.
    username: String,
    password: String,
}

impl Auth {
    fn login(&self) -> Option<Login> {
        if self.auth.is_empty() && !self.username.is_empty() {
            return Some(Login { username: self.username.clone(), password: self.password.clone() });
        }
        decode(&self.auth)
    }
}

/// What a credential helper answers (docker-credential-helpers, `get`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The logins that the user of this process has at a registry; none if nothing is configured or can be read.
pub fn of_user(registry: &str) -> Vec<Login> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    folder.map(|folder| of_file(&folder.join("config.json"), registry)).unwrap_or_default()
}

/// The logins that a file in the form of Docker's has for a registry.
pub fn of_file(file: &Path, registry: &str) -> Vec<Login> {
    let Ok(text) = std::fs::read(file) else { return Vec::new() };
    let config: Config = match serde_json::from_slice(&text) {
        Ok(config) => config,
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "cannot be read, pulling without a login");
            return Vec::new();
        }
    };
    let names = names(registry);
    let helper = names.iter().find_map(|name| config.cred_helpers.get(name)).unwrap_or(&config.creds_store);
    let kept = names.iter().find_map(|name| config.auths.get(name)).and_then(Auth::login);
    let asked = || names.iter().find_map(|name| ask(helper, name));
    kept.or_else(asked).into_iter().collect()
}

/// The login that a Secret in the form of Docker's file has for a registry. It names no programs to ask: whoever wrote it may
/// not start one here.
pub fn of_secret(config: &[u8], registry: &str) -> Result<Option<Login>, String> {
    let config: Config = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    Ok(names(registry).iter().find_map(|name| config.auths.get(name)).and_then(Auth::login))
}

/// The keys under which Docker may keep a registry.
pub(super) fn names(registry: &str) -> Vec<String> {
    let plain = [registry.to_string(), format!("https://{registry}"), format!("https://{registry}/")];
    let hub = (registry == "docker.io").then(|| DOCKER_HUB.to_string());
    hub.into_iter().chain(plain).collect()
}

fn decode(auth: &str) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Login { username: username.into(), password: password.into() })
}

/// Asks a credential helper; one that is missing or knows nothing is no error.
fn ask(helper: &str, name: &str) -> Option<Login> {
    if helper.is_empty() {
        return None;
    }
    let mut command = Command::new(format!("docker-credential-{helper}"));
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    child.stdin.take()?.write_all(name.as_bytes()).ok()?;
    let answer: Answer = serde_json::from_slice(&child.wait_with_output().ok()?.stdout).ok()?;
    Some(Login { username: answer.username, password: answer.secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins(text: &str, registry: &str) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        of_file(&file, registry).into_iter().map(|login| (login.username, login.password)).collect()
    }

    #[test]
    fn a_login_is_found_under_every_name_that_docker_gives_a_registry() {
        let auth = STANDARD.encode("me:s:3");
        for (key, registry) in [(DOCKER_HUB, "docker.io"), ("r.test:5000", "r.test:5000"), ("https://r.test", "r.test")]
        {
            let text = format!(r#"{{"auths": {{"{key}": {{"auth": "{auth}"}}}}}}"#);
            assert_eq!(logins(&text, registry), [("me".to_string(), "s:3".to_string())], "{key}");
            assert_eq!(logins(&text, "other.test"), []);
        }
    }

    #[test]
    fn a_secret_has_logins_and_starts_no_program() {
        let of = |text: &str| of_secret(text.as_bytes(), "r.test").map(|login| login.map(|one| one.username));
        assert_eq!(of(r#"{"auths": {"r.test": {"username": "me", "password": "s"}}}"#), Ok(Some("me".into())));
        assert_eq!(of(r#"{"credsStore": "any", "credHelpers": {"r.test": "any"}}"#), Ok(None));
        assert!(of("nonsense").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_no_login() {
        assert_eq!(logins("nonsense", "docker.io"), []);
        assert_eq!(logins(r#"{"credsStore": "there-is-no-such-helper"}"#, "docker.io"), []);
        assert_eq!(logins(r#"{"auths": {"r.test": {}}}"#, "r.test"), []);
    }
}
