//! URLs, cut and put together as Go's `net/url` does.

use super::fixed;
use crate::charts::template::Type::{Map as MapType, Str};
use crate::charts::template::{Call, Failure, Function, Map, Value, failure, quote};

/// The table.
pub(super) static FUNCTIONS: &[Function] =
    &[fixed("urlParse", &[Str], parse_call), fixed("urlJoin", &[MapType], |call| join(&call.map(0)))];

/// What a reference means in a document at `base`, as Go's `URL.ResolveReference` has it.
pub(super) fn resolved(base: &str, reference: &str) -> Result<String, String> {
    let base = checked(base)?;
    let mut url = checked(reference)?;
    if url.scheme.is_empty() && base.scheme.is_empty()
        || !url.scheme.is_empty()
        || !url.host.is_empty()
        || url.user.is_some()
    {
        if url.scheme.is_empty() {
            url.scheme = base.scheme;
        }
        if url.opaque.is_empty() && (!url.host.is_empty() || !url.raw().is_empty()) {
            url.set_path(&resolved_path(&url.raw(), ""));
        }
        return Ok(text(&url));
    }
    url.scheme = base.scheme.clone();
    if url.path.is_empty() && !url.force_query && url.query.is_empty() {
        url.query = base.query.clone();
    }
    if !base.opaque.is_empty() {
        (url.opaque, url.path, url.raw_path) = (base.opaque.clone(), String::new(), String::new());
        return Ok(text(&url));
    }
    let path = resolved_path(&base.raw(), &url.raw());
    (url.host, url.user) = (base.host, base.user);
    url.set_path(&path);
    Ok(text(&url))
}

/// An address that Go can parse: whether it is absolute, and its host.
pub(super) fn looked_at(address: &str) -> Result<(bool, String), String> {
    checked(address).map(|url| (!url.scheme.is_empty(), url.host))
}

/// `url.PathUnescape`.
pub(super) fn path_unescaped(text: &str) -> Result<String, String> {
    unescape(text, Part::Path)
}

fn checked(address: &str) -> Result<Url, String> {
    let failed = |text: &str| {
        let text = quote(text.as_bytes(), false);
        move |why| format!("parse {text}: {why}")
    };
    let (whole, fragment) = address.split_once('#').unwrap_or((address, ""));
    let url = parse(whole).map_err(failed(whole))?;
    Ok(Url { fragment: unescape(fragment, Part::Fragment).map_err(failed(address))?, ..url })
}

/// Go's `resolvePath`: without `.` and `..`.
fn resolved_path(base: &str, reference: &str) -> String {
    let full = match reference {
        "" => base.to_string(),
        absolute if absolute.starts_with('/') => absolute.to_string(),
        relative => format!("{}{relative}", &base[..base.rfind('/').map_or(0, |slash| slash + 1)]),
    };
    if full.is_empty() {
        return full;
    }
    let (mut kept, mut last) = (Vec::new(), "");
    for part in full.split('/').skip(usize::from(full.starts_with('/'))) {
        last = part;
        match part {
            "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    let end = if matches!(last, "." | "..") { "/" } else { "" };
    let path = format!("/{}{end}", kept.join("/"));
    if path.starts_with("//") { path[1..].to_string() } else { path }
}

#[derive(Default, Debug)]
struct Url {
    scheme: String,
    opaque: String,
    user: Option<(String, Option<String>)>,
    host: String,
    path: String,
    /// The path as it was written, where that differs from the usual way.
    raw_path: String,
    query: String,
    force_query: bool,
    fragment: String,
    omit_host: bool,
}

/// Which part of a URL a text is: each keeps other letters as they are.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Path,
    Host,
    User,
    Fragment,
}

impl Url {
    /// The path as it is written.
    fn raw(&self) -> String {
        if self.raw_path.is_empty() { escape(&self.path, Part::Path) } else { self.raw_path.clone() }
    }

    fn set_path(&mut self, raw: &str) {
        self.path = unescape(raw, Part::Path).unwrap_or_else(|_| raw.to_string());
        self.raw_path = if escape(&self.path, Part::Path) == raw { String::new() } else { raw.to_string() };
    }
}

fn parse_call(call: &Call<'_>) -> Result<Value, Failure> {
    let text = call.str(0);
    let url = match checked(&text) {
        Ok(url) => url,
        Err(problem) => {
            return failure(format!("unable to parse url: {problem}"));
        }
    };
    let host = url.host.as_str();
    let hostname = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, _)) => inner,
        None => host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name),
    };
    let hostname = hostname.to_string();
    let userinfo = url.user.as_ref().map(user_text).unwrap_or_default();
    Ok(Value::map_from([
        ("scheme", Value::from(url.scheme)),
        ("hostname", hostname.into()),
        ("host", url.host.into()),
        ("path", url.path.into()),
        ("query", url.query.into()),
        ("opaque", url.opaque.into()),
        ("fragment", url.fragment.into()),
        ("userinfo", userinfo.into()),
    ]))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn user_text((name, password): &(String, Option<String>)) -> String {
    let name = escape(name, Part::User);
    match password {
        Some(password) => format!("{name}:{}", escape(password, Part::User)),
        None => name,
    }
}

