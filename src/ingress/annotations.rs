//! The table of annotations: `nginx.ingress.kubernetes.io/…`.
//!
//! A value that cannot be read denies the whole Ingress, as with ingress-nginx: its locations answer 503.

use super::access::Ranges;
use super::conditions::Canary;
use super::config::{codes, header_names, redirect_code, words};
use super::settings::{Affinity, Protocol, Retry, Settings};
use super::variables::Text;
use std::collections::BTreeMap;
use std::time::Duration;

/// What all of them begin with.
pub const PREFIX: &str = "nginx.ingress.kubernetes.io/";

type Setter = fn(&mut Settings, &str) -> Result<(), String>;

/// What becomes of an annotation.
enum Fate {
    Set(Setter),
    /// Known to ingress-nginx, not built here; the Ingress works without it.
    Without,
    /// Known to ingress-nginx, not built here; without it more would be let in than was meant.
    Denies,
    /// About nginx' own buffers and processes, which are not here.
    Meaningless,
}

use Fate::{Denies, Meaningless, Set, Without};

/// Every annotation of ingress-nginx.
const ANNOTATIONS: &[(&str, Fate)] = &[
    ("affinity", Set(affinity)),
    (
        "affinity-canary-behavior",
        Set(|all, text| one_of(text, &["sticky", "legacy"]).map(|word| canary(all).is_sticky = word != "legacy")),
    ),
    ("affinity-mode", Set(|_, text| one_of(text, &["balanced", "persistent"]).map(drop))),
    ("app-root", Set(|all, text| put(&mut all.app_root, rooted(text)))),
    ("auth-always-set-cookie", Set(|all, text| flag(text).map(|on| all.outside.always_set_cookie = on))),
    ("auth-cache-duration", Without),
    ("auth-cache-key", Without),
    ("auth-keepalive", Meaningless),
    ("auth-keepalive-requests", Meaningless),
    ("auth-keepalive-share-vars", Meaningless),
    ("auth-keepalive-timeout", Meaningless),
    ("auth-method", Set(|all, text| put(&mut all.outside.method, text.parse().map_err(|_| not(text, "a method"))))),
    ("auth-proxy-set-headers", Set(|all, text| put(&mut all.outside.headers_from, plain(text)))),
    ("auth-realm", Set(|all, text| put(&mut all.basic.realm, quotable(text)))),
    ("auth-request-redirect", Set(|all, text| put(&mut all.outside.redirect, Text::parse(text)))),
    ("auth-response-headers", Set(|all, text| header_names(text).map(|names| all.outside.answer_headers = names))),
    ("auth-secret", Set(|all, text| put(&mut all.basic.secret, plain(text)))),
    (
        "auth-secret-type",
        Set(|all, text| one_of(text, &["auth-file", "auth-map"]).map(|word| all.basic.is_map = word == "auth-map")),
    ),
    ("auth-signin", Set(|all, text| put(&mut all.outside.sign_in, Text::parse(text)))),
    ("auth-signin-redirect-param", Set(|all, text| put(&mut all.outside.sign_in_parameter, plain(text)))),
    ("auth-snippet", Denies),
    ("auth-tls-error-page", Denies),
    ("auth-tls-match-cn", Denies),
    ("auth-tls-pass-certificate-to-upstream", Denies),
    ("auth-tls-secret", Denies),
    ("auth-tls-verify-client", Denies),
    ("auth-tls-verify-depth", Denies),
    ("auth-type", Set(auth_type)),
    ("auth-url", Set(|all, text| put(&mut all.outside.url, web(text)))),
    ("backend-protocol", Set(protocol)),
    (
        "canary",
        Set(|all, text| {
            flag(text).map(|on| {
                if on {
                    canary(all);
                } else {
                    all.canary = None;
                }
            })
        }),
    ),
    ("canary-by-cookie", Set(|all, text| put(&mut canary(all).cookie, plain(text)))),
    ("canary-by-header", Set(|all, text| put(&mut canary(all).header, plain(text).map(|name| name.to_lowercase())))),
    ("canary-by-header-pattern", Set(|all, text| put(&mut canary(all).header_pattern, expression(text)))),
    ("canary-by-header-value", Set(|all, text| put(&mut canary(all).header_value, plain(text)))),
    ("canary-weight", Set(|all, text| number(text).map(|weight| canary(all).weight = weight))),
    ("canary-weight-total", Set(|all, text| put(&mut canary(all).weight_total, number(text)))),
    ("client-body-buffer-size", Meaningless),
    ("configuration-snippet", Without),
    (
        "connection-proxy-header",
        Set(|all, text| put(&mut all.connection_header, text.parse().map_err(|_| not(text, "a header")))),
    ),
    ("cors-allow-credentials", Set(|all, text| flag(text).map(|on| all.cors.credentials = on))),
    ("cors-allow-headers", Set(|all, text| header_list(text).map(|list| all.cors.headers = list))),
    ("cors-allow-methods", Set(|all, text| header_list(text).map(|list| all.cors.methods = list))),
    ("cors-allow-origin", Set(origins)),
    ("cors-expose-headers", Set(|all, text| put(&mut all.cors.expose, header_list(text)))),
    ("cors-max-age", Set(|all, text| number(text).map(|seconds| all.cors.max_age = seconds))),
    ("custom-headers", Set(|all, text| put(&mut all.headers_from, plain(text)))),
    ("custom-http-errors", Set(|all, text| put(&mut all.error_codes, codes(text)))),
    ("default-backend", Set(|all, text| put(&mut all.default_backend, plain(text)))),
    ("denylist-source-range", Set(|all, text| put(&mut all.deny, Ranges::parse(text)))),
    (
        "disable-proxy-intercept-errors",
        Set(|all, text| {
            flag(text).map(|on| {
                if on {
                    all.error_codes = Some(Vec::new())
                }
            })
        }),
    ),
    ("enable-access-log", Meaningless),
    ("enable-cors", Set(|all, text| flag(text).map(|on| all.cors.is_on = on))),
    ("enable-global-auth", Meaningless),
    ("enable-modsecurity", Without),
    ("enable-opentelemetry", Without),
    ("enable-owasp-core-rules", Without),
    ("enable-rewrite-log", Meaningless),
    ("fastcgi-index", Without),
    ("fastcgi-params-configmap", Without),
    ("force-ssl-redirect", Set(|all, text| put(&mut all.force_ssl_redirect, flag(text)))),
    ("from-to-www-redirect", Set(|all, text| flag(text).map(|on| all.www_redirect = on))),
    ("http2-push-preload", Meaningless),
    ("limit-burst-multiplier", Set(|all, text| put(&mut all.limits.burst, number(text)))),
    ("limit-connections", Set(|all, text| put(&mut all.limits.connections, number(text)))),
    ("limit-rate", Without),
    ("limit-rate-after", Without),
    ("limit-rpm", Set(|all, text| put(&mut all.limits.per_minute, number(text)))),
    ("limit-rps", Set(|all, text| put(&mut all.limits.per_second, number(text)))),
    ("limit-allowlist", Set(|all, text| put(&mut all.limits.free, Ranges::parse(text)))),
    ("limit-whitelist", Set(|all, text| put(&mut all.limits.free, Ranges::parse(text)))),
    ("load-balance", Set(|_, text| one_of(text, &["round_robin", "ewma"]).map(drop))),
    ("mirror-host", Without),
    ("mirror-request-body", Without),
    ("mirror-target", Without),
    ("modsecurity-snippet", Without),
    ("modsecurity-transaction-id", Without),
    ("opentelemetry-operation-name", Without),
    ("opentelemetry-trust-incoming-span", Without),
    ("permanent-redirect", Set(|all, text| put(&mut all.redirect.permanent, Text::parse(text)))),
    ("permanent-redirect-code", Set(|all, text| put(&mut all.redirect.permanent_code, redirect_code(text)))),
    ("preserve-trailing-slash", Set(|all, text| flag(text).map(|on| all.keep_trailing_slash = on))),
    ("proxy-body-size", Set(|all, text| put(&mut all.body_limit, size(text)))),
    ("proxy-buffer-size", Meaningless),
    ("proxy-buffering", Meaningless),
    ("proxy-buffers-number", Meaningless),
    ("proxy-busy-buffers-size", Meaningless),
    ("proxy-connect-timeout", Set(|all, text| put(&mut all.timeouts.connect, seconds(text)))),
    ("proxy-cookie-domain", Without),
    ("proxy-cookie-path", Without),
    ("proxy-http-version", Set(|_, text| one_of(text, &["1.1"]).map(drop))),
    ("proxy-max-temp-file-size", Meaningless),
    ("proxy-next-upstream", Set(retry)),
    ("proxy-next-upstream-timeout", Meaningless),
    ("proxy-next-upstream-tries", Set(|all, text| put(&mut all.tries, number(text)))),
    ("proxy-read-timeout", Set(|all, text| put(&mut all.timeouts.read, seconds(text)))),
    ("proxy-redirect-from", Without),
    ("proxy-redirect-to", Without),
    ("proxy-request-buffering", Meaningless),
    ("proxy-send-timeout", Set(|all, text| put(&mut all.timeouts.send, seconds(text)))),
    ("proxy-ssl-ciphers", Without),
    ("proxy-ssl-name", Set(|all, text| put(&mut all.backend_name, plain(text)))),
    ("proxy-ssl-protocols", Without),
    ("proxy-ssl-secret", Denies),
    (
        "proxy-ssl-server-name",
        Set(|all, text| one_of(text, &["on", "off"]).map(|word| all.asks_for_backend_name = word == "on")),
    ),
    ("proxy-ssl-verify", Set(|_, text| one_of(text, &["off"]).map(drop))),
    ("proxy-ssl-verify-depth", Meaningless),
    ("rewrite-target", Set(|all, text| put(&mut all.rewrite, Text::parse(text)))),
    ("satisfy", Set(|all, text| one_of(text, &["any", "all"]).map(|word| all.any_access = word == "any"))),
    (
        "server-alias",
        Set(|all, text| {
            all.aliases = words(&text.to_lowercase());
            Ok(())
        }),
    ),
    ("server-snippet", Without),
    ("service-upstream", Set(|all, text| flag(text).map(|on| all.service_upstream = on))),
    ("session-cookie-change-on-failure", Set(|all, text| flag(text).map(|on| cookie(all).change_on_failure = on))),
    ("session-cookie-conditional-samesite-none", Meaningless),
    ("session-cookie-domain", Set(|all, text| put(&mut cookie(all).domain, quotable(text)))),
    ("session-cookie-expires", Set(|all, text| put(&mut cookie(all).expires, lifetime(text)))),
    ("session-cookie-max-age", Set(|all, text| put(&mut cookie(all).max_age, lifetime(text)))),
    ("session-cookie-name", Set(|all, text| token(text).map(|name| cookie(all).cookie = name))),
    ("session-cookie-path", Set(|all, text| put(&mut cookie(all).path, quotable(text)))),
    (
        "session-cookie-samesite",
        Set(|all, text| put(&mut cookie(all).same_site, one_of(text, &["None", "Lax", "Strict"]).map(String::from))),
    ),
    ("session-cookie-secure", Set(|all, text| put(&mut cookie(all).secure, flag(text)))),
    ("ssl-ciphers", Without),
    ("ssl-passthrough", Denies),
    ("ssl-prefer-server-ciphers", Meaningless),
    ("ssl-redirect", Set(|all, text| put(&mut all.ssl_redirect, flag(text)))),
    ("stream-snippet", Without),
    ("temporal-redirect", Set(|all, text| put(&mut all.redirect.temporal, Text::parse(text)))),
    ("temporal-redirect-code", Set(|all, text| put(&mut all.redirect.temporal_code, redirect_code(text)))),
    ("upstream-hash-by", Set(|all, text| put(&mut all.hash_by, Text::parse(text)))),
    ("upstream-hash-by-subset", Without),
    ("upstream-hash-by-subset-size", Without),
    ("upstream-vhost", Set(|all, text| put(&mut all.host, Text::parse(text)))),
    ("use-port-in-redirects", Without),
    ("use-regex", Set(|all, text| flag(text).map(|on| all.use_regex = on))),
    ("whitelist-source-range", Set(|all, text| put(&mut all.allow, Ranges::parse(text)))),
    ("allowlist-source-range", Set(|all, text| put(&mut all.allow, Ranges::parse(text)))),
    ("x-forwarded-prefix", Set(|all, text| put(&mut all.forwarded_prefix, Text::parse(text)))),
];

