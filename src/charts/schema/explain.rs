//! What is wrong with a value, in the words and the order of santhosh-tekuri/jsonschema v6, which Helm uses.

use super::remote;
use crate::charts::chart::number_text;
use crate::charts::repository::http;
use crate::charts::values::{Map, Value};
use std::collections::BTreeSet;

/// How many references may lead to each other without going down in the value.
const DEEPEST: usize = 200;

/// Every violation, one a line; empty if none is found.
pub fn explain(schema: &Value, value: &Value) -> String {
    let walk = Walk { root: schema, address: remote::OWN, whole: schema, old: draft(schema) < 2019 };
    let mut out = String::new();
    for problem in walk.check(schema, value, &Path::TOP, 0) {
        problem.write(0, &mut out);
    }
    out
}

/// What a schema's draft calls the address of a schema, and the schemas in a schema.
pub fn words(schema: &Value) -> (&'static str, &'static str) {
    match draft(schema) {
        4 => ("id", "definitions"),
        6 | 7 => ("$id", "definitions"),
        _ => ("$id", "$defs"),
    }
}

/// The year (or number, if before 2019) of the schema's draft.
fn draft(schema: &Value) -> u32 {
    let uri = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    [("2019-09", 2019), ("draft-07", 7), ("draft-06", 6), ("draft-04", 4)]
        .into_iter()
        .find(|(name, _)| uri.contains(name))
        .map_or(2020, |(_, draft)| draft)
}

/// The way to a value. It becomes a text only where something is wrong.
struct Path<'p> {
    before: Option<&'p Path<'p>>,
    name: &'p str,
}

impl Path<'_> {
    const TOP: Path<'static> = Path { before: None, name: "" };
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.before {
            Some(before) => write!(formatter, "{before}/{}", self.name.replace('~', "~0").replace('/', "~1")),
            None => Ok(()),
        }
    }
}

/// A violation, with those that it is made of.
struct Problem {
    path: String,
    text: String,
    causes: Vec<Problem>,
}

impl Problem {
    fn write(&self, depth: usize, out: &mut String) {
        out.push_str(&"  ".repeat(depth));
        out.push_str(&format!("- at {}: {}\n", quote(&self.path), self.text));
        for cause in &self.causes {
            cause.write(depth + 1, out);
        }
    }
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    /// The document, and where it is.
    root: &'a Value,
    address: &'a str,
    /// What all documents are in.
    whole: &'a Value,
    /// Before 2019 `$ref` hides its neighbours.
    old: bool,
}

type Problems = Vec<Problem>;

impl<'a> Walk<'a> {
    /// The violations of one value; more than one make a group where they are part of another.
    fn check(&self, schema: &'a Value, value: &Value, path: &Path<'_>, depth: usize) -> Problems {
        let one = |text: String| vec![Problem { path: path.to_string(), text, causes: Vec::new() }];
        let rules = match schema {
            Value::Bool(false) => return one("false schema".into()),
            Value::Object(rules) if depth < DEEPEST => rules,
            _ => return Vec::new(),
        };
        if let Some(text) = first(rules, value) {
            return one(text);
        }
        let mut problems = Vec::new();
        if let Some(target) = rules.get("$ref").and_then(Value::as_str) {
            if let Some((walk, target)) = self.target(target) {
                problems.extend(reference(walk.check(target, value, path, depth + 1), path));
            }
            if self.old {
                return problems;
            }
        }
        let mut here = Here { walk: self, rules, path, depth, problems };
        match value {
            Value::Object(table) => here.table(table),
            Value::Array(items) => here.list(items),
            Value::String(text) => here.text(text),
            Value::Number(number) => here.number(number.as_f64().unwrap_or_default()),
            _ => {}
        }
        here.conditions(value);
        here.problems
    }

    /// As one problem: several are a group.
    fn grouped(&self, schema: &'a Value, value: &Value, path: &Path<'_>, depth: usize) -> Option<Problem> {
        let mut problems = self.check(schema, value, path, depth);
        if problems.len() > 1 {
            let causes = std::mem::take(&mut problems);
            return Some(Problem { path: path.to_string(), text: "validation failed".into(), causes });
        }
        problems.pop()
    }

