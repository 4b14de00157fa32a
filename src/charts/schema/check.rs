//! Schemas held against values, with the words and the order of santhosh-tekuri/jsonschema v6, which Helm uses.

use super::compile::{Id, Items, Need, Node, Range, Rest};
use super::words::{Path, Problem, Shape, choice, choices, count, counts, kind, list, number, quote};
use crate::charts::values::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

/// What holds values against schemas.
pub struct Check<'n> {
    nodes: &'n [Node],
    /// When values are schemas: which schema of schemas holds at which place, and the one to begin with.
    schemas: Option<(&'n HashMap<&'n str, Id>, Id)>,
}

/// The way through schemas that led here, for cycles and for references that depend on it.
struct Scope<'s> {
    node: Id,
    /// The rule, where it was a reference.
    rule: &'static str,
    /// How deep in the value: scopes of one depth are about the same value.
    depth: usize,
    /// How many schemas led here.
    length: usize,
    before: Option<&'s Scope<'s>>,
}

/// The most schemas that may lead to each other: more would need more stack than there is.
const LONGEST: usize = 10_000;

/// What no rule has looked at so far.
#[derive(Default)]
struct Unseen<'v> {
    properties: BTreeSet<&'v str>,
    items: BTreeSet<usize>,
}

impl<'v> Unseen<'v> {
    fn of(value: &'v Value, node: &Node, wanted: bool) -> Self {
        let mut unseen = Self::default();
        match value {
            Value::Object(table) if node.additional.is_none() && (wanted || node.unevaluated_properties.is_some()) => {
                unseen.properties = table.keys().map(String::as_str).collect();
            }
            Value::Array(items) if wanted || node.unevaluated_items.is_some() => {
                let all = match &node.items {
                    _ if node.draft >= 2020 => node.other_items.is_some(),
                    Some(Items::All(_)) => true,
                    _ => node.additional_items.is_some(),
                };
                let first = match &node.items {
                    Some(Items::Each(each)) => each.len(),
                    _ => node.first_items.len(),
                };
                if !all {
                    unseen.items = (first..items.len()).collect();
                }
            }
            _ => {}
        }
        unseen
    }

    fn is_empty(&self) -> bool {
        self.properties.is_empty() && self.items.is_empty()
    }

    fn merge(&mut self, other: &Self) {
        self.properties.retain(|name| other.properties.contains(name));
        self.items.retain(|index| other.items.contains(index));
    }
}

/// One schema held against one value.
struct Here<'h, 'v> {
    check: &'h Check<'h>,
    node: &'h Node,
    value: &'v Value,
    path: &'h Path<'h>,
    scope: &'h Scope<'h>,
    unseen: Unseen<'v>,
    problems: Vec<Problem>,
    /// Whether only it matters if it fits.
    quick: bool,
    /// The schema of schemas that holds here.
    schemas: Option<Id>,
}

type Checked<'v> = Result<Unseen<'v>, Problem>;

impl<'n> Check<'n> {
    /// For values.
    pub fn new(nodes: &'n [Node]) -> Self {
        Self { nodes, schemas: None }
    }

    /// For values that are schemas, some of which have schemas of schemas of their own.
    pub fn of_schemas(nodes: &'n [Node], others: &'n HashMap<&'n str, Id>, first: Id) -> Self {
        Self { nodes, schemas: Some((others, first)) }
    }

    /// Everything that is wrong, one a line below a line that says so; nothing if it fits.
    pub fn whole(&self, id: Id, value: &Value) -> Option<String> {
        let problems = self.top(id, value, self.schemas.map(|(_, first)| first));
        if problems.is_empty() {
            return None;
        }
        let mut out = format!("jsonschema validation failed with {}\n", quote(&self.nodes[id].location));
        problems.iter().for_each(|problem| problem.write(0, &mut out));
        Some(out)
    }

