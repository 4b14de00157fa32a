//! OCI registries: a registry of this test, open or with names, in clear or with TLS; and what Helm pushed and pulls.

use super::{chart, helm, real_helm, run};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use base64::Engine;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Who may do anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Doors {
    Open,
    /// A name and secret with every request.
    Basic,
    /// A token, that a name and secret is changed for.
    Token,
}

const LOGIN: &str = "sailor:river";

#[derive(Default)]
struct Content {
    blobs: BTreeMap<String, Bytes>,
    /// By repository and tag or digest: media type and text.
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    uploads: Vec<Vec<u8>>,
}

/// A registry that answers until the test ends.
#[derive(Clone)]
pub struct Registry {
    pub address: String,
    doors: Doors,
    content: Arc<Mutex<Content>>,
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

impl Registry {
    /// A registry on a free port; with `key` (certificate and key, PEM) over TLS.
    pub fn start(doors: Doors, key: Option<(String, String)>) -> Self {
        coracle::base::crypto::install();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry = Self { address, doors, content: Arc::default() };
        let app = axum::Router::new().fallback(answer).with_state(registry.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                match key {
                    None => axum::serve(listener, app).await.unwrap(),
                    Some((certificate, key)) => serve_tls(listener, app, &certificate, &key).await,
                }
            });
        });
        registry
    }

    fn tags(&self, repository: &str) -> Vec<String> {
        let content = self.content.lock().unwrap();
        let all = content.manifests.keys().filter(|(own, tag)| own == repository && !tag.contains(':'));
        all.map(|(_, tag)| tag.clone()).collect()
    }

    /// Gives what has a tag another config.
    fn change_config(&self, repository: &str, tag: &str, config: &'static str) {
        let mut content = self.content.lock().unwrap();
        content.blobs.insert(digest(config.as_bytes()), Bytes::from_static(config.as_bytes()));
        let (_, text) = content.manifests.get_mut(&(repository.into(), tag.into())).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(text).unwrap();
        manifest["config"]["digest"] = digest(config.as_bytes()).into();
        manifest["config"]["size"] = config.len().into();
        *text = serde_json::to_vec(&manifest).unwrap().into();
    }

    fn is_let_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match self.doors {
            Doors::Open => true,
            Doors::Basic => given == basic(),
            Doors::Token => given == "Bearer granted",
        }
    }

    fn challenge(&self) -> String {
        match self.doors {
            Doors::Token => format!("Bearer realm=\"http://{}/token\",service=\"test\"", self.address),
            _ => "Basic realm=\"test\"".into(),
        }
    }
}

fn basic() -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(LOGIN))
}

async fn serve_tls(listener: tokio::net::TcpListener, app: axum::Router, certificate: &str, key: &str) {
    use rustls::pki_types::pem::PemObject;
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            // Clients that do not trust the certificate go away.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = hyper_util::service::TowerToHyperService::new(app);
            let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            let _ = server.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
        });
    }
}

fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let builder =
        headers.iter().fold(Response::builder().status(status), |made, (name, value)| made.header(*name, *value));
    builder.body(body.into()).unwrap()
}

