//! Registries that want to see a certificate of the client.
//!
//! The client of registries that the images use has no way to show one, so the part of the OCI distribution protocol that
//! charts need is spoken here, over the HTTP client of repositories: manifests, blobs, tags, and both kinds of login.

use super::http::{self, Download};
use crate::base::causes::chain;
use crate::charts::Error;
use crate::images::artifact::{Artifact, Part};
use crate::images::{Login, Reference};
use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The most pages of tags that are read.
const MOST_PAGES: usize = 100;
/// The most bytes of a manifest or a list.
const LARGEST_ANSWER: u64 = 4 << 20;

/// A repository of a registry.
pub struct Registry {
    client: reqwest::Client,
    reference: Reference,
    base: String,
    logins: Vec<Login>,
    /// What the registry took last: the value of a header.
    authorization: Mutex<Option<String>>,
}

type Outcome<T> = Result<T, crate::images::Error>;

impl Registry {
    /// A registry, with the certificate that `download` names.
    pub fn new(reference: &Reference, download: &Download, logins: Vec<Login>) -> Result<Self, Error> {
        let scheme = if download.plain_http { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/", reference.registry());
        let authorization = Mutex::default();
        Ok(Self { client: http::client(download)?, reference: reference.clone(), base, logins, authorization })
    }

    fn problem(&self, problem: impl Into<String>) -> crate::images::Error {
        crate::images::Error::Pull { reference: self.reference.to_string(), problem: problem.into() }
    }

    fn url(&self, rest: &str) -> String {
        format!("{}{}/{rest}", self.base, self.reference.repository())
    }

    async fn send(&self, request: RequestBuilder) -> Outcome<Response> {
        request.send().await.map_err(|error| self.problem(chain(&error)))
    }

    /// Asks, and once more for each login if the registry wants one.
    async fn ask(&self, make: impl Fn() -> RequestBuilder) -> Outcome<Response> {
        let with = |authorization: Option<String>| match authorization {
            Some(value) => make().header("Authorization", value),
            None => make(),
        };
        let known = self.authorization.lock().clone();
        let mut answer = self.send(with(known)).await?;
        let mut logins = self.logins.iter().map(Some).chain([None]);
        while answer.status() == StatusCode::UNAUTHORIZED {
            let Some(login) = logins.next() else { break };
            let wanted = answer.headers().get("WWW-Authenticate").and_then(|value| value.to_str().ok());
            let Some(value) = self.authorization(wanted.unwrap_or_default(), login).await? else { continue };
            answer = self.send(with(Some(value.clone()))).await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                *self.authorization.lock() = Some(value);
            }
        }
        Ok(answer)
    }

