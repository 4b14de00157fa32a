//! The ConfigMap of the controller: what is so for every Ingress that says nothing else.

use super::access::Ranges;
use super::annotations::{flag, number, seconds, size};
use http::header::{HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the ConfigMap says, with ingress-nginx' defaults.
#[derive(Clone, Debug)]
pub struct Config {
    pub body_limit: u64,
    pub connect: Duration,
    pub read: Duration,
    pub send: Duration,
    pub tries: u32,
    pub client_header: Duration,
    pub keep_alive: Duration,
    pub ssl_redirect: bool,
    pub force_ssl_redirect: bool,
    pub redirect_code: u16,
    /// Paths that are never sent to HTTPS.
    pub plain_paths: Vec<String>,
    pub trust_forwarded: bool,
    pub keep_forwarded: bool,
    pub trusted: Option<Ranges>,
    pub hsts: bool,
    pub hsts_max_age: u64,
    pub hsts_subdomains: bool,
    pub hsts_preload: bool,
    pub http2: bool,
    pub limit_code: u16,
    pub connections_code: u16,
    pub error_codes: Vec<u16>,
    pub allow: Ranges,
    pub deny: Ranges,
    pub makes_request_ids: bool,
    pub hidden: Vec<HeaderName>,
    /// ConfigMaps with headers, `namespace/name`: for pods, and for answers.
    pub request_headers_from: Option<String>,
    pub headers_from: Option<String>,
    /// What those hold.
    pub request_headers: Vec<(HeaderName, HeaderValue)>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of answers that Ingresses may set; empty for none.
    pub allowed_headers: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_limit: 1 << 20,
            connect: Duration::from_secs(5),
            read: Duration::from_secs(60),
            send: Duration::from_secs(60),
            tries: 3,
            client_header: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            ssl_redirect: true,
            force_ssl_redirect: false,
            redirect_code: 308,
            plain_paths: vec!["/.well-known/acme-challenge".into()],
            trust_forwarded: false,
            keep_forwarded: false,
            trusted: None,
            hsts: true,
            hsts_max_age: 31_536_000,
            hsts_subdomains: true,
            hsts_preload: false,
            http2: true,
            limit_code: 503,
            connections_code: 503,
            error_codes: Vec::new(),
            allow: Ranges::default(),
            deny: Ranges::default(),
            makes_request_ids: true,
            hidden: Vec::new(),
            request_headers_from: None,
            headers_from: None,
            request_headers: Vec::new(),
            headers: Vec::new(),
            allowed_headers: Vec::new(),
        }
    }
}

type Setter = fn(&mut Config, &str) -> Result<(), String>;

