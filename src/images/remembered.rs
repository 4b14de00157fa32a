//! Logins that are remembered and forgotten: in a file of the form of Docker's, or by the program that the file leaves them to.

use super::helpers::{Helpers, UNKNOWN};
use super::logins::{Config, name, names};
use super::pull::Login;
use crate::base::atomic;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// Remembers a login of a registry.
pub fn remember(file: &Path, registry: &str, login: &Login) -> Result<(), String> {
    remember_on(&Helpers::of_process(), file, registry, login)
}

fn remember_on(helpers: &Helpers, file: &Path, registry: &str, login: &Login) -> Result<(), String> {
    let name = name(registry);
    change(file, |config| {
        let keeper = Keeper::of(config, registry, helpers)?;
        let Some(helper) = &keeper.helper else {
            let auth = STANDARD.encode(format!("{}:{}", login.username, login.password));
            auths(config)?.insert(name.into(), json!({"auth": auth}));
            return Ok(true);
        };
        let secret = json!({"ServerURL": name, "Username": login.username, "Secret": login.password});
        helpers.tell(helper, "store", &secret.to_string())?;
        if keeper.is_new {
            config.insert("credsStore".into(), helper.as_str().into());
        }
        // What was written down before is nobody's any more.
        Ok(erase(config, registry) || keeper.is_new)
    })
}

/// Forgets the logins of a registry; that there is none is no error.
pub fn forget(file: &Path, registry: &str) -> Result<(), String> {
    forget_on(&Helpers::of_process(), file, registry)
}

fn forget_on(helpers: &Helpers, file: &Path, registry: &str) -> Result<(), String> {
    change(file, |config| {
        if let Some(helper) = Keeper::of(config, registry, helpers)?.helper {
            match helpers.tell(&helper, "erase", name(registry)) {
                Err(why) if !why.contains(UNKNOWN) => return Err(why),
                _ => {}
            }
        }
        Ok(erase(config, registry))
    })
}

/// Who keeps a registry's logins.
struct Keeper {
    /// The helper that the file leaves them to or, if it says nothing yet, the machine's own.
    helper: Option<String>,
    /// Whether the file says nothing yet.
    is_new: bool,
}

impl Keeper {
    fn of(config: &Map<String, Value>, registry: &str, helpers: &Helpers) -> Result<Self, String> {
        let config = Config::of(config)?;
        let is_new = config.is_new();
        let helper = if is_new { helpers.of_machine() } else { config.helper(registry) };
        Ok(Self { helper: helper.map(String::from), is_new })
    }
}

/// Takes away what is written down under any of a registry's names; whether there was something.
fn erase(config: &mut Map<String, Value>, registry: &str) -> bool {
    let Some(Value::Object(known)) = config.get_mut("auths") else { return false };
    names(registry).iter().filter(|name| known.remove(*name).is_some()).count() > 0
}

