//! Schemas made ready to be held against values: every rule read, every reference followed.

use super::check::Check;
use super::documents::{self, Dialect, Document, Documents, Spot, below, location, quoted, split};
use super::draft::Draft;
use super::formats::{self, Format};
use crate::charts::functions::{expression, resolved_url};
use crate::charts::values::{Map, Value};
use regex::Regex;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Which schema, of all that a compiler knows.
pub type Id = usize;

/// What may be beside the named ones.
#[derive(Debug)]
pub enum Rest {
    /// Anything or nothing.
    Allowed(bool),
    /// What fits a schema.
    Schema(Id),
}

/// What must hold if a property is there.
#[derive(Debug)]
pub enum Need {
    /// Other properties.
    Properties(Vec<String>),
    /// A schema.
    Schema(Id),
}

/// The items of a list before 2020.
#[derive(Debug)]
pub enum Items {
    /// One schema for all.
    All(Id),
    /// One for each of the first.
    Each(Vec<Id>),
}

/// Bounds of numbers.
#[derive(Debug, Default)]
pub struct Bounds {
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub multiple: Option<f64>,
}

/// Least and most of something that is counted.
pub type Range = (Option<usize>, Option<usize>);

/// A schema's rules.
#[derive(Debug, Default)]
pub struct Node {
    /// Its address as users read it.
    pub location: String,
    pub draft: u32,
    /// The schema with an address that this one belongs to.
    pub resource: Id,
    pub dynamic_anchors: BTreeMap<String, Id>,
    pub truth: Option<bool>,
    pub reference: Option<Id>,
    pub recursive: Option<Id>,
    pub is_recursive_anchor: bool,
    pub dynamic: Option<(Id, String)>,
    pub dynamic_anchor: String,
    pub types: Vec<&'static str>,
    pub constant: Option<Value>,
    pub choices: Option<Vec<Value>>,
    pub format: Option<&'static Format>,
    pub not: Option<Id>,
    pub all: Vec<Id>,
    pub any: Vec<Id>,
    pub one: Vec<Id>,
    pub condition: Option<(Id, Option<Id>, Option<Id>)>,
    pub properties_count: Range,
    pub required: Vec<String>,
    pub names: Option<Id>,
    pub properties: HashMap<String, Id>,
    pub patterns: Vec<(Rc<Regex>, Id)>,
    pub additional: Option<Rest>,
    pub dependencies: Vec<(String, Need)>,
    pub dependent_schemas: Vec<(String, Id)>,
    pub dependent_required: Vec<(String, Vec<String>)>,
    pub unevaluated_properties: Option<Id>,
    pub items_count: Range,
    pub is_unique: bool,
    pub contains: Option<(Id, Range)>,
    pub items: Option<Items>,
    pub additional_items: Option<Rest>,
    pub first_items: Vec<Id>,
    pub other_items: Option<Id>,
    pub unevaluated_items: Option<Id>,
    pub length: Range,
    pub pattern: Option<(String, Rc<Regex>)>,
    pub bounds: Bounds,
}

/// Makes schemas ready.
pub struct Compiler {
    pub(super) documents: Documents,
    /// Every schema.
    pub nodes: Vec<Node>,
    spots: Vec<Spot>,
    known: HashMap<Spot, Id>,
    ready: usize,
    /// Whether formats hold in every draft, as in schemas of schemas.
    asserts_formats: bool,
    /// The one of schemas of schemas.
    drafts: Option<Box<Compiler>>,
    /// Schemas of schemas by their rules.
    by_dialect: HashMap<(u32, Option<Vec<String>>), Id>,
}

impl Compiler {
    /// One that knows a document.
    pub fn new(url: &str, value: Value) -> Self {
        let mut compiler = Self::empty(false);
        compiler.documents.add(url, value);
        compiler.drafts = Some(Box::new(Self::empty(true)));
        compiler
    }

    fn empty(asserts_formats: bool) -> Self {
        Self {
            documents: Documents::default(),
            nodes: Vec::new(),
            spots: Vec::new(),
            known: HashMap::new(),
            ready: 0,
            asserts_formats,
            drafts: None,
            by_dialect: HashMap::new(),
        }
    }