/// The distribution protocol, as far as charts need it.
async fn answer(
    State(registry): State<Registry>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path();
    if path == "/token" {
        let is_known = headers.get(header::AUTHORIZATION).is_some_and(|value| value == basic().as_str());
        let status = if is_known { 200 } else { 401 };
        return response(status, &[("content-type", "application/json")], r#"{"token": "granted", "expires_in": 300}"#);
    }
    if !registry.is_let_in(&headers) {
        let problem = r#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#;
        return response(401, &[("www-authenticate", &registry.challenge())], problem);
    }
    let rest = path.trim_start_matches("/v2").trim_start_matches('/');
    let parts = ["/blobs/", "/manifests/", "/tags/"].into_iter().find_map(|kind| {
        let (repository, name) = rest.rsplit_once(kind)?;
        Some((kind, repository.to_string(), name.to_string()))
    });
    let Some((kind, repository, name)) = parts else { return response(200, &[], "{}") };
    let mut content = registry.content.lock().unwrap();
    match (method.as_str(), kind) {
        ("GET", "/tags/") => {
            drop(content);
            let list = serde_json::json!({"name": repository, "tags": registry.tags(&repository)});
            response(200, &[("content-type", "application/json")], list.to_string())
        }
        (_, "/blobs/") if name.starts_with("uploads") => {
            let id = match name.strip_prefix("uploads/").filter(|id| !id.is_empty()) {
                Some(id) => id.parse().unwrap(),
                None => {
                    content.uploads.push(Vec::new());
                    content.uploads.len() - 1
                }
            };
            content.uploads[id].extend_from_slice(&body);
            let location = format!("/v2/{repository}/blobs/uploads/{id}");
            let range = format!("0-{}", content.uploads[id].len().saturating_sub(1));
            if method != Method::PUT {
                return response(202, &[("location", &location), ("range", &range)], "");
            }
            let data = Bytes::from(std::mem::take(&mut content.uploads[id]));
            let digest = digest(&data);
            assert!(uri.query().unwrap_or_default().replace("%3A", ":").contains(&digest), "{uri}");
            content.blobs.insert(digest.clone(), data);
            response(201, &[("location", &format!("/v2/{repository}/blobs/{digest}"))], "")
        }
        (_, "/blobs/") => match content.blobs.get(&name) {
            Some(data) => sent(&method, "application/octet-stream", &name, data),
            None => response(404, &[], r#"{"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown"}]}"#),
        },
        ("PUT", _) => {
            let media_type = headers[header::CONTENT_TYPE].to_str().unwrap().to_string();
            let digest = digest(&body);
            for reference in [name, digest.clone()] {
                content.manifests.insert((repository.clone(), reference), (media_type.clone(), body.clone()));
            }
            let location = format!("/v2/{repository}/manifests/{digest}");
            response(201, &[("location", &location), ("docker-content-digest", &digest)], "")
        }
        _ => match content.manifests.get(&(repository, name)) {
            Some((media_type, text)) => sent(&method, media_type, &digest(text), text),
            None => response(404, &[], r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#),
        },
    }
}

fn sent(method: &Method, media_type: &str, digest: &str, data: &Bytes) -> Response<Body> {
    let length = data.len().to_string();
    let headers =
        [("content-type", media_type), ("docker-content-digest", digest), ("content-length", length.as_str())];
    let body = if method == Method::HEAD { Bytes::new() } else { data.clone() };
    response(StatusCode::OK.as_u16(), &headers, body)
}

/// Packs a chart in several versions into `served/`.
fn packed(folder: &Path, versions: &[&str]) {
    for version in versions {
        let metadata = format!("apiVersion: v2\nname: db\nversion: {version}\ndescription: keeps things\n");
        chart(folder, &[("db/Chart.yaml", &metadata), ("db/templates/x.yaml", "version: {{ .Chart.Version }}\n")]);
        let ran = helm(folder, folder, "package db -d served");
        assert!(ran.ok, "{}", ran.text);
    }
}

#[test]
fn charts_go_to_a_registry_and_come_back_by_tag_version_and_digest() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(Doors::Open, None);
    let host = &registry.address;
    let run = |words: &str| {
        let ran = helm(folder.path(), folder.path(), words);
        assert!(ran.ok, "{words}: {}", ran.text);
        ran.text
    };
    packed(folder.path(), &["1.0.0", "1.1.0", "2.0.0+build.5"]);
    let mut digests = Vec::new();
    for version in ["1.0.0", "1.1.0", "2.0.0+build.5"] {
        let pushed = run(&format!("push served/db-{version}.tgz oci://{host}/charts"));
        let tag = version.replace('+', "_");
        let digest = pushed.strip_prefix(&format!("Pushed: {host}/charts/db:{tag}\nDigest: ")).expect(&pushed);
        digests.push(digest.trim().to_string());
    }
    assert_eq!(registry.tags("charts/db"), ["1.0.0", "1.1.0", "2.0.0_build.5"]);

    let db = format!("oci://{host}/charts/db");
    for (words, version) in [
        (format!("{db} --version 1.0.0"), "1.0.0"),
        (format!("{db} --version ^1"), "1.1.0"),
        (format!("{db}:1.0.0"), "1.0.0"),
        (format!("{db}@{}", digests[1]), "1.1.0"),
        (db.clone(), "2.0.0+build.5"),
    ] {
        assert!(run(&format!("template x {words}")).contains(&format!("version: {version}\n")), "{words}");
    }
    assert!(run(&format!("show chart {db} --version 1.0.0")).contains("version: 1.0.0\n"));
    let pulled = run(&format!("pull {db} --version 1.1.0 -d back"));
    assert_eq!(pulled, format!("Pulled: {host}/charts/db:1.1.0\nDigest: {}\n", digests[1]));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("back/db-1.1.0.tgz"), read("served/db-1.1.0.tgz"));
    run(&format!("pull {db} --untar --untardir out"));
    assert!(folder.path().join("out/db/Chart.yaml").exists());

    // What a registry says of a chart leads nowhere else.
    registry.change_config("charts/db", "1.0.0", r#"{"name": "db", "version": "1/../../../elsewhere/evil"}"#);
    run(&format!("pull {db} --version 1.0.0 -d back"));
    assert_eq!(read("back/db-1.0.0.tgz"), read("served/db-1.0.0.tgz"));

    let needs = format!(
        "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n- {{name: db, version: ~1.0, repository: 'oci://{host}/charts'}}\n"
    );
    chart(folder.path(), &[("app/Chart.yaml", &needs)]);
    let filled = run("dependency update app");
    assert!(filled.contains(&format!("Downloading db from repo oci://{host}/charts\n")), "{filled}");
    std::fs::remove_dir_all(folder.path().join("app/charts")).unwrap();
    run("dependency build app");
    assert!(folder.path().join("app/charts/db-1.0.0.tgz").exists());

    for (words, wanted) in [
        (format!("template {db} --version 9"), "could not locate a version matching provided version string 9"),
        (format!("template oci://{host}/charts/none --version 1.0.0"), "manifest unknown"),
        (format!("push served/db-1.0.0.tgz {host}/charts"), "scheme prefix missing from remote"),
        (format!("template {db} --cert-file x --key-file y"), "open x: no such file or directory"),
    ] {
        let ran = helm(folder.path(), folder.path(), &words);
        assert!(!ran.ok && ran.text.contains(wanted), "{words}: {}", ran.text);
    }
}

#[test]
fn a_registry_with_doors_wants_a_login() {
    for doors in [Doors::Basic, Doors::Token] {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start(doors, None);
        let host = &registry.address;
        let ran = |words: &str| helm(folder.path(), folder.path(), words);
        packed(folder.path(), &["1.0.0"]);
        let push = format!("push served/db-1.0.0.tgz oci://{host}/charts");
        assert!(!ran(&push).ok);
        let refused = ran(&format!("registry login {host} -u sailor -p sea"));
        assert!(!refused.ok && refused.text.contains("Error: "), "{}", refused.text);
        assert!(!ran(&push).ok, "a login that was refused is not kept");
        let named = ran(&format!("{push} --username sailor --password river"));
        assert!(named.ok, "{}", named.text);
        std::fs::write(folder.path().join("secret"), "river\n").unwrap();
        let logged = ran(&format!("registry login {host} -u sailor --password-stdin < secret"));
        assert!(logged.ok && logged.text.contains("Login Succeeded"), "{}", logged.text);
        assert!(ran(&push).ok);
        assert!(ran(&format!("template x oci://{host}/charts/db")).text.contains("version: 1.0.0\n"));
        let out = ran(&format!("registry logout {host}"));
        assert_eq!(out.text, format!("Removing login credentials for {host}\n"));
        assert!(!ran(&format!("template x oci://{host}/charts/db --version 1.0.0")).ok);
    }
}

#[test]
fn who_has_no_name_is_asked_for_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(Doors::Basic, None);
    let host = &registry.address;
    // A terminal of its own, into which these are typed.
    let login = format!("script -qec \"$CORACLE chart registry login {host}\" /dev/null");
    let said = |lines: &str| run(&format!("printf '{lines}' | {login}"), folder.path(), folder.path(), "");
    let cases = [
        ("\\n\\n", "Token: ", "Error: token required"),
        ("\\nriver\\n", "Token: ", "Error: failed to perform login"),
        ("sailor\\n\\n", "Password: ", "Error: password required"),
        ("sailor\\nriver\\n", "Password: ", "Login Succeeded"),
    ];
    for (lines, prompt, told) in cases {
        let text = said(lines).text;
        assert!(text.contains(prompt) && text.contains(told), "{lines}: {text}");
    }
}

#[test]
fn a_registry_with_tls_is_trusted_as_far_as_the_flags_say() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(folder.path().join("ca.pem"), &certificate).unwrap();
    let registry = Registry::start(Doors::Basic, Some((certificate, key)));
    let host = &registry.address;
    packed(folder.path(), &["1.0.0"]);
    let ran = |words: &str| helm(folder.path(), folder.path(), words);
    for flag in ["--ca-file ca.pem", "--insecure-skip-tls-verify"] {
        let login = "--username sailor --password river";
        let pushed = ran(&format!("push served/db-1.0.0.tgz oci://{host}/charts {login} {flag}"));
        assert!(pushed.ok, "{flag}: {}", pushed.text);
        let shown = ran(&format!("template x oci://{host}/charts/db {login} {flag}"));
        assert!(shown.text.contains("version: 1.0.0\n"), "{flag}: {}", shown.text);
    }
    let logged = ran(&format!("registry login {host} -u sailor -p river --ca-file ca.pem"));
    assert!(logged.ok, "{}", logged.text);
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap().cert.pem();
    std::fs::write(folder.path().join("other.pem"), other).unwrap();
    let refused = ran(&format!("template x oci://{host}/charts/db --ca-file other.pem"));
    assert!(!refused.ok && refused.text.to_lowercase().contains("certificate"), "{}", refused.text);

    // Whom the machine trusts is trusted no more where a flag names others.
    let trusting = |words: &str| {
        run("SSL_CERT_FILE=ca.pem SSL_CERT_DIR=none exec \"$CORACLE\" chart", folder.path(), folder.path(), words)
    };
    let repository = format!("repo add x https://{host}");
    let added = trusting(&repository);
    assert!(added.text.contains("401"), "{}", added.text);
    for words in [format!("template x oci://{host}/charts/db --version 1.0.0"), repository] {
        let refused = trusting(&format!("{words} --ca-file other.pem"));
        assert!(!refused.ok && refused.text.contains("ertificate"), "{words}: {}", refused.text);
    }
}