/// What is to be told of an Ingress' annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Something does not work.
    pub warnings: Vec<String>,
    /// Something has no meaning here.
    pub notes: Vec<String>,
}

/// Reads the annotations of an Ingress.
pub fn read(annotations: &BTreeMap<String, String>) -> (Settings, Remarks) {
    let (mut all, mut remarks) = (Settings::default(), Remarks::default());
    for (name, text) in annotations {
        let Some(short) = name.strip_prefix(PREFIX) else { continue };
        match ANNOTATIONS.iter().find(|(known, _)| *known == short).map(|(_, fate)| fate) {
            Some(Set(set)) => {
                if let Err(why) = set(&mut all, text.trim()) {
                    all.denied.get_or_insert(format!("annotation `{short}`: {why}"));
                }
            }
            Some(Without) => {
                remarks.warnings.push(format!("annotation `{short}` is not built in here and has no effect"))
            }
            Some(Denies) => {
                let why =
                    format!("annotation `{short}` is not built in here; nothing is served without what it asks for");
                all.denied.get_or_insert(why);
            }
            Some(Meaningless) => remarks.notes.push(format!("annotation `{short}` has no meaning here")),
            None => remarks.warnings.push(format!("annotation `{short}` is unknown and has no effect")),
        }
    }
    let is_on = |name: &str| annotations.get(&format!("{PREFIX}{name}")).map(|text| text.trim());
    // Those that only say more about another mean nothing alone.
    if is_on("canary") != Some("true") {
        all.canary = None;
    }
    if is_on("affinity").is_none() {
        all.affinity = None;
    }
    if all.use_regex && all.affinity.as_ref().is_some_and(|affinity| affinity.path.is_none()) {
        remarks.notes.push("annotation `session-cookie-path` is needed with `use-regex`; the cookie is for `/`".into());
    }
    (all, remarks)
}

