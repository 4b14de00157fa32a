//! Versions and version constraints as charts write them.
//!
//! The rules are those of Masterminds/semver v3, which Helm uses: versions may be short (`1.2`) and start with `v`,
//! a pre-release matches a constraint only where one of its terms names a pre-release.

use std::cmp::Ordering;
use std::fmt;

/// A semantic version; missing numbers are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    /// What follows `-`, without it.
    pub prerelease: String,
    /// What follows `+`, without it.
    pub metadata: String,
    /// The text that was parsed.
    pub original: String,
}

/// Why a text is no version or no constraint, in the words of Masterminds/semver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text has not the form of a version.
    #[error("invalid semantic version")]
    Form,
    /// A number that is too large.
    #[error("error parsing version segment: strconv.ParseUint: parsing \"{0}\": value out of range")]
    Range(String),
    /// A number of the pre-release with a leading zero.
    #[error("version segment starts with 0")]
    LeadingZero,
    /// A strange character in the pre-release.
    #[error("invalid prerelease string")]
    Prerelease,
    /// A strange character in the metadata.
    #[error("invalid metadata string")]
    Metadata,
    /// The text is no constraint.
    #[error("improper constraint: {0:?}")]
    Constraint(String),
    /// A version inside a constraint.
    #[error("constraint parser error")]
    Inside,
}

impl Version {
    /// Parses a version; `v` in front and missing minor and patch are allowed.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let rest = text.strip_prefix('v').unwrap_or(text);
        let mut scan = Scan { rest };
        let major = scan.digits().ok_or(Problem::Form)?;
        let minor = scan.dotted_digits().unwrap_or("0");
        let patch = scan.dotted_digits().unwrap_or("0");
        let prerelease = scan.suffix('-').unwrap_or_default();
        let metadata = scan.suffix('+').unwrap_or_default();
        if !scan.rest.is_empty() {
            return Err(Problem::Form);
        }
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| Problem::Range(digits.to_string()));
        let (major, minor, patch) = (number(major)?, number(minor)?, number(patch)?);
        if prerelease.split('.').any(|part| part.len() > 1 && part.starts_with('0') && is_number(part)) {
            return Err(Problem::LeadingZero);
        }
        let (prerelease, metadata, original) = (prerelease.to_string(), metadata.to_string(), text.to_string());
        Ok(Self { major, minor, patch, prerelease, metadata, original })
    }

    /// A version without `-` and `+`.
    pub fn new(major: u64, minor: u64, patch: u64) -> Self {
        let (prerelease, metadata) = (String::new(), String::new());
        Self { major, minor, patch, prerelease, metadata, original: format!("{major}.{minor}.{patch}") }
    }

    /// Order by precedence; metadata does not count.
    pub fn compare(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| {
            match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_prereleases(&self.prerelease, &other.prerelease),
            }
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn compare_prereleases(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Reads a version from the front of a text.
#[derive(Clone, Copy)]
struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    fn take(&mut self, accept: impl Fn(u8) -> bool) -> Option<&'a str> {
        let length = self.rest.bytes().take_while(|byte| accept(*byte)).count();
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then_some(taken)
    }

    fn digits(&mut self) -> Option<&'a str> {
        self.take(|byte| byte.is_ascii_digit())
    }

    /// A dot and digits, or nothing is taken.
    fn dotted(&mut self, accept: impl Fn(u8) -> bool) -> Option<&'a str> {
        let mut inner = Scan { rest: self.rest.strip_prefix('.')? };
        let taken = inner.take(accept)?;
        self.rest = inner.rest;
        Some(taken)
    }

    fn dotted_digits(&mut self) -> Option<&'a str> {
        self.dotted(|byte| byte.is_ascii_digit())
    }

    /// `mark` and dot-separated words of letters, digits and `-`, or nothing is taken.
    fn suffix(&mut self, mark: char) -> Option<&'a str> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let start = self.rest.strip_prefix(mark)?;
        let mut inner = Scan { rest: start };
        inner.take(word)?;
        while inner.dotted(word).is_some() {}
        self.rest = inner.rest;
        Some(&start[..start.len() - inner.rest.len()])
    }

    fn spaces(&mut self) -> bool {
        self.take(|byte| byte.is_ascii_whitespace()).is_some()
    }
}

/// A set of ranges such as `^1.2 || >=3.0.0, <4`.
#[derive(Clone, Debug)]
pub struct Constraints {
    /// Any of these must match; within one, all.
    alternatives: Vec<Vec<Term>>,
}

