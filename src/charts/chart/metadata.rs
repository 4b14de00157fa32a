//! `Chart.yaml` and lock files: what a chart says about itself.
//!
//! Source of the rules: Helm `pkg/chart/v2/{metadata,dependency}.go`. Fields are found whatever the case of their letters,
//! and a number where text belongs is taken as text, because Helm's YAML reader does so.

use crate::charts::decode::{Decoder, Place, go_float};
use crate::charts::values::Value;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a chart says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The chart's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Address of a page about the project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub home: String,
    /// Addresses of sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The chart's version (semver 2).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// One sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to search for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Who looks after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maintainers: Vec<Maintainer>,
    /// Address of a picture.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub icon: String,
    /// `v1` or `v2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// A path in the values that switches the chart on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Tags that switch the chart on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// The version of what the chart installs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app_version: String,
    /// Not to be used any more.
    #[serde(skip_serializing_if = "is_false")]
    pub deprecated: bool,
    /// Free texts by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether there were annotations at all, if only none: Go tells them from nothing.
    #[serde(skip)]
    pub has_annotations: bool,
    /// The Kubernetes versions that the chart is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// The charts that it needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Whether there was such a list at all, if only an empty one.
    #[serde(skip)]
    pub has_dependencies: bool,
    /// `application` (or empty) or `library`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

/// Somebody who looks after a chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintainer {
    /// Name or organization.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Mail address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Address of a page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A chart that another one needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dependency {
    /// The name of the chart.
    pub name: String,
    /// A version, or a constraint.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Address of the repository; `file://` for a folder, `@name` or `alias:name` for one that was added.
    pub repository: String,
    /// Paths in the values, separated by commas; the first boolean decides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Names below `tags` in the values that decide together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it takes part; found out from the values.
    #[serde(skip_serializing_if = "is_false")]
    pub enabled: bool,
    /// Tables of the subchart to take over: names below `exports`, or `{child, parent}`.
    #[serde(rename = "import-values", skip_serializing_if = "Vec::is_empty")]
    pub import_values: Vec<Value>,
    /// The name that it gets here.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias: String,
}

/// Exact versions of the dependencies, and a digest of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lock {
    /// When it was written (RFC 3339).
    pub generated: String,
    /// `sha256:…` of the wanted and the found dependencies.
    pub digest: String,
    /// What was found.
    pub dependencies: Vec<Dependency>,
    /// Whether there was such a list at all, if only an empty one.
    #[serde(skip)]
    pub has_dependencies: bool,
}

/// Go's type of a list of dependencies.
const DEPENDENCIES: &str = "[]*v2.Dependency";

fn is_false(value: &bool) -> bool {
    !value
}

impl Metadata {
    /// Takes over what a YAML document says; what it does not name stays.
    pub fn fill(&mut self, document: &Value) -> Result<(), String> {
        let mut from = Decoder::new(document, "Metadata")?;
        from.text("name", &mut self.name)?;
        from.text("home", &mut self.home)?;
        from.texts("sources", &mut self.sources)?;
        from.text("version", &mut self.version)?;
        from.text("description", &mut self.description)?;
        from.texts("keywords", &mut self.keywords)?;
        from.list("maintainers", "[]*v2.Maintainer", &mut self.maintainers, Maintainer::read)?;
        from.text("icon", &mut self.icon)?;
        from.text("apiVersion", &mut self.api_version)?;
        from.text("condition", &mut self.condition)?;
        from.text("tags", &mut self.tags)?;
        from.text("appVersion", &mut self.app_version)?;
        from.flag("deprecated", &mut self.deprecated)?;
        self.has_annotations |= from.text_map("annotations", &mut self.annotations)?;
        from.text("kubeVersion", &mut self.kube_version)?;
        self.has_dependencies |= from.list("dependencies", DEPENDENCIES, &mut self.dependencies, Dependency::read)?;
        from.text("type", &mut self.kind)
    }

