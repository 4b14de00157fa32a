//! What is read of a request, and the headers that go on to pods and back to clients.

use super::access::Ranges;
use super::config::Config;
use super::paths;
use super::settings::{Affinity, Cors, Settings};
use super::variables::Values;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};
use std::net::IpAddr;
use std::time::SystemTime;

/// Headers that are for one connection only.
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Headers that only the proxy may set: programs believe them.
const OWN: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-real-ip",
    "x-scheme",
    "x-original-forwarded-for",
    // A CGI program takes it for the proxy to use.
    "proxy",
];

/// The connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub peer: IpAddr,
    pub is_tls: bool,
}

/// A request as it is meant: who asks what of whom.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Lower case, without port.
    pub host: String,
    /// As it came, perhaps with a port.
    pub host_header: String,
    pub scheme: String,
    pub port: String,
    pub client: IpAddr,
    /// Decoded.
    pub path: String,
    /// Path and query as they came.
    pub request_uri: String,
    pub query: Option<String>,
    pub method: Method,
    pub request_id: String,
    /// What the client said of who asked it.
    pub forwarded_for: Option<HeaderValue>,
    /// The host that TLS or the client has named, for redirects.
    pub is_tls: bool,
}

impl Asked {
    /// Reads a request; the code of an answer if it cannot be meant.
    pub fn read<B>(request: &Request<B>, connection: Connection, config: &Config) -> Result<Self, u16> {
        let (uri, headers) = (request.uri(), request.headers());
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authority = uri.authority().map(|authority| authority.as_str());
        if headers.get_all(header::HOST).iter().count() > 1 {
            return Err(400);
        }
        let named = authority.or_else(|| text("host"));
        if named.is_none() && request.version() == Version::HTTP_11 {
            return Err(400);
        }
        let trusted =
            config.trust_forwarded && config.trusted.as_ref().is_none_or(|ranges| ranges.hold(connection.peer));
        let forwarded =
            |name: &str| text(name).filter(|_| trusted).and_then(|list| list.split(',').next()).map(str::trim);
        let host_header = forwarded("x-forwarded-host").or(named).unwrap_or_default().to_string();
        let host = without_port(&host_header).trim_end_matches('.').to_lowercase();
        if host.contains(['/', '\\', ' ', '"', '<', '>', '@', '?', '#']) {
            return Err(400);
        }
        let scheme = forwarded("x-forwarded-proto").unwrap_or(if connection.is_tls { "https" } else { "http" });
        let port = forwarded("x-forwarded-port").unwrap_or(if connection.is_tls { "443" } else { "80" });
        let client = match trusted {
            true => client_of(headers, config.trusted.as_ref()).unwrap_or(connection.peer),
            false => connection.peer,
        };
        let request_uri = uri.path_and_query().map_or("/", |uri| uri.as_str());
        let request_id = text("x-request-id").filter(|id| !id.is_empty() && id.len() <= 128);
        Ok(Self {
            host,
            host_header,
            scheme: scheme.to_lowercase(),
            port: port.to_string(),
            client: client.to_canonical(),
            path: paths::normalize(uri.path()).ok_or(400u16)?,
            request_uri: request_uri.to_string(),
            query: uri.query().map(String::from),
            method: request.method().clone(),
            request_id: request_id.map_or_else(|| format!("{:032x}", rand::random::<u128>()), String::from),
            forwarded_for: headers.get("x-forwarded-for").cloned(),
            is_tls: connection.is_tls,
        })
    }

    /// What variables stand for.
    pub fn values<'a>(&'a self, headers: &'a HeaderMap, groups: &'a [Option<String>]) -> Values<'a> {
        Values {
            host: &self.host,
            request_uri: &self.request_uri,
            path: &self.path,
            query: self.query.as_deref(),
            scheme: &self.scheme,
            client: self.client,
            method: self.method.as_str(),
            headers,
            request_id: &self.request_id,
            groups,
        }
    }
}

/// Who is behind the proxies: from the right, the first that is none of those that are `trusted`; what stands left of it is its
/// own text. Where all are trusted, the leftmost. Source: nginx `real_ip_recursive`.
fn client_of(headers: &HeaderMap, trusted: Option<&Ranges>) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let chain: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut client = None;
    for address in chain.iter().rev().map_while(|word| word.parse::<IpAddr>().ok()) {
        client = Some(address);
        if trusted.is_some_and(|trusted| !trusted.hold(address)) {
            break;
        }
    }
    client
}