/// Operators, longest first.
const OPERATORS: &[(&str, Operator)] = &[
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterEqual),
    ("=>", Operator::GreaterEqual),
    ("<=", Operator::LessEqual),
    ("=<", Operator::LessEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::TildeOrEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    ("", Operator::TildeOrEqual),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    TildeOrEqual,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

#[derive(Clone, Debug)]
struct Term {
    operator: Operator,
    version: Version,
    /// Some number is missing or a wildcard.
    dirty: bool,
    minor_dirty: bool,
    patch_dirty: bool,
}

/// Whether `version` is a version that `constraint` allows; an unreadable one of either allows nothing.
pub fn is_compatible(constraint: &str, version: &str) -> bool {
    let Ok(version) = Version::parse(version) else { return false };
    Constraints::parse(constraint).is_ok_and(|constraints| constraints.check(&version))
}

impl Constraints {
    /// Parses alternatives separated by `||`, terms by commas or blanks; `1.2 - 1.4` is a range.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let rewritten = rewrite_ranges(text);
        let alternatives = rewritten.split("||").map(alternative).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether a version fulfils the constraints.
    pub fn check(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|terms| {
            let prereleases = terms.iter().any(|term| !term.version.prerelease.is_empty());
            (version.prerelease.is_empty() || prereleases) && terms.iter().all(|term| term.check(version))
        })
    }
}

fn alternative(text: &str) -> Result<Vec<Term>, Problem> {
    let improper = || Problem::Constraint(text.to_string());
    let mut scan = Scan { rest: text };
    let mut terms = Vec::new();
    scan.spaces();
    loop {
        // Whether it is a constraint at all comes before what is wrong with its versions.
        terms.push(term(&mut scan).ok_or_else(improper)?);
        let spaces = scan.spaces();
        if scan.rest.is_empty() {
            return terms.into_iter().collect();
        }
        match scan.rest.strip_prefix(',') {
            Some(rest) => scan.rest = rest,
            None if spaces => {}
            None => return Err(improper()),
        }
        scan.spaces();
    }
}

/// The numbers of a version in a constraint, as written.
struct Parts<'a> {
    text: &'a str,
    major: &'a str,
    minor: Option<&'a str>,
    patch: Option<&'a str>,
    prerelease: Option<&'a str>,
}

fn parts<'a>(scan: &mut Scan<'a>) -> Option<Parts<'a>> {
    let number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'x' | b'X' | b'*' | b'|');
    let before = scan.rest;
    scan.rest = before.strip_prefix('v').unwrap_or(before);
    let Some(major) = scan.take(number) else {
        scan.rest = before;
        return None;
    };
    let minor = scan.dotted(number);
    let patch = scan.dotted(number);
    let prerelease = scan.suffix('-');
    scan.suffix('+');
    Some(Parts { text: &before[..before.len() - scan.rest.len()], major, minor, patch, prerelease })
}

fn term(scan: &mut Scan) -> Option<Result<Term, Problem>> {
    let start = *scan;
    for (name, operator) in OPERATORS {
        *scan = start;
        let Some(rest) = scan.rest.strip_prefix(name) else { continue };
        scan.rest = rest;
        scan.spaces();
        if let Some(parts) = parts(scan) {
            return Some(parts.term(*operator));
        }
    }
    None
}

fn is_wild(part: &str) -> bool {
    matches!(part, "x" | "X" | "*")
}

impl Parts<'_> {
    fn term(&self, operator: Operator) -> Result<Term, Problem> {
        let open = |part: Option<&str>| part.is_none_or(is_wild);
        let pre = self.prerelease.map(|pre| format!("-{pre}")).unwrap_or_default();
        let (mut dirty, mut minor_dirty, mut patch_dirty) = (true, false, false);
        let text = if is_wild(self.major) {
            format!("0.0.0{pre}")
        } else if open(self.minor) {
            minor_dirty = true;
            format!("{}.0.0{pre}", self.major)
        } else if open(self.patch) {
            patch_dirty = true;
            format!("{}.{}.0{pre}", self.major, self.minor.unwrap_or_default())
        } else {
            dirty = false;
            self.text.to_string()
        };
        let version = Version::parse(&text).map_err(|_| Problem::Inside)?;
        Ok(Term { operator, version, dirty, minor_dirty, patch_dirty })
    }
}

impl Term {
    fn check(&self, version: &Version) -> bool {
        match self.operator {
            Operator::TildeOrEqual if self.dirty => self.tilde(version),
            Operator::TildeOrEqual => version.compare(&self.version).is_eq(),
            Operator::NotEqual => self.not_equal(version),
            Operator::Greater => self.greater(version),
            Operator::Less => version.compare(&self.version).is_lt(),
            Operator::GreaterEqual => version.compare(&self.version).is_ge(),
            Operator::LessEqual => self.less_equal(version),
            Operator::Tilde => self.tilde(version),
            Operator::Caret => self.caret(version),
        }
    }

    fn not_equal(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if self.dirty {
            if wanted.major != version.major || wanted.minor != version.minor && !self.minor_dirty {
                return true;
            }
            if self.minor_dirty {
                return false;
            }
            if wanted.patch != version.patch && !self.patch_dirty {
                return true;
            }
            if self.patch_dirty {
                return wanted.prerelease != version.prerelease;
            }
        }
        version.compare(wanted).is_ne()
    }

