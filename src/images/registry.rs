//! Asking a registry (OCI distribution): requests with the authorization that it wants, answers with a limit each. What a
//! registry sends is never read further than what it may need: it is a stranger.

use super::pull::{Login, proxy};
use crate::base::causes::chain;
use reqwest::header::{ACCEPT, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, NoProxy, Proxy, Response, StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::sync::Mutex;

/// The most bytes of a manifest, a list of tags or a token.
const LARGEST: usize = 4 << 20;
/// The most bytes of an error that are read, and characters of it that are told.
const LARGEST_ERROR: usize = 64 << 10;
const LONGEST_MESSAGE: usize = 512;
/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(15);

/// How a registry is reached.
#[derive(Clone, Default)]
pub(super) struct Way {
    /// HTTP in place of HTTPS.
    pub is_plain: bool,
    /// Certificates are not checked.
    pub is_insecure: bool,
    /// Certificates (PEM) that are trusted besides the usual ones.
    pub authorities: Vec<Vec<u8>>,
}

/// Why there is no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nobody spoke the protocol.
    #[error("{0}")]
    Mute(String),
    /// An answer that is no success: what the registry says, as codes of the distribution specification and messages.
    #[error("the registry answered {}{}", status(*code), said(errors))]
    Status { code: u16, errors: Vec<Said> },
    /// No token was given for the login.
    #[error("no token was given: {0}")]
    Token(String),
    /// An answer that is of no use.
    #[error("{0}")]
    Bad(String),
}

/// One error of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    /// For example `MANIFEST_UNKNOWN`.
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    message: String,
}

fn status(code: u16) -> String {
    StatusCode::from_u16(code).map_or_else(|_| code.to_string(), |status| status.to_string())
}

fn said(errors: &[Said]) -> String {
    let each = errors.iter().map(|said| {
        let parts = [&said.code, &said.message].into_iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join(": ")
    });
    let text = each.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
    if text.is_empty() { text } else { format!(": {}", short(&text)) }
}

fn short(text: &str) -> String {
    let mut kept: String = text.chars().take(LONGEST_MESSAGE).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
}

impl Refusal {
    /// Whether other credentials might help.
    pub fn is_denied(&self) -> bool {
        match self {
            Refusal::Token(_) | Refusal::Status { code: 401 | 403, .. } => true,
            Refusal::Status { errors, .. } => {
                errors.first().is_some_and(|first| matches!(first.code.as_str(), "UNAUTHORIZED" | "DENIED"))
            }
            _ => false,
        }
    }
}

fn mute(error: &reqwest::Error) -> Refusal {
    Refusal::Mute(chain(error))
}

/// What a registry was convinced by.
#[derive(Clone, PartialEq)]
enum Authorization {
    Token(String),
    /// The login itself.
    Login,
}

/// One repository of a registry, asked with one login or none.
pub(super) struct Registry {
    client: Client,
    /// `https://HOST/v2/`
    root: String,
    repository: String,
    login: Option<Login>,
    authorization: Mutex<Option<Authorization>>,
}

impl Registry {
    /// The repository `repository` at `host`.
    pub fn new(host: &str, repository: &str, login: Option<Login>, way: &Way) -> Result<Self, Refusal> {
        let unusable = |error: reqwest::Error| Refusal::Bad(format!("a setting is of no use: {}", chain(&error)));
        let authority = |pem: &Vec<u8>| Certificate::from_pem(pem);
        let authorities: Result<Vec<_>, _> = way.authorities.iter().map(authority).collect();
        let authorities = authorities
            .map_err(|error| Refusal::Bad(format!("an authority of your own is of no use: {}", chain(&error))))?;
        let mut client = Client::builder()
            .tls_danger_accept_invalid_certs(way.is_insecure)
            .tls_certs_merge(authorities)
            .read_timeout(SILENCE)
            .connect_timeout(CONNECT)
            .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")));
        let spared = proxy(&["NO_PROXY", "no_proxy"]).and_then(|list| NoProxy::from_string(&list));
        if let Some(address) = proxy(&["HTTPS_PROXY", "https_proxy"]) {
            client = client.proxy(Proxy::https(address).map_err(unusable)?.no_proxy(spared.clone()));
        }
        if let Some(address) = proxy(&["HTTP_PROXY", "http_proxy"]) {
            client = client.proxy(Proxy::http(address).map_err(unusable)?.no_proxy(spared));
        }
        let host = if host == "docker.io" { "index.docker.io" } else { host };
        let scheme = if way.is_plain { "http" } else { "https" };
        Ok(Self {
            client: client
                .build()
                .map_err(|error| Refusal::Bad(format!("an authority of your own is of no use: {}", chain(&error))))?,
            root: format!("{scheme}://{host}/v2/"),
            repository: repository.into(),
            login,
            authorization: Mutex::default(),
        })
    }

    /// A manifest by tag or digest, of one of these types, with its digest. It is what its digest says.
    pub async fn manifest(&self, name: &str, accepted: &[&str]) -> Result<(Vec<u8>, String), Refusal> {
        let response = self.get(&self.url(&format!("manifests/{name}")), Some(&accepted.join(", "))).await?;
        let told = digest_header(response.headers());
        let bytes = whole(response, LARGEST, "its manifest").await?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let wanted = name.starts_with("sha256:").then_some(name);
        match wanted.into_iter().chain(told.as_deref()).find(|wanted| *wanted != digest) {
            Some(wanted) => Err(Refusal::Bad(format!("the manifest `{wanted}` arrived with the digest {digest}"))),
            None => Ok((bytes, digest)),
        }
    }