fn put<T>(place: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *place = Some(value?);
    Ok(())
}

fn not(text: &str, what: &str) -> String {
    format!("`{text}` is not {what}")
}

/// `true` or `false`.
pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "TRUE" | "1" | "t" | "T" => Ok(true),
        "false" | "False" | "FALSE" | "0" | "f" | "F" => Ok(false),
        other => Err(not(other, "`true` or `false`")),
    }
}

/// A whole number.
pub fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| not(text, "a number that can be"))
}

/// Seconds, with or without `s`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = number(text.strip_suffix('s').unwrap_or(text))?;
    if seconds > LONGEST { Err(not(text, "a time that can be")) } else { Ok(Duration::from_secs(seconds)) }
}

/// Seconds of a century, beyond which no clock is asked.
const LONGEST: u64 = 100 * 366 * 86_400;

/// The same for a cookie, which may have ended long ago.
fn lifetime(text: &str) -> Result<i64, String> {
    let seconds: i64 = number(text)?;
    if seconds.unsigned_abs() > LONGEST { Err(not(text, "a time that can be")) } else { Ok(seconds) }
}

fn expression(text: &str) -> Result<regex::Regex, String> {
    let mut builder = regex::RegexBuilder::new(text);
    let limited = builder.size_limit(super::paths::EXPRESSION).dfa_size_limit(super::paths::EXPRESSION);
    limited.build().map_err(|error| error.to_string())
}

