//! Rendering: every template of a tree of charts, with the values of its own chart.
//!
//! Source of the rules: Helm `pkg/engine/engine.go`, `pkg/action/{install,action}.go`.
//!
//! ```text
//! chart + given values -> dependencies -> coalesce -> schema -> templates -> documents -> manifests, hooks, notes
//! ```

use super::capabilities::{Capabilities, View};
use super::chart::{Chart, Crd, Metadata, archive};
use super::files::Files;
use super::manifests::{self, Hook, Manifest, Printed};
use super::template::{
    self, Element, Entries, Host, Map as TemplateMap, MapKind, Shelf, Shelved, Source, Templates, Value,
};
use super::values::{self, Map, Warnings};
use super::{Error, File, dependencies, functions, schema, version, yaml};
use crate::base::hand::lend;
use crate::base::memory;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
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
    let reading = Reading::begin(chart);
    dependencies::process(chart, given, warnings)
        .map_err(|error| Error::Values(format!("chart dependencies processing failed: {error}")))?;
    let values = values::coalesce(chart, given.clone(), warnings).map_err(Error::Values)?;
    let sources = Sources::collect(chart, &values, options, capabilities);
    let templates = reading.templates(&sources);
    if !options.skip_schema {
        schema::validate(chart, &values)?;
    }
    check_kube_version(&chart.metadata, capabilities)?;
    let printed = sources.print(&templates, host);
    check(&templates)?;
    let mut printed = printed?;
    memory::leave(templates);
    let notes = take_notes(&mut printed.files, chart.name(), options.subchart_notes);
    let (manifests, hooks) = manifests::sort(&mut printed, warnings)
        .map_err(|problem| Error::Manifest { problem, rendered: everything(&printed.files) })?;
    memory::leave((printed, sources, values));
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

/// A template of some chart, and what it is executed with.
struct Renderable<'a> {
    text: &'a Arc<[u8]>,
    scope: TemplateMap,
    base_path: Rc<str>,
}

/// What every template prints, by path. Partials (`_*`) print nothing.
pub fn templates(
    chart: &Chart,
    values: &Map,
    options: &ReleaseOptions,
    capabilities: &Capabilities,
    host: &dyn Host,
) -> Result<Printed, Error> {
    let sources = Sources::collect(chart, values, options, capabilities);
    let templates = Reading::begin(chart).templates(&sources);
    // What executions have to say is of no use where a text cannot be read.
    check(&templates)?;
    sources.print(&templates, host)
}

/// The templates of a tree of charts, by path.
struct Sources<'a>(BTreeMap<String, Renderable<'a>>);

impl<'a> Sources<'a> {
    fn collect(chart: &'a Chart, values: &Map, options: &ReleaseOptions, capabilities: &Capabilities) -> Self {
        let capabilities = Value::Object(Rc::new(View(Rc::new(capabilities.clone()))));
        let scopes = Scopes { release: release(options), capabilities };
        let mut found = BTreeMap::new();
        scopes.collect(chart, chart.name(), true, Value::from_table(values), &mut found);
        Self(found)
    }

    /// What is wrong with the first template that is no text.
    fn octets_problem(&self) -> Option<&'static str> {
        let broken = self.0.values().find(|one| std::str::from_utf8(one.text).is_err())?;
        Some(yaml::octets_problem(broken.text))
    }

    fn print(&self, set: &Templates<'_>, host: &dyn Host) -> Result<Printed, Error> {
        let mut printed = Printed::default();
        for path in order(&self.0) {
            if path.rsplit('/').next().unwrap_or(path).starts_with('_') {
                continue;
            }
            let renderable = &self.0[path];
            let place = [("Name", Value::from(path)), ("BasePath", Value::from(&*renderable.base_path))];
            renderable.scope.set("Template", with_kind(Value::map_from(place)));
            let data = Value::Map(renderable.scope.with_kind(MapKind::Values));
            let bytes = set.execute(path, &data, host).map_err(|error| execution_error(&error))?;
            let is_odd = memchr::memmem::find(&bytes, REPLACED.as_bytes()).is_some();
            printed.add(path, bytes);
            // Templates are read as texts: what was none in one of them is a sign that stands for it.
            if is_odd && let Some(problem) = self.octets_problem() {
                printed.broken.insert(path.to_string(), problem);
            }
        }
        Ok(printed)
    }
}

