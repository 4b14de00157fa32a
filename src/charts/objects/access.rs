//! With what the chart of an object is downloaded: authorities, names and secrets that its spec names.
//!
//! They are written to a folder that is gone with the value, because downloads read files.

use super::reconcile::{Secret, Work};
use crate::charts::release::Error;
use crate::charts::repository::{self, Download};
use crate::images::{Reference, logins};
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

/// The way to a chart.
#[derive(Default)]
pub struct Access {
    pub download: Download,
    folder: Option<TempDir>,
}

impl Access {
    /// Reads what a chart object's `spec` names.
    pub async fn of(work: &Work<'_>, spec: &Value) -> Result<Self, Error> {
        let mut access = Self::default();
        access.download.pass_credentials = spec["authPassCredentials"] == true;
        access.download.insecure = spec["insecureSkipTLSVerify"] == true;
        access.download.plain_http = spec["plainHTTP"] == true;
        access.trust(work, spec).await?;
        if let Some(name) = named(&spec["authSecret"]) {
            access.identify(&work.secret("spec.authSecret", name).await?)?;
        }
        if let Some(name) = named(&spec["dockerRegistrySecret"]) {
            let secret = work.secret("spec.dockerRegistrySecret", name).await?;
            access.log_in(&secret, spec["chart"].as_str().unwrap_or_default(), name)?;
        }
        Ok(access)
    }

    /// Authorities: the spec's own, and all that a ConfigMap has.
    async fn trust(&mut self, work: &Work<'_>, spec: &Value) -> Result<(), Error> {
        let mut bundle = spec["repoCA"].as_str().unwrap_or_default().to_string();
        if let Some(name) = named(&spec["repoCAConfigMap"]) {
            let found = work.config_map("spec.repoCAConfigMap", name).await?;
            for text in found["data"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str()) {
                bundle.push('\n');
                bundle += text;
            }
        }
        if !bundle.trim().is_empty() {
            self.download.ca_file = Some(self.keep("ca.pem", bundle.as_bytes())?);
        }
        Ok(())
    }

    /// A name and a secret, or a certificate and its key.
    fn identify(&mut self, secret: &Secret) -> Result<(), Error> {
        if let (Some(username), Some(password)) = (secret.text("username"), secret.text("password")) {
            (self.download.username, self.download.password) = (username, password);
        } else if let (Some(certificate), Some(key)) = (secret.bytes("tls.crt"), secret.bytes("tls.key")) {
            self.download.cert_file = Some(self.keep("tls.crt", &certificate)?);
            self.download.key_file = Some(self.keep("tls.key", &key)?);
        } else {
            let what = "has neither `username` and `password` nor `tls.crt` and `tls.key`";
            return Err(Error::text(format!("spec.authSecret: Secret `{}` {what}", secret.name)));
        }
        Ok(())
    }

    /// A name and a secret for the chart's registry.
    fn log_in(&mut self, secret: &Secret, chart: &str, name: &str) -> Result<(), Error> {
        let wrong = |why: String| Error::text(format!("spec.dockerRegistrySecret: Secret `{name}` {why}"));
        let config = secret.bytes(".dockerconfigjson").ok_or_else(|| wrong("has no `.dockerconfigjson`".into()))?;
        if !repository::is_oci(chart) {
            return Ok(());
        }
        let reference: Result<Reference, _> = chart.trim_start_matches("oci://").parse();
        let reference = reference.map_err(|error| Error::text(error.to_string()))?;
        let login = logins::of_secret(&config, reference.registry());
        if let Some(login) = login.map_err(|why| wrong(format!("is no Docker configuration: {why}")))? {
            (self.download.username, self.download.password) = (login.username, login.password);
        }
        Ok(())
    }

    fn keep(&mut self, name: &str, data: &[u8]) -> Result<PathBuf, Error> {
        let failed = |error: std::io::Error| Error::text(format!("{name} was not written: {error}"));
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => tempfile::tempdir().map_err(failed)?,
        };
        let path = folder.path().join(name);
        self.folder = Some(folder);
        std::fs::write(&path, data).map_err(failed)?;
        Ok(path)
    }
}

/// The name of a reference to an object.
fn named(reference: &Value) -> Option<&str> {
    reference["name"].as_str().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::reconcile::testing::on;
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    fn secret(data: &[(&str, &str)]) -> Value {
        let data: serde_json::Map<String, Value> =
            data.iter().map(|(key, text)| ((*key).to_string(), STANDARD.encode(text).into())).collect();
        json!({"kind": "Secret", "data": data})
    }

    #[tokio::test]
    async fn a_repository_is_asked_with_what_the_spec_names() {
        let config_map = json!({"kind": "ConfigMap", "data": {"one.pem": "ONE", "two.pem": "TWO"}});
        let login = secret(&[("username", "sailor"), ("password", "sea")]);
        let spec = json!({"chart": "web", "repoCA": "OWN", "repoCAConfigMap": {"name": "roots"},
            "authSecret": {"name": "login"}, "authPassCredentials": true, "insecureSkipTLSVerify": true});
        let access = on(&[config_map, login], async |work| Access::of(&work, &spec).await).await.unwrap();
        let download = &access.download;
        assert_eq!((download.username.as_str(), download.password.as_str()), ("sailor", "sea"));
        assert!(download.pass_credentials && download.insecure && !download.plain_http);
        let bundle = std::fs::read_to_string(download.ca_file.as_ref().unwrap()).unwrap();
        assert_eq!(bundle, "OWN\nONE\nTWO");
        let path = download.ca_file.clone().unwrap();
        drop(access);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_registry_gets_the_login_that_a_docker_configuration_has_for_it() {
        let config = secret(&[(".dockerconfigjson", r#"{"auths": {"r.test": {"username": "a", "password": "b"}}}"#)]);
        for (chart, name) in [("oci://r.test/x/web", "a"), ("oci://other.test/web", "")] {
            let spec = json!({"chart": chart, "dockerRegistrySecret": {"name": "pull"}, "plainHTTP": true});
            let access = on(std::slice::from_ref(&config), async |work| Access::of(&work, &spec).await).await.unwrap();
            assert_eq!(access.download.username, name);
            assert!(access.download.plain_http);
        }
    }

    #[tokio::test]
    async fn a_secret_that_says_nothing_is_no_way_in() {
        let spec = json!({"authSecret": {"name": "login"}});
        let refused = on(&[secret(&[("username", "x")])], async |work| Access::of(&work, &spec).await).await;
        let why = refused.err().unwrap().to_string();
        let wanted = "has neither `username` and `password` nor `tls.crt` and `tls.key`";
        assert_eq!(why, format!("spec.authSecret: Secret `login` {wanted}"));
    }
}
