//! What is wrong, or unwise, about a chart's folder.
//!
//! Source of the rules: Helm `pkg/chart/v2/lint`. Each rule is told with a severity and the path that it is about.

mod deprecations;
mod metadata;
mod objects;

use super::capabilities::Capabilities;
use super::chart::Chart;
use super::render::{Given, ReleaseOptions, templates};
use super::schema::Schema;
use super::values::{self, Map, Value, Warning, Warnings};
use super::{Error, KubeVersion, decode, dependencies, schema, template};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A recommendation.
    Info,
    /// Against convention.
    Warning,
    /// The chart cannot be installed.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, relative to the chart.
    pub path: String,
    /// What it is.
    pub text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        };
        write!(f, "[{severity}] {}: {}", self.path, self.text)
    }
}

/// With what a chart is checked.
#[derive(Clone, Debug, Default)]
pub struct LintOptions {
    /// The namespace of the release that is rendered.
    pub namespace: String,
    /// The Kubernetes version; the default one if left out.
    pub kube_version: Option<KubeVersion>,
    /// Values are not held against the schema.
    pub skip_schema: bool,
}

/// Checks a chart's folder, or an archive, which is unpacked for it. The error says why nothing could be checked.
/// `say` is told what is odd about the values, and what `required` and `fail` would have refused.
pub fn lint(path: &Path, given: &Map, options: &LintOptions, say: fn(&Warning)) -> Result<Vec<Message>, Error> {
    let name = path.display().to_string();
    let unpacked;
    let folder = if name.ends_with(".tgz") || name.ends_with(".tar.gz") {
        unpacked = unpack(path)?;
        unpacked.path().join("chart")
    } else {
        path.to_path_buf()
    };
    let file = folder.join("Chart.yaml");
    if let Err(error) = std::fs::metadata(&file) {
        let error = Error::io("stat", &path.join("Chart.yaml"), &error);
        return Err(Error::Chart(format!("unable to check Chart.yaml file in chart: {error}")));
    }
    let folder = std::path::absolute(&folder).map_err(|error| Error::io("abs", &folder, &error))?;
    let mut linter = Linter { folder, given, options, say, messages: Vec::new() };
    linter.metadata();
    linter.values();
    linter.templates();
    linter.dependencies();
    linter.crds();
    Ok(linter.messages)
}

fn unpack(path: &Path) -> Result<tempfile::TempDir, Error> {
    let data = std::fs::File::open(path)
        .map_err(|error| Error::Chart(format!("unable to open tarball: {}", Error::io("open", path, &error))))?;
    let is_empty = data.metadata().is_ok_and(|found| found.len() == 0);
    let why = |error: Error| if is_empty { "EOF".to_string() } else { error.to_string() };
    let files = super::chart::archive::read(std::io::BufReader::new(data))
        .map_err(|error| Error::Chart(format!("unable to extract tarball: {}", why(error))))?;
    let folder = tempfile::tempdir().map_err(|error| Error::io("mkdir", &std::env::temp_dir(), &error))?;
    super::package::write_files(&folder.path().join("chart"), &files)?;
    Ok(folder)
}

/// Go's types of a table and of the values, which are one to a chart and two to its checks.
const ANY_TABLE: &str = "map[string]interface {}";
const VALUES: &str = "common.Values";

struct Linter<'a> {
    folder: PathBuf,
    given: &'a Map,
    options: &'a LintOptions,
    say: fn(&Warning),
    messages: Vec<Message>,
}

