//! The user's kubeconfig: our context is merged in, set and taken out; everything else in the file stays as it is.

use crate::api::yaml;
use crate::base::atomic;
use serde_json::{Map, Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// What a context says about a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Name of context, cluster and user alike.
    pub name: String,
    /// `https://ADDRESS:PORT`.
    pub server: String,
    /// Base64 of PEM.
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

/// The file that kubectl would write: the first of `$KUBECONFIG`, or `~/.kube/config`.
pub fn path() -> PathBuf {
    let named = std::env::var("KUBECONFIG").unwrap_or_default();
    match named.split(':').find(|part| !part.is_empty()) {
        Some(first) => PathBuf::from(first),
        None => dirs::home_dir().unwrap_or_else(|| PathBuf::from("/root")).join(".kube/config"),
    }
}

/// Puts the context in and makes it the current one. The namespace that it has stays.
pub fn merge(path: &Path, context: &Context) -> io::Result<()> {
    change(path, |config| put_all(config, context))
}

/// Gives a context that is there the certificates that are in force; the current context stays. `false` if it is not there.
pub fn refresh(path: &Path, context: &Context) -> io::Result<bool> {
    if points_at(path, &context.name, &context.server)? != Some(true) {
        return Ok(false);
    }
    change(path, |config| {
        put(config, "clusters", &context.name, "cluster", cluster(context));
        put(config, "users", &context.name, "user", user(context));
    })?;
    Ok(true)
}

/// The text of a kubeconfig that has this context alone.
pub fn alone(context: &Context) -> io::Result<String> {
    let mut config = Map::new();
    config.insert("apiVersion".into(), json!("v1"));
    config.insert("kind".into(), json!("Config"));
    put_all(&mut config, context);
    yaml::to_text(&Value::Object(config)).map_err(io::Error::other)
}

fn put_all(config: &mut Map<String, Value>, context: &Context) {
    let before = config.get("contexts").and_then(Value::as_array).into_iter().flatten();
    let own =
        before.filter(|entry| entry["name"] == context.name).find_map(|entry| entry["context"]["namespace"].as_str());
    let namespace = own.unwrap_or("default").to_string();
    put(config, "clusters", &context.name, "cluster", cluster(context));
    put(config, "users", &context.name, "user", user(context));
    let entry = json!({"cluster": context.name, "user": context.name, "namespace": namespace});
    put(config, "contexts", &context.name, "context", entry);
    config.insert("current-context".into(), json!(context.name));
}

/// The namespace that a context's commands are about.
pub fn set_namespace(path: &Path, name: &str, namespace: &str) -> io::Result<()> {
    change(path, |config| {
        let contexts = config.get_mut("contexts").and_then(Value::as_array_mut);
        for entry in contexts.into_iter().flatten().filter(|entry| entry["name"] == name) {
            entry["context"]["namespace"] = json!(namespace);
        }
    })
}

/// Makes a context the current one.
pub fn select(path: &Path, name: &str) -> io::Result<()> {
    change(path, |config| drop(config.insert("current-context".into(), json!(name))))
}

/// By what a cluster is told from another one of its name, which another home may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub server: String,
    /// Base64 of PEM; nothing where its file is gone, and then the server decides.
    pub authority: Option<String>,
}

impl Own {
    /// Whether the file's entry of that name, if there is one, is another cluster's.
    fn is_not(&self, config: &Map<String, Value>, name: &str) -> bool {
        let clusters = config.get("clusters").and_then(Value::as_array);
        let entry = clusters.into_iter().flatten().find(|entry| entry["name"] == name);
        entry.is_some_and(|entry| match &self.authority {
            Some(authority) => entry["cluster"]["certificate-authority-data"] != *authority,
            None => entry["cluster"]["server"] != self.server,
        })
    }
}

/// Takes the context out, unless it is another cluster's; the current context is cleared if it was this one.
pub fn remove(path: &Path, name: &str, own: &Own) -> io::Result<()> {
    if !path.exists() || own.is_not(&read(path)?, name) {
        return Ok(());
    }
    change(path, |config| {
        for list in ["clusters", "users", "contexts"] {
            if let Some(Value::Array(entries)) = config.get_mut(list) {
                entries.retain(|entry| entry["name"] != name);
            }
        }
        if config.get("current-context").is_some_and(|current| current == name) {
            config.insert("current-context".into(), json!(""));
        }
    })
}

