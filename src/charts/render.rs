//! Rendering: every template of a tree of charts, with the values of its own chart.
//!
//! Source of the rules: Helm `pkg/engine/engine.go`, `pkg/action/{install,action}.go`.
//!
//! ```text
//! chart + given values -> dependencies -> coalesce -> schema -> templates -> documents -> manifests, hooks, notes
//!
//! reading    templates that are read meanwhile          scopes    what templates see
//! executing  what templates print, by two threads
//! ```

mod executing;
mod reading;
mod scopes;

pub use reading::Reading;
pub use scopes::Given;

use super::capabilities::Capabilities;
use super::chart::{Chart, Crd, Metadata};
use super::manifests::{self, Hook, Manifest, Printed};
use super::template::{self, Host, Templates, Value};
use super::values::{self, Map, Warnings};
use super::{Error, dependencies, functions, schema, version};
use crate::base::memory;
use executing::Job;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const NOTES: &str = "NOTES.txt";

/// The release that templates are rendered for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseOptions {
    /// `.Release.Name`
    pub name: String,
    /// `.Release.Namespace`
    pub namespace: String,
    /// `.Release.Revision`
    pub revision: i64,
    /// `.Release.IsUpgrade`
    pub is_upgrade: bool,
    /// `.Release.IsInstall`
    pub is_install: bool,
    /// Values are not held against `values.schema.json`.
    pub skip_schema: bool,
    /// The notes of subcharts are part of the notes.
    pub subchart_notes: bool,
}

impl Default for ReleaseOptions {
    fn default() -> Self {
        Self {
            name: "release-name".into(),
            namespace: "default".into(),
            revision: 1,
            is_upgrade: false,
            is_install: true,
            skip_schema: false,
            subchart_notes: false,
        }
    }
}

/// What came out of a chart.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// What is applied, in the order of installing.
    pub manifests: Vec<Manifest>,
    /// What is applied when something happens.
    pub hooks: Vec<Hook>,
    /// What the user is told.
    pub notes: String,
    /// The manifests of `crds/`.
    pub crds: Vec<Crd>,
    /// What was odd about the values.
    pub warnings: Warnings,
}

impl Rendered {
    /// The manifests as one text, each with its source above; the form in which a release keeps them.
    pub fn manifest_text(&self) -> String {
        let size = self.manifests.iter().map(|one| one.text.len() + one.source.len() + 16).sum();
        let mut text = String::with_capacity(size);
        for manifest in &self.manifests {
            push_document(&mut text, &manifest.source, &manifest.text);
        }
        text
    }
}

/// Appends a document with the line that names its source.
pub fn push_document(text: &mut String, source: &str, document: &str) {
    text.push_str("---\n# Source: ");
    text.push_str(source);
    text.push('\n');
    text.push_str(document);
    text.push('\n');
}

/// Renders a chart with the values that the user gave; `host` is what templates reach outside (`lookup`).
/// What is odd is told to the host if there is no outcome to carry it. The chart is changed: subcharts that are off are
/// gone, aliases are names, imported values are its own.
pub fn render(
    chart: &mut Chart,
    given: &Map,
    options: &ReleaseOptions,
    capabilities: &Capabilities,
    host: &dyn Host,
) -> Result<Rendered, Error> {
    let mut warnings = Warnings::new();
    match render_noting(chart, given, options, capabilities, host, &mut warnings) {
        Ok(rendered) => Ok(Rendered { warnings, ..rendered }),
        Err(error) => {
            warnings.iter().for_each(|warning| host.warn(warning));
            Err(error)
        }
    }
}

fn render_noting(
    chart: &mut Chart,
    given: &Map,
    options: &ReleaseOptions,
    capabilities: &Capabilities,
    host: &dyn Host,
    warnings: &mut Warnings,
) -> Result<Rendered, Error> {
    // What is wrong is told in the order of values, schema, versions, texts of templates and executions; but the texts need not
    // wait to be read, and executions do not wait for texts that they do not need.
    let reading = chart.reading.take().unwrap_or_else(|| Reading::begin(chart.name(), chart.templates.iter()));
    dependencies::process(chart, given, warnings)
        .map_err(|error| Error::Values(format!("chart dependencies processing failed: {error}")))?;
    let values = values::coalesce(chart, given.clone(), warnings).map_err(Error::Values)?;
    let lent = Arc::new(std::mem::take(chart));
    let (options, capabilities) = (options.clone(), Arc::new(capabilities.clone()));
    let values = Arc::new(values::Value::Object(values));
    let given = Given { chart: lent.clone(), values, options, capabilities };
    let rendered = render_given(given, reading, host, warnings);
    *chart = Arc::unwrap_or_clone(lent);
    rendered
}

