//! Paths: how a request's path is read, and which rule of a host it meets.
//!
//! Two ways, as with nginx. Usually an exact rule wins, then the longest prefix. Where any Ingress of a host uses regular
//! expressions (or rewrites), every rule of that host is one, regardless of case, and the longest text is tried first.

use regex::Regex;
use std::collections::HashMap;

/// How a rule's path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Exact,
    /// Whole elements: `/foo` takes `/foo/bar` and not `/foobar`.
    Prefix,
    /// Any text that begins so.
    Text,
}

/// A path of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    pub path: String,
    pub kind: Kind,
}

/// Something that has a rule.
pub trait Ruled {
    fn rule(&self) -> &Rule;
}

impl Ruled for super::table::Location {
    fn rule(&self) -> &Rule {
        &self.rule
    }
}

/// The rules of a host.
pub struct Rules<T> {
    exact: HashMap<String, T>,
    /// Longest first.
    prefixes: Vec<T>,
    /// Longest first; if there are any there are no others.
    expressions: Vec<(Regex, T)>,
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefixes: Vec::new(), expressions: Vec::new() }
    }
}

impl<T: Ruled> Rules<T> {
    /// Rules of a host in the order of precedence among equals; a path that is no regular expression is given to `wrong`.
    pub fn new(all: Vec<T>, by_expression: bool, mut wrong: impl FnMut(&T, String)) -> Self {
        let mut rules = Self::default();
        for one in all {
            let Rule { path, kind } = one.rule().clone();
            match kind {
                _ if by_expression => match expression(&path) {
                    Ok(regex) => rules.expressions.push((regex, one)),
                    Err(why) => wrong(&one, why),
                },
                Kind::Exact => _ = rules.exact.entry(path).or_insert(one),
                Kind::Prefix | Kind::Text => rules.prefixes.push(one),
            }
        }
        // Both sorts are stable: among equals the first stays first. An element more is longer than the text alone.
        let length = |one: &T| {
            let rule = one.rule();
            rule.path.trim_end_matches('/').len() + usize::from(rule.kind == Kind::Prefix || rule.path.ends_with('/'))
        };
        rules.prefixes.sort_by_key(|one| std::cmp::Reverse(length(one)));
        rules.expressions.sort_by_key(|(_, one)| std::cmp::Reverse(one.rule().path.len()));
        rules
    }

    /// The rule that a path meets, and its regular expression if it is one.
    pub fn find(&self, path: &str) -> Option<(&T, Option<&Regex>)> {
        if let Some((regex, one)) = self.expressions.iter().find(|(regex, _)| regex.is_match(path)) {
            return Some((one, Some(regex)));
        }
        let exact = self.exact.get(path);
        exact.or_else(|| self.prefixes.iter().find(|one| begins(path, one.rule()))).map(|one| (one, None))
    }
}

/// Bytes that a compiled expression may take: anybody who makes an Ingress writes some.
pub const EXPRESSION: usize = 256 << 10;

/// A path as an expression, from the start and regardless of case.
pub fn expression(path: &str) -> Result<Regex, String> {
    let pattern = format!("^(?:{path})");
    let mut builder = regex::RegexBuilder::new(&pattern);
    let limited = builder.case_insensitive(true).size_limit(EXPRESSION).dfa_size_limit(EXPRESSION);
    limited.build().map_err(|error| error.to_string())
}

fn begins(path: &str, rule: &Rule) -> bool {
    match rule.kind {
        Kind::Exact => path == rule.path,
        Kind::Text => path.starts_with(&rule.path),
        Kind::Prefix => {
            let prefix = rule.path.trim_end_matches('/');
            // `/foo/` takes `/foo` too, by the Ingress API.
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

/// A path as rules are compared with: decoded, without `.` and `..`, slashes once. Nothing if it leads out of the root or
/// holds what no path may.
pub fn normalize(raw: &str) -> Option<String> {
    let decoded = decode(raw)?;
    if !decoded.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for part in decoded.split('/').skip(1) {
        is_folder = matches!(part, "" | "." | "..");
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            other => parts.push(other),
        }
    }
    let end = if is_folder && !parts.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", parts.join("/")))
}

fn decode(raw: &str) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_string());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
        let decoded = (digit(rest.next())? * 16 + digit(rest.next())?) as u8;
        if decoded == 0 {
            return None;
        }
        bytes.push(decoded);
    }
    // What is no UTF-8 cannot meet a rule; it is compared with what it looks like.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path that was decoded or rewritten, as it is sent: what may not stand in a path is encoded.