#[test]
fn logins_are_kept_where_the_file_says_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(Doors::Basic, None);
    let host = &registry.address;
    packed(folder.path(), &["1.0.0"]);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    write("logins.json", r#"{"credsStore": "kept"}"#);
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    // Docker's protocol: an order, and its subject on stdin.
    let helper = "#!/bin/sh\ncase $1 in store) cat > kept;; get) test -s kept && sed 's/ServerURL/URL/' kept;; erase) rm kept;; esac\n";
    write("bin/docker-credential-kept", helper);
    let executable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("bin/docker-credential-kept"), executable).unwrap();
    let ran = |words: &str| {
        let words = format!("{words} --registry-config logins.json");
        run("PATH=$PWD/bin:$PATH exec \"$CORACLE\" chart", folder.path(), folder.path(), &words)
    };
    let push = format!("push served/db-1.0.0.tgz oci://{host}/charts");
    let pull = format!("pull oci://{host}/charts/db --version 1.0.0 -d back");
    assert!(!ran(&push).ok);
    for is_kept in [true, false] {
        if !is_kept {
            write("logins.json", "{}");
        }
        let logged = ran(&format!("registry login {host} -u sailor -p river"));
        assert!(logged.ok, "{}", logged.text);
        assert_eq!(folder.path().join("kept").exists(), is_kept);
        assert_eq!(read("logins.json").contains(host), !is_kept);
        for words in [&push, &pull] {
            let done = ran(words);
            assert!(done.ok, "{words}: {}", done.text);
        }
        assert!(!helm(folder.path(), folder.path(), &pull).ok, "another file knows no login");
        let out = ran(&format!("registry logout {host}"));
        assert!(out.ok, "{}", out.text);
        assert!(!ran(&pull).ok);
    }
    for text in ["[]", r#"{"auths": "x"}"#] {
        write("logins.json", text);
        let refused = ran(&format!("registry login {host} -u sailor -p river"));
        assert!(!refused.ok && refused.text.contains("invalid config format"), "{}", refused.text);
    }
}

