//! Semantic versions as Masterminds/semver has them.

use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;

use super::fixed;
use crate::charts::template::Type::{Named, Str};
use crate::charts::template::{Call, Failure, Function, Method, Object, Type, UintType, Value, failure};
use crate::charts::version::{Constraints, Version};

/// The table.
pub(super) static FUNCTIONS: &[Function] =
    &[fixed("semver", &[Str], |call| version_value(&call.str(0))), fixed("semverCompare", &[Str, Str], compare)];

fn version_value(text: &str) -> Result<Value, Failure> {
    match Version::parse(text) {
        Ok(version) => Ok(Value::Object(Rc::new(Semver { version, pointer: true }))),
        Err(problem) => failure(problem.to_string()),
    }
}

fn compare(call: &Call<'_>) -> Result<Value, Failure> {
    let constraints = match Constraints::parse(&call.str(0)) {
        Ok(constraints) => constraints,
        Err(problem) => return failure(problem.to_string()),
    };
    match Version::parse(&call.str(1)) {
        Ok(version) => Ok(constraints.check(&version).into()),
        Err(problem) => failure(problem.to_string()),
    }
}

/// A version, or a pointer to one, as methods take and give them.
struct Semver {
    version: Version,
    pointer: bool,
}

const POINTER: &str = "*semver.Version";

const fn method(name: &'static str, parameters: &'static [Type]) -> Method {
    Method { name, parameters, variadic: false }
}

static METHODS: &[Method] = &[
    method("Compare", &[Named(POINTER)]),
    method("Equal", &[Named(POINTER)]),
    method("GreaterThan", &[Named(POINTER)]),
    method("GreaterThanEqual", &[Named(POINTER)]),
    method("IncMajor", &[]),
    method("IncMinor", &[]),
    method("IncPatch", &[]),
    method("LessThan", &[Named(POINTER)]),
    method("LessThanEqual", &[Named(POINTER)]),
    method("Major", &[]),
    method("Metadata", &[]),
    method("Minor", &[]),
    method("Original", &[]),
    method("Patch", &[]),
    method("Prerelease", &[]),
    method("SetMetadata", &[Str]),
    method("SetPrerelease", &[Str]),
    method("String", &[]),
];

impl Semver {
    /// The version after this one, in its notation.
    fn next(&self, step: &str) -> Version {
        let old = &self.version;
        let (major, minor, patch) = match step {
            "IncMajor" => (old.major.saturating_add(1), 0, 0),
            "IncMinor" => (old.major, old.minor.saturating_add(1), 0),
            _ if old.prerelease.is_empty() => (old.major, old.minor, old.patch.saturating_add(1)),
            _ => (old.major, old.minor, old.patch),
        };
        self.noted(Version::new(major, minor, patch))
    }

    fn noted(&self, mut version: Version) -> Version {
        let prefix = if self.version.original.starts_with('v') { "v" } else { "" };
        version.original = format!("{prefix}{version}");
        version
    }

    fn with(&self, name: &str, text: String) -> Result<Version, Failure> {
        let mut version = self.version.clone();
        let probe = if name == "SetMetadata" { format!("1.0.0+{text}") } else { format!("1.0.0-{text}") };
        if !text.is_empty()
            && let Err(problem) = Version::parse(&probe)
        {
            return failure(problem.to_string());
        }
        if name == "SetMetadata" {
            version.metadata = text;
        } else {
            version.prerelease = text;
        }
        Ok(self.noted(version))
    }
}

impl Object for Semver {
    fn type_name(&self) -> Cow<'static, str> {
        if self.pointer { POINTER.into() } else { "semver.Version".into() }
    }

    fn kind(&self) -> &'static str {
        if self.pointer { "ptr" } else { "struct" }
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
        let version = &self.version;
        let number = |number: u64| Value::Uint(number, UintType::Uint64);
        let made = |version: Version| Value::Object(Rc::new(Semver { version, pointer: false }));
        let order = match arguments.first() {
            Some(Value::Object(other)) => {
                other.as_any().downcast_ref::<Semver>().map(|other| version.compare(&other.version))
            }
            _ => None,
        };
        if let Some(order) = order {
            return Ok(match name {
                "Equal" => order.is_eq().into(),
                "LessThan" => order.is_lt().into(),
                "LessThanEqual" => order.is_le().into(),
                "GreaterThan" => order.is_gt().into(),
                "GreaterThanEqual" => order.is_ge().into(),
                _ => Value::from(order as i64),
            });
        }
        Ok(match name {
            "Major" => number(version.major),
            "Minor" => number(version.minor),
            "Patch" => number(version.patch),
            "Prerelease" => version.prerelease.as_str().into(),
            "Metadata" => version.metadata.as_str().into(),
            "Original" => version.original.as_str().into(),
            "SetMetadata" | "SetPrerelease" => {
                let text = match arguments.first() {
                    Some(Value::Str(text)) => text.to_string(),
                    _ => String::new(),
                };
                made(self.with(name, text)?)
            }
            "IncMajor" | "IncMinor" | "IncPatch" => made(self.next(name)),
            _ => version.to_string().into(),
        })
    }

    fn text(&self) -> Option<String> {
        Some(self.version.to_string())
    }

    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        let version = &self.version;
        let number = |number: u64| Value::Uint(number, UintType::Uint64);
        vec![
            ("major", number(version.major)),
            ("minor", number(version.minor)),
            ("patch", number(version.patch)),
            ("pre", version.prerelease.as_str().into()),
            ("metadata", version.metadata.as_str().into()),
            ("original", version.original.as_str().into()),
        ]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