/// What the file says of a context: `None` when it is not there, else whether it points at `server`.
pub fn points_at(path: &Path, name: &str, server: &str) -> io::Result<Option<bool>> {
    let config = read(path)?;
    let clusters = config.get("clusters").and_then(Value::as_array);
    let entry = clusters.into_iter().flatten().find(|entry| entry["name"] == name);
    Ok(entry.map(|entry| entry["cluster"]["server"] == server))
}

/// The name of the current context, or empty.
pub fn current(path: &Path) -> io::Result<String> {
    Ok(read(path)?.get("current-context").and_then(Value::as_str).unwrap_or_default().to_string())
}

fn cluster(context: &Context) -> Value {
    json!({"server": context.server, "certificate-authority-data": context.authority})
}

fn user(context: &Context) -> Value {
    json!({"client-certificate-data": context.certificate, "client-key-data": context.key})
}

fn put(config: &mut Map<String, Value>, list: &str, name: &str, field: &str, value: Value) {
    let entries = config.entry(list).or_insert_with(|| json!([]));
    if !entries.is_array() {
        *entries = json!([]);
    }
    let Some(entries) = entries.as_array_mut() else { return };
    match entries.iter_mut().find(|entry| entry["name"] == name) {
        Some(entry) => entry[field] = value,
        None => entries.push(json!({"name": name, field: value})),
    }
}

/// Reads, changes and writes the file under a lock, so that two of our commands do not lose each other's words.
fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let _lock = Lock::take(path)?;
    let mut config = read(path)?;
    config.entry("apiVersion").or_insert_with(|| json!("v1"));
    config.entry("kind").or_insert_with(|| json!("Config"));
    edit(&mut config);
    let text = yaml::to_text(&Value::Object(config)).map_err(io::Error::other)?;
    atomic::write(path, text.as_bytes(), 0o600)
}

fn read(path: &Path) -> io::Result<Map<String, Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(error),
    };
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let parsed = yaml::from_text(&text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    match parsed {
        Value::Object(config) => Ok(config),
        Value::Null => Ok(Map::new()),
        _ => Err(io::Error::other(format!("{} is no kubeconfig", path.display()))),
    }
}

/// An advisory lock on the file's folder, which leaves nothing behind.
struct Lock(std::fs::File);

impl Lock {
    fn take(path: &Path) -> io::Result<Self> {
        let folder = std::fs::File::open(path.parent().filter(|folder| folder.exists()).unwrap_or(Path::new(".")))?;
        folder.lock()?;
        Ok(Self(folder))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the folder would unlock it as well.
        self.0.unlock().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &str) -> Context {
        let text = |part: &str| format!("{name}-{part}");
        Context {
            name: name.into(),
            server: "https://192.168.49.2:8443".into(),
            authority: text("ca"),
            certificate: text("crt"),
            key: text("key"),
        }
    }

    #[test]
    fn other_contexts_stay_untouched() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let before = "apiVersion: v1\nkind: Config\ncurrent-context: work\nextra: kept\nclusters:\n- name: work\n  cluster:\n    server: https://work\n";
        std::fs::write(&path, before).unwrap();
        merge(&path, &context("one")).unwrap();
        merge(&path, &context("one")).unwrap();
        assert_eq!(current(&path).unwrap(), "one");
        assert_eq!(points_at(&path, "work", "https://work").unwrap(), Some(true));
        assert_eq!(read(&path).unwrap()["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let stranger = Own { server: "https://192.168.49.2:8443".into(), authority: Some("another".into()) };
        remove(&path, "one", &stranger).unwrap();
        let moved = Own { server: "https://elsewhere".into(), authority: None };
        remove(&path, "one", &moved).unwrap();
        assert_eq!(current(&path).unwrap(), "one", "it is another cluster's");
        remove(&path, "one", &Own { authority: Some("one-ca".into()), ..moved }).unwrap();
        assert_eq!(points_at(&path, "one", "").unwrap(), None);
        assert_eq!(read(&path).unwrap()["extra"], "kept");
        assert_eq!(current(&path).unwrap(), "");
    }

    #[test]
    fn a_new_certificate_goes_where_the_context_is_and_chooses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        merge(&path, &context("one")).unwrap();
        select(&path, "work").unwrap();
        let new = Context { certificate: "new".into(), ..context("one") };
        assert!(refresh(&path, &new).unwrap());
        assert_eq!(current(&path).unwrap(), "work");
        assert!(std::fs::read_to_string(&path).unwrap().contains("client-certificate-data: new"));
        assert!(!refresh(&path, &context("two")).unwrap(), "it is not there");
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "- a\n- b\n").unwrap();
        assert!(merge(&path, &context("one")).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "- a\n- b\n");
    }
}
