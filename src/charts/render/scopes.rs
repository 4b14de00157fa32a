//! What templates are executed with: `.Values`, `.Release`, `.Chart`, `.Files` and the others, for each chart of a tree.

use super::ReleaseOptions;
use super::reading::source;
use crate::charts::capabilities::{Capabilities, View};
use crate::charts::chart::{Chart, Metadata};
use crate::charts::files::Files;
use crate::charts::template::{Element, Entries, Map as TemplateMap, MapKind, Source, Value};
use crate::charts::values;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What is rendered and with what, for all threads.
pub struct Given {
    /// The chart, without the subcharts that are off.
    pub chart: Arc<Chart>,
    /// What its templates see, and those of its subcharts below their names.
    pub values: Arc<values::Value>,
    /// The release that it is rendered for.
    pub options: ReleaseOptions,
    /// What the cluster is and has.
    pub capabilities: Arc<Capabilities>,
}

/// A template, and which chart it is of, counted from the outermost one on.
pub struct Template {
    pub source: Source,
    pub chart: usize,
}

/// The templates of a tree of charts in the order in which they are read and executed: deeper paths first and among equals from
/// Z to A, so that what is defined further up wins.
pub fn templates(chart: &Chart) -> Vec<Template> {
    let mut found = BTreeMap::new();
    find(chart, chart.name(), &mut 0, &mut found);
    let depth = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
    let mut found: Vec<_> = found.into_iter().map(|(path, one)| (depth(&path), one)).collect();
    found.sort_by(|a, b| (b.0, &b.1.source.name).cmp(&(a.0, &a.1.source.name)));
    found.into_iter().map(|(_, one)| one).collect()
}

fn find(chart: &Chart, path: &str, charts: &mut usize, found: &mut BTreeMap<String, Template>) {
    let own = *charts;
    *charts += 1;
    for subchart in &chart.dependencies {
        find(subchart, &format!("{path}/charts/{}", subchart.name()), charts, found);
    }
    // A library has only parts for others.
    let counts = |base: &str| !chart.is_library() || base.starts_with('_');
    for file in chart.templates.iter().filter(|file| counts(file.base())) {
        let source = source(path, file);
        found.insert(source.name.clone(), Template { source, chart: own });
    }
}

/// What the templates of one chart see.
pub struct Scope {
    all: TemplateMap,
    base_path: Rc<str>,
}

impl Scope {
    /// `.` of one of its templates.
    pub fn of(&self, path: &str) -> Value {
        let place = [("Name", Value::from(path)), ("BasePath", Value::from(&*self.base_path))];
        self.all.set("Template", with_kind(Value::map_from(place)));
        Value::Map(self.all.with_kind(MapKind::Values))
    }
}

/// The scopes of a tree of charts, for one thread, the outermost first.
pub fn scopes(given: &Given) -> Vec<Scope> {
    let capabilities = Value::Object(Rc::new(View(given.capabilities.clone())));
    let mut scopes = Scopes { release: release(&given.options), capabilities, all: Vec::new() };
    let chart = &given.chart;
    let outermost = scopes.collect(chart, chart.name(), true, Value::from_json(&given.values));
    Value::Map(outermost).give();
    scopes.all
}

/// What is the same for all charts of a tree, and their scopes.
struct Scopes {
    release: Value,
    capabilities: Value,
    all: Vec<Scope>,
}

impl Scopes {
    fn collect(&mut self, chart: &Chart, path: &str, is_root: bool, own: Value) -> TemplateMap {
        let scope = TemplateMap::new(Entries::new());
        self.all.push(Scope { all: scope.clone(), base_path: format!("{path}/templates").into() });
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
            let inner = self.collect(subchart, &format!("{path}/charts/{}", subchart.name()), false, values);
            subcharts.set(subchart.name(), Value::Map(inner));
        }
        scope
    }
}

fn with_kind(value: Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(map.with_kind(MapKind::Values)),
        other => other,
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