fn render_given(given: Given, reading: Reading, host: &dyn Host, warnings: &mut Warnings) -> Result<Rendered, Error> {
    let job = Arc::new(Job::new(given, reading));
    let Given { chart, values, options, capabilities } = &job.given;
    if !options.skip_schema {
        schema::validate(chart, values)?;
    }
    check_kube_version(&chart.metadata, capabilities)?;
    let mut printed = job.print(host)?;
    let notes = take_notes(&mut printed.files, chart.name(), options.subchart_notes);
    let (manifests, hooks) = manifests::sort(&mut printed, warnings)
        .map_err(|problem| Error::Manifest { problem, rendered: everything(&printed.files) })?;
    memory::leave(printed);
    Ok(Rendered { manifests, hooks, notes, crds: chart.crds(), warnings: Warnings::new() })
}

fn check_kube_version(metadata: &Metadata, capabilities: &Capabilities) -> Result<(), Error> {
    let (wanted, has) = (&metadata.kube_version, &capabilities.kube_version);
    if wanted.is_empty() || version::is_compatible(wanted, &has.normal) {
        return Ok(());
    }
    let has = &has.version;
    Err(Error::Incompatible(format!(
        "chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {has}"
    )))
}

fn take_notes(files: &mut BTreeMap<String, String>, chart: &str, with_subcharts: bool) -> String {
    let own = format!("{chart}/templates/{NOTES}");
    let mut notes = String::new();
    files.retain(|path, text| {
        let is_notes = path.ends_with(NOTES);
        if is_notes && (with_subcharts || *path == own) {
            if !notes.is_empty() {
                notes.push('\n');
            }
            notes.push_str(text);
        }
        !is_notes
    });
    notes
}

fn everything(files: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (path, file) in files.iter().filter(|(_, file)| !file.trim().is_empty()) {
        push_document(&mut text, path, file);
    }
    text
}

/// What every template prints, by path. Partials (`_*`) print nothing.
pub fn templates(given: Given, host: &dyn Host) -> Result<Printed, Error> {
    let reading = Reading::begin(given.chart.name(), given.chart.templates.iter());
    Job::new(given, reading).print_in_order(host)
}

/// The name that `--name-template` makes.
pub fn release_name(text: &str, host: &dyn Host) -> Result<String, Error> {
    render_text("name-template", text, &Value::Nil, host)
}

/// What a single template prints.
pub fn render_text(name: &str, text: &str, data: &Value, host: &dyn Host) -> Result<String, Error> {
    let mut set = Templates::new(functions::find);
    let problem = |error: template::Error| Error::Template(error.to_string());
    set.parse(name, text).map_err(problem)?;
    let bytes = set.execute(name, data, host).map_err(problem)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| template::lossy(error.as_bytes()).into_owned()))
}

/// Helm's form of an error while parsing.
fn parse_error(path: &str, error: &template::Error) -> Error {
    let text = error.to_string();
    let tokens: Vec<&str> = text.split(": ").collect();
    Error::Template(match tokens.as_slice() {
        [_, location, .., problem] => format!("parse error at ({location}): {problem}"),
        [_, location] => format!("parse error at ({location}): {location}"),
        _ => format!("parse error in ({path}): {text}"),
    })
}

/// The marks that Helm's `required` and `fail` put around their message.
const MARKS: (&str, &str) = ("HELM_ERR_START", "HELM_ERR_END");

/// Helm's form of an error while executing: one line for each template that was on the way.
fn execution_error(error: &template::Error) -> Error {
    let text = error.to_string();
    if !error.is_execution() {
        return Error::Template(text);
    }
    let tokens: Vec<&str> = text.splitn(3, ": ").collect();
    let [_, location, rest] = tokens[..] else {
        return Error::Template(format!("execution error in ({text})"));
    };
    let marked = rest.find(MARKS.0).zip(rest.rfind(MARKS.1));
    if let Some((start, end)) = marked.filter(|(start, end)| start + MARKS.0.len() <= *end) {
        let message = &rest[start + MARKS.0.len()..end];
        return Error::Template(format!("execution error at ({location}): {message}"));
    }
    let mut heads = Vec::new();
    for error in error.chain() {
        let head = error.head();
        if Place::read(&head).is_none() {
            return Error::Template(text);
        }
        heads.push(head);
    }
    let mut places: Vec<Place> = heads.iter().filter_map(|head| Place::read(head)).collect();
    places.dedup();
    Error::Template(places.iter().map(Place::to_string).collect::<String>().trim().to_string())
}