impl Linter<'_> {
    fn tell(&mut self, severity: Severity, path: &str, text: impl Into<String>) {
        self.messages.push(Message { severity, path: path.to_string(), text: text.into() });
    }

    /// Tells an error; whether there was none.
    fn check(&mut self, severity: Severity, path: &str, result: Result<(), String>) -> bool {
        match result {
            Ok(()) => true,
            Err(text) => {
                self.tell(severity, path, text);
                false
            }
        }
    }

    fn values(&mut self) {
        let path = self.folder.join("values.yaml");
        if !path.exists() {
            return self.tell(Severity::Info, "values.yaml", "file does not exist");
        }
        let result = self.check_values(&path);
        self.check(Severity::Error, "values.yaml", result);
    }

    fn check_values(&self, path: &Path) -> Result<(), String> {
        let text = std::fs::read(path).map_err(|error| Error::io("open", path, &error).to_string())?;
        let table = decode::text(&text)
            .and_then(|text| decode::yaml_table(&text))
            .map_err(|problem| format!("unable to parse YAML: {}", problem.replace(ANY_TABLE, VALUES)))?;
        let mut all = self.given.clone();
        let mut warnings = Warnings::new();
        values::tables(&mut all, &table, false, &mut warnings);
        warnings.iter().for_each(self.say);
        let schema = std::fs::read(self.folder.join("values.schema.json")).unwrap_or_default();
        if schema.is_empty() || self.options.skip_schema {
            return Ok(());
        }
        Schema::new(schema.into()).violations(&Value::Object(all)).map_or(Ok(()), Err)
    }

    fn templates(&mut self) {
        const FOLDER: &str = "templates/";
        let path = self.folder.join("templates");
        if !path.exists() {
            return self.tell(Severity::Warning, FOLDER, "directory does not exist");
        }
        if !path.is_dir() {
            return self.tell(Severity::Error, FOLDER, "not a directory");
        }
        let mut chart = match Chart::load(&self.folder) {
            Ok(chart) => chart,
            Err(error) => return self.tell(Severity::Error, FOLDER, error.to_string()),
        };
        let Some(values) = self.all_values(&mut chart).map(Value::Object) else { return };
        if !self.options.skip_schema
            && let Err(error) = schema::validate(&chart, &values)
        {
            return self.tell(Severity::Error, FOLDER, error.to_string());
        }
        let mut capabilities = Capabilities::default();
        if let Some(version) = &self.options.kube_version {
            capabilities.kube_version = version.clone();
        }
        let options = ReleaseOptions {
            name: "test-release".into(),
            namespace: self.options.namespace.clone(),
            revision: 0,
            is_install: false,
            ..ReleaseOptions::default()
        };
        let (chart, capabilities) = (Arc::new(chart), Arc::new(capabilities));
        let given =
            Given { chart: chart.clone(), values: Arc::new(values), options, capabilities: capabilities.clone() };
        match templates(given, &Linting(self.say)) {
            Err(error) => self.tell(Severity::Error, FOLDER, error.to_string()),
            Ok(rendered) => self.rendered(&chart, &rendered, &capabilities),
        }
    }

    /// What the templates see; what is refused here is told by the rules about values and dependencies.
    fn all_values(&self, chart: &mut Chart) -> Option<Map> {
        let mut warnings = Warnings::new();
        let values = dependencies::process(chart, self.given, &mut warnings)
            .ok()
            .and_then(|()| values::coalesce(chart, self.given.clone(), &mut warnings).ok());
        warnings.iter().for_each(self.say);
        values
    }

    fn dependencies(&mut self) {
        let chart = match Chart::load(&self.folder) {
            Ok(chart) => chart,
            Err(error) => return self.tell(Severity::Error, "", format!("unable to load chart\n\t{error}")),
        };
        let path = self.folder.display().to_string();
        let wanted = &chart.metadata.dependencies;
        let names = |names: Vec<&str>| names.join(",");
        let unnamed = chart.dependencies.iter().map(Chart::name);
        let unnamed: Vec<&str> = unnamed.filter(|name| !wanted.iter().any(|one| one.name == *name)).collect();
        if !unnamed.is_empty() {
            self.tell(
                Severity::Error,
                &path,
                format!("chart metadata is missing these dependencies: {}", names(unnamed)),
            );
        }
        let missing = wanted.iter().map(|one| one.name.as_str());
        let missing: Vec<&str> =
            missing.filter(|name| !chart.dependencies.iter().any(|subchart| subchart.name() == *name)).collect();
        if !missing.is_empty() {
            let text = format!("chart directory is missing these dependencies: {}", names(missing));
            self.tell(Severity::Warning, &path, text);
        }
    }

    fn crds(&mut self) {
        let path = self.folder.join("crds");
        if !path.exists() {
            return;
        }
        if !path.is_dir() {
            return self.tell(Severity::Error, "crds/", "not a directory");
        }
        let chart = match Chart::load(&self.folder) {
            Ok(chart) => chart,
            Err(error) => return self.tell(Severity::Error, "crds/", error.to_string()),
        };
        for crd in chart.crds() {
            for document in values::documents(&String::from_utf8_lossy(&crd.data)) {
                match document.and_then(objects::read) {
                    Err(problem) => {
                        return self.tell(Severity::Error, &crd.name, format!("unable to parse YAML: {problem}"));
                    }
                    Ok((_, Value::Null)) => {}
                    Ok((head, _)) => self.crd(&crd.name, &head),
                }
            }
        }
    }

    fn crd(&mut self, path: &str, head: &objects::Head) {
        if !head.api_version.starts_with("apiextensions.k8s.io") {
            self.tell(Severity::Error, path, "apiVersion is not in 'apiextensions.k8s.io'");
        }
        if head.kind != "CustomResourceDefinition" {
            self.tell(Severity::Error, path, "object kind is not 'CustomResourceDefinition'");
        }
    }
}