    /// What a reference leads to, in this document or another one.
    fn target(&self, reference: &str) -> Option<(Walk<'a>, &'a Value)> {
        if let Some(inside) = self.inside(reference) {
            return Some((*self, inside));
        }
        let own = ["$id", "id"].iter().find_map(|word| self.root.get(*word)?.as_str()).unwrap_or_default();
        let (base, _) = http::join_url(self.address, own)?;
        let (address, fragment) = http::join_url(&base, reference)?;
        let root = find(self.whole, &|rules| {
            ["$id", "id"].iter().any(|word| rules.get(*word).and_then(Value::as_str) == Some(&*address))
        })?;
        let other = Walk { root, ..*self };
        Some((other, other.inside(&format!("#{fragment}"))?))
    }

    /// What a reference inside the document leads to.
    fn inside(&self, reference: &str) -> Option<&'a Value> {
        if let Some(pointer) = reference.strip_prefix('#') {
            if pointer.is_empty() || pointer.starts_with('/') {
                return self.root.pointer(&unescaped(pointer));
            }
            return find(self.root, &|rules| {
                ["$anchor", "$dynamicAnchor"].iter().any(|key| rules.get(*key).and_then(Value::as_str) == Some(pointer))
                    || rules.get("$id").and_then(Value::as_str) == Some(reference)
            });
        }
        find(self.root, &|rules| {
            ["$id", "id"].iter().any(|key| rules.get(*key).and_then(Value::as_str) == Some(reference))
        })
    }
}

/// One problem behind a reference stands for itself.
fn reference(mut problems: Problems, path: &Path<'_>) -> Option<Problem> {
    if problems.len() > 1 {
        return Some(Problem { path: path.to_string(), text: "validation failed".into(), causes: problems });
    }
    problems.pop()
}

/// `%25` and the like in the fragment of an address.
fn unescaped(pointer: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = pointer.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = (*byte == b'%').then(|| after.get(..2)).flatten().and_then(|code| hex::decode(code).ok());
        match code {
            Some(code) => {
                bytes.extend(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn find<'a>(schema: &'a Value, wanted: &dyn Fn(&Map) -> bool) -> Option<&'a Value> {
    match schema {
        Value::Object(rules) if wanted(rules) => Some(schema),
        Value::Object(rules) => rules.values().find_map(|inner| find(inner, wanted)),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, wanted)),
        _ => None,
    }
}

/// The rules that end the check when they fail: type, const, enum.
fn first(rules: &Map, value: &Value) -> Option<String> {
    if let Some(wanted) = rules.get("type") {
        let wanted = wanted.as_array().map_or(std::slice::from_ref(wanted), Vec::as_slice);
        let mut names = wanted.iter().filter_map(Value::as_str).peekable();
        let found = kind(value);
        let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
        let fits = |name: &str| name == found || name == "integer" && found == "number" && whole;
        if names.peek().is_some() && !names.any(fits) {
            let names = wanted.iter().filter_map(Value::as_str);
            let names: Vec<&str> = TYPES.iter().copied().filter(|name| names.clone().any(|one| one == *name)).collect();
            return Some(format!("got {found}, want {}", names.join(" or ")));
        }
    }
    if let Some(wanted) = rules.get("const")
        && !same(wanted, value)
    {
        let nested = wanted.is_array() || wanted.is_object();
        return Some(if nested { "'const' failed".into() } else { format!("value must be {}", display(wanted)) });
    }
    let wanted = rules.get("enum").and_then(Value::as_array)?;
    if wanted.iter().any(|one| same(one, value)) {
        return None;
    }
    Some(match wanted.as_slice() {
        all if all.iter().any(|one| one.is_array() || one.is_object()) => "'enum' failed".into(),
        [one] => format!("value must be {}", display(one)),
        all => format!("value must be one of {}", all.iter().map(display).collect::<Vec<_>>().join(", ")),
    })
}

/// JSON's types in the order in which they are told.
const TYPES: &[&str] = &["null", "boolean", "number", "integer", "string", "array", "object"];

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Equal as JSON Schema sees it: 1 and 1.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// One schema held against one value.
struct Here<'a, 'w> {
    walk: &'w Walk<'a>,
    rules: &'a Map,
    path: &'w Path<'w>,
    depth: usize,
    problems: Problems,
}

