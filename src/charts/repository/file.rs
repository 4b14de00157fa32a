//! `repositories.yaml`: the repositories that the user added.

use super::super::values::Value;
use super::super::{Error, decode};
use super::http::Download;
use decode::{Decoder, Place};
use serde::Serialize;
use std::path::Path;

/// One repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    /// A name or a secret that looks like a number is a text all the same.
    fn read(document: &Value, place: Place) -> Result<Self, String> {
        let mut entry = Self::default();
        let mut from = Decoder::part(document, place, "Entry", "repo.Entry")?;
        from.text("name", &mut entry.name)?;
        from.text("url", &mut entry.url)?;
        from.text("username", &mut entry.username)?;
        from.text("password", &mut entry.password)?;
        from.text("certFile", &mut entry.cert_file)?;
        from.text("keyFile", &mut entry.key_file)?;
        from.text("caFile", &mut entry.ca_file)?;
        from.flag("insecure_skip_tls_verify", &mut entry.insecure_skip_tls_verify)?;
        from.flag("pass_credentials_all", &mut entry.pass_credentials_all)?;
        Ok(entry)
    }

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
            limit: None,
        }
    }
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
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
        Self::read(&document).map(Some).map_err(problem)
    }

    fn read(document: &Value) -> Result<Self, String> {
        let mut file = Self::default();
        let mut from = Decoder::new(document, "File")?;
        from.text("apiVersion", &mut file.api_version)?;
        from.text("generated", &mut file.generated)?;
        let entry =
            |one: &Value, place: Place| if one.is_null() { Ok(None) } else { Entry::read(one, place).map(Some) };
        let mut entries = Vec::new();
        from.list("repositories", "[]*repo.Entry", &mut entries, entry)?;
        file.repositories = entries.into_iter().flatten().collect();
        Ok(file)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_that_look_like_numbers_are_texts() {
        let text = "apiVersion: ''\nrepositories:\n- name: 7\n  url: http://r.test\n  password: 12345\n  \
                    insecure_skip_tls_verify: true\n  caFile: null\n- null\n";
        let file = File::read(&decode::yaml(text).unwrap()).unwrap();
        assert_eq!(file.repositories.len(), 1);
        let entry = file.get("7").unwrap();
        assert_eq!((entry.password.as_str(), entry.ca_file.as_str()), ("12345", ""));
        assert!(entry.insecure_skip_tls_verify);
        assert_eq!(File::read(&Value::Null).unwrap(), File::default());
        let wrong = File::read(&decode::yaml("repositories: [{name: {}}]").unwrap()).unwrap_err();
        assert!(
            wrong.contains("cannot unmarshal object into Go struct field Entry.repositories.name of type string"),
            "{wrong}"
        );
    }
}