    fn top(&self, id: Id, value: &Value, schemas: Option<Id>) -> Vec<Problem> {
        let scope = Scope { node: id, rule: "", depth: 0, length: 0, before: None };
        let unseen = Unseen::of(value, &self.nodes[id], false);
        match self.run(id, value, &Path::TOP, &scope, unseen, false, schemas) {
            Ok(_) => Vec::new(),
            Err(problem) if problem.shape == Shape::Group => problem.causes,
            Err(problem) => vec![problem],
        }
    }

    #[allow(clippy::too_many_arguments)] // What differs from schema to schema; the rest is in `self`.
    fn run<'v>(
        &self,
        id: Id,
        value: &'v Value,
        path: &Path<'_>,
        scope: &Scope<'_>,
        unseen: Unseen<'v>,
        quick: bool,
        mut schemas: Option<Id>,
    ) -> Checked<'v> {
        let mut id = id;
        if let Some((others, _)) = self.schemas.filter(|_| schemas == Some(id) && scope.before.is_some())
            && let Some(own) = others.get(path.pointer().as_str())
        {
            (id, schemas) = (*own, Some(*own));
        }
        let node = &self.nodes[id];
        Here { check: self, node, value, path, scope, unseen, problems: Vec::new(), quick, schemas }.run()
    }
}