    /// What to show for a login, by what the registry says it wants.
    async fn authorization(&self, wanted: &str, login: Option<&Login>) -> Outcome<Option<String>> {
        use base64::Engine;
        let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let basic = login.map(|login| format!("Basic {}", encode(format!("{}:{}", login.username, login.password))));
        let Some(parameters) = wanted.strip_prefix("Bearer ") else { return Ok(basic) };
        let parameter = |name: &str| {
            let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_string())
        };
        let Some(realm) = parameter("realm") else { return Ok(None) };
        let mut url = reqwest::Url::parse(&realm).map_err(|error| self.problem(error.to_string()))?;
        for name in ["service", "scope"] {
            if let Some(value) = parameter(name) {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let mut request = self.client.get(url);
        if let Some(basic) = basic {
            request = request.header("Authorization", basic);
        }
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let token: Value = serde_json::from_slice(&self.body(answer, LARGEST_ANSWER).await?).unwrap_or_default();
        let token = token["token"].as_str().or_else(|| token["access_token"].as_str());
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    async fn body(&self, mut answer: Response, limit: u64) -> Outcome<Vec<u8>> {
        let mut data = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(|error| self.problem(chain(&error)))? {
            if (data.len() + bytes.len()) as u64 > limit {
                return Err(self.problem(format!("`{}` is larger than {limit} bytes", answer.url())));
            }
            data.extend_from_slice(&bytes);
        }
        Ok(data)
    }

    /// An answer that is not a refusal.
    async fn fine(&self, answer: Response) -> Outcome<Response> {
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (status, url) = (answer.status(), answer.url().to_string());
        let text = self.body(answer, LARGEST_ANSWER).await.unwrap_or_default();
        let told: Value = serde_json::from_slice(&text).unwrap_or_default();
        let why = told["errors"][0]["message"].as_str().unwrap_or_default().to_string();
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        Err(self.problem(format!("{url}: response status code {}{why}", status.as_u16())))
    }

    async fn get(&self, url: &str, accept: &str, limit: u64) -> Outcome<Vec<u8>> {
        let answer = self.ask(|| self.client.get(url).header("Accept", accept)).await?;
        let answer = self.fine(answer).await?;
        self.body(answer, limit).await
    }

    /// Fetches an artifact; of its layers those that `wants` wants by media type. No part may be larger than `limit`.
    pub async fn pull(&self, reference: &Reference, limit: u64, wants: impl Fn(&str) -> bool) -> Outcome<Artifact> {
        let name = reference.digest().or(reference.tag()).unwrap_or("latest");
        let text = self.get(&self.url(&format!("manifests/{name}")), MANIFEST, LARGEST_ANSWER).await?;
        let digest = digest_of(&text);
        if reference.digest().is_some_and(|wanted| wanted != digest) {
            return Err(self.problem(format!("its manifest arrived with the digest {digest}")));
        }
        let broken = |error: serde_json::Error| self.problem(format!("its manifest cannot be read: {error}"));
        let manifest: Value = serde_json::from_slice(&text).map_err(broken)?;
        let config = self.part(&manifest["config"], limit).await?;
        let mut layers = Vec::new();
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            if wants(layer["mediaType"].as_str().unwrap_or_default()) {
                layers.push(self.part(layer, limit).await?);
            }
        }
        Ok(Artifact { digest, config, layers })
    }

    async fn part(&self, descriptor: &Value, limit: u64) -> Outcome<Part> {
        let text = |name: &str| descriptor[name].as_str().unwrap_or_default().to_string();
        let wanted = text("digest");
        if !crate::images::is_digest(&wanted) {
            return Err(self.problem(format!("`{wanted}` is not a digest")));
        }
        let data = self.get(&self.url(&format!("blobs/{wanted}")), "*/*", limit).await?;
        let found = digest_of(&data);
        if found != wanted {
            return Err(self.problem(format!("`{wanted}` arrived with the digest {found}")));
        }
        Ok(Part { media_type: text("mediaType"), data })
    }

    /// The tags of the repository.
    pub async fn tags(&self) -> Outcome<Vec<String>> {
        let mut tags: Vec<String> = Vec::new();
        for _ in 0..MOST_PAGES {
            let last = tags.last().map(|last| format!("&last={last}")).unwrap_or_default();
            let url = self.url(&format!("tags/list?n=1000{last}"));
            let page: Value = serde_json::from_slice(&self.get(&url, "*/*", LARGEST_ANSWER).await?).unwrap_or_default();
            let found = page["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
            let found: Vec<String> = found.iter().filter_map(|tag| tag.as_str().map(String::from)).collect();
            let is_end = found.len() < 1000 || found.last() == tags.last();
            tags.extend(found);
            if is_end {
                break;
            }
        }
        Ok(tags)
    }

    /// Uploads an artifact and returns its digest.
    pub async fn push(
        &self,
        reference: &Reference,
        config: &Part,
        layers: &[Part],
        annotations: &BTreeMap<String, String>,
    ) -> Outcome<String> {
        for part in layers.iter().chain([config]) {
            self.upload(part).await?;
        }
        let describe = |part: &Part| json!({"mediaType": part.media_type, "digest": digest_of(&part.data), "size": part.data.len()});
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": describe(config),
            "layers": layers.iter().map(describe).collect::<Vec<_>>(),
        });
        if !annotations.is_empty() {
            manifest["annotations"] = json!(annotations);
        }
        let body = manifest.to_string().into_bytes();
        let url = self.url(&format!("manifests/{}", reference.tag().unwrap_or("latest")));
        let put = || self.client.put(&url).header("Content-Type", MANIFEST).body(body.clone());
        let answer = self.ask(put).await?;
        self.fine(answer).await?;
        Ok(digest_of(&body))
    }