/// A host without its port; an address of version 6 stays in its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// Whether a request asks for another protocol, and for which.
pub fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let is_upgrade =
        connection.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| is_upgrade).cloned()
}

/// Takes out of a request what would be taken for something else behind the proxy: names with `_`, which programs read as those
/// with `-`, and what `Connection` names, which could be headers that are set here, and would not go on.
/// Source: nginx `underscores_in_headers`, `ignore_invalid_headers`.
pub fn calm(headers: &mut HeaderMap) {
    let odd = |name: &HeaderName| !name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let odd: Vec<HeaderName> = headers.keys().filter(|name| odd(name)).cloned().collect();
    odd.iter().for_each(|name| drop(headers.remove(name)));
    let lines: Vec<String> =
        headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok().map(String::from)).collect();
    let words = lines.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty());
    let (own, named): (Vec<&str>, Vec<&str>) =
        words.partition(|word| CONNECTION.iter().any(|known| known.eq_ignore_ascii_case(word)));
    if named.is_empty() {
        return;
    }
    match HeaderValue::try_from(own.join(", ")) {
        Ok(kept) if !own.is_empty() => drop(headers.insert(header::CONNECTION, kept)),
        _ => drop(headers.remove(header::CONNECTION)),
    }
}

/// Words of `Connection` that say something of the connection itself.
const CONNECTION: &[&str] = &["close", "keep-alive", "te", "upgrade"];

/// Takes out what is for one connection only, and what `Connection` names beside.
pub fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|word| word.trim().parse().ok())
        .collect();
    named.iter().for_each(|name| drop(headers.remove(name)));
    HOP.iter().for_each(|name| drop(headers.remove(*name)));
}

