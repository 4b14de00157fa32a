//! What annotations may say of a location, read and checked.

use super::access::Ranges;
use super::conditions::Canary;
use super::htpasswd::Users;
use super::variables::Text;
use http::header::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// What is spoken with the pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    #[default]
    Http,
    Https,
    Grpc,
    Grpcs,
}

impl Protocol {
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Grpcs)
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Grpc | Protocol::Grpcs)
    }
}

/// All that annotations say, with what is so otherwise. Options are nothing where the ConfigMap decides.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub rewrite: Option<Text>,
    pub use_regex: bool,
    pub app_root: Option<Text>,
    pub ssl_redirect: Option<bool>,
    pub force_ssl_redirect: Option<bool>,
    pub keep_trailing_slash: bool,
    pub redirect: Redirects,
    pub body_limit: Option<u64>,
    pub timeouts: Timeouts,
    /// How many pods are tried; 0 for all.
    pub tries: Option<u32>,
    pub retry: Retry,
    pub protocol: Protocol,
    /// The name that a TLS backend is asked for.
    pub backend_name: Option<String>,
    pub asks_for_backend_name: bool,
    pub allow: Option<Ranges>,
    pub deny: Option<Ranges>,
    pub basic: Basic,
    pub outside: Outside,
    /// One of several kinds of access is enough.
    pub any_access: bool,
    pub cors: Cors,
    pub affinity: Option<Affinity>,
    pub canary: Option<Canary>,
    pub hash_by: Option<Text>,
    pub host: Option<Text>,
    pub aliases: Vec<String>,
    pub forwarded_prefix: Option<Text>,
    pub www_redirect: bool,
    pub error_codes: Option<Vec<u16>>,
    pub default_backend: Option<String>,
    pub limits: Limits,
    pub service_upstream: bool,
    /// A ConfigMap with headers of answers: `namespace/name`, and what it holds.
    pub headers_from: Option<String>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub connection_header: Option<HeaderValue>,
    /// Why nothing is served here.
    pub denied: Option<String>,
}

/// Answers that send elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Redirects {
    pub permanent: Option<Text>,
    pub permanent_code: Option<u16>,
    pub temporal: Option<Text>,
    pub temporal_code: Option<u16>,
}

/// How long the pods may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Option<Duration>,
    pub read: Option<Duration>,
    pub send: Option<Duration>,
}

/// When another pod is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub on_error: bool,
    pub on_timeout: bool,
    pub on_codes: Vec<u16>,
    pub also_unsafe: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { on_error: true, on_timeout: true, on_codes: Vec::new(), also_unsafe: false }
    }
}

/// Names and passwords.
#[derive(Clone, Debug, Default)]
pub struct Basic {
    pub is_on: bool,
    pub secret: Option<String>,
    /// Every key of the secret is a user.
    pub is_map: bool,
    pub realm: Option<String>,
    pub users: Option<Arc<Users>>,
}

/// Somebody else decides who is let in.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    pub url: Option<Text>,
    pub method: Option<http::Method>,
    pub sign_in: Option<Text>,
    pub sign_in_parameter: Option<String>,
    pub answer_headers: Vec<HeaderName>,
    pub redirect: Option<Text>,
    /// A ConfigMap with headers of the question: `namespace/name`, and what it holds.
    pub headers_from: Option<String>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub always_set_cookie: bool,
}

/// Requests from pages of other sites.
#[derive(Clone, Debug)]
pub struct Cors {
    pub is_on: bool,
    pub origins: Vec<String>,
    pub methods: String,
    pub headers: String,
    pub expose: Option<String>,
    pub credentials: bool,
    pub max_age: u64,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            is_on: false,
            origins: vec!["*".into()],
            methods: "GET, PUT, POST, DELETE, PATCH, OPTIONS".into(),
            headers: "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,\
                      Authorization"
                .into(),
            expose: None,
            credentials: true,
            max_age: 1_728_000,
        }
    }
}

/// Clients stay with the pod that they met first.
#[derive(Clone, Debug)]
pub struct Affinity {
    pub cookie: String,
    pub path: Option<String>,
    pub domain: Option<String>,
    pub expires: Option<i64>,
    pub max_age: Option<i64>,
    pub same_site: Option<String>,
    pub secure: Option<bool>,
    pub change_on_failure: bool,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            cookie: "INGRESSCOOKIE".into(),
            path: None,
            domain: None,
            expires: None,
            max_age: None,
            same_site: None,
            secure: None,
            change_on_failure: false,
        }
    }
}

/// How much one client may ask.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub per_second: Option<u32>,
    pub per_minute: Option<u32>,
    pub connections: Option<u32>,
    pub burst: Option<u32>,
    pub free: Option<Ranges>,
}