#[test]
fn helm_and_coracle_pull_what_the_other_pushed() {
    let Some(program) = real_helm() else { return };
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(Doors::Token, None);
    let host = &registry.address;
    packed(folder.path(), &["1.0.0", "2.0.0+build.5"]);
    std::fs::create_dir(folder.path().join("pulled")).unwrap();
    let theirs = |words: &str| run(&program.display().to_string(), folder.path(), folder.path(), words);
    let ours = |words: &str| helm(folder.path(), folder.path(), words);
    let ok = |ran: super::Ran| {
        assert!(ran.ok, "{}", ran.text);
        ran.text
    };
    ok(theirs(&format!("registry login {host} -u sailor -p river --plain-http")));
    let one = ok(ours(&format!("push served/db-1.0.0.tgz oci://{host}/charts --plain-http")));
    let two = ok(theirs(&format!("push served/db-2.0.0+build.5.tgz oci://{host}/charts --plain-http")));
    for (pushed, tag) in [(one, "1.0.0"), (two, "2.0.0_build.5")] {
        assert!(pushed.starts_with(&format!("Pushed: {host}/charts/db:{tag}\nDigest: sha256:")), "{pushed}");
    }
    for words in [
        format!("template x oci://{host}/charts/db --version 1.0.0 --plain-http"),
        // Helm explains the underscore on stderr.
        format!("template x oci://{host}/charts/db --plain-http 2> /dev/null"),
        format!("show chart oci://{host}/charts/db --version ^1 --plain-http"),
        format!("pull oci://{host}/charts/db --version 1.0.0 --plain-http -d pulled 2> /dev/null"),
        format!("registry logout {host}"),
    ] {
        let (theirs, ours) = (ok(theirs(&words)), ours(&words));
        match words.starts_with("registry logout") {
            // The first took the login away.
            true => assert!(!ours.ok, "{}", ours.text),
            false => assert_eq!(ok(ours), theirs, "{words}"),
        }
    }
    ok(theirs(&format!("registry login {host} -u sailor -p river --plain-http")));
    ok(ours(&format!("pull oci://{host}/charts/db --version 2.0.0+build.5 --plain-http -d pulled")));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    for archive in ["db-1.0.0.tgz", "db-2.0.0+build.5.tgz"] {
        assert_eq!(read(&format!("pulled/{archive}")), read(&format!("served/{archive}")));
    }
}