/// A size as nginx writes it: `8m`, `512k`, `1g`, `1000`; 0 is without limit.
pub fn size(text: &str) -> Result<u64, String> {
    let units = [('k', 10), ('m', 20), ('g', 30)];
    let lower = text.to_lowercase();
    let found = units.iter().find_map(|(letter, shift)| lower.strip_suffix(*letter).map(|rest| (rest, *shift)));
    let (digits, shift) = found.unwrap_or((&lower, 0));
    let parsed = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    parsed.ok_or_else(|| not(text, "a size such as `8m`"))
}

fn one_of<'a>(text: &'a str, words: &[&str]) -> Result<&'a str, String> {
    if words.contains(&text) { Ok(text) } else { Err(not(text, &format!("one of {}", words.join(", ")))) }
}

fn plain(text: &str) -> Result<String, String> {
    match text.is_empty() || text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        true => Err(not(text, "a single word")),
        false => Ok(text.into()),
    }
}

/// What may stand between quotes of a header.
fn quotable(text: &str) -> Result<String, String> {
    let is_fine = |letter: char| (' '..='~').contains(&letter) && !matches!(letter, '"' | '\\' | ';');
    if text.chars().all(is_fine) { Ok(text.into()) } else { Err(not(text, "plain text")) }
}

/// A name of a cookie.
fn token(text: &str) -> Result<String, String> {
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    if !text.is_empty() && text.chars().all(is_fine) { Ok(text.into()) } else { Err(not(text, "a name of a cookie")) }
}