impl<'v> Here<'_, 'v> {
    fn run(mut self) -> Checked<'v> {
        match self.node.truth {
            Some(true) => return Ok(self.unseen),
            Some(false) => return Err(self.problem(|| "false schema".into())),
            None => {}
        }
        if self.scope.length > LONGEST {
            return Err(self.problem(|| format!("more than {LONGEST} schemas lead to each other")));
        }
        if let Some(text) = self.cycle() {
            return Err(self.problem(|| text));
        }
        if let Some(text) = self.first() {
            return Err(self.problem(|| text));
        }
        if let Some(target) = self.node.reference {
            let found = self.refer(target, "$ref");
            if self.node.draft < 2019 {
                return found.map(|()| self.unseen);
            }
            self.add(found);
        }
        match self.value {
            Value::Object(table) => self.table(table),
            Value::Array(items) => self.list(items),
            Value::String(text) => self.text(text),
            Value::Number(found) => self.number(found.as_f64().unwrap_or_default()),
            _ => {}
        }
        if self.problems.is_empty() || !self.quick {
            if self.node.draft >= 2019 {
                self.references();
            }
            self.conditions();
            if self.node.draft >= 2019 {
                self.unevaluated();
            }
        }
        match self.problems.len() {
            0 => Ok(self.unseen),
            1 => Err(self.problems.remove(0)),
            _ => {
                let causes = std::mem::take(&mut self.problems);
                Err(Problem { shape: Shape::Group, causes, ..self.problem(|| "validation failed".into()) })
            }
        }
    }

    fn problem(&self, text: impl FnOnce() -> String) -> Problem {
        let (path, text) = if self.quick { Default::default() } else { (self.path.pointer(), text()) };
        Problem { path, text, shape: Shape::Plain, causes: Vec::new() }
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        let problem = self.problem(text);
        self.problems.push(problem);
    }

    fn tell_with(&mut self, text: &str, causes: Vec<Problem>) {
        let problem = Problem { causes, ..self.problem(|| text.to_string()) };
        self.problems.push(problem);
    }

    fn add<T>(&mut self, found: Result<T, Problem>) {
        self.problems.extend(found.err());
    }

    /// Another schema, held against the same value.
    fn same(&mut self, id: Id, rule: &'static str, quick: bool) -> Result<(), Problem> {
        let length = self.scope.length + 1;
        let scope = Scope { node: id, rule, depth: self.scope.depth, length, before: Some(self.scope) };
        let unseen = Unseen::of(self.value, &self.check.nodes[id], !self.unseen.is_empty());
        let quick = self.quick || quick;
        let seen = self.check.run(id, self.value, self.path, &scope, unseen, quick, self.schemas)?;
        self.unseen.merge(&seen);
        Ok(())
    }

    /// A value inside this one.
    fn inner(&self, id: Id, value: &Value, name: &str) -> Result<(), Problem> {
        let path = Path { before: Some(self.path), name };
        let (depth, length) = (self.scope.depth + 1, self.scope.length + 1);
        let scope = Scope { node: id, rule: "", depth, length, before: Some(self.scope) };
        let unseen = Unseen::of(value, &self.check.nodes[id], false);
        self.check.run(id, value, &path, &scope, unseen, self.quick, self.schemas).map(|_| ())
    }

    fn refer(&mut self, target: Id, rule: &'static str) -> Result<(), Problem> {
        self.same(target, rule, false).map_err(|cause| {
            let causes = if cause.shape == Shape::Group { cause.causes } else { vec![cause] };
            Problem { shape: Shape::Reference, causes, ..self.problem(|| "validation failed".into()) }
        })
    }

    /// A schema that leads to itself without going down in the value.
    fn cycle(&self) -> Option<String> {
        let mut before = self.scope.before;
        while let Some(scope) = before.filter(|scope| scope.depth == self.scope.depth) {
            if scope.node == self.scope.node {
                let (now, then) = (self.way(self.scope), self.way(scope));
                let location = super::documents::quoted(&self.node.location);
                return Some(format!("both {now} and {then} resolve to {location} causing reference cycle"));
            }
            before = scope.before;
        }
        None
    }

    fn way(&self, scope: &Scope<'_>) -> String {
        let mut way = String::new();
        let mut scope = scope;
        while let Some(before) = scope.before {
            let step = match scope.rule {
                "" => {
                    let (own, parent) =
                        (&self.check.nodes[scope.node].location, &self.check.nodes[before.node].location);
                    own.get(parent.len()..).unwrap_or_default().to_string()
                }
                rule => format!("/{rule}"),
            };
            way = step + &way;
            scope = before;
        }
        way
    }

    /// The rules that end the check when they fail: type, const, enum, format.
    fn first(&self) -> Option<String> {
        let (node, value) = (self.node, self.value);
        let found = kind(value);
        let is_whole = || value.as_f64().is_some_and(|number| number.fract() == 0.0);
        let fits = |name: &&str| *name == found || *name == "integer" && found == "number" && is_whole();
        if !node.types.is_empty() && !node.types.iter().any(fits) {
            return Some(format!("got {found}, want {}", node.types.join(" or ")));
        }
        if let Some(wanted) = node.constant.as_ref().filter(|wanted| !same(wanted, value)) {
            return Some(choice(wanted));
        }
        if let Some(wanted) = node.choices.as_ref().filter(|wanted| !wanted.iter().any(|one| same(one, value))) {
            return Some(choices(wanted));
        }
        let (format, text) = (node.format?, value.as_str()?);
        let why = (format.check)(text).err()?;
        Some(format!("{} is not valid {}: {why}", quote(text), format.name))
    }

    fn range(&mut self, found: usize, (least, most): Range, names: [&str; 2]) {
        if let Some(wanted) = least.filter(|wanted| found < *wanted) {
            self.tell(|| format!("{}: got {}, want {}", names[0], count(found), count(wanted)));
        }
        if let Some(wanted) = most.filter(|wanted| found > *wanted) {
            self.tell(|| format!("{}: got {}, want {}", names[1], count(found), count(wanted)));
        }
    }

    fn table(&mut self, table: &'v Map) {
        let node = self.node;
        self.range(table.len(), node.properties_count, ["minProperties", "maxProperties"]);
        let missing = missing(table, &node.required);
        match missing.len() {
            0 => {}
            1 => self.tell(|| format!("missing property {}", list(&missing))),
            _ => self.tell(|| format!("missing properties {}", list(&missing))),
        }
        if self.quick && !self.problems.is_empty() {
            return;
        }
        for (name, need) in node.dependencies.iter().filter(|(name, _)| table.contains_key(name)) {
            match need {
                Need::Properties(names) => self.needed(table, name, names),
                Need::Schema(schema) => {
                    let found = self.same(*schema, "", false);
                    self.add(found);
                }
            }
        }
        self.properties(table);
        if let Some(names) = node.names {
            for name in table.keys() {
                let value = Value::from(name.as_str());
                let causes = self.check.top(names, &value, self.schemas);
                if !causes.is_empty() {
                    let text = format!("invalid propertyName {}", quote(name));
                    self.problems.push(Problem { path: String::new(), text, shape: Shape::Plain, causes });
                }
            }
        }
        for (_, schema) in node.dependent_schemas.iter().filter(|(name, _)| table.contains_key(name)) {
            let found = self.same(*schema, "", false);
            self.add(found);
        }
        for (name, names) in node.dependent_required.iter().filter(|(name, _)| table.contains_key(name)) {
            self.needed(table, name, names);
        }
    }

    /// Properties that must be there if one is.
    fn needed(&mut self, table: &Map, name: &str, names: &[String]) {
        let missing = missing(table, names);
        if !missing.is_empty() {
            self.tell(|| format!("properties {} required, if {} exists", list(&missing), quote(name)));
        }
    }

    fn properties(&mut self, table: &'v Map) {
        let node = self.node;
        let mut refused = Vec::new();
        for (name, value) in table {
            if self.quick && !self.problems.is_empty() {
                return;
            }
            let mut seen = false;
            if let Some(schema) = node.properties.get(name) {
                seen = true;
                self.add(self.inner(*schema, value, name));
            }
            for (_, schema) in node.patterns.iter().filter(|(pattern, _)| pattern.is_match(name)) {
                seen = true;
                self.add(self.inner(*schema, value, name));
            }
            match &node.additional {
                Some(Rest::Allowed(allowed)) if !seen => {
                    seen = true;
                    refused.extend((!allowed).then_some(name.as_str()));
                }
                Some(Rest::Schema(schema)) if !seen => {
                    seen = true;
                    self.add(self.inner(*schema, value, name));
                }
                _ => {}
            }
            if seen {
                self.unseen.properties.remove(name.as_str());
            }
        }
        if !refused.is_empty() {
            self.tell(|| format!("additional properties {} not allowed", list(&refused)));
        }
    }

    fn list(&mut self, items: &'v [Value]) {
        let node = self.node;
        self.range(items.len(), node.items_count, ["minItems", "maxItems"]);
        if node.is_unique
            && let Some((first, second)) = twice(items)
        {
            self.tell(|| format!("items at {} and {} are equal", count(first), count(second)));
        }
        let (first, all) = match &node.items {
            _ if node.draft >= 2020 => (node.first_items.as_slice(), node.other_items),
            Some(Items::Each(each)) => (each.as_slice(), None),
            Some(Items::All(schema)) => (&[][..], Some(*schema)),
            None => (&[][..], None),
        };
        for (index, (schema, item)) in first.iter().zip(items).enumerate() {
            self.add(self.inner(*schema, item, &index.to_string()));
        }
        let done = first.len().min(items.len());
        let rest = &items[done..];
        let additional = match &node.additional_items {
            Some(Rest::Schema(schema)) => Some(*schema),
            Some(Rest::Allowed(false)) if !rest.is_empty() => {
                self.tell(|| format!("last {} additionalItem(s) not allowed", count(rest.len())));
                None
            }
            _ => None,
        };
        // Counted from the first of the rest, as Helm's validator does.
        if let Some(schema) = all.or(additional) {
            for (index, item) in rest.iter().enumerate() {
                self.add(self.inner(schema, item, &index.to_string()));
            }
        }
        self.contained(items);
    }

    fn contained(&mut self, items: &[Value]) {
        let Some((schema, (least, most))) = self.node.contains else { return };
        let (mut causes, mut matching) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match self.inner(schema, item, &index.to_string()) {
                Err(cause) => causes.push(cause),
                Ok(()) => {
                    matching.push(index);
                    if self.node.draft >= 2020 {
                        self.unseen.items.remove(&index);
                    }
                }
            }
        }
        match least {
            Some(wanted) if matching.len() < wanted => {
                let wanted = count(wanted);
                let found = match matching.len() {
                    0 => "none matched".to_string(),
                    found => format!("matched {} items at {}", count(found), counts(&matching)),
                };
                self.tell_with(&format!("min {wanted} items required to match contains schema, but {found}"), causes);
            }
            None if matching.is_empty() => self.tell_with("no items match contains schema", causes),
            _ => {}
        }
        if let Some(wanted) = most.filter(|wanted| matching.len() > *wanted) {
            let (wanted, found) = (count(wanted), count(matching.len()));
            let at = counts(&matching);
            self.tell(|| {
                format!("max {wanted} items required to match contains schema, but matched {found} items at {at}")
            });
        }
    }

    fn text(&mut self, text: &str) {
        let node = self.node;
        if node.length != (None, None) {
            self.range(text.chars().count(), node.length, ["minLength", "maxLength"]);
        }
        if let Some((pattern, _)) = node.pattern.as_ref().filter(|(_, regex)| !regex.is_match(text)) {
            self.tell(|| format!("{} does not match pattern {}", quote(text), quote(pattern)));
        }
    }

    fn number(&mut self, found: f64) {
        type Fails = fn(f64, f64) -> bool;
        let bounds = &self.node.bounds;
        let rules: [(&str, Option<f64>, Fails); 5] = [
            ("minimum", bounds.minimum, |a, b| a < b),
            ("maximum", bounds.maximum, |a, b| a > b),
            ("exclusiveMinimum", bounds.above, |a, b| a <= b),
            ("exclusiveMaximum", bounds.below, |a, b| a >= b),
            ("multipleOf", bounds.multiple, |a, b| !is_multiple(a, b)),
        ];
        for (name, wanted, fails) in rules {
            if let Some(wanted) = wanted.filter(|wanted| fails(found, *wanted)) {
                self.tell(|| format!("{name}: got {}, want {}", number(found), number(wanted)));
            }
        }
    }

    fn references(&mut self) {
        if let Some(mut target) = self.node.recursive {
            if self.check.nodes[target].is_recursive_anchor {
                let owner = |scope: &Scope<'_>| &self.check.nodes[self.check.nodes[scope.node].resource];
                let anchored = self.scopes().filter(|scope| owner(scope).is_recursive_anchor);
                target = anchored.last().map_or(target, |scope| scope.node);
            }
            let found = self.refer(target, "$recursiveRef");
            self.add(found);
        }
        if let Some((mut target, anchor)) = self.node.dynamic.as_ref().map(|(target, anchor)| (*target, anchor)) {
            if !anchor.is_empty() && self.check.nodes[target].dynamic_anchor == *anchor {
                let named = |scope: &Scope<'_>| {
                    self.check.nodes[self.check.nodes[scope.node].resource].dynamic_anchors.get(anchor).copied()
                };
                target = self.scopes().filter_map(named).last().unwrap_or(target);
            }
            let found = self.refer(target, "$dynamicRef");
            self.add(found);
        }
    }

    /// The scopes that led here, the nearest first.
    fn scopes(&self) -> impl Iterator<Item = &Scope<'_>> {
        std::iter::successors(Some(self.scope), |scope| scope.before)
    }

    fn conditions(&mut self) {
        let node = self.node;
        if let Some(schema) = node.not
            && self.same(schema, "", true).is_ok()
        {
            self.tell(|| "'not' failed".into());
        }
        let mut causes = Vec::new();
        for schema in &node.all {
            causes.extend(self.same(*schema, "", false).err());
            if self.quick && !causes.is_empty() {
                break;
            }
        }
        if !causes.is_empty() {
            self.tell_with("'allOf' failed", causes);
        }
        if !node.any.is_empty() {
            self.any(&node.any);
        }
        if !node.one.is_empty() {
            self.one(&node.one);
        }
        if let Some((condition, then, otherwise)) = node.condition {
            let holds = self.same(condition, "", true).is_ok();
            if let Some(schema) = if holds { then } else { otherwise } {
                let found = self.same(schema, "", false);
                self.add(found);
            }
        }
    }

    fn any(&mut self, schemas: &[Id]) {
        let (mut causes, mut fits) = (Vec::new(), false);
        for schema in schemas {
            match self.same(*schema, "", false) {
                Err(cause) => causes.push(cause),
                Ok(()) => {
                    fits = true;
                    // What is unseen depends on all of them.
                    if self.unseen.is_empty() {
                        break;
                    }
                }
            }
        }
        if !fits {
            self.tell_with("'anyOf' failed", causes);
        }
    }

    fn one(&mut self, schemas: &[Id]) {
        let (mut causes, mut fitting) = (Vec::new(), None);
        for (index, schema) in schemas.iter().enumerate() {
            match (self.same(*schema, "", fitting.is_some()), fitting) {
                (Err(cause), None) => causes.push(cause),
                (Err(_), Some(_)) => {}
                (Ok(()), None) => fitting = Some(index),
                (Ok(()), Some(first)) => {
                    self.tell(|| format!("'oneOf' failed, subschemas {}, {} matched", count(first), count(index)));
                    break;
                }
            }
        }
        if fitting.is_none() {
            self.tell_with("'oneOf' failed, none matched", causes);
        }
    }

    /// What no rule looked at.
    fn unevaluated(&mut self) {
        if let (Value::Object(table), Some(schema)) = (self.value, self.node.unevaluated_properties) {
            for name in std::mem::take(&mut self.unseen.properties) {
                if let Some(value) = table.get(name) {
                    self.add(self.inner(schema, value, name));
                }
            }
        }
        if let (Value::Array(items), Some(schema)) = (self.value, self.node.unevaluated_items) {
            for index in std::mem::take(&mut self.unseen.items) {
                self.add(self.inner(schema, &items[index], &index.to_string()));
            }
        }
    }
}