/// Changes the headers of a request into those that a pod is sent.
pub fn for_pod(headers: &mut HeaderMap, asked: &Asked, settings: &Settings, config: &Config, host: &str) {
    let wants_trailers =
        headers.get(header::TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip(headers);
    if wants_trailers && settings.protocol.is_http2() {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(headers);
    OWN.iter().for_each(|name| drop(headers.remove(*name)));
    let client = asked.client.to_string();
    let full = asked.forwarded_for.as_ref().filter(|_| config.trust_forwarded && config.keep_forwarded);
    let chain =
        full.and_then(|earlier| earlier.to_str().ok()).map_or(client.clone(), |earlier| format!("{earlier}, {client}"));
    let original = asked.forwarded_for.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut set = |name: &'static str, value: &str| {
        // What came in a request's own header may stand in another.
        if let Ok(value) = HeaderValue::try_from(value)
            && !value.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("host", host);
    set("x-request-id", &asked.request_id);
    set("x-real-ip", &client);
    set("x-forwarded-for", &chain);
    set("x-forwarded-host", &asked.host_header);
    set("x-forwarded-port", &asked.port);
    set("x-forwarded-proto", &asked.scheme);
    set("x-forwarded-scheme", &asked.scheme);
    set("x-scheme", &asked.scheme);
    set("x-original-forwarded-for", original);
    for (name, value) in &config.request_headers {
        headers.insert(name.clone(), value.clone());
    }
}

/// HTTP/2 may send cookies one by one; HTTP/1.1 may not.
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// What HTTPS answers say so that the next request comes by HTTPS too.
pub fn strict(config: &Config) -> HeaderValue {
    let mut text = format!("max-age={}", config.hsts_max_age);
    let more = [(config.hsts_subdomains, "; includeSubDomains"), (config.hsts_preload, "; preload")];
    more.iter().filter(|(is_on, _)| *is_on).for_each(|(_, word)| text.push_str(word));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("max-age=0"))
}

/// The origin that is allowed, if the request's is.
pub fn allowed_origin(cors: &Cors, headers: &HeaderMap) -> Option<HeaderValue> {
    if !cors.is_on {
        return None;
    }
    let any = cors.origins.iter().any(|origin| origin == "*");
    let Some(value) = headers.get(header::ORIGIN) else { return any.then(|| HeaderValue::from_static("*")) };
    let origin = value.to_str().ok()?;
    if any {
        // Browsers take no credentials from `*`, and any page may not use them.
        return Some(if cors.credentials { value.clone() } else { HeaderValue::from_static("*") });
    }
    cors.origins.iter().any(|allowed| is_origin(allowed, origin)).then(|| value.clone())
}

/// Whether an origin is the allowed one; `https://*.foo.bar` stands for one more label.
fn is_origin(allowed: &str, origin: &str) -> bool {
    match allowed.split_once("://*.") {
        None => allowed.eq_ignore_ascii_case(origin),
        Some((scheme, rest)) => {
            let label = origin
                .strip_prefix(scheme)
                .and_then(|rest| rest.strip_prefix("://"))
                .and_then(|host| host.split_once('.'));
            label.is_some_and(|(label, domain)| {
                let is_plain =
                    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                is_plain && domain.eq_ignore_ascii_case(rest)
            })
        }
    }
}

/// Says which other sites' pages may use an answer.
pub fn add_cors(headers: &mut HeaderMap, cors: &Cors, origin: HeaderValue) {
    let mut set = |name: HeaderName, value: &str| {
        // The lists were checked when they were read.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if cors.credentials {
        set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    set(header::ACCESS_CONTROL_ALLOW_METHODS, &cors.methods);
    set(header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers);
    if let Some(expose) = &cors.expose {
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose);
    }
    set(header::ACCESS_CONTROL_MAX_AGE, &cors.max_age.to_string());
    if origin != "*" {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

/// The cookie that keeps a client with its pod.
pub fn sticky_cookie(affinity: &Affinity, value: &str, path: &str, is_tls: bool) -> Option<HeaderValue> {
    let mut text = format!("{}={value}; Path={}", affinity.cookie, affinity.path.as_deref().unwrap_or(path));
    if let Some(seconds) = affinity.max_age {
        text += &format!("; Max-Age={seconds}");
    }
    if let Some(seconds) = affinity.expires {
        let at = jiff::Timestamp::try_from(SystemTime::now()).ok()? + jiff::SignedDuration::from_secs(seconds);
        text += &format!("; Expires={}", at.strftime("%a, %d %b %Y %H:%M:%S GMT"));
    }
    if let Some(domain) = &affinity.domain {
        text += &format!("; Domain={domain}");
    }
    if affinity.secure.unwrap_or(is_tls) {
        text += "; Secure";
    }
    text += "; HttpOnly";
    if let Some(same_site) = &affinity.same_site {
        text += &format!("; SameSite={same_site}");
    }
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Connection = Connection { peer: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)), is_tls: false };

    fn parts(uri: &str, pairs: &[(&str, &str)]) -> Request<()> {
        let mut builder = http::Request::builder().uri(uri);
        for (name, value) in pairs {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn what_a_client_says_of_others_is_not_believed_unless_told_so() {
        let request = parts(
            "/a?b",
            &[
                ("host", "Foo.Bar:8080"),
                ("x-forwarded-for", "1.2.3.4, 5.6.7.8"),
                ("x-forwarded-proto", "https"),
                ("x-real-ip", "6.6.6.6"),
            ],
        );
        let config = Config::default();
        let asked = Asked::read(&request, PEER, &config).unwrap();
        assert_eq!((asked.host.as_str(), asked.client, asked.scheme.as_str()), ("foo.bar", PEER.peer, "http"));
        let mut headers = request.headers().clone();
        for_pod(&mut headers, &asked, &Settings::default(), &config, &asked.host_header);
        for (name, expected) in [
            ("x-forwarded-for", "10.0.0.9"),
            ("x-real-ip", "10.0.0.9"),
            ("x-forwarded-proto", "http"),
            ("x-scheme", "http"),
            ("x-forwarded-host", "Foo.Bar:8080"),
            ("x-forwarded-port", "80"),
            ("x-original-forwarded-for", "1.2.3.4, 5.6.7.8"),
            ("host", "Foo.Bar:8080"),
        ] {
            assert_eq!(headers[name], expected, "{name}");
        }
        let config = Config { trust_forwarded: true, keep_forwarded: true, ..Config::default() };
        let asked = Asked::read(&request, PEER, &config).unwrap();
        assert_eq!((asked.client.to_string().as_str(), asked.scheme.as_str()), ("1.2.3.4", "https"));
    }

    #[test]
    fn a_client_neither_takes_away_nor_disguises_what_a_pod_is_told() {
        let pairs =
            [("connection", "close, X-Auth-User"), ("x-auth-user", "a"), ("x_auth_user", "root"), ("host", "a")];
        let mut headers = parts("/", &pairs).headers().clone();
        calm(&mut headers);
        assert_eq!((headers.get("connection").unwrap(), headers.get("x_auth_user")), (&"close".parse().unwrap(), None));
        strip(&mut headers);
        assert_eq!(headers["x-auth-user"], "a");
        let mut upgraded = parts("/", &[("connection", "Upgrade"), ("upgrade", "websocket")]).headers().clone();
        calm(&mut upgraded);
        assert!(upgrade_of(&upgraded).is_some());
    }

    #[test]
    fn a_client_is_whom_the_last_trusted_proxy_saw() {
        let trusted = Ranges::parse("10.0.0.0/8").unwrap();
        let headers = parts("/", &[("x-forwarded-for", "1.2.3.4, 203.0.113.9, 10.0.0.7")]).headers().clone();
        assert_eq!(client_of(&headers, Some(&trusted)).unwrap().to_string(), "203.0.113.9");
        assert_eq!(client_of(&headers, None).unwrap().to_string(), "1.2.3.4");
        let headers = parts("/", &[("x-forwarded-for", "1.2.3.4, unknown")]).headers().clone();
        assert_eq!(client_of(&headers, Some(&trusted)), None);
    }

    #[test]
    fn requests_that_cannot_be_meant_are_refused() {
        let config = Config::default();
        for (uri, pairs) in [
            ("/", &[][..]),
            ("/../x", &[("host", "a")][..]),
            ("/", &[("host", "a"), ("host", "b")][..]),
            ("/", &[("host", "a/b")][..]),
        ] {
            assert_eq!(Asked::read(&parts(uri, pairs), PEER, &config).err(), Some(400), "{uri} {pairs:?}");
        }
    }

    #[test]
    fn headers_of_one_connection_stay_there() {
        let mut headers =
            parts("/", &[("connection", "close, X-Mine"), ("x-mine", "1"), ("te", "gzip"), ("x-other", "2")])
                .headers()
                .clone();
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
        let headers = parts("/", &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]).headers().clone();
        assert_eq!(upgrade_of(&headers).unwrap(), "websocket");
        assert!(upgrade_of(parts("/", &[("upgrade", "h2c")]).headers()).is_none());
    }

    #[test]
    fn origins_are_allowed_as_the_list_says() {
        let cors = |origins: &[&str]| Cors {
            is_on: true,
            origins: origins.iter().map(|origin| origin.to_string()).collect(),
            ..Cors::default()
        };
        let allowed = |cors: &Cors, origin: &str| {
            allowed_origin(cors, parts("/", &[("origin", origin)]).headers())
                .map(|value| value.to_str().unwrap().to_string())
        };
        let listed = cors(&["https://origin-site.com:4443", "http://*.foo.bar"]);
        for (origin, expected) in [
            ("https://origin-site.com:4443", true),
            ("https://origin-site.com", false),
            ("http://a.foo.bar", true),
            ("http://a.b.foo.bar", false),
            ("http://foo.bar", false),
            ("https://a.foo.bar", false),
            ("http://evil.com/.foo.bar", false),
        ] {
            assert_eq!(allowed(&listed, origin).is_some(), expected, "{origin}");
        }
        assert_eq!(allowed(&cors(&["*"]), "http://x").as_deref(), Some("http://x"));
        assert_eq!(allowed(&Cors::default(), "http://x"), None);
    }

    #[test]
    fn a_sticky_cookie_says_what_was_asked_for() {
        let affinity = Affinity {
            cookie: "route".into(),
            max_age: Some(60),
            same_site: Some("Lax".into()),
            ..Affinity::default()
        };
        assert_eq!(
            sticky_cookie(&affinity, "ab", "/x", true).unwrap(),
            "route=ab; Path=/x; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        );
    }
}
