//! Names and secrets for registries, as the user's Docker client keeps them (`~/.docker/config.json`).
//!
//! A file has a registry's login itself or leaves it to a helper, and then what is written in it is not looked at.

use super::helpers::Helpers;
use super::pull::Login;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How Docker writes down the registry that it uses when none is named.
pub(super) const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The hosts of that registry.
const HUBS: [&str; 2] = ["docker.io", "registry-1.docker.io"];

/// Where logins are, of what else is in the file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Config {
    #[serde(deserialize_with = "or_nothing")]
    auths: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_nothing")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_nothing")]
    creds_store: String,
}

/// A field that may be `null`.
fn or_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// `name:secret`, base64; empty when a helper keeps it.
    auth: String,
    /// The name, where it is written by itself.
    username: String,
    password: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
}

impl Auth {
    fn login(&self) -> Option<Login> {
        if !self.identity_token.is_empty() {
            return Some(Login::of_identity_token(self.identity_token.clone()));
        }
        if self.auth.is_empty() && !self.username.is_empty() {
            return Some(Login { username: self.username.clone(), password: self.password.clone() });
        }
        decode(&self.auth)
    }
}

impl Config {
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // An empty file says nothing.
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let table: Option<Map<String, Value>> = serde_json::from_slice(text).map_err(|error| invalid(&error))?;
        table.map_or_else(|| Ok(Self::default()), |table| Self::of(&table))
    }

    pub fn of(table: &Map<String, Value>) -> Result<Self, String> {
        Self::deserialize(table).map_err(|error| invalid(&error))
    }

    /// The helper that a registry's logins are left to.
    pub fn helper(&self, registry: &str) -> Option<&str> {
        let own = names(registry).iter().find_map(|name| self.cred_helpers.get(name));
        Some(own.unwrap_or(&self.creds_store).as_str()).filter(|helper| !helper.is_empty())
    }

    /// Whether nobody has said yet where logins are kept.
    pub fn is_new(&self) -> bool {
        self.auths.is_empty() && self.cred_helpers.is_empty() && self.creds_store.is_empty()
    }

    /// The login that is written down.
    fn kept(&self, registry: &str) -> Result<Option<Login>, String> {
        let Some(kept) = names(registry).iter().find_map(|name| self.auths.get(name)) else { return Ok(None) };
        let auth = Auth::deserialize(kept).map_err(|error| format!("{registry}: {}", invalid(&error)))?;
        Ok(auth.login())
    }
}

/// The logins that the user of this process has at a registry; none if nothing is configured or can be read. Images are pulled
/// all the same without one that a helper fails to tell, because most are anybody's.
pub fn of_user(registry: &str) -> Vec<Login> {
    let Some(file) = docker_file() else { return Vec::new() };
    let found = of_file(&file, registry, &Helpers::of_process(), None);
    found.unwrap_or_else(|why| going_without(&why)).into_iter().collect()
}

/// The login that Helm's own file has for a registry or, if there is none, Docker's. Where neither says anything, the machine's
/// own helper is asked.
pub fn of_charts(file: &Path, registry: &str) -> Result<Option<Login>, String> {
    let files = [Some(file.to_path_buf()), docker_file()];
    first_of(files.iter().flatten(), registry, &Helpers::of_process())
}

fn first_of<'f>(
    files: impl IntoIterator<Item = &'f PathBuf>,
    registry: &str,
    helpers: &Helpers,
) -> Result<Option<Login>, String> {
    let detected = helpers.of_machine();
    for file in files {
        if let Some(login) = of_file(file, registry, helpers, detected)? {
            return Ok(Some(login));
        }
    }
    Ok(None)
}

fn docker_file() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// The login that a file in the form of Docker's has for a registry. One that says nothing leaves it to the helper that was
/// detected.
pub(super) fn of_file(
    file: &Path,
    registry: &str,
    helpers: &Helpers,
    detected: Option<&str>,
) -> Result<Option<Login>, String> {
    let text = match std::fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|error| format!("failed to open config file at {}: {error}", file.display()))?,
    };
    let config = Config::parse(&text);
    let config = config.map_err(|why| format!("failed to decode config file {}: {why}", file.display()))?;
    if let Some(helper) = config.helper(registry) {
        return helpers.get(helper, name(registry));
    }
    match detected.filter(|_| config.is_new()) {
        // Nobody named it: one that does not work here (no session, no key) keeps nobody from what is anybody's.
        Some(helper) => Ok(helpers.get(helper, name(registry)).unwrap_or_else(|why| going_without(&why))),
        None => config.kept(registry),
    }
}

fn going_without(why: &str) -> Option<Login> {
    tracing::warn!("{why}: going on without a login");
    None
}

/// The login that a Secret in the form of Docker's file has for a registry. It names no programs to ask: whoever wrote it may
/// not start one here.
pub fn of_secret(config: &[u8], registry: &str) -> Result<Option<Login>, String> {
    let config: Config = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    config.kept(registry)
}

/// The key under which Docker keeps a registry.
pub(super) fn name(registry: &str) -> &str {
    if HUBS.contains(&registry) { DOCKER_HUB } else { registry }
}

/// The keys under which Docker may keep a registry, or may have kept it.
pub(super) fn names(registry: &str) -> Vec<String> {
    let old = [registry.to_string(), format!("https://{registry}"), format!("https://{registry}/")];
    std::iter::once(name(registry).to_string()).chain(old).collect()
}