/// Every key that means something.
const KEYS: &[(&str, Setter)] = &[
    ("proxy-body-size", |config, text| set(&mut config.body_limit, size(text))),
    ("proxy-connect-timeout", |config, text| set(&mut config.connect, seconds(text))),
    ("proxy-read-timeout", |config, text| set(&mut config.read, seconds(text))),
    ("proxy-send-timeout", |config, text| set(&mut config.send, seconds(text))),
    ("proxy-next-upstream-tries", |config, text| set(&mut config.tries, number(text))),
    ("client-header-timeout", |config, text| set(&mut config.client_header, seconds(text))),
    ("keep-alive", |config, text| set(&mut config.keep_alive, seconds(text))),
    ("ssl-redirect", |config, text| set(&mut config.ssl_redirect, flag(text))),
    ("force-ssl-redirect", |config, text| set(&mut config.force_ssl_redirect, flag(text))),
    ("http-redirect-code", |config, text| set(&mut config.redirect_code, redirect_code(text))),
    ("no-tls-redirect-locations", |config, text| set(&mut config.plain_paths, Ok(words(text)))),
    ("use-forwarded-headers", |config, text| set(&mut config.trust_forwarded, flag(text))),
    ("compute-full-forwarded-for", |config, text| set(&mut config.keep_forwarded, flag(text))),
    ("proxy-real-ip-cidr", |config, text| set(&mut config.trusted, Ranges::parse(text).map(Some))),
    ("hsts", |config, text| set(&mut config.hsts, flag(text))),
    ("hsts-max-age", |config, text| set(&mut config.hsts_max_age, number(text))),
    ("hsts-include-subdomains", |config, text| set(&mut config.hsts_subdomains, flag(text))),
    ("hsts-preload", |config, text| set(&mut config.hsts_preload, flag(text))),
    ("use-http2", |config, text| set(&mut config.http2, flag(text))),
    ("limit-req-status-code", |config, text| set(&mut config.limit_code, error_code(text))),
    ("limit-conn-status-code", |config, text| set(&mut config.connections_code, error_code(text))),
    ("custom-http-errors", |config, text| set(&mut config.error_codes, codes(text))),
    ("whitelist-source-range", |config, text| set(&mut config.allow, Ranges::parse(text))),
    ("denylist-source-range", |config, text| set(&mut config.deny, Ranges::parse(text))),
    ("generate-request-id", |config, text| set(&mut config.makes_request_ids, flag(text))),
    ("hide-headers", |config, text| set(&mut config.hidden, header_names(text))),
    ("proxy-set-headers", |config, text| set(&mut config.request_headers_from, Ok(Some(text.into())))),
    ("add-headers", |config, text| set(&mut config.headers_from, Ok(Some(text.into())))),
    ("global-allowed-response-headers", |config, text| set(&mut config.allowed_headers, Ok(words(text)))),
    // What minikube sets: there are no snippets.
    ("allow-snippet-annotations", |_, text| flag(text).map(drop)),
];

impl Config {
    /// Reads the ConfigMap; what is wrong in it is told, and is as if it were not there.
    pub fn read(data: &BTreeMap<String, String>) -> (Self, Vec<String>) {
        let (mut config, mut wrong) = (Self::default(), Vec::new());
        for (key, text) in data {
            match KEYS.iter().find(|(known, _)| known == key) {
                None => wrong.push(format!("`{key}` is not built in here and has no effect")),
                Some((_, set)) => {
                    if let Err(why) = set(&mut config, text.trim()) {
                        wrong.push(format!("`{key}`: {why}"));
                    }
                }
            }
        }
        (config, wrong)
    }
}

fn set<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// Words with commas between.
pub fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(String::from).collect()
}

/// Codes of errors with commas between.
pub fn codes(text: &str) -> Result<Vec<u16>, String> {
    words(text).iter().map(|word| error_code(word)).collect()
}

/// Names of headers with commas between.
pub fn header_names(text: &str) -> Result<Vec<HeaderName>, String> {
    words(text).iter().map(|word| word.parse().map_err(|_| format!("`{word}` is no name of a header"))).collect()
}

fn error_code(text: &str) -> Result<u16, String> {
    let code = text.parse().ok().filter(|code| (300..600).contains(code));
    code.ok_or_else(|| format!("`{text}` is no status code from 300 to 599"))
}

/// A code that sends elsewhere.
pub fn redirect_code(text: &str) -> Result<u16, String> {
    let code = text.parse().ok().filter(|code| (300..=308).contains(code));
    code.ok_or_else(|| format!("`{text}` is no status code from 300 to 308"))
}

/// The data of a ConfigMap as headers.
pub fn headers(data: &BTreeMap<String, String>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let read = |(name, value): (&String, &String)| {
        let wrong = |_| format!("`{name}` is no header");
        let name = name.parse::<HeaderName>().map_err(|error| wrong(error.to_string()))?;
        Ok((name, value.trim().parse::<HeaderValue>().map_err(|error| wrong(error.to_string()))?))
    };
    data.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_map_says_counts_and_what_is_wrong_is_told() {
        let data =
            [("hsts", "false"), ("proxy-body-size", "8m"), ("http-redirect-code", "200"), ("worker-processes", "4")];
        let data = data.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let (config, wrong) = Config::read(&data);
        assert!(!config.hsts && config.body_limit == 8 << 20 && config.redirect_code == 308);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("`http-redirect-code`") && wrong[1].contains("worker-processes"), "{wrong:?}");
    }
}