/// An address without a fragment.
fn parse(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    let mut url = Url::default();
    if text == "*" {
        url.path = "*".into();
        return Ok(url);
    }
    let (scheme, mut rest) = scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    if rest.ends_with('?') && rest.matches('?').count() == 1 {
        url.force_query = true;
        rest = &rest[..rest.len() - 1];
    } else if let Some((before, query)) = rest.split_once('?') {
        url.query = query.to_string();
        rest = before;
    }
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            url.opaque = rest.to_string();
            return Ok(url);
        }
        if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    if (!url.scheme.is_empty() || !rest.starts_with("///")) && rest.starts_with("//") {
        let after = &rest[2..];
        let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
        rest = path;
        authority_into(&mut url, authority)?;
    } else if !url.scheme.is_empty() && rest.starts_with('/') {
        url.omit_host = true;
    }
    url.path = unescape(rest, Part::Path)?;
    if escape(&url.path, Part::Path) != rest {
        url.raw_path = rest.to_string();
    }
    Ok(url)
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn authority_into(url: &mut Url, authority: &str) -> Result<(), String> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        url.host = host(authority)?;
        return Ok(());
    };
    url.host = host_name(host)?;
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter);
    if !user.chars().all(fine) {
        return Err("net/url: invalid userinfo".into());
    }
    url.user = Some(match user.split_once(':') {
        Some((name, password)) => (unescape(name, Part::User)?, Some(unescape(password, Part::User)?)),
        None => (unescape(user, Part::User)?, None),
    });
    Ok(())
}

fn host(text: &str) -> Result<String, String> {
    host_name(text)
}

fn host_name(text: &str) -> Result<String, String> {
    let invalid = |port: &str| format!("invalid port {} after host", quote(port.as_bytes(), false));
    let valid = |port: &str| port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    if text.starts_with('[') {
        let Some(close) = text.rfind(']') else { return Err("missing ']' in host".into()) };
        let port = &text[close + 1..];
        if !valid(port) {
            return Err(invalid(port));
        }
        let inner = &text[1..close];
        let address = inner.split_once("%25").map_or(inner, |(address, _)| address);
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            let address = quote(unescape(inner, Part::Host)?.as_bytes(), false);
            return Err(format!("invalid host: ParseAddr({address}): unable to parse IP"));
        }
        return Ok(text.replace("%25", "%"));
    }
    if let Some(colon) = text.find(':')
        && !valid(&text[colon..])
    {
        return Err(invalid(&text[colon..]));
    }
    unescape(text, Part::Host)
}

/// Whether a letter stays as it is.
fn stays(byte: u8, part: Part) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => true,
        b'!' | b'\'' | b'(' | b')' | b'*' if part == Part::Host || part == Part::Fragment => {
            part == Part::Host || byte != b'\''
        }
        b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' => match part {
            Part::Path => byte != b'?',
            Part::User => !matches!(byte, b'@' | b'/' | b'?' | b':'),
            Part::Fragment => true,
            Part::Host => !matches!(byte, b'/' | b'?' | b'@'),
        },
        b'[' | b']' | b'<' | b'>' | b'"' => part == Part::Host,
        _ => false,
    }
}

fn escape(text: &str, part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte, part) { out.push(byte as char) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

fn unescape(text: &str, part: Part) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digits = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(byte) = digits else {
                    let shown = &bytes[at..bytes.len().min(at + 3)];
                    return Err(format!("invalid URL escape {}", quote(shown, false)));
                };
                if part == Part::Host && byte < 0x80 && &text[at..at + 3] != "%25" {
                    return Err(format!("invalid URL escape {}", quote(&bytes[at..at + 3], false)));
                }
                out.push(byte);
                at += 3;
            }
            byte if part == Part::Host && byte < 0x80 && !stays(byte, part) => {
                return Err(format!("invalid character {} in host name", quote(&[byte], false)));
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn join(parts: &Map) -> Result<Value, Failure> {
    let part = |name: &str| match parts.get(name) {
        None => Ok(String::new()),
        Some(Value::Str(text)) => Ok(text.as_str().into_owned()),
        Some(Value::Nil) => failure(super::NIL_POINTER),
        Some(other) => {
            let kind = other.kind();
            failure(format!("unable to parse {name} key, must be of type string, but {kind} found"))
        }
    };
    let mut url = Url {
        scheme: part("scheme")?,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        opaque: part("opaque")?,
        fragment: part("fragment")?,
        ..Url::default()
    };
    let userinfo = part("userinfo")?;
    if !userinfo.is_empty() {
        let whole = format!("proto://{userinfo}@host");
        url.user = match checked(&whole) {
            Ok(parsed) => parsed.user,
            Err(problem) => return failure(format!("unable to parse userinfo in dict: {problem}")),
        };
    }
    Ok(text(&url).into())
}

/// `URL.String`.
fn text(url: &Url) -> String {
    let mut out = String::new();
    if !url.scheme.is_empty() {
        out.push_str(&url.scheme);
        out.push(':');
    }
    if !url.opaque.is_empty() {
        out.push_str(&url.opaque);
    } else {
        let has_authority = !url.scheme.is_empty() || !url.host.is_empty() || url.user.is_some();
        if has_authority && !(url.omit_host && url.host.is_empty() && url.user.is_none()) {
            if !url.host.is_empty() || !url.path.is_empty() || url.user.is_some() {
                out.push_str("//");
            }
            if let Some(user) = &url.user {
                out.push_str(&user_text(user));
                out.push('@');
            }
            out.push_str(&escape(&url.host, Part::Host));
        }
        let path = if url.path == "*" { "*".to_string() } else { url.raw() };
        if !path.is_empty() && !path.starts_with('/') && !url.host.is_empty() {
            out.push('/');
        }
        if out.is_empty() && path.split('/').next().is_some_and(|first| first.contains(':')) {
            out.push_str("./");
        }
        out.push_str(&path);
    }
    if url.force_query || !url.query.is_empty() {
        out.push('?');
        out.push_str(&url.query);
    }
    if !url.fragment.is_empty() {
        out.push('#');
        out.push_str(&escape(&url.fragment, Part::Fragment));
    }
    out
}