    /// Makes the schema at an address ready, with all that it refers to.
    pub fn compile(&mut self, url: &str) -> Result<Id, String> {
        let spot = self.target(url, "")?;
        let id = self.enqueue(spot);
        while self.ready < self.nodes.len() {
            self.prepare(self.ready)?;
            self.ready += 1;
        }
        Ok(id)
    }

    fn enqueue(&mut self, spot: Spot) -> Id {
        if let Some(known) = self.known.get(&spot) {
            return *known;
        }
        let id = self.nodes.len();
        self.nodes.push(Node { location: location(&spot.0, &spot.1), ..Node::default() });
        self.spots.push(spot.clone());
        self.known.insert(spot, id);
        id
    }

    fn prepare(&mut self, id: Id) -> Result<(), String> {
        let spot = self.spots[id].clone();
        let document = self.place(&spot)?;
        let value = documents::look_up(&document.value, &spot.0, &spot.1)?;
        let Some(resource) = document.resource(&spot.1) else { return Ok(()) };
        self.nodes[id].draft = resource.dialect.draft.version;
        let owner = self.enqueue((spot.0.clone(), resource.at.clone()));
        self.nodes[id].resource = owner;
        if resource.dialect.draft.version >= 2020 && owner == id {
            for name in &resource.dynamic {
                if let Some(at) = resource.anchors.get(name) {
                    let anchored = self.enqueue((spot.0.clone(), at.clone()));
                    self.nodes[id].dynamic_anchors.insert(name.clone(), anchored);
                }
            }
        }
        match value {
            Value::Bool(truth) => self.nodes[id].truth = Some(*truth),
            Value::Object(rules) if rules.is_empty() => self.nodes[id].truth = Some(true),
            Value::Object(rules) => {
                let base = resource.id.clone();
                let mut node = std::mem::take(&mut self.nodes[id]);
                let (dialect, draft) = (&resource.dialect, resource.dialect.draft);
                let read = Rules { compiler: self, rules, spot: &spot, base, document: &document, dialect, draft }
                    .read(&mut node);
                self.nodes[id] = node;
                read?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The schema of schemas for some rules.
    fn of_dialect(&mut self, dialect: &Dialect) -> Result<Id, String> {
        let key = (dialect.draft.version, dialect.vocabularies.clone());
        if let Some(known) = self.by_dialect.get(&key) {
            return Ok(*known);
        }
        let id = match &dialect.vocabularies {
            None => self.compile(dialect.draft.url)?,
            Some(names) => {
                let mut all = Vec::new();
                for name in names {
                    all.push(self.compile(&dialect.draft.vocabulary_url(name))?);
                }
                let id = self.enqueue(("urn:mem:metaschema".into(), format!("{}", self.nodes.len())));
                let dynamic_anchors = match dialect.draft.version {
                    2020.. => BTreeMap::from([("meta".to_string(), id)]),
                    _ => BTreeMap::new(),
                };
                self.nodes[id] = Node {
                    location: "urn:mem:metaschema".into(),
                    draft: dialect.draft.version,
                    resource: id,
                    all,
                    dynamic_anchor: if dynamic_anchors.is_empty() { String::new() } else { "meta".into() },
                    dynamic_anchors,
                    ..Node::default()
                };
                self.ready = self.nodes.len();
                id
            }
        };
        self.by_dialect.insert(key, id);
        Ok(id)
    }

    /// Holds a schema against the schema of schemas of its draft, and schemas with addresses in it against those of theirs.
    pub(super) fn hold_against_draft(&mut self, document: &Document, value: &Value, at: &str) -> Result<(), String> {
        let Some(drafts) = &mut self.drafts else { return Ok(()) };
        let Some(own) = document.resource(at) else { return Ok(()) };
        let mut others = HashMap::new();
        for (at, resource) in &document.resources {
            others.insert(at.as_str(), drafts.of_dialect(&resource.dialect)?);
        }
        let schema = drafts.of_dialect(&own.dialect)?;
        match Check::of_schemas(&drafts.nodes, &others, schema).whole(schema, value) {
            None => Ok(()),
            Some(told) => {
                let place = location(document.url(), at);
                Err(format!("{} is not valid against metaschema: {}", quoted(&place), told.trim_end_matches('\n')))
            }
        }
    }
}

/// A schema that is read.
struct Rules<'r> {
    compiler: &'r mut Compiler,
    rules: &'r Map,
    spot: &'r Spot,
    base: Rc<str>,
    document: &'r Document,
    dialect: &'r Dialect,
    draft: &'static Draft,
}

impl Rules<'_> {
    fn read(&mut self, node: &mut Node) -> Result<(), String> {
        let version = self.draft.version;
        node.reference = self.reference("$ref")?;
        if version < 2019 && node.reference.is_some() {
            return Ok(());
        }
        if self.dialect.has("applicator") {
            self.read_inner(node)?;
        }
        if self.dialect.has("validation") {
            self.read_values(node)?;
        }
        let asserts = match version {
            _ if self.compiler.asserts_formats => true,
            2020 => self.dialect.has("format-assertion"),
            2019 => self.dialect.has("format"),
            _ => true,
        };
        node.format = self.text("format").filter(|_| asserts).and_then(formats::find);
        if version >= 2019 {
            node.recursive = self.reference("$recursiveRef")?;
            node.is_recursive_anchor = self.is_true("$recursiveAnchor");
            let unevaluated = if version == 2019 { "applicator" } else { "unevaluated" };
            if self.dialect.has(unevaluated) {
                node.unevaluated_items = self.one("unevaluatedItems");
                node.unevaluated_properties = self.one("unevaluatedProperties");
            }
        }
        if version >= 2020 {
            if let Some(target) = self.reference("$dynamicRef")? {
                let (_, fragment) = split(self.text("$dynamicRef").unwrap_or_default())?;
                let anchor = if fragment.starts_with('/') { String::new() } else { fragment };
                node.dynamic = Some((target, anchor));
            }
            node.dynamic_anchor = self.text("$dynamicAnchor").unwrap_or_default().to_string();
        }
        Ok(())
    }

    /// Rules that are made of schemas.
    fn read_inner(&mut self, node: &mut Node) -> Result<(), String> {
        let version = self.draft.version;
        node.all = self.list("allOf");
        node.any = self.list("anyOf");
        node.one = self.list("oneOf");
        node.not = self.one("not");
        if version < 2020 {
            node.items = match self.rules.get("items") {
                Some(Value::Array(_)) => {
                    node.additional_items = self.rest("additionalItems");
                    Some(Items::Each(self.list("items")))
                }
                _ => self.one("items").map(Items::All),
            };
        } else {
            node.first_items = self.list("prefixItems");
            node.other_items = self.one("items");
        }
        node.properties = self.table("properties").into_iter().collect();
        for (pattern, schema) in self.table("patternProperties") {
            node.patterns.push((self.expression("patternProperties", &pattern)?, schema));
        }
        node.additional = self.rest("additionalProperties");
        if let Some(Value::Object(needs)) = self.rules.get("dependencies") {
            for (name, need) in needs {
                let need = match need {
                    Value::Array(names) => Need::Properties(texts(names)),
                    _ => Need::Schema(self.below(&below(&below(&self.spot.1, "dependencies"), name))),
                };
                node.dependencies.push((name.clone(), need));
            }
        }
        if version >= 6 {
            node.names = self.one("propertyNames");
            let counts = if version >= 2019 && self.dialect.has("validation") {
                (self.count("minContains"), self.count("maxContains"))
            } else {
                (None, None)
            };
            node.contains = self.one("contains").map(|schema| (schema, counts));
        }
        if version >= 7
            && let Some(condition) = self.one("if")
        {
            let truth = self.rules.get("if").and_then(Value::as_bool);
            let then = if truth == Some(false) { None } else { self.one("then") };
            let otherwise = if truth == Some(true) { None } else { self.one("else") };
            node.condition = Some((condition, then, otherwise));
        }
        if version >= 2019 {
            node.dependent_schemas = self.table("dependentSchemas");
        }
        Ok(())
    }

    /// Rules about the value itself.
    fn read_values(&mut self, node: &mut Node) -> Result<(), String> {
        let version = self.draft.version;
        node.types = match self.rules.get("type") {
            Some(Value::String(one)) => kinds(&[one.as_str()]),
            Some(Value::Array(all)) => kinds(&all.iter().filter_map(Value::as_str).collect::<Vec<_>>()),
            _ => Vec::new(),
        };
        node.choices = self.rules.get("enum").and_then(Value::as_array).cloned();
        let number = |rule: &str| self.rules.get(rule).filter(|value| value.is_number()).and_then(Value::as_f64);
        let mut bounds = Bounds { multiple: number("multipleOf"), ..Bounds::default() };
        let (least, most) = (number("minimum"), number("maximum"));
        if self.is_true("exclusiveMaximum") {
            bounds.below = most;
        } else {
            (bounds.maximum, bounds.below) = (most, number("exclusiveMaximum"));
        }
        if self.is_true("exclusiveMinimum") {
            bounds.above = least;
        } else {
            (bounds.minimum, bounds.above) = (least, number("exclusiveMinimum"));
        }
        node.bounds = bounds;
        node.length = (self.count("minLength"), self.count("maxLength"));
        if let Some(pattern) = self.text("pattern") {
            node.pattern = Some((pattern.to_string(), self.expression("pattern", pattern)?));
        }
        node.items_count = (self.count("minItems"), self.count("maxItems"));
        node.is_unique = self.is_true("uniqueItems");
        node.properties_count = (self.count("minProperties"), self.count("maxProperties"));
        node.required = self.rules.get("required").and_then(Value::as_array).map(|all| texts(all)).unwrap_or_default();
        if version >= 6 {
            node.constant = self.rules.get("const").cloned();
        }
        if let Some(Value::Object(needs)) = self.rules.get("dependentRequired").filter(|_| version >= 2019) {
            let lists = needs.iter().filter_map(|(name, need)| Some((name.clone(), texts(need.as_array()?))));
            node.dependent_required = lists.collect();
        }
        Ok(())
    }

    fn text(&self, rule: &str) -> Option<&str> {
        self.rules.get(rule).and_then(Value::as_str)
    }

    fn is_true(&self, rule: &str) -> bool {
        self.rules.get(rule) == Some(&Value::Bool(true))
    }

    fn count(&self, rule: &str) -> Option<usize> {
        let number = self.rules.get(rule)?.as_f64()?;
        (number.fract() == 0.0 && number >= 0.0).then_some(number as usize)
    }

    fn expression(&self, rule: &str, pattern: &str) -> Result<Rc<Regex>, String> {
        let place = || location(&self.spot.0, &below(&self.spot.1, rule));
        expression(pattern).map_err(|why| format!("invalid regex {} at {}: {why}", quoted(pattern), quoted(&place())))
    }

    fn below(&mut self, at: &str) -> Id {
        self.compiler.enqueue((self.spot.0.clone(), at.to_string()))
    }

    fn one(&mut self, rule: &str) -> Option<Id> {
        self.rules.get(rule)?;
        Some(self.below(&below(&self.spot.1, rule)))
    }

    fn list(&mut self, rule: &str) -> Vec<Id> {
        let count = self.rules.get(rule).and_then(Value::as_array).map_or(0, Vec::len);
        let at = below(&self.spot.1, rule);
        (0..count).map(|index| self.below(&format!("{at}/{index}"))).collect()
    }

    fn table(&mut self, rule: &str) -> Vec<(String, Id)> {
        let Some(Value::Object(all)) = self.rules.get(rule) else { return Vec::new() };
        let at = below(&self.spot.1, rule);
        all.keys().map(|name| (name.clone(), self.below(&below(&at, name)))).collect()
    }

    fn rest(&mut self, rule: &str) -> Option<Rest> {
        match self.rules.get(rule)? {
            Value::Bool(allowed) => Some(Rest::Allowed(*allowed)),
            _ => self.one(rule).map(Rest::Schema),
        }
    }

    /// What a reference leads to, here or in another document.
    fn reference(&mut self, rule: &str) -> Result<Option<Id>, String> {
        let Some(reference) = self.text(rule) else { return Ok(None) };
        let (address, fragment) = split(reference)?;
        let joined = resolved_url(&self.base, address);
        let url = joined.map_err(|why| format!("error in parsing {}: {why}", quoted(address)))?;
        let spot = match self.document.resolve(&url, &fragment) {
            Some(found) => found?,
            None => self.compiler.target(&url, &fragment)?,
        };
        Ok(Some(self.compiler.enqueue(spot)))
    }
}

fn texts(items: &[Value]) -> Vec<String> {
    items.iter().filter_map(|item| item.as_str().map(String::from)).collect()
}

/// JSON's types in the order in which they are told.
const KINDS: &[&str] = &["null", "boolean", "number", "integer", "string", "array", "object"];

fn kinds(named: &[&str]) -> Vec<&'static str> {
    KINDS.iter().copied().filter(|kind| named.contains(kind)).collect()
}