/// One template on the way to an error.
#[derive(PartialEq)]
struct Place<'a> {
    location: &'a str,
    executing: Option<(&'a str, &'a str)>,
    message: &'a str,
}

impl<'a> Place<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("template: ")?;
        if rest.starts_with("no template ") {
            return Some(Self { location: "", executing: None, message: text });
        }
        let cut = |message: &'a str| message.find(" template:").map_or(message, |end| &message[..end]);
        if let Some((location, after)) = rest.split_once(": executing ")
            && let Some((function, after)) = after.strip_prefix('"').and_then(|after| after.split_once('"'))
            && let Some((node, message)) = after.strip_prefix(" at <").and_then(|after| after.split_once(">: "))
        {
            return Some(Self { location, executing: Some((function, node)), message: cut(message) });
        }
        let (location, message) = rest.rsplit_once(": ")?;
        Some(Self { location, executing: None, message: cut(message) })
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.location.is_empty() {
            write!(f, "{}\n  ", self.location)?;
        }
        if let Some((function, node)) = self.executing {
            write!(f, "executing \"{function}\" at <{node}>:\n    ")?;
        }
        if !self.message.is_empty() {
            writeln!(f, "{}", self.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::template::Offline;
    use crate::charts::values::Warning;
    use crate::charts::{File, chart::load_files};
    use std::cell::RefCell;

    /// A host that keeps what it is told.
    #[derive(Default)]
    struct Listening(RefCell<Vec<String>>);

    impl Host for Listening {
        fn warn(&self, warning: &Warning) {
            self.0.borrow_mut().push(warning.to_string());
        }
    }

    #[test]
    fn what_was_odd_is_told_though_the_render_fails() {
        let files = [
            ("Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n"),
            ("values.yaml", "a: 1\n"),
            ("templates/a.yaml", "{{ fail \"no\" }}"),
        ];
        let files = files.map(|(name, text)| File::new(name, text.as_bytes(), 0));
        let mut chart = load_files(files.to_vec()).unwrap();
        let (options, capabilities) = (ReleaseOptions::default(), Capabilities::default());
        let given = serde_json::json!({"a": {"b": 1}}).as_object().unwrap().clone();
        let host = Listening::default();
        render(&mut chart, &given, &options, &capabilities, &host).err().unwrap();
        let told = "level=INFO msg=\"warning: skipped value for app.a: Not a table.\"";
        assert_eq!(host.0.into_inner(), [told]);
    }

    fn problem(values: &str, template: &str) -> String {
        let schema = r#"{"properties": {"port": {"type": "integer"}}}"#;
        let files = [
            ("Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n"),
            ("values.yaml", values),
            ("values.schema.json", schema),
            ("templates/a.yaml", template),
        ];
        let files = files.map(|(name, text)| File::new(name, text.as_bytes(), 0));
        let mut chart = load_files(files.to_vec()).unwrap();
        let (options, capabilities) = (ReleaseOptions::default(), Capabilities::default());
        render(&mut chart, &Map::new(), &options, &capabilities, &Offline)
            .map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn wrong_values_are_told_before_broken_templates() {
        assert!(problem("port: x", "a: {{ .Values.port").contains("- at '/port': got string, want integer"));
        let told = problem("port: 1", "a: {{ .Values.port");
        assert_eq!(told, "parse error at (app/templates/a.yaml:1): unclosed action");
        assert_eq!(problem("port: 1", "a: {{ .Values.port }}"), "");
    }

    #[test]
    fn a_text_that_hands_itself_to_tpl_ends_in_a_short_error() {
        let problem =
            |text: &str| crate::charts::template::on_stack(|| problem(text, "{{ tpl .Values.x . }}")).unwrap();
        let text = |size: usize| format!("x: '{{{{/*{}*/}}}}{{{{ tpl .Values.x . }}}}'\n", "long".repeat(size));
        let told = problem(&text(0));
        assert!(
            told.ends_with(": rendering template has texts nested too deeply: unable to execute template"),
            "{told}"
        );
        assert!(told.starts_with("template: app/templates/a.yaml:1:3: executing"), "{told}");
        // Each level keeps nothing of the text.
        let told = problem(&text(10_000));
        assert!(told.len() < 100_000, "{}", told.len());
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_are_printed() {
        let files = |bytes: &[u8]| {
            let files = [
                File::new("Chart.yaml", b"apiVersion: v2\nname: z\nversion: 1.0.0\n", 0),
                File::new("templates/a.yaml", bytes, 0),
            ];
            let mut chart = load_files(files.to_vec()).unwrap();
            let (options, capabilities) = (ReleaseOptions::default(), Capabilities::default());
            render(&mut chart, &Map::new(), &options, &capabilities, &Offline).map(|rendered| rendered.manifest_text())
        };
        let told = files(b"a: \xff\xfe").unwrap_err().to_string();
        assert_eq!(
            told,
            "YAML parse error on z/templates/a.yaml: error converting YAML to JSON: yaml: invalid leading UTF-8 octet"
        );
        assert!(files(b"a: {{/* \xff */}}1").is_ok());
        assert!(files("a: \u{fffd}".as_bytes()).is_ok());
    }

    #[test]
    fn the_version_of_kubernetes_is_a_text_only_where_it_is_printed_in_place() {
        let told = |text: &str| {
            problem("", &format!("{{{{ define \"t\" }}}}{text}{{{{ end }}}}{{{{ fail (include \"t\" .) }}}}"))
        };
        let version = ".Capabilities.KubeVersion";
        assert!(told(&format!("{{{{ {version} }}}}")).ends_with(": v1.37.0"));
        for text in ["printf \"%s\" K", "print K", "toString K", "K | html"] {
            let text = text.replace('K', version);
            let told = told(&format!("{{{{ {text} }}}}"));
            assert!(told.ends_with(": {v1.37.0 v1.37.0 1 37}"), "{told}");
        }
        assert!(told("{{ printf \"%v\" .Capabilities }}").contains(": &{{v1.37.0 v1.37.0 1 37} [v1 "));
        assert!(told("{{ typeOf . }}").ends_with(": common.Values"));
    }

    #[test]
    fn break_in_the_else_of_a_loop_ends_that_loop() {
        let chart = |word: &str| {
            let inner = format!("{{{{ range list }}}}{{{{ else }}}}{{{{ {word} }}}}{{{{ end }}}}");
            let define = format!("{{{{ define \"t\" }}}}{{{{ range list 1 2 }}}}a{inner}b{{{{ end }}}}{{{{ end }}}}");
            format!("{define}{{{{ fail (include \"t\" .) }}}}")
        };
        assert!(problem("", &chart("break")).ends_with(": abab"), "{}", problem("", &chart("break")));
        assert!(problem("", &chart("continue")).ends_with(": aa"));
    }

    #[test]
    fn errors_name_the_line_where_the_token_began() {
        let told = problem("", "a\n{{- /*\n\n*/ -}}\n\n{{ if\n .x }}\n{{ `a\nb` | nope }}");
        assert_eq!(told, "parse error at (app/templates/a.yaml:9): function \"nope\" not defined");
        let told = problem("", "{{ if (eq 1\n  2 }}{{ end }}");
        assert_eq!(
            told,
            "parse error at (app/templates/a.yaml:2): unclosed left paren in action started at app/templates/a.yaml:1"
        );
    }

    #[test]
    fn many_long_templates_are_read_as_few_short_ones() {
        let text =
            |at: usize| format!("{{{{/* {} */}}}}\n{{{{- define \"t{at}\" }}}}{at}{{{{ end }}}}", "long ".repeat(400));
        let mut files = vec![File::new("Chart.yaml", b"apiVersion: v2\nname: app\nversion: 1.0.0\n", 0)];
        files.extend((0..20).map(|at| File::new(format!("templates/_{at:02}.tpl"), text(at).as_bytes(), 0)));
        let all: String = (0..20).map(|at| format!("k{at}: {{{{ template \"t{at}\" }}}}\n")).collect();
        files.push(File::new("templates/all.yaml", all.as_bytes(), 0));
        let rendered = |files: &[File]| {
            let mut chart = load_files(files.to_vec()).unwrap();
            let (options, capabilities) = (ReleaseOptions::default(), Capabilities::default());
            render(&mut chart, &Map::new(), &options, &capabilities, &Offline).map(|rendered| rendered.manifest_text())
        };
        let wanted: String = (0..20).map(|at| format!("k{at}: {at}\n")).collect();
        let printed = rendered(&files).unwrap();
        assert!(printed.contains(wanted.trim_end()), "{printed}");
        // Of two that are broken the one that is read first is told, however long it is.
        files.push(File::new("templates/_03.txt", b"{{ nope }}", 0));
        files.push(File::new("templates/_02.txt", format!("{}{{{{ nope", text(99)).as_bytes(), 0));
        let told = rendered(&files).unwrap_err().to_string();
        assert_eq!(told, "parse error at (app/templates/_03.txt:1): function \"nope\" not defined");
    }
}