/// What stands for bytes that are no text.
const REPLACED: &str = "\u{fffd}";

/// Templates that are being read.
struct Reading {
    shelf: Arc<Shelf>,
    begun: HashMap<String, (Source, usize)>,
}

impl Reading {
    /// Less text is read sooner than somebody else begins with it.
    const LONG: usize = 16 << 10;

    /// Begins with what does not depend on values: the chart's own templates.
    fn begin(chart: &Chart) -> Self {
        let mut reading = Self { shelf: Arc::new(Shelf::new(functions::find)), begun: HashMap::new() };
        let base = chart.name();
        let source =
            |file: &File| Source { name: archive::clean(&format!("{base}/{}", file.name)), text: file.data.clone() };
        reading.add(chart.templates.iter().map(source).collect());
        reading
    }

    fn add(&mut self, more: Vec<Source>) {
        let is_long = more.iter().map(|source| source.text.len()).sum::<usize>() > Self::LONG;
        let places = self.shelf.add(more.clone());
        self.begun.extend(more.into_iter().zip(places).map(|(source, at)| (source.name.clone(), (source, at))));
        if is_long {
            let shelf = self.shelf.clone();
            lend(move || shelf.read());
        }
    }

    /// Begins with all that was not begun, and gives the set of all templates of the sources: it need not be read for that.
    fn templates(mut self, sources: &Sources) -> Templates<'static> {
        let is_begun = |source: &Source| {
            self.begun.get(&source.name).is_some_and(|(begun, _)| Arc::ptr_eq(&begun.text, &source.text))
        };
        let all = sources.0.iter().map(|(path, one)| Source { name: path.clone(), text: one.text.clone() });
        let more = all.filter(|source| !is_begun(source)).collect();
        self.add(more);
        let in_order = order(&sources.0).into_iter().filter_map(|path| self.begun.remove(path)).collect();
        Templates::shelved(Shelved::new(self.shelf.clone(), in_order), functions::find)
    }
}

/// The error of the first template that cannot be read.
fn check(templates: &Templates) -> Result<(), Error> {
    templates.problem().map_or(Ok(()), |(path, error)| Err(parse_error(path, error)))
}

fn with_kind(value: Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(map.with_kind(MapKind::Values)),
        other => other,
    }
}

/// Deeper paths first and among equals from Z to A, so that what is defined further up wins.
fn order<'a>(found: &'a BTreeMap<String, Renderable>) -> Vec<&'a str> {
    let mut paths: Vec<(usize, &str)> =
        found.keys().map(|path| (path.bytes().filter(|byte| *byte == b'/').count(), path.as_str())).collect();
    paths.sort_by(|a, b| b.cmp(a));
    paths.into_iter().map(|(_, path)| path).collect()
}

/// What is the same for all charts of a tree.
struct Scopes {
    release: Value,
    capabilities: Value,
}

