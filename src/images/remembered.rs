//! Logins that are remembered and forgotten: in a file of the form of Docker's, or by the program that the file leaves them to.

use super::logins::{DOCKER_HUB, names};
use super::pull::Login;
use crate::base::atomic;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a helper says that has no such login.
const UNKNOWN: &str = "credentials not found";

/// Remembers a login of a registry.
pub fn remember(file: &Path, registry: &str, login: &Login) -> Result<(), String> {
    let name = name(registry);
    change(file, |config| {
        let found = if is_new(config) { of_machine(&std::env::var_os("PATH").unwrap_or_default()) } else { None };
        let Some(helper) = helper(config, name).or(found.map(String::from)) else {
            let auth = STANDARD.encode(format!("{}:{}", login.username, login.password));
            auths(config)?.insert(name.into(), json!({"auth": auth}));
            return Ok(true);
        };
        let secret = json!({"ServerURL": name, "Username": login.username, "Secret": login.password});
        tell(&helper, "store", &secret.to_string())?;
        if let Some(found) = found {
            config.insert("credsStore".into(), found.into());
        }
        // One that was written down before would be found first.
        Ok(erase(config, registry) || found.is_some())
    })
}

/// Forgets the logins of a registry; that there is none is no error.
pub fn forget(file: &Path, registry: &str) -> Result<(), String> {
    change(file, |config| {
        if let Some(helper) = helper(config, name(registry)) {
            match tell(&helper, "erase", name(registry)) {
                Err(why) if !why.contains(UNKNOWN) => return Err(why),
                _ => {}
            }
        }
        Ok(erase(config, registry))
    })
}

/// The name under which a registry is kept.
fn name(registry: &str) -> &str {
    if registry == "docker.io" { DOCKER_HUB } else { registry }
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

/// The program that a file leaves a registry's logins to.
fn helper(config: &Map<String, Value>, name: &str) -> Option<String> {
    let own = config.get("credHelpers").and_then(|helpers| helpers.get(name)).or(config.get("credsStore"));
    own.and_then(Value::as_str).filter(|helper| !helper.is_empty()).map(String::from)
}

/// Whether nobody has said yet where logins are kept.
fn is_new(config: &Map<String, Value>) -> bool {
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty) || value.as_str() == Some("");
    ["auths", "credHelpers", "credsStore"].iter().all(|key| config.get(*key).is_none_or(is_empty))
}

/// The helper that Docker's own tools would take on a machine of this kind, if it is there.
fn of_machine(paths: &OsStr) -> Option<&'static str> {
    let has = |program: &str| std::env::split_paths(paths).any(|folder| folder.join(program).is_file());
    let helper = if has("pass") { "pass" } else { "secretservice" };
    has(&format!("docker-credential-{helper}")).then_some(helper)
}

/// Gives a helper an order (docker-credential-helpers).
fn tell(helper: &str, order: &str, input: &str) -> Result<(), String> {
    let program = format!("docker-credential-{helper}");
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("exec: {program:?}: executable file not found in $PATH"),
        _ => format!("{program} {order}: {error}"),
    };
    let mut command = Command::new(&program);
    command.arg(order).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(failed)?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let ended = child.wait_with_output().map_err(failed)?;
    match ended.status.success() {
        // One that went well need not have read anything.
        true => {
            written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(failed(error)) })
        }
        false => Err(format!("{program} {order}: {}", String::from_utf8_lossy(&ended.stdout).trim())),
    }
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
    match serde_json::from_slice(text).map_err(|error| error.to_string())? {
        Value::Object(config) => Ok(config),
        Value::Null => Ok(Map::new()),
        _ => Err("invalid config format: it is no table".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::logins::of_file;
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
        of_file(file, registry).into_iter().map(|login| login.username).collect()
    }

    #[test]
    fn a_login_is_remembered_and_forgotten_under_every_name_of_its_registry() {
        let (_folder, file) = config(r#"{"auths": {"docker.io": {"auth": "bWU6cw=="}}, "other": 1}"#);
        for registry in ["docker.io", "r.test:5000"] {
            remember(&file, registry, &login("you")).unwrap();
            assert_eq!(users(&file, registry), ["you"]);
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

    #[test]
    fn the_machines_own_helper_is_taken_where_nothing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_machine(folder.path().as_os_str()), None);
        std::fs::write(folder.path().join("docker-credential-secretservice"), "").unwrap();
        assert_eq!(of_machine(folder.path().as_os_str()), Some("secretservice"));
        std::fs::write(folder.path().join("pass"), "").unwrap();
        assert_eq!(of_machine(folder.path().as_os_str()), None);
        assert!(is_new(json!({"credsStore": "", "auths": {}}).as_object().unwrap()));
        assert!(!is_new(json!({"credsStore": "x"}).as_object().unwrap()));
    }
}
