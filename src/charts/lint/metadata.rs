//! Rules about `Chart.yaml`.

use super::{Linter, Severity};
use crate::charts::chart::Metadata;
use crate::charts::values::{Value, go_json, go_type};
use crate::charts::version::{Constraints, Version};
use crate::charts::{Error, decode};

const FILE: &str = "Chart.yaml";
/// The fields that may be there.
const KNOWN: &[&str] = &[
    "name",
    "home",
    "sources",
    "version",
    "description",
    "keywords",
    "maintainers",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "deprecated",
    "annotations",
    "kubeVersion",
    "dependencies",
    "type",
];

/// The fields that may be in the tables of lists.
const PARTS: &[(&str, &[&str])] = &[
    ("maintainers", &["name", "email", "url"]),
    ("dependencies", &["name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias"]),
];

impl Linter<'_> {
    pub(super) fn metadata(&mut self) {
        let path = self.folder.join(FILE);
        if path.is_dir() {
            self.tell(Severity::Error, FILE, "should be a file, not a directory");
        }
        let text = std::fs::read(&path).map_err(|error| Error::io("open", &path, &error).to_string());
        let document = text.and_then(|text| decode::yaml(&decode::text(&text)?));
        let mut metadata = Metadata::default();
        let document = document.and_then(|document| metadata.fill(&document).map(|()| document));
        let document = match document {
            Ok(document) => document,
            Err(problem) => return self.tell(Severity::Error, FILE, format!("unable to parse YAML\n\t{problem}")),
        };
        if let Some(key) = strange(&document, KNOWN) {
            let problem = format!("error unmarshaling JSON: while decoding JSON: json: unknown field {key:?}");
            let text = format!("failed to strictly parse chart metadata file\n\t{problem}");
            self.tell(Severity::Warning, FILE, text);
        }
        let rules: [(Severity, Result<(), String>); 11] = [
            (Severity::Error, name(&metadata)),
            (Severity::Error, api_version(&metadata)),
            (Severity::Error, is_text(&document, "version")),
            (Severity::Error, version(&metadata)),
            (Severity::Error, is_text(&document, "appVersion")),
            (Severity::Error, maintainers(&metadata)),
            (Severity::Error, sources(&metadata)),
            (Severity::Info, if metadata.icon.is_empty() { Err("icon is recommended".into()) } else { Ok(()) }),
            (Severity::Error, icon(&metadata)),
            (Severity::Error, only_v2(&metadata)),
            (Severity::Error, dependencies(&metadata)),
        ];
        for (severity, result) in rules {
            self.check(severity, FILE, result);
        }
        if !is_strict(&metadata.version) {
            let text = format!("version '{}' is not a valid SemVerV2", metadata.version);
            self.tell(Severity::Warning, FILE, text);
        }
    }
}

/// The first field that a table, or one in its lists, should not have.
fn strange<'d>(table: &'d Value, known: &[&str]) -> Option<&'d str> {
    table.as_object()?.iter().find_map(|(key, value)| {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            return Some(key.as_str());
        }
        let (_, inner) = PARTS.iter().find(|(field, _)| field.eq_ignore_ascii_case(key))?;
        value.as_array()?.iter().find_map(|item| strange(item, inner))
    })
}

fn name(metadata: &Metadata) -> Result<(), String> {
    match metadata.name.as_str() {
        "" => Err("name is required".into()),
        name if name.contains('/') => Err(format!("chart name {name:?} is invalid")),
        _ => Ok(()),
    }
}

fn api_version(metadata: &Metadata) -> Result<(), String> {
    const ALLOWED: &str = "The value must be either \"v1\" or \"v2\"";
    match metadata.api_version.as_str() {
        "v1" | "v2" => Ok(()),
        "" => Err(format!("apiVersion is required. {ALLOWED}")),
        other => Err(format!("apiVersion '{other}' is not valid. {ALLOWED}")),
    }
}

/// A version that YAML takes for a number loses its zeros.
fn is_text(document: &Value, key: &str) -> Result<(), String> {
    match document.get(key) {
        None | Some(Value::String(_)) => Ok(()),
        Some(other) => {
            let found = match go_type(&go_json(other.clone())) {
                "nil" => "<nil>",
                found => found,
            };
            Err(format!("{key} should be of type string but it's of type {found}"))
        }
    }
}

fn version(metadata: &Metadata) -> Result<(), String> {
    let text = &metadata.version;
    if text.is_empty() {
        return Err("version is required".into());
    }
    let Ok(version) = Version::parse(text) else { return Err(format!("version '{text}' is not a valid SemVer")) };
    match Constraints::parse(">0.0.0-0") {
        Ok(positive) if !positive.check(&version) => {
            Err(format!("version \"{version}\" is less than or equal to \"0.0.0-0\""))
        }
        _ => Ok(()),
    }
}

/// Three numbers without leading zeros, and no `v`.
fn is_strict(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let plain = |number: &&str| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && (number.len() == 1 || !number.starts_with('0'))
    };
    Version::parse(text).is_ok() && numbers.len() == 3 && numbers.iter().all(plain)
}

fn maintainers(metadata: &Metadata) -> Result<(), String> {
    for one in &metadata.maintainers {
        let name = &one.name;
        if name.is_empty() {
            return Err("each maintainer requires a name".into());
        }
        if !one.email.is_empty() && !is_mail(&one.email) {
            return Err(format!("invalid email '{}' for maintainer '{name}'", one.email));
        }
        if !one.url.is_empty() && !is_url(&one.url) {
            return Err(format!("invalid url '{}' for maintainer '{name}'", one.url));
        }
    }
    Ok(())
}

fn is_mail(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let fits = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    !local.is_empty() && local.chars().all(fits) && is_host(host) && host.contains('.')
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !text.is_empty() && text.split('.').all(label)
}

/// An address that may lack its scheme.
fn is_url(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    text.len() >= 3
        && !text.contains(char::is_whitespace)
        && is_host(host)
        && (host.contains('.') || host == "localhost")
}

/// A whole address, or a path.
fn is_request(text: &str) -> bool {
    match text.split_once(':') {
        Some((scheme, rest)) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            !scheme.is_empty() && scheme.chars().all(fits) && !rest.is_empty()
        }
        None => false,
    }
}

fn sources(metadata: &Metadata) -> Result<(), String> {
    match metadata.sources.iter().find(|source| !is_request(source)) {
        Some(source) => Err(format!("invalid source URL '{source}'")),
        None => Ok(()),
    }
}

fn icon(metadata: &Metadata) -> Result<(), String> {
    let icon = &metadata.icon;
    if icon.is_empty() || is_request(icon) { Ok(()) } else { Err(format!("invalid icon URL '{icon}'")) }
}

fn only_v2(metadata: &Metadata) -> Result<(), String> {
    let version = &metadata.api_version;
    if metadata.kind.is_empty() || version == "v2" {
        return Ok(());
    }
    Err(format!("chart type is not valid in apiVersion '{version}'. It is valid in apiVersion 'v2'"))
}

fn dependencies(metadata: &Metadata) -> Result<(), String> {
    let version = &metadata.api_version;
    if metadata.dependencies.is_empty() || version == "v2" {
        return Ok(());
    }
    Err(format!(
        "dependencies are not valid in the Chart file with apiVersion '{version}'. They are valid in apiVersion 'v2'"
    ))
}
