//! What may be a name, a label, a key or a port, and what is said of what may not.
//!
//! Source of rules and wording: k8s.io/apimachinery `pkg/util/validation/validation.go`.
//! Every function returns what is wrong; nothing if all is well.

/// Longest name of an object.
pub const SUBDOMAIN_LENGTH: usize = 253;
/// Longest label of a domain name.
pub const LABEL_LENGTH: usize = 63;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const VARIABLE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const C_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
const HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

fn too_long(characters: usize) -> String {
    format!("must be no more than {characters} characters")
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// One label of a domain name, of any length.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inside = bytes.iter().all(|byte| is_lower(*byte) || *byte == b'-');
    inside && bytes.first().copied().is_some_and(is_lower) && bytes.last().copied().is_some_and(is_lower)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inside = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let ends = [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    inside && ends
}

fn check(text: &str, longest: usize, fits: bool, otherwise: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > longest {
        wrong.push(too_long(longest));
    }
    if !fits {
        wrong.push(otherwise.to_string());
    }
    wrong
}

/// The name of most objects: labels of a domain name, joined by dots.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    check(text, SUBDOMAIN_LENGTH, is_subdomain(text), SUBDOMAIN)
}

/// One label of a domain name, as RFC 1123 has it.
pub fn dns_label(text: &str) -> Vec<String> {
    check(text, LABEL_LENGTH, is_label(text), LABEL)
}

/// One label of a domain name, as RFC 1035 has it: it starts with a letter.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    check(text, LABEL_LENGTH, starts && is_label(text), LABEL_1035)
}

/// `*.` and a domain name.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let fits = text.strip_prefix("*.").is_some_and(is_subdomain);
    check(text, SUBDOMAIN_LENGTH, fits, WILDCARD)
}

/// Something that can stand between two slashes of a path.
pub fn path_segment(text: &str) -> Vec<String> {
    if matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|mark| text.contains(**mark)).map(|mark| format!("may not contain '{mark}'")).collect()
}

/// A label's or annotation's key: a name, perhaps with a domain and a slash in front.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut parts = text.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        let example = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        return vec![format!("a qualified name {QUALIFIED} {example}")];
    }
    let mut wrong = Vec::new();
    let name = match second {
        None => first,
        Some(name) => {
            if first.is_empty() {
                wrong.push("prefix part must be non-empty".into());
            } else {
                wrong.extend(dns_subdomain(first).into_iter().map(|what| format!("prefix part {what}")));
            }
            name
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else if name.len() > LABEL_LENGTH {
        wrong.push(format!("name part must be no more than {LABEL_LENGTH} bytes"));
    }
    if !is_name(name) {
        wrong.push(format!("name part {QUALIFIED}"));
    }
    wrong
}

/// A label's value. It may be empty.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_LENGTH {
        wrong.push(format!("must be no more than {LABEL_LENGTH} bytes"));
    }
    if !text.is_empty() && !is_name(text) {
        wrong.push(LABEL_VALUE.to_string());
    }
    wrong
}

/// A key of a ConfigMap or Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let fits =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let mut wrong = check(text, SUBDOMAIN_LENGTH, fits, CONFIG_KEY);
    match text {
        "." => wrong.push("must not be '.'".into()),
        ".." => wrong.push("must not be '..'".into()),
        _ if text.starts_with("..") => wrong.push("must not start with '..'".into()),
        _ => {}
    }
    wrong
}

/// The name of an environment variable.
pub fn variable(text: &str) -> Vec<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=');
    if fits { Vec::new() } else { vec![VARIABLE.into()] }
}

/// A prefix of names of environment variables.
pub fn c_identifier(text: &str) -> Vec<String> {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let fits = starts && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits { Vec::new() } else { vec![C_IDENTIFIER.into()] }
}

/// The name of an HTTP header.
pub fn http_header(text: &str) -> Vec<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { Vec::new() } else { vec![HEADER.into()] }
}

/// The name of a port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    if !text.bytes().all(|byte| is_lower(byte) || byte == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".into());
    }
    wrong
}

/// The number of a port.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65_535).contains(&port) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".into()] }
}

/// An address of either family.
pub fn ip_address(text: &str) -> Vec<String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()],
    }
}

/// A range of addresses: an address and the length of its prefix.
pub fn cidr(text: &str) -> Vec<String> {
    let fits = text.split_once('/').is_some_and(|(address, length)| {
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(address) if address.is_ipv4() => 32,
            Ok(_) => 128,
            Err(_) => return false,
        };
        length.bytes().all(|byte| byte.is_ascii_digit()) && length.parse::<u8>().is_ok_and(|length| length <= most)
    });
    if fits { Vec::new() } else { vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be() {
        assert!(dns_subdomain("a.b-c.0").is_empty());
        assert!(dns_label("0a-b").is_empty());
        assert!(dns_1035_label("a0").is_empty());
        assert!(qualified_name("example.com/My_Name.0").is_empty());
        assert!(label_value("").is_empty() && label_value("A_b").is_empty());
        assert!(config_key("a.B_c-").is_empty());
        assert!(variable("MY-x.y").is_empty());
        assert!(port_name("http-1").is_empty());
        assert!(wildcard_subdomain("*.a.b").is_empty());
        assert!(cidr("10.0.0.0/8").is_empty() && ip_address("::1").is_empty());
        assert!(path_segment("system:admin").is_empty());
    }

    #[test]
    fn names_that_may_not_be() {
        assert!(dns_subdomain("A")[0].starts_with("a lowercase RFC 1123 subdomain must consist of"));
        assert!(dns_label("a.b")[0].starts_with("a lowercase RFC 1123 label must consist of"));
        assert_eq!(dns_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert!(dns_1035_label("0a")[0].starts_with("a DNS-1035 label"));
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert!(qualified_name("a/b/c")[0].ends_with("(e.g. 'example.com/MyName')"));
        assert_eq!(qualified_name("a/").len(), 2);
        assert!(!label_value("-a").is_empty());
        assert_eq!(config_key("..a"), ["must not start with '..'"]);
        assert!(!variable("a=b").is_empty());
        assert_eq!(port_name("80"), ["must contain at least one letter (a-z)"]);
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
        assert!(!cidr("10.0.0.0/33").is_empty() && !cidr("10.0.0.0").is_empty());
        assert_eq!(path_segment(".."), ["may not be '..'"]);
    }
}
