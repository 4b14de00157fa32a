//! The table of messages and their fields, read line by line as messages are met.
//!
//! ```text
//! =SCHEMA-PREFIX APIVERSION
//! MESSAGE JSON-NAME:NUMBER[*|%|!]KIND …
//! ```
//!
//! `*` is a list and `%` a map with string keys; `!` keeps zero values when decoded, because the Go field is a pointer or is
//! always written. A field without a name is inlined. Kinds: `s` string, `y` bytes, `b` boolean, `i` integer, `d` double,
//! `t` Time, `u` MicroTime, `q` Quantity, `x` IntOrString, `r` raw JSON, `l` list of strings in a message of its own, `m`
//! message, `A`, `B`, `S` the schema that may be a list, a boolean, or strings. A message's name follows: of the same
//! package, of `meta/v1` behind a `^`, else in full.
//!
//! Source: `generated.proto` and the struct tags of k8s.io/{api,apimachinery,apiextensions-apiserver,kube-aggregator} v0.36.0
//! (`autoscaling/v2beta1` and `v2beta2`: v0.24.0).

use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

static TEXT: &str = include_str!("fields.txt");
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Bytes,
    Bool,
    Integer,
    Double,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    Raw,
    Strings,
    Message,
    SchemaOrList,
    SchemaOrBool,
    SchemaOrStrings,
}

/// How often a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    One,
    List,
    Map,
}

/// One field of a message.
pub struct Field {
    /// Its name in JSON, empty where its own fields stand in its place.
    pub json: &'static str,
    pub number: u32,
    pub label: Label,
    pub kind: Kind,
    /// Whether a zero value is kept when it is decoded.
    pub keeps_zero: bool,
    target: &'static str,
    package: &'static str,
    message: OnceLock<&'static Message>,
}

/// One message.
pub struct Message {
    pub name: &'static str,
    pub fields: Box<[Field]>,
}

impl Field {
    /// The message that it holds.
    pub fn message(&self) -> &'static Message {
        self.message.get_or_init(|| {
            let (package, name) = match self.target.strip_prefix('^') {
                Some(name) => (META, name),
                None => self.target.rsplit_once('.').unwrap_or((self.package, self.target)),
            };
            // A test walks the whole table, so a name that leads nowhere does not get this far.
            message(package, name).unwrap_or(&EMPTY)
        })
    }
}

static EMPTY: LazyLock<Message> = LazyLock::new(|| Message { name: "", fields: Box::new([]) });

/// The messages of one group and version.
struct Package {
    name: &'static str,
    api_version: &'static str,
    lines: &'static str,
}

static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let sections = TEXT.strip_prefix('=').unwrap_or(TEXT).split("\n=");
    let package = |section: &'static str| {
        let (head, lines) = section.split_once('\n')?;
        let (name, api_version) = head.split_once(' ')?;
        Some(Package { name, api_version, lines })
    };
    sections.filter_map(package).collect()
});

/// Messages that were met, by package and name: read once, kept for good. There are as many as the table has lines at most.
static MET: LazyLock<RwLock<HashMap<(&'static str, &'static str), &'static Message>>> = LazyLock::new(RwLock::default);

/// The message of a kind. Options and statuses are in every group.
pub fn kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    let mut own = PACKAGES.iter().filter(|package| package.api_version == api_version);
    own.find_map(|package| message(package.name, kind)).or_else(|| message(META, kind))
}

fn message(package: &str, name: &str) -> Option<&'static Message> {
    let package = PACKAGES.iter().find(|own| own.name == package)?;
    if let Some(met) = MET.read().get(&(package.name, name)) {
        return Some(met);
    }
    let is_it =
        |line: &&'static str| line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    let line = package.lines.lines().find(is_it)?;
    let read: &'static Message = Box::leak(Box::new(read(package.name, line)));
    // Whoever was faster left an equal one; this one is then kept by nobody but its fields' owners.
    Some(MET.write().entry((package.name, read.name)).or_insert(read))
}

fn read(package: &'static str, line: &'static str) -> Message {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    Message { name, fields: words.filter_map(|word| field(package, word)).collect() }
}

fn field(package: &'static str, word: &'static str) -> Option<Field> {
    let (json, rest) = word.rsplit_once(':')?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, rest) = rest.split_at(end);
    let (label, keeps_zero, rest) = match rest.as_bytes()[0] {
        b'*' => (Label::List, true, &rest[1..]),
        b'%' => (Label::Map, true, &rest[1..]),
        b'!' => (Label::One, true, &rest[1..]),
        _ => (Label::One, false, rest),
    };
    let (letter, target) = rest.split_at_checked(1)?;
    let kind = match letter {
        "s" => Kind::Text,
        "y" => Kind::Bytes,
        "b" => Kind::Bool,
        "i" => Kind::Integer,
        "d" => Kind::Double,
        "t" => Kind::Time,
        "u" => Kind::MicroTime,
        "q" => Kind::Quantity,
        "x" => Kind::IntOrString,
        "r" => Kind::Raw,
        "l" => Kind::Strings,
        "m" => Kind::Message,
        "A" => Kind::SchemaOrList,
        "B" => Kind::SchemaOrBool,
        "S" => Kind::SchemaOrStrings,
        _ => return None,
    };
    let number = number.parse().ok()?;
    Some(Field { json, number, label, kind, keeps_zero, target, package, message: OnceLock::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_and_every_name_leads_somewhere() {
        for package in PACKAGES.iter() {
            for line in package.lines.lines() {
                let message = read(package.name, line);
                assert_eq!(message.fields.len(), line.split(' ').count() - 1, "{line}");
                let nested = message.fields.iter().filter(|field| !field.target.is_empty());
                nested.for_each(|field| assert!(!field.message().name.is_empty(), "{line}"));
            }
        }
    }

    #[test]
    fn every_stored_kind_and_its_list_have_a_message() {
        // What is measured is answered in JSON alone.
        for known in crate::api::KINDS.iter().filter(|kind| kind.verbs.contains(&"create")) {
            for version in known.versions() {
                let api_version = version.api_version();
                assert!(kind(&api_version, &known.kind).is_some(), "{api_version} {}", known.kind);
                let has_list = !known.is_stored() || kind(&api_version, &known.list_kind).is_some();
                assert!(has_list, "{api_version} {}", known.list_kind);
            }
        }
    }

    #[test]
    fn options_are_in_every_group() {
        assert!(kind("apps/v1", "DeleteOptions").is_some());
        assert!(kind("v1", "Status").is_some());
        assert!(kind("example.com/v1", "Thing").is_none());
    }
}