impl<'a> Here<'a, '_> {
    fn tell(&mut self, text: String) {
        self.tell_with(text, Vec::new());
    }

    fn tell_with(&mut self, text: String, causes: Problems) {
        self.problems.push(Problem { path: self.path.to_string(), text, causes });
    }

    fn count(&self, rule: &str) -> Option<f64> {
        self.rules.get(rule).and_then(Value::as_f64)
    }

    fn at_least(&mut self, rule: &str, found: usize) {
        if let Some(wanted) = self.count(rule).filter(|wanted| (found as f64) < *wanted) {
            self.tell(format!("{rule}: got {}, want {}", printed(found as f64), printed(wanted)));
        }
    }

    fn at_most(&mut self, rule: &str, found: usize) {
        if let Some(wanted) = self.count(rule).filter(|wanted| found as f64 > *wanted) {
            self.tell(format!("{rule}: got {}, want {}", printed(found as f64), printed(wanted)));
        }
    }

    /// A value inside this one.
    fn inner(&mut self, schema: &'a Value, value: &Value, name: &str) {
        let path = Path { before: Some(self.path), name };
        self.problems.extend(self.walk.grouped(schema, value, &path, 0));
    }

    fn is_valid(&self, schema: &'a Value, value: &Value) -> bool {
        self.walk.check(schema, value, self.path, self.depth + 1).is_empty()
    }

    fn table(&mut self, table: &Map) {
        self.at_least("minProperties", table.len());
        self.at_most("maxProperties", table.len());
        let missing_of = |names: &[Value]| -> Vec<String> {
            let names = names.iter().filter_map(Value::as_str);
            names.filter(|name| !table.contains_key(*name)).map(quote).collect()
        };
        if let Some(Value::Array(names)) = self.rules.get("required") {
            let missing = missing_of(names);
            match missing.as_slice() {
                [] => {}
                [one] => self.tell(format!("missing property {one}")),
                all => self.tell(format!("missing properties {}", all.join(", "))),
            }
        }
        self.needed(table, "dependencies", &missing_of);
        let additional = self.properties(table);
        if !additional.is_empty() {
            self.tell(format!("additional properties {} not allowed", additional.join(", ")));
        }
        if let Some(schema) = self.rules.get("propertyNames") {
            for name in table.keys() {
                let causes = self.walk.check(schema, &Value::from(name.as_str()), &Path::TOP, 0);
                if !causes.is_empty() {
                    self.tell_with(format!("invalid propertyName {}", quote(name)), causes);
                }
            }
        }
        self.needed(table, "dependentSchemas", &missing_of);
        self.needed(table, "dependentRequired", &missing_of);
    }

    /// What must hold if a property is there.
    fn needed(&mut self, table: &Map, rule: &str, missing_of: &dyn Fn(&[Value]) -> Vec<String>) {
        let Some(Value::Object(needs)) = self.rules.get(rule) else { return };
        for (name, need) in needs.iter().filter(|(name, _)| table.contains_key(*name)) {
            match need {
                Value::Array(names) => {
                    let missing = missing_of(names);
                    if !missing.is_empty() {
                        self.tell(format!("properties {} required, if {} exists", missing.join(", "), quote(name)));
                    }
                }
                schema => {
                    let value = Value::Object(table.clone());
                    self.problems.extend(self.walk.grouped(schema, &value, self.path, self.depth + 1));
                }
            }
        }
    }

    /// Checks every property; the quoted names of those that may not be there.
    fn properties(&mut self, table: &Map) -> Vec<String> {
        let known = self.rules.get("properties").and_then(Value::as_object);
        let patterns: Vec<(regex::Regex, &'a Value)> = match self.rules.get("patternProperties") {
            Some(Value::Object(patterns)) => patterns
                .iter()
                .filter_map(|(pattern, schema)| Some((regex::Regex::new(pattern).ok()?, schema)))
                .collect(),
            _ => Vec::new(),
        };
        let mut refused = Vec::new();
        for (name, value) in table {
            let mut seen = false;
            if let Some(schema) = known.and_then(|known| known.get(name)) {
                seen = true;
                self.inner(schema, value, name);
            }
            for (_, schema) in patterns.iter().filter(|(pattern, _)| pattern.is_match(name)) {
                seen = true;
                self.inner(schema, value, name);
            }
            match self.rules.get("additionalProperties") {
                Some(Value::Bool(false)) if !seen => refused.push(quote(name)),
                Some(schema @ Value::Object(_)) if !seen => self.inner(schema, value, name),
                _ => {}
            }
        }
        refused
    }

    fn list(&mut self, items: &[Value]) {
        self.at_least("minItems", items.len());
        self.at_most("maxItems", items.len());
        if self.rules.get("uniqueItems") == Some(&Value::Bool(true)) {
            let twice = (0..items.len()).find_map(|i| (0..i).find(|j| same(&items[i], &items[*j])).map(|j| (j, i)));
            if let Some((first, second)) = twice {
                self.tell(format!("items at {first} and {second} are equal"));
            }
        }
        let placed = ["prefixItems", "items"].iter().find_map(|rule| self.rules.get(*rule).and_then(Value::as_array));
        let placed = placed.map_or(&[][..], Vec::as_slice);
        for (index, (schema, item)) in placed.iter().zip(items).enumerate() {
            self.inner(schema, item, &index.to_string());
        }
        let rest = match self.rules.get("items") {
            Some(Value::Array(_)) => self.rules.get("additionalItems"),
            other => other,
        };
        let done = placed.len().min(items.len());
        match rest {
            Some(Value::Bool(false)) if items.len() > done && self.rules.get("items").is_some_and(Value::is_array) => {
                self.tell(format!("last {} additionalItem(s) not allowed", items.len() - done));
            }
            Some(schema) => {
                for (index, item) in items.iter().enumerate().skip(done) {
                    self.inner(schema, item, &index.to_string());
                }
            }
            None => {}
        }
        self.contains(items);
    }

    fn contains(&mut self, items: &[Value]) {
        let Some(schema) = self.rules.get("contains") else { return };
        let (mut matching, mut causes) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let path = Path { before: Some(self.path), name: &index.to_string() };
            match self.walk.grouped(schema, item, &path, 0) {
                Some(problem) => causes.push(problem),
                None => matching.push(index.to_string()),
            }
        }
        let (found, at) = (matching.len(), matching.join(" "));
        match self.count("minContains") {
            Some(wanted) if (found as f64) < wanted && found == 0 => {
                self.tell_with(
                    format!("min {wanted} items required to match contains schema, but none matched"),
                    causes,
                );
            }
            Some(wanted) if (found as f64) < wanted => {
                let text =
                    format!("min {wanted} items required to match contains schema, but matched {found} items at {at}");
                self.tell_with(text, causes);
            }
            None if found == 0 => self.tell_with("no items match contains schema".into(), causes),
            _ => {}
        }
        if let Some(wanted) = self.count("maxContains").filter(|wanted| found as f64 > *wanted) {
            self.tell(format!(
                "max {wanted} items required to match contains schema, but matched {found} items at {at}"
            ));
        }
    }

    fn text(&mut self, text: &str) {
        let length = text.chars().count();
        self.at_least("minLength", length);
        self.at_most("maxLength", length);
        if let Some(pattern) = self.rules.get("pattern").and_then(Value::as_str)
            && regex::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
        {
            self.tell(format!("{} does not match pattern {}", quote(text), quote(pattern)));
        }
    }

    fn number(&mut self, found: f64) {
        let exclusive = |rule: &str| self.rules.get(rule) == Some(&Value::Bool(true));
        let (over, under) = (exclusive("exclusiveMinimum"), exclusive("exclusiveMaximum"));
        type Fails = fn(f64, f64) -> bool;
        let rules: [(&str, &str, Fails); 5] = [
            if over { ("minimum", "exclusiveMinimum", |a, b| a <= b) } else { ("minimum", "minimum", |a, b| a < b) },
            if under { ("maximum", "exclusiveMaximum", |a, b| a >= b) } else { ("maximum", "maximum", |a, b| a > b) },
            ("exclusiveMinimum", "exclusiveMinimum", |a, b| a <= b),
            ("exclusiveMaximum", "exclusiveMaximum", |a, b| a >= b),
            ("multipleOf", "multipleOf", |a, b| b != 0.0 && ((a / b) - (a / b).round()).abs() > 1e-9),
        ];
        for (rule, name, fails) in rules {
            if let Some(wanted) = self.count(rule).filter(|wanted| fails(found, *wanted)) {
                self.tell(format!("{name}: got {}, want {}", printed(found), printed(wanted)));
            }
        }
    }

    fn all(&self, rule: &str) -> &'a [Value] {
        self.rules.get(rule).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn conditions(&mut self, value: &Value) {
        if let Some(schema) = self.rules.get("not")
            && self.is_valid(schema, value)
        {
            self.tell("'not' failed".into());
        }
        let told = |schema: &'a Value| self.walk.grouped(schema, value, self.path, self.depth + 1);
        let causes: Problems = self.all("allOf").iter().filter_map(told).collect();
        let any: Vec<Option<Problem>> = self.all("anyOf").iter().map(told).collect();
        let one: Vec<Option<Problem>> = self.all("oneOf").iter().map(told).collect();
        if !causes.is_empty() {
            self.tell_with("'allOf' failed".into(), causes);
        }
        if !any.is_empty() && any.iter().all(Option::is_some) {
            self.tell_with("'anyOf' failed".into(), any.into_iter().flatten().collect());
        }
        let fitting: Vec<usize> = (0..one.len()).filter(|index| one[*index].is_none()).collect();
        match fitting.as_slice() {
            [] if !one.is_empty() => {
                self.tell_with("'oneOf' failed, none matched".into(), one.into_iter().flatten().collect());
            }
            [first, second, ..] => self.tell(format!("'oneOf' failed, subschemas {first}, {second} matched")),
            _ => {}
        }
        if let Some(condition) = self.rules.get("if") {
            let branch = if self.is_valid(condition, value) { "then" } else { "else" };
            if let Some(schema) = self.rules.get(branch) {
                self.problems.extend(self.walk.grouped(schema, value, self.path, self.depth + 1));
            }
        }
        self.unevaluated(value);
    }

    /// Properties that no other rule of this schema looked at. Those of deeper schemas count as looked at if they name it.
    fn unevaluated(&mut self, value: &Value) {
        let (Some(Value::Bool(false)), Value::Object(table)) = (self.rules.get("unevaluatedProperties"), value) else {
            return;
        };
        let mut known = BTreeSet::new();
        names(self.walk, self.rules, &mut known, 0);
        for name in table.keys().filter(|name| !known.contains(name.as_str())) {
            let path = format!("{}/{name}", self.path);
            self.problems.push(Problem { path, text: "false schema".into(), causes: Vec::new() });
        }
    }
}