fn invalid(error: &serde_json::Error) -> String {
    format!("invalid config format: {error}")
}

fn decode(auth: &str) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Login { username: username.into(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use super::super::helpers::UNKNOWN;
    use super::super::helpers::testing::{Machine, fails, knows};
    use super::*;

    /// What a file with this text has for a registry on a machine.
    fn found(machine: &Machine, text: &str, registry: &str) -> Result<Option<(String, String)>, String> {
        let file = machine.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        let login = first_of([&file], registry, &machine.helpers)?;
        Ok(login.map(|login| (login.username, login.password)))
    }

    fn login(username: &str, password: &str) -> Option<(String, String)> {
        Some((username.into(), password.into()))
    }

    #[test]
    fn a_login_is_found_under_every_name_that_docker_gives_a_registry() {
        let machine = Machine::with(&[]);
        let auth = STANDARD.encode("me:s:3");
        for (key, registry) in [
            (DOCKER_HUB, "docker.io"),
            (DOCKER_HUB, "registry-1.docker.io"),
            ("r.test:5000", "r.test:5000"),
            ("https://r.test", "r.test"),
        ] {
            let text = format!(r#"{{"auths": {{"{key}": {{"auth": "{auth}"}}}}}}"#);
            assert_eq!(found(&machine, &text, registry), Ok(login("me", "s:3")), "{key}");
            assert_eq!(found(&machine, &text, "other.test"), Ok(None));
        }
    }

    #[test]
    fn a_registry_that_is_left_to_a_helper_has_no_login_in_the_file() {
        let machine = Machine::with(&[
            ("docker-credential-one", &knows("helped", "h")),
            ("docker-credential-none", &fails(UNKNOWN)),
            ("docker-credential-broken", &fails("locked")),
        ]);
        let with = |keys: &str, registry: &str| {
            let text = format!(r#"{{"auths": {{"r.test": {{"auth": "bWU6cw=="}}}}, {keys}}}"#);
            found(&machine, &text, registry)
        };
        assert_eq!(with(r#""credsStore": "one""#, "r.test"), Ok(login("helped", "h")));
        assert_eq!(with(r#""credsStore": "none""#, "r.test"), Ok(None));
        assert_eq!(
            with(r#""credsStore": "none", "credHelpers": {"r.test": "one"}"#, "r.test"),
            Ok(login("helped", "h"))
        );
        assert_eq!(with(r#""credHelpers": {"other.test": "one"}"#, "r.test"), Ok(login("me", "s")));
        assert!(with(r#""credsStore": "broken""#, "r.test").unwrap_err().contains("locked"));
        assert!(with(r#""credsStore": "missing""#, "r.test").unwrap_err().contains("docker-credential-missing"));
    }

    #[test]
    fn the_machines_own_helper_is_asked_where_a_file_says_nothing() {
        let machine = Machine::with(&[("docker-credential-secretservice", &knows("own", "o"))]);
        for text in ["", " \n", "{}", "null", r#"{"auths": {}, "other": 1}"#, r#"{"auths": null, "credsStore": ""}"#] {
            assert_eq!(found(&machine, text, "r.test"), Ok(login("own", "o")), "{text}");
        }
        let missing = machine.path().join("missing.json");
        assert!(first_of([&missing], "r.test", &machine.helpers).unwrap().is_some_and(|login| login.username == "own"));
        assert_eq!(found(&machine, r#"{"auths": {"other.test": {}}}"#, "r.test"), Ok(None));
        let machine = Machine::with(&[("docker-credential-secretservice", &fails("no session"))]);
        assert_eq!(found(&machine, "{}", "r.test"), Ok(None));
    }

    #[test]
    fn the_first_file_that_has_a_login_is_the_last_that_is_looked_at() {
        let machine = Machine::with(&[]);
        let (own, other) = (machine.path().join("own.json"), machine.path().join("other.json"));
        std::fs::write(&own, r#"{"auths": {"r.test": {"auth": "bWU6cw=="}}}"#).unwrap();
        std::fs::write(&other, r#"{"credsStore": "missing"}"#).unwrap();
        let user = |registry: &str| {
            first_of([&own, &other], registry, &machine.helpers).map(|login| login.map(|one| one.username))
        };
        assert_eq!(user("r.test"), Ok(Some("me".into())));
        assert!(user("other.test").is_err());
    }

    #[test]
    fn an_identity_token_is_known_as_one() {
        let machine = Machine::with(&[("docker-credential-one", &knows("<token>", "t"))]);
        for text in [r#"{"credsStore": "one"}"#, r#"{"auths": {"r.test": {"auth": "bWU6", "identitytoken": "t"}}}"#] {
            assert_eq!(found(&machine, text, "r.test"), Ok(login("<token>", "t")), "{text}");
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
    fn a_file_that_cannot_be_read_is_no_file_without_logins() {
        let machine = Machine::with(&[]);
        for text in ["nonsense", "[]", r#"{"auths": []}"#, r#"{"auths": {"r.test": 3}}"#] {
            assert!(found(&machine, text, "r.test").unwrap_err().contains("invalid config format"), "{text}");
        }
        assert_eq!(found(&machine, r#"{"auths": {"r.test": {}}}"#, "r.test"), Ok(None));
        assert_eq!(found(&machine, r#"{"auths": {"other.test": 3}}"#, "r.test"), Ok(None));
    }
}