    fn greater(&self, version: &Version) -> bool {
        if !self.dirty || version.major == self.version.major && !self.minor_dirty && !self.patch_dirty {
            return version.compare(&self.version).is_gt();
        }
        match version.major.cmp(&self.version.major) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => self.patch_dirty && version.minor > self.version.minor,
        }
    }

    fn less_equal(&self, version: &Version) -> bool {
        if !self.dirty {
            return version.compare(&self.version).is_le();
        }
        let same_major = version.major == self.version.major;
        version.major <= self.version.major && !(same_major && version.minor > self.version.minor && !self.minor_dirty)
    }

    fn tilde(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.compare(wanted).is_lt() {
            return false;
        }
        // `~0.0.0` and wildcards match everything that is not less.
        let zero = (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0);
        if zero && !self.minor_dirty && !self.patch_dirty {
            return true;
        }
        version.major == wanted.major && (version.minor == wanted.minor || self.minor_dirty)
    }

    fn caret(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.compare(wanted).is_lt() {
            return false;
        }
        if wanted.major > 0 || self.minor_dirty {
            return version.major == wanted.major;
        }
        if version.major > 0 {
            return false;
        }
        if wanted.minor > 0 || self.patch_dirty {
            return version.minor == wanted.minor;
        }
        version.minor == 0 && wanted.patch == version.patch
    }
}

/// Turns every `a - b` into `>= a, <= b `.
fn rewrite_ranges(text: &str) -> String {
    if !text.contains(" - ") {
        return text.to_string();
    }
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        match range(rest) {
            Some((from, to, after)) => {
                out.push_str(&format!(">= {from}, <= {to} "));
                rest = after;
            }
            None => {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..next]);
                rest = &rest[next..];
            }
        }
    }
    out
}

fn range(text: &str) -> Option<(&str, &str, &str)> {
    let mut scan = Scan { rest: text };
    scan.spaces();
    let from = parts(&mut scan)?.text;
    if !scan.spaces() {
        return None;
    }
    scan.rest = scan.rest.strip_prefix('-')?;
    if !scan.spaces() {
        return None;
    }
    let to = parts(&mut scan)?.text;
    scan.spaces();
    Some((from, to, scan.rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_may_be_short_and_start_with_v() {
        for (text, full) in [("1", "1.0.0"), ("v1.2", "1.2.0"), ("1.2.3-a.1+b", "1.2.3-a.1+b"), ("01.2.3", "1.2.3")] {
            assert_eq!(Version::parse(text).unwrap().to_string(), full);
        }
        for text in ["", "v", "1.2.3.4", "a", "1.2-", "1.2.3-01", "1.2.3+", "1..2", "V1.2"] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn precedence_is_that_of_semver() {
        let order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-2a", "1.0.0-beta.2", "1.0.0-beta.11"];
        let sorted = ["1.0.0-2a", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11"];
        let mut versions: Vec<Version> = order.iter().map(|text| Version::parse(text).unwrap()).collect();
        versions.sort_by(Version::compare);
        assert_eq!(versions.iter().map(|v| v.original.as_str()).collect::<Vec<_>>(), sorted);
        assert!(Version::parse("1.0.0+a").unwrap().compare(&Version::parse("1.0.0+b").unwrap()).is_eq());
    }

    #[test]
    fn constraints_match_as_in_masterminds() {
        for (constraint, version, wanted) in [
            ("*", "1.2.3", true),
            ("x.x", "1.2.3", true),
            ("", "1.2.3", false),
            ("1.2", "1.2.9", true),
            ("1.2", "1.3.0", false),
            ("=1.2.3", "1.2.3", true),
            ("^1.2", "1.9.0", true),
            ("^1.2", "2.0.0", false),
            ("^0.2.3", "0.2.9", true),
            ("^0.2.3", "0.3.0", false),
            ("^0.0.3", "0.0.4", false),
            ("^0", "0.9.0", true),
            ("~1.2.3", "1.2.9", true),
            ("~1.2.3", "1.3.0", false),
            ("~1", "1.9.0", true),
            ("~> 2.1", "2.1.5", true),
            (">=1.2, <3 || 5.x", "5.4.3", true),
            (">= 1.2 < 3", "2.9.9", true),
            (">1.2", "1.2.9", false),
            (">1", "2.0.0", true),
            ("<=1.2", "1.2.9", true),
            ("<1.2", "1.2.0", false),
            ("!=1.2", "1.2.3", false),
            ("1.2 - 1.4.5", "1.4.5", true),
            ("1.2 - 1.4.5", "1.4.6", false),
            ("1.2 - 1.4", "1.4.6", true),
            (">=1.2.3", "1.3.0-beta", false),
            (">=1.2.3-0", "1.3.0-beta", true),
            (">0.0.0-0", "0.1.0-alpha", true),
            (">=1.20.0-0", "v1.34.4-gke.1245000", true),
            ("1.2.3.4", "1.2.3", false),
            ("nonsense", "1.2.3", false),
        ] {
            assert_eq!(is_compatible(constraint, version), wanted, "{version} in {constraint:?}");
        }
    }
}