    async fn upload(&self, part: &Part) -> Outcome<()> {
        let digest = digest_of(&part.data);
        let there = self.url(&format!("blobs/{digest}"));
        if self.ask(|| self.client.request(Method::HEAD, &there)).await?.status().is_success() {
            return Ok(());
        }
        let start = self.url("blobs/uploads/");
        let begun = self.ask(|| self.client.post(&start).header("Content-Length", 0)).await?;
        let begun = self.fine(begun).await?;
        let place = begun.headers().get("Location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut place = begun.url().join(place).map_err(|error| self.problem(error.to_string()))?;
        place.query_pairs_mut().append_pair("digest", &digest);
        let put = || {
            let request = self.client.put(place.clone()).header("Content-Type", "application/octet-stream");
            request.body(part.data.clone())
        };
        let answer = self.ask(put).await?;
        self.fine(answer).await.map(|_| ())
    }

    /// Whether the registry takes the first login.
    pub async fn check(&self) -> Outcome<()> {
        let answer = self.ask(|| self.client.get(&self.base)).await?;
        self.fine(answer).await.map(|_| ())
    }
}

fn digest_of(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    /// An authority with a server and a client, their files in a folder.
    struct Certificates {
        server: Arc<rustls::ServerConfig>,
        download: Download,
    }

    fn certificates(folder: &Path) -> Certificates {
        crate::base::crypto::install();
        let own = |names: &[&str]| {
            rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
        };
        let (server, client) = (own(&["localhost"]), own(&["client"]));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(client.cert.der().clone()).unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(server.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder().with_client_cert_verifier(clients);
        let config = config.with_single_cert(vec![server.cert.der().clone()], key.into()).unwrap();
        let write = |name: &str, text: String| -> Option<PathBuf> {
            std::fs::write(folder.join(name), text).unwrap();
            Some(folder.join(name))
        };
        let download = Download {
            ca_file: write("ca.pem", server.cert.pem()),
            cert_file: write("client.pem", client.cert.pem()),
            key_file: write("client.key", client.signing_key.serialize_pem()),
            ..Download::default()
        };
        Certificates { server: Arc::new(config), download }
    }

    /// A registry with one chart that wants a token besides the certificate, until the test ends; its port.
    fn registry(config: Arc<rustls::ServerConfig>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let blob = |data: &str| json!({"mediaType": "m", "digest": digest_of(data.as_bytes()), "size": data.len()});
        let manifest = json!({"config": blob("{}"), "layers": [blob("chart")]}).to_string();
        let pages: BTreeMap<String, String> = [
            ("/v2/a/b/manifests/1.0.0".to_string(), manifest),
            (format!("/v2/a/b/blobs/{}", digest_of(b"{}")), "{}".to_string()),
            (format!("/v2/a/b/blobs/{}", digest_of(b"chart")), "chart".to_string()),
            ("/v2/a/b/tags/list?n=1000".to_string(), json!({"tags": ["1.0.0"]}).to_string()),
        ]
        .into();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut bytes) {
                        Ok(count @ 1..) => request.extend_from_slice(&bytes[..count]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).to_lowercase();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let (status, body) = match pages.get(path) {
                    _ if path.starts_with("/token?") => ("200 OK", r#"{"token": "t"}"#),
                    _ if !request.contains("authorization: bearer t") => ("401 Unauthorized", ""),
                    Some(page) => ("200 OK", page.as_str()),
                    None => ("404 Not Found", ""),
                };
                let wants = format!("WWW-Authenticate: Bearer realm=\"https://localhost:{port}/token\",service=\"s\"");
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\n{wants}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                // Who was refused is gone.
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.flush());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        port
    }

    #[tokio::test]
    async fn a_registry_is_shown_the_certificate_that_it_wants() {
        let folder = tempfile::tempdir().unwrap();
        let Certificates { server, download } = certificates(folder.path());
        let port = registry(server);
        let reference: Reference = format!("localhost:{port}/a/b:1.0.0").parse().unwrap();
        let known = Registry::new(&reference, &download, Vec::new()).unwrap();
        assert_eq!(known.tags().await.unwrap(), ["1.0.0"]);
        let pulled = known.pull(&reference, 1 << 20, |_| true).await.unwrap();
        assert_eq!(pulled.layers[0].data, b"chart");
        assert!(known.pull(&reference, 2, |_| true).await.unwrap_err().to_string().contains("larger than 2 bytes"));

        let nobody = Download { cert_file: None, key_file: None, ..download };
        let unknown = Registry::new(&reference, &nobody, Vec::new()).unwrap();
        assert!(unknown.tags().await.is_err());
    }
}
