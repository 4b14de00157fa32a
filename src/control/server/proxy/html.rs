//! Links of a page that was fetched through a proxy: those that begin at the root lead below the proxy's path.
//!
//! Source: k8s.io/apimachinery `pkg/util/proxy/transport.go` (which elements and attributes hold links).

/// Elements and their attributes that hold links.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("track", &["src"]),
    ("video", &["poster", "src"]),
];
/// Elements whose content is no markup.
const RAW: &[&str] = &["script", "style", "textarea", "title"];

/// The page with every link replaced for which `replace` knows another one. Everything else stays byte by byte.
pub fn rewrite(page: &[u8], replace: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + page.len() / 8);
    let mut rest = page;
    while let Some(at) = memchr::memchr(b'<', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with(b"<!--") {
            let end = memchr::memmem::find(rest, b"-->").map_or(rest.len(), |end| end + 3);
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let name = name_at(&rest[1..]);
        if name.is_empty() {
            out.push(b'<');
            rest = &rest[1..];
            continue;
        }
        rest = tag(rest, &name, &mut out, &replace);
        if RAW.contains(&name.as_str()) {
            let end = end_of_raw(rest, &name);
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.extend_from_slice(rest);
    out
}

/// A name at the beginning, lower case; empty if there is none.
fn name_at(text: &[u8]) -> String {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'_');
    text.iter().take_while(is_part).map(|byte| byte.to_ascii_lowercase() as char).collect()
}

fn end_of_raw(text: &[u8], name: &str) -> usize {
    let is_end = |at: &usize| name_at(&text[at + 2..]) == name;
    memchr::memmem::find_iter(text, b"</").find(is_end).unwrap_or(text.len())
}

/// Copies a tag, with its links replaced; returns what follows it.
fn tag<'a>(text: &'a [u8], name: &str, out: &mut Vec<u8>, replace: &impl Fn(&str) -> Option<String>) -> &'a [u8] {
    let links = LINKS.iter().find(|(element, _)| *element == name).map_or(&[][..], |(_, attributes)| attributes);
    let mut at = 1 + name.len();
    out.extend_from_slice(&text[..at]);
    while at < text.len() {
        let byte = text[at];
        if byte == b'>' {
            out.push(byte);
            return &text[at + 1..];
        }
        let attribute = name_at(&text[at..]);
        if attribute.is_empty() {
            out.push(byte);
            at += 1;
            continue;
        }
        out.extend_from_slice(&text[at..at + attribute.len()]);
        at += attribute.len();
        let Some((value, before, after)) = value_at(&text[at..]) else { continue };
        out.extend_from_slice(&text[at..at + before]);
        let old = &text[at + before..at + before + value];
        let new = std::str::from_utf8(old).ok().filter(|_| links.contains(&attribute.as_str())).and_then(replace);
        match new {
            Some(new) => out.extend_from_slice(new.as_bytes()),
            None => out.extend_from_slice(old),
        }
        at += before + value;
        out.extend_from_slice(&text[at..at + after]);
        at += after;
    }
    &[]
}

/// After an attribute's name: the length of its value, of what stands before it, and of what closes it.
fn value_at(text: &[u8]) -> Option<(usize, usize, usize)> {
    let blanks = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let equals = blanks(text);
    if text.get(equals) != Some(&b'=') {
        return None;
    }
    let start = equals + 1 + blanks(&text[equals + 1..]);
    match text.get(start)? {
        quote @ (b'"' | b'\'') => {
            let length = memchr::memchr(*quote, &text[start + 1..])?;
            Some((length, start + 1, 1))
        }
        _ => {
            let is_part = |byte: &&u8| !byte.is_ascii_whitespace() && **byte != b'>';
            Some((text[start..].iter().take_while(is_part).count(), start, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(page: &str) -> String {
        let replace = |link: &str| link.starts_with('/').then(|| format!("/proxy{link}"));
        String::from_utf8(rewrite(page.as_bytes(), replace)).unwrap()
    }

    #[test]
    fn links_from_the_root_are_replaced_wherever_they_stand() {
        assert_eq!(rewritten("<a href=\"/x\">test</a>"), "<a href=\"/proxy/x\">test</a>");
        assert_eq!(rewritten("<IMG alt='/y' SRC = '/x'/>"), "<IMG alt='/y' SRC = '/proxy/x'/>");
        assert_eq!(
            rewritten("<link href=/x rel=icon><p title=\"/x\">"),
            "<link href=/proxy/x rel=icon><p title=\"/x\">"
        );
        assert_eq!(
            rewritten("<script src=\"/x\">if (a < b) \"<a href='/x'>\"</script>/x"),
            "<script src=\"/proxy/x\">if (a < b) \"<a href='/x'>\"</script>/x"
        );
    }

    #[test]
    fn what_is_no_link_stays_as_it_was() {
        for page in
            ["", "<", "a < b", "<!-- <a href=\"/x\"> --> <a href='x'>", "<a href=\"/x", "<a href", "</a>", "<a href="]
        {
            assert_eq!(rewritten(page), page, "{page}");
        }
    }
}
