//! Asking a registry (OCI distribution): requests with the authorization that it wants, answers with a limit each. What a
//! registry sends is never read further than what it may need: it is a stranger.

use super::pull::{Login, proxy};
use crate::base::causes::chain;
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Identity, Method, NoProxy, Proxy, Response, StatusCode, Url};
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
    /// Nobody but those authorities is trusted.
    pub is_pinned: bool,
    /// A certificate and its key (PEM) for registries that want to see one.
    pub identity: Option<Vec<u8>>,
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

/// One request: to where, with these headers and this content.
struct Question {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, String)>,
    content: Option<Bytes>,
}

impl Question {
    fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), content: None }
    }

    fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn saying(self, kind: &str, content: Bytes) -> Self {
        Self { content: Some(content), ..self }.with(CONTENT_TYPE, kind)
    }
}

/// One repository of a registry, asked with one login or none.
pub(super) struct Registry {
    client: Client,
    /// `https://HOST/v2/`
    root: Url,
    repository: String,
    /// What tokens are asked for: `pull`, or `pull,push`.
    actions: &'static str,
    login: Option<Login>,
    authorization: Mutex<Option<Authorization>>,
}

impl Registry {
    /// The repository `repository` at `host`.
    pub fn new(host: &str, repository: &str, login: Option<Login>, way: &Way) -> Result<Self, Refusal> {
        let unusable = |error: reqwest::Error| Refusal::Bad(format!("a setting is of no use: {}", chain(&error)));
        let useless = |why: String| Refusal::Bad(format!("an authority of your own is of no use: {why}"));
        let mut authorities = Vec::new();
        for pem in &way.authorities {
            let bundle = Certificate::from_pem_bundle(pem).map_err(|error| useless(chain(&error)))?;
            if bundle.is_empty() {
                return Err(useless("there is no certificate in it".into()));
            }
            authorities.extend(bundle);
        }
        let mut client = Client::builder()
            .tls_danger_accept_invalid_certs(way.is_insecure)
            .read_timeout(SILENCE)
            .connect_timeout(CONNECT)
            .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")));
        client = match way.is_pinned {
            true => client.tls_certs_only(authorities),
            false => client.tls_certs_merge(authorities),
        };
        if let Some(pem) = &way.identity {
            client = client.identity(Identity::from_pem(pem).map_err(unusable)?);
        }
        let spared = proxy(&["NO_PROXY", "no_proxy"]).and_then(|list| NoProxy::from_string(&list));
        if let Some(address) = proxy(&["HTTPS_PROXY", "https_proxy"]) {
            client = client.proxy(Proxy::https(address).map_err(unusable)?.no_proxy(spared.clone()));
        }
        if let Some(address) = proxy(&["HTTP_PROXY", "http_proxy"]) {
            client = client.proxy(Proxy::http(address).map_err(unusable)?.no_proxy(spared));
        }
        let host = if host == "docker.io" { "index.docker.io" } else { host };
        let scheme = if way.is_plain { "http" } else { "https" };
        let root = Url::parse(&format!("{scheme}://{host}/v2/")).map_err(|error| no_address(host, &error))?;
        Ok(Self {
            client: client.build().map_err(|error| useless(chain(&error)))?,
            root,
            repository: repository.into(),
            actions: "pull",
            login,
            authorization: Mutex::default(),
        })
    }

    /// The same, which may be written to.
    pub fn for_pushing(self) -> Self {
        Self { actions: "pull,push", ..self }
    }