    /// Cleans texts of what cannot be printed and checks what must be there, with Helm's words.
    pub fn validate(&mut self) -> Result<(), String> {
        self.clean();
        for (value, name) in [(&self.api_version, "apiVersion"), (&self.name, "name")] {
            if value.is_empty() {
                return Err(format!("validation: chart.metadata.{name} is required"));
            }
        }
        if self.name == "." || self.name == ".." {
            return Err(format!("validation: chart.metadata.name {:?} is not allowed", self.name));
        }
        if self.name.contains('/') {
            return Err(format!("validation: chart.metadata.name {:?} is invalid", self.name));
        }
        if self.version.is_empty() {
            return Err("validation: chart.metadata.version is required".into());
        }
        if crate::charts::version::Version::parse(&self.version).is_err() {
            return Err(format!("validation: chart.metadata.version {:?} is invalid", self.version));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err("validation: chart.metadata.type must be application or library".into());
        }
        let mut names = BTreeSet::new();
        for dependency in &self.dependencies {
            dependency.validate()?;
            if !names.insert(dependency.known_as()) {
                let name = dependency.known_as();
                return Err(format!("validation: more than one dependency with name or alias {name:?}"));
            }
        }
        Ok(())
    }

    fn clean(&mut self) {
        let texts = [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ];
        let lists = self.sources.iter_mut().chain(&mut self.keywords);
        let people = self.maintainers.iter_mut().flat_map(|one| [&mut one.name, &mut one.email, &mut one.url]);
        let needs = self.dependencies.iter_mut().flat_map(|one| {
            let texts = [&mut one.name, &mut one.version, &mut one.repository, &mut one.condition];
            texts.into_iter().chain(&mut one.tags)
        });
        texts.into_iter().chain(lists).chain(people).chain(needs).for_each(clean);
    }
}

impl Maintainer {
    fn read(document: &Value, place: Place) -> Result<Self, String> {
        if document.is_null() {
            return Err("validation: maintainers must not contain empty or null nodes".into());
        }
        let mut maintainer = Self::default();
        let mut from = Decoder::part(document, place, "Maintainer", "v2.Maintainer")?;
        from.text("name", &mut maintainer.name)?;
        from.text("email", &mut maintainer.email)?;
        from.text("url", &mut maintainer.url)?;
        Ok(maintainer)
    }
}

impl Dependency {
    fn read(document: &Value, place: Place) -> Result<Self, String> {
        if document.is_null() {
            return Err("validation: dependencies must not contain empty or null nodes".into());
        }
        let mut dependency = Self::default();
        let mut from = Decoder::part(document, place, "Dependency", "v2.Dependency")?;
        from.text("name", &mut dependency.name)?;
        from.text("version", &mut dependency.version)?;
        from.text("repository", &mut dependency.repository)?;
        from.text("condition", &mut dependency.condition)?;
        from.texts("tags", &mut dependency.tags)?;
        from.flag("enabled", &mut dependency.enabled)?;
        let imports = &mut dependency.import_values;
        from.list("import-values", "[]interface {}", imports, |value, _| Ok(value.clone()))?;
        from.text("alias", &mut dependency.alias)?;
        Ok(dependency)
    }

    /// The name under which the parent chart knows it.
    pub fn known_as(&self) -> &str {
        if self.alias.is_empty() { &self.name } else { &self.alias }
    }

    fn validate(&self) -> Result<(), String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !self.alias.bytes().all(allowed) {
            return Err(format!("validation: dependency {:?} has disallowed characters in the alias", self.name));
        }
        Ok(())
    }
}

impl Lock {
    /// Reads `Chart.lock`.
    pub fn read(document: &Value) -> Result<Self, String> {
        let mut lock = Self::default();
        let mut from = Decoder::new(document, "Lock")?;
        from.time("generated", &mut lock.generated)?;
        from.text("digest", &mut lock.digest)?;
        lock.has_dependencies = from.list("dependencies", DEPENDENCIES, &mut lock.dependencies, Dependency::read)?;
        Ok(lock)
    }
}

/// Replaces blanks of every kind by spaces and drops what cannot be printed.
fn clean(text: &mut String) {
    let fine = |c: char| c == ' ' || !c.is_whitespace() && printable(c);
    if !text.chars().all(fine) {
        let kept = text.chars().filter(|c| c.is_whitespace() || printable(*c));
        *text = kept.map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    }
}

/// Whether a letter can be seen: no control, format, private or unassigned character.
pub fn printable(c: char) -> bool {
    // `Debug` escapes what cannot be printed by the Unicode tables, and a few that are told apart here.
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().count() == 1
}