fn names<'a>(walk: &Walk<'a>, rules: &'a Map, known: &mut BTreeSet<&'a str>, depth: usize) {
    if depth > 16 {
        return;
    }
    if let Some(Value::Object(properties)) = rules.get("properties") {
        known.extend(properties.keys().map(String::as_str));
    }
    let target = rules.get("$ref").and_then(Value::as_str).and_then(|target| walk.target(target));
    let lists =
        ["allOf", "anyOf", "oneOf"].iter().filter_map(|rule| rules.get(*rule).and_then(Value::as_array)).flatten();
    let single = ["if", "then", "else"].iter().filter_map(|rule| rules.get(*rule));
    if let Some((walk, Value::Object(inner))) = &target {
        names(walk, inner, known, depth + 1);
    }
    for inner in lists.chain(single).filter_map(Value::as_object) {
        names(walk, inner, known, depth + 1);
    }
}

fn display(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(_) | Value::Object(_) => "value".into(),
        Value::Null => "<nil>".into(),
        Value::Number(number) => number_text(number),
        Value::Bool(value) => value.to_string(),
    }
}

fn quote(text: &str) -> String {
    let quoted = format!("{text:?}");
    let inner = quoted[1..quoted.len() - 1].replace("\\\"", "\"").replace("\\'", "'").replace('\'', "\\'");
    format!("'{inner}'")
}

/// A number as people of the English tongue write it: 65,535.
fn printed(number: f64) -> String {
    let text = format!("{number}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
    format!("{sign}{grouped}{fraction}")
}