fn rooted(text: &str) -> Result<Text, String> {
    if text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://") {
        Text::parse(text)
    } else {
        Err(not(text, "a path"))
    }
}

fn web(text: &str) -> Result<Text, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        Text::parse(text)
    } else {
        Err(not(text, "an address of the web"))
    }
}

fn header_list(text: &str) -> Result<String, String> {
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || "-_*, ".contains(letter);
    if !text.is_empty() && text.chars().all(is_fine) { Ok(text.into()) } else { Err(not(text, "a list of names")) }
}

fn canary(all: &mut Settings) -> &mut Canary {
    all.canary.get_or_insert_with(|| Canary { is_sticky: true, ..Canary::default() })
}

fn cookie(all: &mut Settings) -> &mut Affinity {
    all.affinity.get_or_insert_with(Affinity::default)
}

fn affinity(all: &mut Settings, text: &str) -> Result<(), String> {
    one_of(text, &["cookie"])?;
    cookie(all);
    Ok(())
}

fn auth_type(all: &mut Settings, text: &str) -> Result<(), String> {
    match text {
        "basic" => all.basic.is_on = true,
        "digest" => return Err("digest authentication is not built in here".into()),
        other => return Err(not(other, "`basic`")),
    }
    Ok(())
}

fn protocol(all: &mut Settings, text: &str) -> Result<(), String> {
    all.protocol = match text.to_uppercase().as_str() {
        "HTTP" | "AUTO_HTTP" => Protocol::Http,
        "HTTPS" => Protocol::Https,
        "GRPC" => Protocol::Grpc,
        "GRPCS" => Protocol::Grpcs,
        _ => return Err(not(text, "one of HTTP, HTTPS, GRPC, GRPCS")),
    };
    Ok(())
}

fn origins(all: &mut Settings, text: &str) -> Result<(), String> {
    let origins = words(text);
    let is_fine = |origin: &String| origin == "*" || origin == "null" || origin.contains("://");
    if let Some(wrong) = origins.iter().find(|origin| !is_fine(origin)) {
        return Err(not(wrong, "an origin"));
    }
    all.cors.origins = origins;
    Ok(())
}