fn auths(config: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, String> {
    let known = config.entry("auths").or_insert(Value::Null);
    if known.is_null() {
        *known = json!({});
    }
    known.as_object_mut().ok_or_else(|| "invalid config format: its `auths` are no table".into())
}

/// Changes a file, if `change` says that it did; two that change it at the same time wait for each other.
fn change(file: &Path, change: impl FnOnce(&mut Map<String, Value>) -> Result<bool, String>) -> Result<(), String> {
    let failed = |what: &'static str| move |error| format!("cannot {what} {}: {error}", file.display());
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    let lock = File::create(file.with_extension("lock")).map_err(failed("lock"))?;
    lock.lock().map_err(failed("lock"))?;
    let mut config = match std::fs::read(file) {
        Ok(text) => parse(&text).map_err(|why| format!("{} cannot be read: {why}", file.display()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(failed("open")(error)),
    };
    if !change(&mut config)? {
        return Ok(());
    }
    let mut text = serde_json::to_vec_pretty(&config).map_err(|error| error.to_string())?;
    text.push(b'\n');
    atomic::write(file, &text, 0o600).map_err(failed("write"))
}

fn parse(text: &[u8]) -> Result<Map<String, Value>, String> {
    // An empty file says nothing.
    if text.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(text).map_err(|error| error.to_string())? {
        Value::Object(config) => Ok(config),
        Value::Null => Ok(Map::new()),
        _ => Err("invalid config format: it is no table".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::helpers::testing::{Machine, fails};
    use super::super::logins::{DOCKER_HUB, of_file};
    use super::*;
    use std::path::PathBuf;

    fn login(username: &str) -> Login {
        Login { username: username.into(), password: "secret".into() }
    }

    /// A folder with a file that has this text.
    fn config(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    fn users(file: &Path, registry: &str) -> Vec<String> {
        let found = of_file(file, registry, &Helpers::of_process(), None).unwrap();
        found.into_iter().map(|login| login.username).collect()
    }

    #[test]
    fn a_login_is_remembered_and_forgotten_under_every_name_of_its_registry() {
        let (_folder, file) = config(r#"{"auths": {"docker.io": {"auth": "bWU6cw=="}}, "other": 1}"#);
        for registry in ["docker.io", "registry-1.docker.io", "r.test:5000"] {
            remember(&file, registry, &login("you")).unwrap();
            assert_eq!(users(&file, registry), ["you"]);
            assert_eq!(users(&file, "docker.io").is_empty(), registry == "r.test:5000");
            forget(&file, registry).unwrap();
            forget(&file, registry).unwrap();
            assert!(users(&file, registry).is_empty());
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"auths": {}, "other": 1}));
    }

    #[test]
    fn a_registry_that_is_not_known_is_forgotten_without_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        forget(&file, "nobody.example").unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        for text in ["[]", "\"x\"", "3", r#"{"auths": []}"#, r#"{"auths": "x"}"#, "nonsense"] {
            let (_folder, file) = config(text);
            assert!(remember(&file, "r.test", &login("me")).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        let (_folder, file) = config(r#"{"auths": null}"#);
        remember(&file, "r.test", &login("me")).unwrap();
        assert_eq!(users(&file, "r.test"), ["me"]);
    }

    #[test]
    fn logins_at_the_same_time_are_all_kept() {
        let (_folder, file) = config("{}");
        let registries: Vec<String> = (0..20).map(|number| format!("r{number}.test")).collect();
        std::thread::scope(|scope| {
            for registry in &registries {
                scope.spawn(|| remember(&file, registry, &login("me")).unwrap());
            }
        });
        assert!(registries.iter().all(|registry| users(&file, registry) == ["me"]));
    }

    #[test]
    fn a_secret_that_a_helper_is_to_keep_is_written_nowhere() {
        let (_folder, file) = config(r#"{"credHelpers": {"r.test": "there-is-no-such-helper"}}"#);
        let refused = remember(&file, "r.test", &login("me")).unwrap_err();
        assert!(refused.contains("docker-credential-there-is-no-such-helper"), "{refused}");
        assert!(!std::fs::read_to_string(&file).unwrap().contains("auths"));
        remember(&file, "other.test", &login("me")).unwrap();
        assert_eq!(users(&file, "other.test"), ["me"]);
    }

    /// A helper that writes down what it is told.
    const NOTES: &str = "read -r input || true; printf '%s\\n' \"$1 $input\" >> \"${0%/*}/notes\"";

    #[test]
    fn the_machines_own_helper_keeps_logins_where_nothing_is_said() {
        let machine = Machine::with(&[("docker-credential-secretservice", NOTES)]);
        for text in ["", "{}", r#"{"auths": {}, "credsStore": ""}"#] {
            let (_folder, file) = config(text);
            remember_on(&machine.helpers, &file, "registry-1.docker.io", &login("me")).unwrap();
            let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            assert_eq!(kept["credsStore"], "secretservice", "{text}");
            assert!(!kept.to_string().contains("secret\""), "{kept}");
        }
        let (_folder, file) = config("{}");
        forget_on(&machine.helpers, &file, "docker.io").unwrap();
        let notes = machine.left("notes");
        let told: Vec<_> = notes.lines().filter_map(|line| line.split_once(' ')).collect();
        let stored = json!({"ServerURL": DOCKER_HUB, "Username": "me", "Secret": "secret"});
        assert_eq!(told.len(), 4, "{notes}");
        assert!(told[..3].iter().all(|(order, input)| *order == "store" && input.parse::<Value>().unwrap() == stored));
        assert_eq!(told[3], ("erase", DOCKER_HUB));
        let (_folder, file) = config(r#"{"auths": {"r.test": {}}}"#);
        remember_on(&machine.helpers, &file, "r.test", &login("me")).unwrap();
        assert_eq!(users(&file, "r.test"), ["me"]);
    }

    #[test]
    fn what_a_helper_cannot_forget_is_told_unless_it_never_knew_it() {
        let machine = Machine::with(&[
            ("docker-credential-none", &fails(UNKNOWN)),
            ("docker-credential-broken", &fails("locked")),
        ]);
        let forget = |helper: &str| {
            let (_folder, file) = config(&json!({"credsStore": helper}).to_string());
            forget_on(&machine.helpers, &file, "r.test")
        };
        assert_eq!(forget("none"), Ok(()));
        assert_eq!(forget("broken"), Err("docker-credential-broken erase: locked".into()));
    }
}