    /// A manifest by tag or digest, of one of these types, with its digest. It is what its digest says.
    pub async fn manifest(&self, name: &str, accepted: &[&str]) -> Result<(Vec<u8>, String), Refusal> {
        let response = self.get(self.url(&format!("manifests/{name}"))?, Some(&accepted.join(", "))).await?;
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
        self.get(self.url(&format!("blobs/{digest}"))?, None).await
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
        let response = self.get(self.url(&format!("tags/list?{}", query.finish()))?, None).await?;
        let bytes = whole(response, LARGEST, "its list of tags").await?;
        let list: List = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::Bad(format!("its list of tags cannot be read: {error}")))?;
        Ok(list.tags.unwrap_or_default())
    }

    /// Asks for nothing but to be let in; whether the registry asked who it is.
    pub async fn greet(&self) -> Result<bool, Refusal> {
        self.get(self.root.clone(), None).await?;
        Ok(self.authorization.lock().await.is_some())
    }

    /// Brings a blob, unless it is there.
    pub async fn put_blob(&self, digest: &str, data: Bytes) -> Result<(), Refusal> {
        match self.ask(&Question::new(Method::HEAD, self.url(&format!("blobs/{digest}"))?)).await {
            Ok(_) => return Ok(()),
            Err(Refusal::Status { code: 404, .. }) => {}
            Err(other) => return Err(other),
        }
        let start = Question::new(Method::POST, self.url("blobs/uploads/")?).with(CONTENT_LENGTH, "0");
        let begun = self.ask(&start).await?;
        let place = begun.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let place = place.ok_or_else(|| Refusal::Bad("it does not say where to upload to".into()))?;
        let mut place = begun.url().join(place).map_err(|error| no_address(place, &error))?;
        place.query_pairs_mut().append_pair("digest", digest);
        let put = Question::new(Method::PUT, place).saying("application/octet-stream", data);
        self.ask(&put).await.map(|_| ())
    }

    /// Brings a manifest.
    pub async fn put_manifest(&self, name: &str, kind: &str, text: Bytes) -> Result<(), Refusal> {
        let put = Question::new(Method::PUT, self.url(&format!("manifests/{name}"))?).saying(kind, text);
        self.ask(&put).await.map(|_| ())
    }

    fn url(&self, what: &str) -> Result<Url, Refusal> {
        let rest = format!("{}/{what}", self.repository);
        self.root.join(&rest).map_err(|error| no_address(&rest, &error))
    }

    /// Whether an address is the registry's own. It sends to others, who learn nothing of the login: neither with a request
    /// nor because they ask for it.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    async fn get(&self, url: Url, accept: Option<&str>) -> Result<Response, Refusal> {
        let question = Question::new(Method::GET, url);
        let question = match accept {
            Some(accept) => question.with(ACCEPT, accept),
            None => question,
        };
        self.ask(&question).await
    }

    async fn ask(&self, question: &Question) -> Result<Response, Refusal> {
        let known = self.authorization.lock().await.clone();
        let response = self.send(question, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_own(response.url()) {
            return successful(response).await;
        }
        // Not asked before, or a token ran out.
        let found = self.authorize(response.headers()).await?;
        if found.is_none() || found == known {
            return successful(response).await;
        }
        self.authorization.lock().await.clone_from(&found);
        successful(self.send(question, found.as_ref()).await?).await
    }

    async fn send(&self, question: &Question, by: Option<&Authorization>) -> Result<Response, Refusal> {
        let mut request = self.client.request(question.method.clone(), question.url.clone());
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        if let Some(content) = &question.content {
            request = request.body(content.clone());
        }
        let by = by.filter(|_| self.is_own(&question.url));
        request = match (by, self.password()) {
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
            let may_login = of("Basic").is_some() && self.password().is_some();
            return Ok(may_login.then_some(Authorization::Login));
        };
        let parameter = |name: &str| {
            let found = bearer.params.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = parameter("realm").ok_or_else(|| Refusal::Bad("it does not say where tokens are given".into()))?;
        let scope = format!("repository:{}:{}", self.repository, self.actions);
        let mut query = vec![("scope", scope)];
        query.extend(parameter("service").map(|service| ("service", service)));
        self.token(&realm, query).await.map(|token| Some(Authorization::Token(token)))
    }

    /// The login, if it is a name and a password.
    fn password(&self) -> Option<&Login> {
        self.login.as_ref().filter(|login| login.identity_token().is_none())
    }

    /// A token for a scope: anybody's, for a password, or for an identity token (distribution `spec/auth/{token,oauth}`).
    async fn token(&self, realm: &str, mut about: Vec<(&str, String)>) -> Result<String, Refusal> {
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let no_place = |error| Refusal::Bad(format!("tokens are given at `{realm}`, which is no address: {error}"));
        let request = match self.login.as_ref().and_then(Login::identity_token) {
            Some(token) => {
                let grant = [("grant_type", "refresh_token"), ("client_id", "coracle"), ("refresh_token", token)];
                about.splice(0..0, grant.map(|(name, value)| (name, value.to_string())));
                let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(about).finish();
                let request = self.client.post(Url::parse(realm).map_err(no_place)?).body(form);
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            }
            None => {
                let request = self.client.get(Url::parse_with_params(realm, about).map_err(no_place)?);
                match &self.login {
                    Some(login) => request.basic_auth(&login.username, Some(&login.password)),
                    None => request,
                }
            }
        };
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

fn no_address(text: &str, error: &impl std::fmt::Display) -> Refusal {
    Refusal::Bad(format!("`{text}` is no address: {error}"))
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
    if response.status().is_success() {
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
