//! Texts with nginx' variables in them, such as `/$2`, `https://$host$request_uri` or `${remote_addr}-text`.

use http::HeaderMap;
use std::borrow::Cow;

/// A text, cut at its variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Plain(String),
    /// A group of the regular expression that the path met.
    Group(usize),
    Variable(Name),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Simple(Simple),
    Header(String),
    Cookie(String),
    Argument(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Simple {
    Host,
    RequestUri,
    EscapedRequestUri,
    Uri,
    Arguments,
    IsArguments,
    Scheme,
    RemoteAddress,
    Method,
    RequestId,
}

/// Names that mean something.
const NAMES: &[(&str, Simple)] = &[
    ("host", Simple::Host),
    ("http_host", Simple::Host),
    ("best_http_host", Simple::Host),
    ("server_name", Simple::Host),
    ("request_uri", Simple::RequestUri),
    ("escaped_request_uri", Simple::EscapedRequestUri),
    ("uri", Simple::Uri),
    ("document_uri", Simple::Uri),
    ("args", Simple::Arguments),
    ("query_string", Simple::Arguments),
    ("is_args", Simple::IsArguments),
    ("scheme", Simple::Scheme),
    ("pass_access_scheme", Simple::Scheme),
    ("remote_addr", Simple::RemoteAddress),
    ("binary_remote_addr", Simple::RemoteAddress),
    ("the_real_ip", Simple::RemoteAddress),
    ("request_method", Simple::Method),
    ("req_id", Simple::RequestId),
    ("request_id", Simple::RequestId),
];

/// What variables stand for.
pub struct Values<'a> {
    pub host: &'a str,
    /// Path and query as they came.
    pub request_uri: &'a str,
    /// The path as it is read.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub scheme: &'a str,
    pub client: std::net::IpAddr,
    pub method: &'a str,
    pub headers: &'a HeaderMap,
    pub request_id: &'a str,
    /// Groups of the rule's expression, without the first, which is all.
    pub groups: &'a [Option<String>],
}

impl Text {
    /// Reads it; a variable that means nothing here is an error.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("a control character".into());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(Part::Plain(before.into()));
            }
            let (name, after) = cut(after);
            if name.is_empty() {
                parts.push(Part::Plain("$".into()));
            } else {
                parts.push(variable(name)?);
            }
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Plain(rest.into()));
        }
        Ok(Self(parts))
    }

    /// With the values in it.
    pub fn fill(&self, values: &Values) -> String {
        self.0.iter().map(|part| filled(part, values)).collect()
    }

    /// With the values in it, as a path and its own query. A `?` parts them where it is written: one that a value has is a letter
    /// of the path.
    pub fn fill_path(&self, values: &Values) -> (String, Option<String>) {
        let (mut path, mut query) = (String::new(), None::<String>);
        for part in &self.0 {
            match (&mut query, part) {
                (Some(query), _) => query.push_str(&filled(part, values)),
                (None, Part::Plain(plain)) if plain.contains('?') => {
                    let (before, after) = plain.split_once('?').unwrap_or((plain, ""));
                    path.push_str(before);
                    query = Some(after.into());
                }
                (None, _) => path.push_str(&filled(part, values)),
            }
        }
        (path, query)
    }
}

fn filled<'a>(part: &'a Part, values: &'a Values) -> Cow<'a, str> {
    match part {
        Part::Plain(plain) => plain.into(),
        Part::Group(number) => {
            let group = number.checked_sub(1).and_then(|index| values.groups.get(index));
            group.and_then(Option::as_deref).unwrap_or_default().into()
        }
        Part::Variable(name) => value(name, values).into(),
    }
}

/// A name and what follows it.
fn cut(text: &str) -> (&str, &str) {
    if let Some((name, after)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, after);
    }
    // One digit is a group, as with nginx.
    let length = match text.chars().next() {
        Some('0'..='9') => 1,
        _ => text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len()),
    };
    text.split_at(length)
}

fn variable(name: &str) -> Result<Part, String> {
    if let Ok(number) = name.parse() {
        return Ok(Part::Group(number));
    }
    if let Some((_, simple)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(Part::Variable(Name::Simple(*simple)));
    }
    let open: [(&str, fn(String) -> Name); 3] =
        [("http_", |rest| Name::Header(rest.replace('_', "-"))), ("cookie_", Name::Cookie), ("arg_", Name::Argument)];
    let found = open.iter().find_map(|(start, make)| name.strip_prefix(start).map(|rest| make(rest.to_string())));
    found.map(Part::Variable).ok_or_else(|| format!("the variable `${name}` means nothing here"))
}

fn value(name: &Name, values: &Values) -> String {
    let header = |name: &str| values.headers.get(name).and_then(|value| value.to_str().ok());
    match name {
        Name::Header(name) => header(name).unwrap_or_default().into(),
        Name::Cookie(name) => cookie(values.headers, name).unwrap_or_default().into(),
        Name::Argument(name) => {
            let pairs = values.query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into()).unwrap_or_default()
        }
        Name::Simple(simple) => match simple {
            Simple::Host => values.host.into(),
            Simple::RequestUri => values.request_uri.into(),
            Simple::EscapedRequestUri => escape(values.request_uri),
            Simple::Uri => values.path.into(),
            Simple::Arguments => values.query.unwrap_or_default().into(),
            Simple::IsArguments => values.query.map_or("", |_| "?").into(),
            Simple::Scheme => values.scheme.into(),
            Simple::RemoteAddress => values.client.to_string(),
            Simple::Method => values.method.into(),
            Simple::RequestId => values.request_id.into(),
        },
    }
}

/// A text as a value in a query.
pub fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The value of a cookie of a request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(http::header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_groups_are_filled_in() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", "me".parse().unwrap());
        headers.insert("cookie", "a=1; b=2".parse().unwrap());
        let values = Values {
            host: "foo.bar",
            request_uri: "/a/b?x=1",
            path: "/a/b",
            query: Some("x=1"),
            scheme: "https",
            client: "10.0.0.1".parse().unwrap(),
            method: "GET",
            headers: &headers,
            request_id: "77",
            groups: &[None, Some("rest".into())],
        };
        for (text, expected) in [
            ("/$2", "/rest"),
            ("/$1$2/x", "/rest/x"),
            ("$scheme://$host$request_uri", "https://foo.bar/a/b?x=1"),
            ("${request_uri}-text-value", "/a/b?x=1-text-value"),
            ("$http_x_user/$cookie_b/$arg_x", "me/2/1"),
            ("?rd=$escaped_request_uri", "?rd=%2Fa%2Fb%3Fx%3D1"),
            ("$remote_addr$is_args$args", "10.0.0.1?x=1"),
            ("no variable", "no variable"),
            ("price $ 5", "price $ 5"),
        ] {
            assert_eq!(Text::parse(text).unwrap().fill(&values), expected, "{text}");
        }
        assert!(Text::parse("$nobody_knows").is_err());
        assert!(Text::parse("a\nb").is_err());
    }
}
