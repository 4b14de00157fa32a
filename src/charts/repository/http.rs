//! GET over HTTP for indexes and archives.

use super::super::Error;
use reqwest::Url;
use std::path::PathBuf;
use std::time::Duration;

/// The most bytes that an answer may have: the largest public index has some 20 MiB.
const LARGEST: u64 = 200 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);

/// With what something is downloaded.
#[derive(Clone, Debug, Default)]
pub struct Download {
    /// A name, for servers that want one.
    pub username: String,
    /// Its secret.
    pub password: String,
    /// Authorities to trust (PEM).
    pub ca_file: Option<PathBuf>,
    /// The client's certificate (PEM).
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key_file: Option<PathBuf>,
    /// The server's certificate is not checked.
    pub insecure: bool,
    /// Registries are reached by HTTP.
    pub plain_http: bool,
    /// The name and secret go to other servers too.
    pub pass_credentials: bool,
    /// How long an answer may take as a whole; nothing and zero are forever.
    pub limit: Option<Duration>,
}

/// An address for people to read: a secret in it is `***`, as in Go's words.
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:***@{host}{path}"),
        None => url.to_string(),
    }
}

/// Whether a repository can be at an address at all.
pub fn check_scheme(repository: &str) -> Result<(), Error> {
    match repository.split_once("://").map_or("", |(scheme, _)| scheme) {
        "http" | "https" => Ok(()),
        other => Err(Error::Repository(format!("could not find protocol handler for: {other}"))),
    }
}

/// What an address answers.
pub async fn get(url: &str, download: &Download) -> Result<Vec<u8>, Error> {
    get_from(url, url, download).await
}

/// What an address answers that a repository names. Name and secret go only to the repository's own server, unless they
/// may go everywhere.
pub async fn get_from(url: &str, repository: &str, download: &Download) -> Result<Vec<u8>, Error> {
    let invalid = |error| Error::Repository(format!("invalid chart URL format: {}: {error}", shown(url)));
    let parsed = Url::parse(url).map_err(invalid)?;
    // Nothing else: an index of somebody's server must not have files of this machine read.
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::Repository(format!("scheme {:?} not supported", parsed.scheme())));
    }
    let same = Url::parse(repository).is_ok_and(|other| other.origin() == parsed.origin());
    let mut request = client(download)?.get(parsed);
    if (same || download.pass_credentials) && !download.username.is_empty() && !download.password.is_empty() {
        request = request.basic_auth(&download.username, Some(&download.password));
    }
    if let Some(limit) = download.limit.filter(|limit| !limit.is_zero()) {
        request = request.timeout(limit);
    }
    let failed = |error| Error::Repository(format!("Get \"{}\": {}", shown(url), words(&error)));
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status != reqwest::StatusCode::OK {
        let (url, reason) = (shown(url), status.canonical_reason().unwrap_or_default());
        return Err(Error::Repository(format!("failed to fetch {url} : {} {reason}", status.as_u16())));
    }
    body(response, url, LARGEST).await
}

/// An answer's body, of so many bytes at most.
async fn body(mut response: reqwest::Response, url: &str, largest: u64) -> Result<Vec<u8>, Error> {
    let failed = |error: reqwest::Error| match error.is_timeout() {
        true => Error::Repository(READING.into()),
        false => Error::Repository(format!("Get \"{}\": {}", shown(url), words(&error))),
    };
    let mut data = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(failed)? {
        if (data.len() + bytes.len()) as u64 > largest {
            return Err(Error::Repository(format!("{} answers more than {largest} bytes", shown(url))));
        }
        data.extend_from_slice(&bytes);
    }
    Ok(data)
}

/// What an address answers, for those who cannot wait otherwise: code, its words, and body, of so many bytes at most. It is
/// asked on a thread of its own.
pub fn get_now(url: &str, limit: Duration, largest: u64) -> Result<(u16, &'static str, Vec<u8>), Error> {
    let failed = |why: String| Error::Repository(format!("Get \"{}\": {why}", shown(url)));
    let ask = async {
        let parsed = Url::parse(url).map_err(|error| failed(error.to_string()))?;
        let response = client(&Download::default())?.get(parsed).timeout(limit).send().await;
        let response = response.map_err(|error| failed(words(&error)))?;
        let status = response.status();
        Ok((status.as_u16(), status.canonical_reason().unwrap_or_default(), body(response, url, largest).await?))
    };
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| failed(error.to_string()))?.block_on(ask)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| Err(failed("the thread ended".into())))
}

/// The innermost cause: the outer ones only say that something failed.
fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    match GO_WORDS.iter().find(|(ours, _)| text.contains(ours)) {
        Some((_, go)) => (*go).to_string(),
        None => error.url().map_or_else(|| text.to_string(), |url| crate::charts::dial_words(url.as_str(), text)),
    }
}

/// What Go says of an answer that began and did not end in time.
const READING: &str = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";