fn retry(all: &mut Settings, text: &str) -> Result<(), String> {
    let mut retry = Retry { on_error: false, on_timeout: false, ..Retry::default() };
    for word in text.split_whitespace() {
        match word {
            "error" => retry.on_error = true,
            "timeout" => retry.on_timeout = true,
            "non_idempotent" => retry.also_unsafe = true,
            "invalid_header" | "updating" => {}
            "off" => retry = Retry { on_error: false, on_timeout: false, ..Retry::default() },
            code => match code.strip_prefix("http_").and_then(|code| code.parse().ok()) {
                Some(code) => retry.on_codes.push(code),
                None => return Err(not(code, "a reason to try another pod")),
            },
        }
    }
    all.retry = retry;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(pairs: &[(&str, &str)]) -> (Settings, Remarks) {
        read(&pairs.iter().map(|(name, text)| (format!("{PREFIX}{name}"), text.to_string())).collect())
    }

    #[test]
    fn every_annotation_stands_once() {
        let names: std::collections::BTreeSet<_> = ANNOTATIONS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ANNOTATIONS.len());
    }

    #[test]
    fn values_are_read_as_nginx_reads_them() {
        for (text, expected) in [
            ("8m", Some(8 << 20)),
            ("1K", Some(1 << 10)),
            ("1000", Some(1000)),
            ("0", Some(0)),
            ("8mb", None),
            ("", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
        let (all, remarks) = read_one(&[
            ("rewrite-target", "/$2"),
            ("proxy-read-timeout", "120"),
            ("proxy-body-size", "8m"),
            ("backend-protocol", "grpcs"),
            ("canary", "true"),
            ("canary-weight", "30"),
            ("server-alias", "A.example.com, b.example.com"),
            ("whitelist-source-range", "10.0.0.0/8"),
            ("proxy-next-upstream", "error http_502 non_idempotent"),
        ]);
        assert_eq!(all.denied, None);
        assert_eq!(remarks, Remarks::default());
        assert_eq!((all.timeouts.read, all.body_limit), (Some(Duration::from_secs(120)), Some(8 << 20)));
        assert_eq!((all.protocol, all.canary.unwrap().weight), (Protocol::Grpcs, 30));
        assert_eq!(all.aliases, ["a.example.com", "b.example.com"]);
        assert_eq!(all.retry, Retry { on_error: true, on_timeout: false, on_codes: vec![502], also_unsafe: true });
    }

    #[test]
    fn a_broken_value_denies_and_names_its_annotation() {
        for (name, text) in [
            ("ssl-redirect", "yes please"),
            ("proxy-body-size", "a lot"),
            ("whitelist-source-range", "home"),
            ("auth-type", "digest"),
            ("permanent-redirect-code", "404"),
            ("auth-url", "ftp://x"),
            ("session-cookie-name", "a b"),
            ("auth-tls-secret", "default/ca"),
            ("rewrite-target", "/$nothing"),
        ] {
            let (all, _) = read_one(&[(name, text)]);
            assert!(all.denied.as_ref().is_some_and(|why| why.contains(name)), "{name}: {:?}", all.denied);
        }
    }

    #[test]
    fn what_is_not_built_is_told() {
        let (all, remarks) =
            read_one(&[("configuration-snippet", "x"), ("rewrite-targt", "/"), ("proxy-buffering", "on")]);
        assert_eq!(all.denied, None);
        assert_eq!((remarks.warnings.len(), remarks.notes.len()), (2, 1), "{remarks:?}");
    }

    #[test]
    fn words_about_a_canary_or_a_cookie_mean_nothing_alone() {
        let (all, _) = read_one(&[("canary-weight", "30"), ("session-cookie-name", "x"), ("canary", "false")]);
        assert!(all.canary.is_none() && all.affinity.is_none());
    }
}
