//! Names of images: `busybox` means `docker.io/library/busybox:latest`.
//!
//! The grammar and the defaults are those of Docker's `reference` package, which Kubernetes uses as well.

use super::Error;
use std::fmt;
use std::str::FromStr;

/// Where a name without a registry is looked for.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The folder of that registry that a name without a slash is in.
const DEFAULT_FOLDER: &str = "library/";
/// The longest name without tag and digest.
const LONGEST_NAME: usize = 255;

/// A normalized image name: registry, repository, and a tag, a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Host and port, for example `docker.io` or `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry, for example `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; missing only when there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, with its algorithm: `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Registry and repository: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository by digest, as `repoDigests` has it.
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fail = |problem| Error::Reference { text: text.to_string(), problem };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_string())),
            Some(_) => return Err(fail("the digest must be `sha256:` and 64 hexadecimal digits")),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(fail("a tag has up to 128 letters, digits, `_`, `.` and `-`"));
        }
        let (registry, repository) = split_registry(name);
        if name.is_empty() || repository.len() > LONGEST_NAME || !repository.split('/').all(is_path_part) {
            return Err(fail("a repository name has lower-case letters, digits and single separators"));
        }
        if !is_registry(registry) {
            return Err(fail("the registry must be a host name with an optional port"));
        }
        let tag = tag.map(String::from).or_else(|| digest.is_none().then(|| "latest".to_string()));
        let folder = if registry == DEFAULT_REGISTRY && !repository.contains('/') { DEFAULT_FOLDER } else { "" };
        Ok(Self { registry: registry.to_string(), repository: format!("{folder}{repository}"), tag, digest })
    }
}

/// Whether `text` is `sha256:` and 64 lower-case hexadecimal digits: an image's id or a digest.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// A colon after the last slash starts the tag; one before it belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    let after_slash = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[after_slash..].find(':') {
        Some(colon) => (&text[..after_slash + colon], Some(&text[after_slash + colon + 1..])),
        None => (text, None),
    }
}

/// The first part is a registry if it looks like a host: it has a dot or a port, or is `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    bytes.next().is_some_and(word) && tag.len() <= 128 && bytes.all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Runs of letters and digits between separators: one `.`, one or two `_`, any number of `-`.
fn is_path_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = part.split(|c: char| alphanumeric(c as u8) && c.is_ascii());
    let ends = |byte: Option<u8>| byte.is_some_and(alphanumeric);
    ends(part.bytes().next())
        && ends(part.bytes().last())
        && separators.into_iter().all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                return address.parse::<std::net::Ipv6Addr>().is_ok()
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()));
            }
            None => return false,
        },
        None => registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn short_names_are_completed() {
        assert_eq!(normal("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(normal("index.docker.io/busybox"), "docker.io/library/busybox:latest");
        assert_eq!(normal("user/app:v1"), "docker.io/user/app:v1");
        assert_eq!(normal("localhost/app"), "localhost/app:latest");
        assert_eq!(normal("localhost:5000/a/b"), "localhost:5000/a/b:latest");
        assert_eq!(normal("coracle.local/hello"), "coracle.local/hello:latest");
        assert_eq!(normal("[::1]:5000/app"), "[::1]:5000/app:latest");
    }

    #[test]
    fn a_digest_stands_without_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(normal(&format!("busybox@{digest}")), format!("docker.io/library/busybox@{digest}"));
        assert_eq!(normal(&format!("busybox:1@{digest}")), format!("docker.io/library/busybox:1@{digest}"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in
            ["", "Busybox", "a//b", "a:", "a:b:c", "a@sha256:12", "-a/b", "a__b___c", "a b", "/a", "bad_host.x/a", "é"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