/// What is said of connections here, and by Go.
const GO_WORDS: &[(&str, &str)] = &[
    ("operation timed out", "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
    ("too many redirects", "stopped after 10 redirects"),
    ("end of file before message length reached", "unexpected EOF"),
    ("Connection reset by peer", "read: connection reset by peer"),
    ("UnknownIssuer", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    ("certificate expired", "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"),
    (
        "certificate not valid yet",
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
    ),
    (
        "certificate not valid for name",
        "tls: failed to verify certificate: x509: certificate is not valid for this name",
    ),
    ("KeyMismatch", "tls: private key does not match public key"),
    ("InvalidContentType", "tls: first record does not look like a TLS handshake"),
    ("fatal alert: CertificateRequired", "remote error: tls: certificate required"),
    ("fatal alert: BadCertificate", "remote error: tls: bad certificate"),
    ("fatal alert: UnknownCA", "remote error: tls: unknown certificate authority"),
    ("fatal alert: HandshakeFailure", "remote error: tls: handshake failure"),
];

fn client(download: &Download) -> Result<reqwest::Client, Error> {
    crate::base::crypto::install();
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| Error::io("open", path, &error));
    let refuse = |why: String| Error::Repository(format!("can't create TLS config for client: {why}"));
    let tls = |error: reqwest::Error| refuse(words(&error));
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Helm/4 coracle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .tls_danger_accept_invalid_certs(download.insecure);
    if let Some(path) = &download.ca_file {
        let text = std::fs::read(path).map_err(|_| refuse(format!("can't read CA file: {}", path.display())))?;
        let bundle = reqwest::Certificate::from_pem_bundle(&text).map_err(tls)?;
        if bundle.is_empty() {
            return Err(refuse(format!("failed to append certificates from file: {}", path.display())));
        }
        // Nobody else: whoever names an authority does not want the machine's as well.
        builder = builder.tls_certs_only(bundle);
    }
    if let (Some(certificate), Some(key)) = (&download.cert_file, &download.key_file) {
        let mut both = read(certificate)?;
        both.push(b'\n');
        both.extend(read(key)?);
        let (certificate, key) = (certificate.display(), key.display());
        let pair = |error: reqwest::Error| {
            refuse(format!("can't load key pair from cert {certificate} and key {key}: {}", words(&error)))
        };
        let identity = reqwest::Identity::from_pem(&both).map_err(pair)?;
        return builder.identity(identity).build().map_err(pair);
    }
    builder.build().map_err(tls)
}

/// An address that may be relative to a repository's.
pub fn resolve_url(base: &str, reference: &str) -> Result<String, Error> {
    if Url::parse(reference).is_ok() {
        return Ok(reference.to_string());
    }
    let failed = |what: &str| Error::Repository(format!("failed to parse {} as URL", shown(what)));
    let mut base_url = Url::parse(base).map_err(|_| failed(base))?;
    let query = base_url.query().map(String::from);
    base_url.set_path(&format!("{}/", base_url.path().trim_end_matches('/')));
    let mut resolved = base_url.join(reference).map_err(|_| failed(reference))?;
    resolved.set_query(query.as_deref());
    Ok(resolved.to_string())
}

/// Whether two addresses mean the same place.
pub fn same_url(a: &str, b: &str) -> bool {
    let normal = |text: &str| match Url::parse(text) {
        Ok(url) => format!("{}://{}{}", url.scheme(), url.authority(), url.path().trim_end_matches('/')),
        Err(_) => super::super::chart::archive::clean(text),
    };
    normal(a) == normal(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_in_an_address_is_not_shown() {
        for (url, wanted) in [
            ("https://me:hush@x.test/charts?a=b@c", "https://me:***@x.test/charts?a=b@c"),
            ("https://me:hu@sh@x.test", "https://me:***@x.test"),
            ("https://me@x.test/a", "https://me@x.test/a"),
            ("https://x.test:8443/a:b@c", "https://x.test:8443/a:b@c"),
            ("me:hush", "me:hush"),
        ] {
            assert_eq!(shown(url), wanted);
        }
    }

    #[tokio::test]
    async fn what_failed_is_told_without_the_secret() {
        let told = get("http://me:hush@127.0.0.1:1/index.yaml", &Download::default()).await.unwrap_err().to_string();
        let why = "dial tcp 127.0.0.1:1: connect: connection refused";
        assert_eq!(told, format!("Get \"http://me:***@127.0.0.1:1/index.yaml\": {why}"));
    }

    #[tokio::test]
    async fn a_server_that_takes_longer_than_it_may_is_left() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/index.yaml", silent.local_addr().unwrap());
        let download = Download { limit: Some(Duration::from_millis(50)), ..Download::default() };
        let told = get(&url, &download).await.unwrap_err().to_string();
        let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        assert_eq!(told, format!("Get \"{url}\": {why}"));
    }

    #[test]
    fn addresses_are_resolved_below_the_repository() {
        for (base, reference, wanted) in [
            ("https://x.test/charts", "a-1.tgz", "https://x.test/charts/a-1.tgz"),
            ("https://x.test/charts/", "sub/a-1.tgz", "https://x.test/charts/sub/a-1.tgz"),
            ("https://x.test/charts?token=1", "a-1.tgz", "https://x.test/charts/a-1.tgz?token=1"),
            ("https://x.test/charts", "https://y.test/a.tgz", "https://y.test/a.tgz"),
            ("https://x.test/charts", "/a.tgz", "https://x.test/a.tgz"),
        ] {
            assert_eq!(resolve_url(base, reference).unwrap(), wanted);
        }
        assert!(same_url("https://x.test/charts/", "https://x.test/charts"));
        assert!(!same_url("https://x.test/charts", "http://x.test/charts"));
    }
}