fn missing<'n>(table: &Map, names: &'n [String]) -> Vec<&'n str> {
    names.iter().map(String::as_str).filter(|name| !table.contains_key(*name)).collect()
}

/// Equal as JSON Schema sees it: 1 and 1.0 are the same.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The first item that was there before, with the place where it was.
pub fn twice(items: &[Value]) -> Option<(usize, usize)> {
    let state = RandomState::new();
    let mut known: HashMap<u64, Vec<usize>> = HashMap::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let places = known.entry(mark(item, &state)).or_default();
        if let Some(before) = places.iter().find(|place| same(&items[**place], item)) {
            return Some((*before, index));
        }
        places.push(index);
    }
    None
}

/// A number that is the same for values that are [`same`].
fn mark(value: &Value, state: &RandomState) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(truth) => state.hash_one(truth),
        // Both zeros are one number.
        Value::Number(number) => state.hash_one(number.as_f64().map(|number| (number + 0.0).to_bits())),
        Value::String(text) => state.hash_one(text),
        Value::Array(items) => state.hash_one(items.iter().map(|item| mark(item, state)).collect::<Vec<_>>()),
        // In any order.
        Value::Object(table) => {
            let entries = table.iter().map(|(key, value)| state.hash_one((key, mark(value, state))));
            entries.fold(1, u64::wrapping_add)
        }
    }
}

/// Exactly, as decimals: 1.1 is a multiple of 0.01.
fn is_multiple(found: f64, of: f64) -> bool {
    let decimal = |number: f64| {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        Some((mantissa.replace('.', "").parse::<i128>().ok()?, exponent.parse::<i32>().ok()? - places))
    };
    let exact = || {
        let ((found, a), (of, b)) = (decimal(found)?, decimal(of)?);
        let least = a.min(b);
        let scaled = |digits: i128, exponent: i32| digits.checked_mul(10i128.checked_pow((exponent - least) as u32)?);
        scaled(found, a)?.checked_rem(scaled(of, b)?).map(|rest| rest == 0)
    };
    exact().unwrap_or_else(|| found % of == 0.0)
}