impl Scopes {
    fn collect<'a>(
        &self,
        chart: &'a Chart,
        path: &str,
        is_root: bool,
        own: Value,
        found: &mut BTreeMap<String, Renderable<'a>>,
    ) -> TemplateMap {
        let scope = TemplateMap::new(Entries::new());
        let subcharts = TemplateMap::new(Entries::new());
        let own = match own {
            Value::Map(map) => map,
            _ => TemplateMap::new(Entries::new()),
        };
        scope.set("Chart", metadata(&chart.metadata, is_root));
        scope.set("Files", Value::Object(Rc::new(Files::new(&chart.files))));
        scope.set("Release", self.release.clone());
        scope.set("Capabilities", self.capabilities.clone());
        scope.set("Values", Value::Map(own.with_kind(MapKind::Values)));
        scope.set("Subcharts", Value::Map(subcharts.clone()));
        for subchart in &chart.dependencies {
            let values = own.get(subchart.name()).unwrap_or_default();
            let inner = self.collect(subchart, &format!("{path}/charts/{}", subchart.name()), false, values, found);
            subcharts.set(subchart.name(), Value::Map(inner));
        }
        let base_path: Rc<str> = format!("{path}/templates").into();
        for file in &chart.templates {
            // A library has only parts for others.
            if chart.is_library() && !file.base().starts_with('_') {
                continue;
            }
            let renderable = Renderable { text: &file.data, scope: scope.clone(), base_path: base_path.clone() };
            found.insert(archive::clean(&format!("{path}/{}", file.name)), renderable);
        }
        scope
    }
}

fn release(options: &ReleaseOptions) -> Value {
    Value::map_from([
        ("Name", Value::from(options.name.as_str())),
        ("Namespace", options.namespace.as_str().into()),
        ("IsUpgrade", options.is_upgrade.into()),
        ("IsInstall", options.is_install.into()),
        ("Revision", options.revision.into()),
        ("Service", "Helm".into()),
    ])
}

/// An entry of `import-values`, which is a map of texts once it was followed.
fn imported(wanted: &values::Value) -> Value {
    match Value::from_json(wanted) {
        Value::Map(map) => Value::Map(map.with_kind(MapKind::Of(Element::Str))),
        other => other,
    }
}

/// `.Chart`: the fields under Go's names.
fn metadata(metadata: &Metadata, is_root: bool) -> Value {
    let text = |text: &str| Value::from(text);
    let texts = |texts: &[String]| Value::list(texts.iter().map(|text| Value::from(text.as_str())).collect());
    let maintainers = metadata
        .maintainers
        .iter()
        .map(|one| Value::map_from([("Name", text(&one.name)), ("Email", text(&one.email)), ("URL", text(&one.url))]));
    let dependencies = metadata.dependencies.iter().map(|one| {
        Value::map_from([
            ("Name", text(&one.name)),
            ("Version", text(&one.version)),
            ("Repository", text(&one.repository)),
            ("Condition", text(&one.condition)),
            ("Tags", texts(&one.tags)),
            ("Enabled", one.enabled.into()),
            ("ImportValues", Value::list(one.import_values.iter().map(imported).collect())),
            ("Alias", text(&one.alias)),
        ])
    });
    let annotations = metadata.annotations.iter().map(|(key, value)| (key.as_str().into(), text(value)));
    let annotations_kind = match metadata.has_annotations {
        true => MapKind::Of(Element::Str),
        false => MapKind::NilOf(Element::Str),
    };
    Value::map_from([
        ("Name", text(&metadata.name)),
        ("Home", text(&metadata.home)),
        ("Sources", texts(&metadata.sources)),
        ("Version", text(&metadata.version)),
        ("Description", text(&metadata.description)),
        ("Keywords", texts(&metadata.keywords)),
        ("Maintainers", Value::list(maintainers.collect())),
        ("Icon", text(&metadata.icon)),
        ("APIVersion", text(&metadata.api_version)),
        ("Condition", text(&metadata.condition)),
        ("Tags", text(&metadata.tags)),
        ("AppVersion", text(&metadata.app_version)),
        ("Deprecated", metadata.deprecated.into()),
        ("Annotations", Value::Map(TemplateMap::of(annotations_kind, annotations.collect()))),
        ("KubeVersion", text(&metadata.kube_version)),
        ("Dependencies", Value::list(dependencies.collect())),
        ("Type", text(&metadata.kind)),
        ("IsRoot", is_root.into()),
    ])
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
