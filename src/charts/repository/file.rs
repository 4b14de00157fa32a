//! `repositories.yaml`: the repositories that the user added.

use super::super::values::Value;
use super::super::{Error, decode};
use super::http::Download;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// What the user calls it.
    pub name: String,
    /// Its address.
    pub url: String,
    /// A name for it.
    pub username: String,
    /// The name's secret.
    pub password: String,
    /// The client's certificate.
    #[serde(rename = "certFile")]
    pub cert_file: String,
    /// Its key.
    #[serde(rename = "keyFile")]
    pub key_file: String,
    /// Authorities to trust.
    #[serde(rename = "caFile")]
    pub ca_file: String,
    /// The server's certificate is not checked.
    pub insecure_skip_tls_verify: bool,
    /// The name goes to other servers too.
    pub pass_credentials_all: bool,
}

impl Entry {
    /// How to download from it.
    pub fn download(&self) -> Download {
        let path = |text: &str| (!text.is_empty()).then(|| text.into());
        Download {
            username: self.username.clone(),
            password: self.password.clone(),
            ca_file: path(&self.ca_file),
            cert_file: path(&self.cert_file),
            key_file: path(&self.key_file),
            insecure: self.insecure_skip_tls_verify,
            plain_http: false,
            pass_credentials: self.pass_credentials_all,
        }
    }
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct File {
    /// Empty, or `v1`.
    pub api_version: String,
    /// When it was made; Helm writes no time here.
    pub generated: String,
    /// In the order in which they were added.
    pub repositories: Vec<Entry>,
}

impl File {
    /// Reads the file; `None` if there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path, &error)),
        };
        let problem =
            |text: String| Error::Repository(format!("couldn't load repositories file ({}): {text}", path.display()));
        let document = decode::yaml(&String::from_utf8_lossy(&text)).map_err(problem)?;
        if document.is_null() {
            return Ok(Some(Self::default()));
        }
        serde_json::from_value(without_nulls(document)).map(Some).map_err(|error| problem(error.to_string()))
    }

    /// The repository of a name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.repositories.iter().find(|entry| entry.name == name)
    }

    /// Adds a repository, or replaces the one of the same name.
    pub fn set(&mut self, entry: Entry) {
        match self.repositories.iter_mut().find(|old| old.name == entry.name) {
            Some(old) => *old = entry,
            None => self.repositories.push(entry),
        }
    }

    /// Takes a repository out; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.repositories.len();
        self.repositories.retain(|entry| entry.name != name);
        self.repositories.len() < before
    }

    /// Writes the file, readable for its user only: it may hold secrets.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut file = self.clone();
        if file.generated.is_empty() {
            file.generated = "0001-01-01T00:00:00Z".into();
        }
        let value = serde_json::to_value(&file).map_err(|error| Error::Repository(error.to_string()))?;
        super::write_private(path, decode::to_yaml(&value).as_bytes())
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let kept = table.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().filter(|item| !item.is_null()).map(without_nulls).collect())
        }
        other => other,
    }
}