    /// The answer that holds a blob. Whoever reads it looks at how much that is and whether it is the right one.
    pub async fn blob(&self, digest: &str) -> Result<Response, Refusal> {
        self.get(&self.url(&format!("blobs/{digest}")), None).await
    }

    /// Some tags of the repository, from behind one on.
    pub async fn tags(&self, count: usize, last: Option<&str>) -> Result<Vec<String>, Refusal> {
        #[derive(Deserialize)]
        struct List {
            tags: Option<Vec<String>>,
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("n", &count.to_string());
        if let Some(last) = last {
            query.append_pair("last", last);
        }
        let response = self.get(&self.url(&format!("tags/list?{}", query.finish())), None).await?;
        let bytes = whole(response, LARGEST, "its list of tags").await?;
        let list: List = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::Bad(format!("its list of tags cannot be read: {error}")))?;
        Ok(list.tags.unwrap_or_default())
    }

    /// Asks for nothing but to be let in; whether the registry asked who it is.
    pub async fn greet(&self) -> Result<bool, Refusal> {
        self.get(&self.root, None).await?;
        Ok(self.authorization.lock().await.is_some())
    }

    fn url(&self, what: &str) -> String {
        format!("{}{}/{what}", self.root, self.repository)
    }

    async fn get(&self, url: &str, accept: Option<&str>) -> Result<Response, Refusal> {
        let known = self.authorization.lock().await.clone();
        let response = self.send(url, accept, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return successful(response).await;
        }
        // Not asked before, or a token ran out.
        let found = self.authorize(response.headers()).await?;
        if found.is_none() || found == known {
            return successful(response).await;
        }
        self.authorization.lock().await.clone_from(&found);
        successful(self.send(url, accept, found.as_ref()).await?).await
    }

    async fn send(&self, url: &str, accept: Option<&str>, by: Option<&Authorization>) -> Result<Response, Refusal> {
        let mut request = self.client.get(url);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        request = match (by, &self.login) {
            (Some(Authorization::Token(token)), _) => request.bearer_auth(token),
            (Some(Authorization::Login), Some(login)) => request.basic_auth(&login.username, Some(&login.password)),
            _ => request,
        };
        request.send().await.map_err(|error| mute(&error))
    }

    /// What a challenge is met with; nothing if there is nothing to meet it with.
    async fn authorize(&self, headers: &HeaderMap) -> Result<Option<Authorization>, Refusal> {
        let texts: Vec<&str> =
            headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
        let challenges: Vec<_> =
            texts.iter().flat_map(|text| http_auth::ChallengeParser::new(text)).flatten().collect();
        let of = |scheme: &str| challenges.iter().find(|one| one.scheme.eq_ignore_ascii_case(scheme));
        let Some(bearer) = of("Bearer") else {
            let may_login = of("Basic").is_some() && self.login.is_some();
            return Ok(may_login.then_some(Authorization::Login));
        };
        let parameter = |name: &str| {
            let found = bearer.params.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = parameter("realm").ok_or_else(|| Refusal::Bad("it does not say where tokens are given".into()))?;
        let scope = format!("repository:{}:pull", self.repository);
        let mut query = vec![("scope", scope)];
        query.extend(parameter("service").map(|service| ("service", service)));
        let url = Url::parse_with_params(&realm, query)
            .map_err(|error| Refusal::Bad(format!("tokens are given at `{realm}`, which is no address: {error}")))?;
        self.token(url).await.map(|token| Some(Authorization::Token(token)))
    }

    async fn token(&self, url: Url) -> Result<String, Refusal> {
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let mut request = self.client.get(url);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.username, Some(&login.password));
        }
        let response = request.send().await.map_err(|error| mute(&error))?;
        if !response.status().is_success() {
            let code = response.status();
            let text = beginning(response, LARGEST_ERROR).await;
            return Err(Refusal::Token(format!("{code}: {}", short(&text))));
        }
        let bytes = whole(response, LARGEST, "its token").await?;
        let given: Given = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::Bad(format!("its token cannot be read: {error}")))?;
        let token = given.token.or(given.access_token).filter(|token| !token.is_empty());
        token.ok_or_else(|| Refusal::Bad("its answer has no token".into()))
    }
}

fn digest_header(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("docker-content-digest")?.to_str().ok()?;
    value.starts_with("sha256:").then(|| value.to_string())
}

/// The answer, if it is what was asked for.
async fn successful(response: Response) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Said>,
    }
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    let code = response.status().as_u16();
    let text = beginning(response, LARGEST_ERROR).await;
    let errors = match serde_json::from_str::<Envelope>(&text) {
        Ok(envelope) => envelope.errors,
        Err(_) => vec![Said { code: String::new(), message: text.trim().to_string() }],
    };
    Err(Refusal::Status { code, errors })
}

/// All of an answer's content, if it is not more than `limit` bytes.
async fn whole(mut response: Response, limit: usize, what: &str) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| mute(&error))? {
        if bytes.len() + chunk.len() > limit {
            return Err(Refusal::Bad(format!("{what} is larger than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The beginning of an answer's content as text; what cannot be read is left out.
async fn beginning(mut response: Response, limit: usize) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= limit {
            bytes.truncate(limit);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