/// Templates that are only checked: what `required` and `fail` refuse is let through.
struct Linting(fn(&Warning));

impl template::Host for Linting {
    fn warn(&self, warning: &Warning) {
        (self.0)(warning);
    }

    fn lint(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(template: &[u8]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("templates")).unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), "apiVersion: v2\nname: l\nversion: 0.1.0\n").unwrap();
        std::fs::write(folder.path().join("templates/b.yaml"), template).unwrap();
        let told = lint(folder.path(), &Map::new(), &LintOptions::default(), |_| {}).unwrap();
        told.iter().filter(|message| message.path == "templates/b.yaml").map(Message::to_string).collect()
    }

    #[test]
    fn objects_of_other_types_are_told_by_their_place() {
        let refused = |what: &str| {
            let json = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";
            vec![format!("[ERROR] templates/b.yaml: unable to parse YAML: {json} {what}")]
        };
        let metadata = refused("string into Go struct field k8sYamlStruct.Metadata of type rules.k8sYamlMetadata");
        assert_eq!(told(b"metadata: x\n"), metadata);
        let name = refused("object into Go struct field k8sYamlMetadata.Metadata.Name of type string");
        assert_eq!(told(b"metadata: {name: {}}\n"), name);
        assert_eq!(told(b"kind: []\n"), refused("array into Go struct field k8sYamlStruct.Kind of type string"));
    }

    #[test]
    fn fields_that_nobody_knows_are_told_in_lists_too() {
        let folder = tempfile::tempdir().unwrap();
        let text = "apiVersion: v2\nname: l\nversion: 0.1.0\nmaintainers:\n- {name: a, mail: b}\n";
        std::fs::write(folder.path().join("Chart.yaml"), text).unwrap();
        std::fs::write(folder.path().join("values.yaml"), "5\n").unwrap();
        let told = lint(folder.path(), &Map::new(), &LintOptions::default(), |_| {}).unwrap();
        let told: Vec<String> = told.iter().map(Message::to_string).collect();
        assert!(told[0].ends_with("json: unknown field \"mail\""), "{told:?}");
        let values = "cannot unmarshal number into Go value of type common.Values";
        assert!(told.iter().any(|line| line.ends_with(values)), "{told:?}");
    }

    #[test]
    fn lines_are_counted_from_where_the_document_begins() {
        let told = |text: &str| told(text.as_bytes()).join("|");
        assert!(told("\n\na: 1\nb c\nd: 1\n").contains("yaml: line 5: "));
        assert!(told("---\na: 1\nb c\nd: 1\n").contains("yaml: line 4: "));
        assert!(told("a: 1\n---\na: 1\nb c\nd: 1\n").contains("yaml: line 3: "));
        assert!(told("--- a: 1\n").ends_with("unable to parse YAML: invalid Yaml document separator: a: 1"));
    }

    #[test]
    fn templates_that_print_no_object_are_refused() {
        let refused = |what: &str| vec![format!("[ERROR] templates/b.yaml: unable to parse YAML: {what}")];
        let wanted = |kind: &str| {
            let json = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";
            refused(&format!("{json} {kind} into Go value of type rules.k8sYamlStruct"))
        };
        assert_eq!(told(b"- a\n"), wanted("array"));
        assert_eq!(told(b"text\n"), wanted("string"));
        assert_eq!(told(b"5\n"), wanted("number"));
        assert_eq!(told(b"a: \xff\n"), refused("error converting YAML to JSON: yaml: invalid leading UTF-8 octet"));
    }

    #[test]
    fn a_name_that_yaml_takes_for_something_else_is_a_name() {
        assert_eq!(told(b"metadata: {name: true}\n"), Vec::<String>::new());
        assert_eq!(told(b"metadata: {name: 5}\n"), Vec::<String>::new());
        assert!(told(b"metadata: {}\n")[0].contains("object name does not conform"));
    }
}