/// A number as text, as Helm's YAML reader turns it where text belongs.
pub fn number_text(number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => number.to_string(),
        (_, Some(number), _) => number.to_string(),
        (_, _, number) => go_float(number.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(document: Value) -> Result<Metadata, String> {
        let mut metadata = Metadata::default();
        metadata.fill(&document)?;
        metadata.validate()?;
        Ok(metadata)
    }

    #[test]
    fn numbers_and_letter_case_are_forgiven() {
        let metadata =
            read(json!({"apiversion": "v2", "Name": "a", "version": 1.25, "appVersion": 10000000, "annotations": {"x": true}}))
                .unwrap();
        assert_eq!((metadata.version.as_str(), metadata.app_version.as_str()), ("1.25", "10000000"));
        assert_eq!(metadata.annotations["x"], "true");
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        let with = |key: &str, value: Value| {
            let mut document = json!({"apiVersion": "v2", "name": "a", "version": "1.0.0"});
            document[key] = value;
            read(document).map(|_| String::new()).unwrap_or_else(|problem| problem)
        };
        assert_eq!(with("x", json!(1)), "");
        assert_eq!(with("name", json!("")), "validation: chart.metadata.name is required");
        assert_eq!(with("name", json!("..")), "validation: chart.metadata.name \"..\" is not allowed");
        assert_eq!(with("name", json!("a/b")), "validation: chart.metadata.name \"a/b\" is invalid");
        assert_eq!(with("version", json!("x")), "validation: chart.metadata.version \"x\" is invalid");
        assert_eq!(with("type", json!("x")), "validation: chart.metadata.type must be application or library");
        let twice = json!([{"name": "b"}, {"name": "c", "alias": "b"}]);
        assert_eq!(with("dependencies", twice), "validation: more than one dependency with name or alias \"b\"");
        assert_eq!(
            with("dependencies", json!([null])),
            "validation: dependencies must not contain empty or null nodes"
        );
        let alias = json!([{"name": "b", "alias": "b.c"}]);
        assert_eq!(with("dependencies", alias), "validation: dependency \"b\" has disallowed characters in the alias");
        assert_eq!(
            with("name", json!(["a"])),
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go struct field Metadata.name of type string"
        );
    }

    #[test]
    fn what_has_another_type_is_told_with_its_place() {
        let told = |key: &str, value: Value| {
            let mut document = json!({"apiVersion": "v2", "name": "a", "version": "1.0.0"});
            document[key] = value;
            let problem = read(document).unwrap_err();
            problem.replace("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ", "")
        };
        let field = "into Go struct field";
        let list = format!("string {field} Metadata.dependencies of type []*v2.Dependency");
        assert_eq!(told("dependencies", json!("x")), list);
        let item = format!("number {field} Metadata.maintainers of type v2.Maintainer");
        assert_eq!(told("maintainers", json!([1])), item);
        let inner = format!("object {field} Dependency.dependencies.alias of type string");
        assert_eq!(told("dependencies", json!([{"name": "b", "alias": {}}])), inner);
        let import = format!("bool {field} Dependency.dependencies.import-values of type []interface {{}}");
        assert_eq!(told("dependencies", json!([{"name": "b", "import-values": true}])), import);
    }

    #[test]
    fn a_lock_says_when_it_was_made() {
        let told = |generated: Value| Lock::read(&json!({"generated": generated})).map(|lock| lock.generated);
        let fine = "2026-11-27T04:00:00.5+01:00";
        assert_eq!(told(json!(fine)).unwrap(), fine);
        let bad = "error unmarshaling JSON: while decoding JSON: ";
        let layout = "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"";
        assert_eq!(told(json!("x")).unwrap_err(), format!("{bad}{layout}"));
        let text = format!("{bad}Time.UnmarshalJSON: input is not a JSON string");
        assert_eq!(told(json!(5)).unwrap_err(), text);
    }

    #[test]
    fn texts_are_made_printable() {
        let metadata =
            read(json!({"apiVersion": "v2", "name": "a", "version": "1", "description": "\ntwo\tlines \u{7} 日本"}))
                .unwrap();
        assert_eq!(metadata.description, " two lines  日本");
    }
}