pub fn encode(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => text.push(byte as char),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            | b':' | b'@' | b'/' => text.push(byte as char),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Ruled for Rule {
        fn rule(&self) -> &Rule {
            self
        }
    }

    fn rules(given: &[(&str, Kind)], by_expression: bool) -> Rules<Rule> {
        let all = given.iter().map(|(path, kind)| Rule { path: path.to_string(), kind: *kind }).collect();
        Rules::new(all, by_expression, |rule, why| panic!("{rule:?}: {why}"))
    }

    /// The table of the Ingress API's documentation.
    #[test]
    fn paths_meet_rules_as_the_ingress_api_says() {
        let cases: &[(Kind, &[&str], &str, Option<&str>)] = &[
            (Kind::Prefix, &["/"], "/any/path", Some("/")),
            (Kind::Exact, &["/foo"], "/foo", Some("/foo")),
            (Kind::Exact, &["/foo"], "/bar", None),
            (Kind::Exact, &["/foo"], "/foo/", None),
            (Kind::Exact, &["/foo/"], "/foo", None),
            (Kind::Prefix, &["/foo"], "/foo", Some("/foo")),
            (Kind::Prefix, &["/foo"], "/foo/", Some("/foo")),
            (Kind::Prefix, &["/foo/"], "/foo", Some("/foo/")),
            (Kind::Prefix, &["/foo/"], "/foo/", Some("/foo/")),
            (Kind::Prefix, &["/aaa/bb"], "/aaa/bbb", None),
            (Kind::Prefix, &["/aaa/bbb"], "/aaa/bbb", Some("/aaa/bbb")),
            (Kind::Prefix, &["/aaa/bbb/"], "/aaa/bbb", Some("/aaa/bbb/")),
            (Kind::Prefix, &["/aaa/bbb"], "/aaa/bbb/ccc", Some("/aaa/bbb")),
            (Kind::Prefix, &["/aaa/bbb"], "/aaa/bbbxyz", None),
            (Kind::Prefix, &["/", "/aaa"], "/aaa/ccc", Some("/aaa")),
            (Kind::Prefix, &["/", "/aaa", "/aaa/bbb"], "/aaa/bbb", Some("/aaa/bbb")),
            (Kind::Prefix, &["/", "/aaa", "/aaa/bbb"], "/ccc", Some("/")),
            (Kind::Prefix, &["/aaa"], "/ccc", None),
            (Kind::Text, &["/foo"], "/foobar", Some("/foo")),
        ];
        for (kind, given, path, expected) in cases {
            let given: Vec<(&str, Kind)> = given.iter().map(|path| (*path, *kind)).collect();
            let found = rules(&given, false).find(path).map(|(rule, _)| rule.path.clone());
            assert_eq!(found.as_deref(), *expected, "{kind:?} {given:?} {path}");
        }
    }

    #[test]
    fn an_exact_rule_wins_over_every_prefix_and_then_the_longest() {
        let rules =
            rules(&[("/", Kind::Prefix), ("/foo", Kind::Prefix), ("/foo", Kind::Exact), ("/foo/b", Kind::Text)], false);
        let kind = |path: &str| rules.find(path).map(|(rule, _)| (rule.path.clone(), rule.kind)).unwrap();
        assert_eq!(kind("/foo"), ("/foo".into(), Kind::Exact));
        assert_eq!(kind("/foo/x"), ("/foo".into(), Kind::Prefix));
        assert_eq!(kind("/foo/bar"), ("/foo/b".into(), Kind::Text));
        assert_eq!(kind("/x"), ("/".into(), Kind::Prefix));
    }

    /// The example of ingress-nginx's documentation of path matching.
    #[test]
    fn expressions_are_tried_longest_first_and_regardless_of_case() {
        let given = [
            ("/foo/bar", Kind::Prefix),
            ("/foo/bar/", Kind::Prefix),
            ("/foo/bar/.+", Kind::Text),
            ("/foo/bar/[A-Z0-9]{3}", Kind::Text),
        ];
        let rules = rules(&given, true);
        let found = |path: &str| rules.find(path).map(|(rule, _)| rule.path.clone());
        assert_eq!(found("/foo/bar/1").as_deref(), Some("/foo/bar/.+"));
        assert_eq!(found("/foo/bar/abc").as_deref(), Some("/foo/bar/[A-Z0-9]{3}"));
        assert_eq!(found("/FOO/bar/").as_deref(), Some("/foo/bar/"));
        assert_eq!(found("/foo/bar").as_deref(), Some("/foo/bar"));
        assert_eq!(found("/x/foo/bar"), None);
    }

    #[test]
    fn paths_are_read_as_they_are_meant() {
        for (raw, expected) in [
            ("/", Some("/")),
            ("/a//b", Some("/a/b")),
            ("/a/./b/../c", Some("/a/c")),
            ("/a/b/..", Some("/a/")),
            ("/public/%2e%2e/admin", Some("/admin")),
            ("/..", None),
            ("/%00", None),
            ("/%zz", None),
            ("/caf%C3%A9/", Some("/café/")),
            ("*", None),
        ] {
            assert_eq!(normalize(raw).as_deref(), expected, "{raw}");
        }
        assert_eq!(encode("/café x?"), "/caf%C3%A9%20x%3F");
    }
}
