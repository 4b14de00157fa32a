//! Whether a value is what the schema of a custom kind says.
//!
//! A [`Check`] is compiled from a schema once and asked for every write. What an update leaves as it was is not asked again,
//! so that a schema may become stricter than objects that are there.
//!
//! Source of rules and wording: k8s.io/kube-openapi `pkg/validation/validate`, k8s.io/apiextensions-apiserver
//! `pkg/apiserver/validation/validation.go` and `pkg/apiserver/schema/listtype`.

use super::format;
use crate::api::{Cause, Object};
use crate::base::regexp::{self, Problem};
use regex::Regex;
use serde_json::{Map, Value, json};

/// The largest machine that a pattern of a schema is made into, in bytes: a definition has hundreds of them.
const LARGEST_PATTERN: usize = 2 << 20;

/// A pattern of a schema, if its machine is not too large; an error if it is none.
pub fn pattern(text: &str) -> Result<Option<Regex>, Problem> {
    match regexp::compile(text, LARGEST_PATTERN) {
        Ok(machine) => Ok(Some(machine)),
        Err(Problem::TooLarge) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// What is asked of a value.
#[derive(Debug, Default)]
pub struct Check {
    /// Names of types; none for any.
    types: Box<[&'static str]>,
    nullable: bool,
    embedded: bool,
    format: Box<str>,
    allowed: Option<Box<[Value]>>,
    limits: Option<Box<Limits>>,
    properties: Box<[(Box<str>, Check)]>,
    additional: Additional,
    required: Box<[Box<str>]>,
    items: Option<Box<Check>>,
    list: List,
    junctors: Option<Box<Junctors>>,
}

/// What may be beside the properties.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    Anything,
    Nothing,
    Values(Box<Check>),
}

/// How items of a list are told apart.
#[derive(Debug, Default)]
enum List {
    #[default]
    NotAtAll,
    ByValue,
    ByKeys(Box<[Box<str>]>),
}

/// Bounds of numbers, texts, lists and objects.
#[derive(Debug, Default)]
struct Limits {
    maximum: Option<(f64, bool)>,
    minimum: Option<(f64, bool)>,
    multiple: Option<f64>,
    longest: Option<u64>,
    shortest: Option<u64>,
    /// As it was written; without a machine where this one cannot be had.
    pattern: Option<(Box<str>, Option<Regex>)>,
    most_items: Option<u64>,
    fewest_items: Option<u64>,
    most_properties: Option<u64>,
    fewest_properties: Option<u64>,
}

/// Checks that are joined.
#[derive(Debug, Default)]
struct Junctors {
    all: Box<[Check]>,
    any: Box<[Check]>,
    one: Box<[Check]>,
    not: Option<Check>,
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

impl Check {
    /// Compiles a schema.
    pub fn compile(schema: &Value) -> Self {
        let is = |name: &str| schema[name] == true;
        let own = TYPES.iter().find(|name| schema["type"] == **name);
        let types = if is("x-kubernetes-int-or-string") {
            Box::from(["integer", "string"])
        } else {
            own.into_iter().copied().collect()
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        Self {
            types,
            nullable: is("nullable"),
            embedded: is("x-kubernetes-embedded-resource"),
            format: schema["format"].as_str().unwrap_or_default().into(),
            allowed: schema["enum"].as_array().map(|all| all.clone().into()),
            limits: Limits::compile(schema).map(Box::new),
            properties: properties.map(|(name, schema)| (name.as_str().into(), Self::compile(schema))).collect(),
            additional: match &schema["additionalProperties"] {
                Value::Bool(false) => Additional::Nothing,
                values @ Value::Object(_) => Additional::Values(Box::new(Self::compile(values))),
                _ => Additional::Anything,
            },
            required: texts(&schema["required"]),
            items: schema["items"].is_object().then(|| Box::new(Self::compile(&schema["items"]))),
            list: match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => List::ByValue,
                Some("map") => List::ByKeys(texts(&schema["x-kubernetes-list-map-keys"])),
                _ => List::NotAtAll,
            },
            junctors: Junctors::compile(schema).map(Box::new),
        }
    }

    /// What is asked of a property.
    pub fn property(&self, name: &str) -> Option<&Check> {
        self.properties.iter().find(|(own, _)| **own == *name).map(|(_, check)| check)
    }

    /// What is wrong with a value that was `old` before; `below` is the path of the field that it is in.
    pub fn run(&self, value: &Value, old: Option<&Value>, below: &str) -> Vec<Cause> {
        let mut found = Found { causes: Vec::new(), below };
        self.value(&mut found, value, old, "");
        found.causes
    }

    /// What is wrong with a whole object.
    pub fn whole(&self, object: &mut Object, old: Option<&Object>) -> Vec<Cause> {
        let mut found = Found { causes: Vec::new(), below: "" };
        let value = Value::Object(std::mem::take(&mut object.0));
        if let Some(junctors) = &self.junctors {
            junctors.value(&mut found, &value, "");
        }
        if let Some(limits) = &self.limits {
            limits.value(&mut found, &value, "");
        }
        if let Value::Object(map) = value {
            self.object(&mut found, &map, old.map(|old| &old.0), "");
            object.0 = map;
        }
        found.causes
    }

    fn value(&self, found: &mut Found, value: &Value, old: Option<&Value>, path: &str) {
        if old == Some(value) {
            return;
        }
        self.kind(found, value, path);
        self.enumerated(found, value, path);
        if value.is_null() {
            return;
        }
        if let Some(junctors) = &self.junctors {
            junctors.value(found, value, path);
        }
        if let Some(limits) = &self.limits {
            limits.value(found, value, path);
        }
        match value {
            Value::String(text) => self.text(found, text, path),
            Value::Array(list) => self.items(found, list, old.and_then(Value::as_array), path),
            Value::Object(map) => self.object(found, map, old.and_then(Value::as_object), path),
            _ => {}
        }
    }

    fn kind(&self, found: &mut Found, value: &Value, path: &str) {
        let actual = kind_of(value);
        let fits = |wanted: &&str| match value {
            Value::Null => self.nullable,
            Value::Number(number) if **wanted == *"integer" => {
                number.as_f64().is_some_and(|float| float.fract() == 0.0)
            }
            Value::Number(_) if **wanted == *"number" => true,
            _ => **wanted == *actual,
        };
        if !self.types.is_empty() && !self.types.iter().any(fits) {
            let message = format!("{path} in body must be of type {}: {actual:?}", self.types.join(","));
            found.push(|field| Cause::type_invalid(field, &json!(actual), &message), path);
        }
    }

    fn enumerated(&self, found: &mut Found, value: &Value, path: &str) {
        let Some(allowed) = &self.allowed else { return };
        if value.is_null() && self.nullable || allowed.iter().any(|one| same(one, value)) {
            return;
        }
        let names: Vec<String> = allowed.iter().map(|one| one.as_str().map_or(one.to_string(), String::from)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        found.push(|field| Cause::not_supported(field, value, &names), path);
    }

    fn text(&self, found: &mut Found, text: &str, path: &str) {
        if !self.format.is_empty() && !format::fits(&self.format, text) {
            let message = format!("{path} in body must be of type {}: {text:?}", self.format);
            found.push(|field| Cause::type_invalid(field, &json!(text), &message), path);
        }
    }

    fn items(&self, found: &mut Found, list: &[Value], old: Option<&Vec<Value>>, path: &str) {
        if let Some(check) = &self.items {
            for (index, item) in list.iter().enumerate() {
                let before = self.before(item, old);
                check.value(found, item, before, &format!("{path}[{index}]"));
            }
        }
        for (index, item) in list.iter().enumerate() {
            let key = self.key(item);
            if key.is_some() && list[..index].iter().any(|other| self.key(other) == key) {
                let value = key.unwrap_or_default();
                found.push(|field| Cause::duplicate(field, &value), &format!("{path}[{index}]"));
            }
        }
    }

    /// By what an item is told apart, if by anything.
    fn key(&self, item: &Value) -> Option<Value> {
        match &self.list {
            List::NotAtAll => None,
            List::ByValue => Some(item.clone()),
            List::ByKeys(keys) => {
                let pairs = keys.iter().filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
                Some(Value::Object(pairs.collect()))
            }
        }
    }

    /// What an item was before; lists whose items are not told apart by keys have nothing to compare with.
    fn before<'a>(&self, item: &Value, old: Option<&'a Vec<Value>>) -> Option<&'a Value> {
        let List::ByKeys(_) = self.list else { return None };
        let key = self.key(item);
        old?.iter().find(|other| self.key(other) == key)
    }

    fn object(&self, found: &mut Found, map: &Map<String, Value>, old: Option<&Map<String, Value>>, path: &str) {
        let at = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        if self.embedded {
            for name in ["apiVersion", "kind"] {
                if map.get(name).and_then(Value::as_str).unwrap_or_default().is_empty() {
                    found.push(|field| Cause::required(field, "must not be empty"), &at(name));
                }
            }
        }
        for (name, value) in map {
            let before = old.and_then(|old| old.get(name));
            match (self.property(name), &self.additional) {
                (Some(check), _) => check.value(found, value, before, &at(name)),
                (None, Additional::Values(check)) => check.value(found, value, before, &at(name)),
                (None, Additional::Nothing) => {
                    let message = format!("{path}.{name} in body is a forbidden property");
                    found.push(|field| Cause::invalid(field, &json!(""), &message), path);
                }
                (None, Additional::Anything) => {}
            }
        }
        for name in self.required.iter().filter(|name| !map.contains_key(&***name)) {
            found.push(|field| Cause::required(field, ""), &at(name));
        }
    }
}

impl Limits {
    fn compile(schema: &Value) -> Option<Self> {
        const NAMES: [&str; 10] = [
            "maximum",
            "minimum",
            "multipleOf",
            "maxLength",
            "minLength",
            "pattern",
            "maxItems",
            "minItems",
            "maxProperties",
            "minProperties",
        ];
        NAMES.iter().any(|name| !schema[*name].is_null()).then(|| {
            let bound = |name: &str, exclusive: &str| Some((schema[name].as_f64()?, schema[exclusive] == true));
            let count = |name: &str| schema[name].as_u64();
            Self {
                maximum: bound("maximum", "exclusiveMaximum"),
                minimum: bound("minimum", "exclusiveMinimum"),
                multiple: schema["multipleOf"].as_f64(),
                longest: count("maxLength"),
                shortest: count("minLength"),
                pattern: schema["pattern"].as_str().map(|text| (text.into(), self::pattern(text).ok().flatten())),
                most_items: count("maxItems"),
                fewest_items: count("minItems"),
                most_properties: count("maxProperties"),
                fewest_properties: count("minProperties"),
            }
        })
    }

    fn value(&self, found: &mut Found, value: &Value, path: &str) {
        match value {
            Value::Number(number) => self.number(found, number, value, path),
            Value::String(text) => self.text(found, text, path),
            Value::Array(list) => {
                let count = list.len() as u64;
                if let Some(fewest) = self.fewest_items.filter(|fewest| count < *fewest) {
                    found.invalid(&json!(count), path, &format!("should have at least {fewest} items"));
                }
                if let Some(most) = self.most_items.filter(|most| count > *most) {
                    found.push(|field| Cause::too_many(field, count, most), path);
                }
            }
            Value::Object(map) => {
                let count = map.len() as u64;
                if let Some(fewest) = self.fewest_properties.filter(|fewest| count < *fewest) {
                    found.invalid(&json!(count), path, &format!("should have at least {fewest} properties"));
                }
                if let Some(most) = self.most_properties.filter(|most| count > *most) {
                    found.push(|field| Cause::too_many(field, count, most), path);
                }
            }
            _ => {}
        }
    }

    fn number(&self, found: &mut Found, number: &serde_json::Number, value: &Value, path: &str) {
        let float = number.as_f64().unwrap_or_default();
        let shown = |bound: f64| match number.is_f64() {
            true => format::number(bound),
            false => (bound as i64).to_string(),
        };
        if let Some(factor) = self.multiple
            && (float / factor).fract() != 0.0
        {
            found.invalid(value, path, &format!("should be a multiple of {}", shown(factor)));
        }
        match self.maximum {
            Some((bound, false)) if float > bound => {
                found.invalid(value, path, &format!("should be less than or equal to {}", shown(bound)));
            }
            Some((bound, true)) if float >= bound => {
                found.invalid(value, path, &format!("should be less than {}", shown(bound)));
            }
            _ => {}
        }
        match self.minimum {
            Some((bound, false)) if float < bound => {
                found.invalid(value, path, &format!("should be greater than or equal to {}", shown(bound)));
            }
            Some((bound, true)) if float <= bound => {
                found.invalid(value, path, &format!("should be greater than {}", shown(bound)));
            }
            _ => {}
        }
    }

    fn text(&self, found: &mut Found, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(longest) = self.longest.filter(|longest| length > *longest) {
            found.push(|field| Cause::too_long(field, longest), path);
        }
        if let Some(shortest) = self.shortest.filter(|shortest| length < *shortest) {
            found.invalid(&json!(text), path, &format!("should be at least {shortest} chars long"));
        }
        // A pattern that is too large for here is not checked: refusing every value would be worse.
        if let Some((pattern, Some(machine))) = &self.pattern
            && !machine.is_match(text)
        {
            found.invalid(&json!(text), path, &format!("should match '{pattern}'"));
        }
    }
}

impl Junctors {
    fn compile(schema: &Value) -> Option<Self> {
        let many = |name: &str| schema[name].as_array().into_iter().flatten().map(Check::compile).collect();
        let not = schema["not"].is_object().then(|| Check::compile(&schema["not"]));
        let own = Self { all: many("allOf"), any: many("anyOf"), one: many("oneOf"), not };
        let is_empty = own.all.is_empty() && own.any.is_empty() && own.one.is_empty() && own.not.is_none();
        (!is_empty).then_some(own)
    }

    fn value(&self, found: &mut Found, value: &Value, path: &str) {
        let below = found.below;
        let failures = |check: &Check| {
            let mut inner = Found { causes: Vec::new(), below };
            check.value(&mut inner, value, None, path);
            inner.causes
        };
        let quoted = format!("{path:?}");
        let mut whole = Vec::new();
        let any: Vec<_> = self.any.iter().map(failures).collect();
        if !any.is_empty() && any.iter().all(|causes| !causes.is_empty()) {
            whole.push(format!("{quoted} must validate at least one schema (anyOf)"));
            found.causes.extend(any.into_iter().next().into_iter().flatten());
        }
        let one: Vec<_> = self.one.iter().map(failures).collect();
        let valid = one.iter().filter(|causes| causes.is_empty()).count();
        if !one.is_empty() && valid != 1 {
            let why =
                if valid == 0 { "Found none valid".to_string() } else { format!("Found {valid} valid alternatives") };
            whole.push(format!("{quoted} must validate one and only one schema (oneOf). {why}"));
            if valid == 0 {
                found.causes.extend(one.into_iter().next().into_iter().flatten());
            }
        }
        let all: Vec<_> = self.all.iter().map(failures).collect();
        let valid = all.iter().filter(|causes| causes.is_empty()).count();
        if valid != all.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            found.causes.extend(all.into_iter().flatten());
            whole.push(format!("{quoted} must validate all the schemas (allOf){none}"));
        }
        if self.not.as_ref().is_some_and(|check| failures(check).is_empty()) {
            whole.push(format!("{quoted} must not validate the schema (not)"));
        }
        let field = if below.is_empty() { "<nil>" } else { below };
        found.causes.extend(whole.into_iter().map(|message| Cause::invalid(field, &json!(""), &message)));
    }
}

/// What was found.
struct Found<'a> {
    causes: Vec<Cause>,
    below: &'a str,
}

impl Found<'_> {
    fn push(&mut self, cause: impl FnOnce(String) -> Cause, path: &str) {
        let field = match (self.below, path) {
            ("", "") => "<nil>".to_string(),
            ("", path) => path.to_string(),
            (below, "") => below.to_string(),
            (below, path) => format!("{below}.{path}"),
        };
        self.causes.push(cause(field));
    }

    fn invalid(&mut self, value: &Value, path: &str, what: &str) {
        let message = format!("{path} in body {what}");
        self.push(|field| Cause::invalid(field, value, &message), path);
    }
}

fn texts(value: &Value) -> Box<[Box<str>]> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(Box::from)).collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether values are the same; `3` and `3.0` are.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(schema: Value, value: Value) -> Vec<String> {
        let causes = Check::compile(&schema).run(&value, None, "");
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    fn field(schema: Value, value: Value) -> String {
        let root = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": schema}}}});
        said(root, json!({"spec": {"x": value}})).join("; ")
    }

    #[test]
    fn each_rule_has_the_words_of_upstream() {
        let cases = [
            (
                json!({"type": "integer"}),
                json!("a"),
                "spec.x: Invalid value: \"string\": spec.x in body must be of type integer: \"string\"",
            ),
            (
                json!({"type": "integer"}),
                json!(1.5),
                "spec.x: Invalid value: \"number\": spec.x in body must be of type integer: \"number\"",
            ),
            (
                json!({"type": "string"}),
                json!(null),
                "spec.x: Invalid value: \"null\": spec.x in body must be of type string: \"null\"",
            ),
            (
                json!({"type": "integer", "maximum": 10}),
                json!(11),
                "spec.x: Invalid value: 11: spec.x in body should be less than or equal to 10",
            ),
            (
                json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
                json!(1),
                "spec.x: Invalid value: 1: spec.x in body should be greater than 1",
            ),
            (
                json!({"type": "number", "multipleOf": 0.5}),
                json!(0.75),
                "spec.x: Invalid value: 0.75: spec.x in body should be a multiple of 0.5",
            ),
            (
                json!({"type": "string", "enum": ["red", "blue"]}),
                json!("green"),
                "spec.x: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
            ),
            (
                json!({"type": "string", "pattern": "^a+$"}),
                json!("b"),
                "spec.x: Invalid value: \"b\": spec.x in body should match '^a+$'",
            ),
            (json!({"type": "string", "maxLength": 2}), json!("abc"), "spec.x: Too long: may not be more than 2 bytes"),
            (
                json!({"type": "string", "minLength": 2}),
                json!("a"),
                "spec.x: Invalid value: \"a\": spec.x in body should be at least 2 chars long",
            ),
            (
                json!({"type": "string", "format": "ipv4"}),
                json!("a"),
                "spec.x: Invalid value: \"a\": spec.x in body must be of type ipv4: \"a\"",
            ),
            (json!({"type": "array", "maxItems": 1}), json!([1, 2]), "spec.x: Too many: 2: must have at most 1 item"),
            (
                json!({"type": "array", "minItems": 1}),
                json!([]),
                "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
            ),
            (
                json!({"type": "array", "items": {"type": "integer"}}),
                json!([1, "a"]),
                "spec.x[1]: Invalid value: \"string\": spec.x[1] in body must be of type integer: \"string\"",
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "set"}),
                json!(["a", "a"]),
                "spec.x[1]: Duplicate value: \"a\"",
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}),
                json!([{"n": 1}, {"n": 1, "m": 2}]),
                "spec.x[1]: Duplicate value: {\"n\":1}",
            ),
            (json!({"type": "object", "required": ["y"]}), json!({}), "spec.x.y: Required value"),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                json!({"k": 1}),
                "spec.x.k: Invalid value: \"integer\": spec.x.k in body must be of type string: \"integer\"",
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!(true),
                "spec.x: Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\"",
            ),
            (
                json!({"not": {"enum": [1]}}),
                json!(1),
                "<nil>: Invalid value: \"\": \"spec.x\" must not validate the schema (not)",
            ),
        ];
        for (schema, value, words) in cases {
            assert_eq!(field(schema, value), words);
        }
    }

    #[test]
    fn what_fits_is_silent() {
        let cases = [
            (json!({"type": "integer"}), json!(3.0)),
            (json!({"type": "number"}), json!(3)),
            (json!({"type": "string", "nullable": true}), json!(null)),
            (json!({"x-kubernetes-int-or-string": true}), json!("50%")),
            (json!({"anyOf": [{"enum": [1]}, {"enum": [2]}]}), json!(2)),
            (json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({"b": 1})),
        ];
        for (schema, value) in cases {
            assert_eq!(field(schema, value), "");
        }
    }

    #[test]
    fn alternatives_say_which_rule_and_what_the_first_lacks() {
        let schema = json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        let none = said(schema.clone(), json!({}));
        assert_eq!(
            none,
            [
                "a: Required value",
                "<nil>: Invalid value: \"\": \"\" must validate one and only one schema (oneOf). Found none valid"
            ]
        );
        let both = said(schema, json!({"a": 1, "b": 1}));
        assert_eq!(
            both,
            [
                "<nil>: Invalid value: \"\": \"\" must validate one and only one schema (oneOf). Found 2 valid alternatives"
            ]
        );
    }

    #[test]
    fn what_was_there_before_is_not_asked_again() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "integer", "maximum": 1},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 1}}}},
        }});
        let old = json!({"a": 5, "list": [{"name": "x", "size": 5}]});
        let new = json!({"a": 5, "list": [{"name": "y", "size": 5}, {"name": "x", "size": 5}]});
        let causes = Check::compile(&schema).run(&new, Some(&old), "");
        assert_eq!(causes.iter().map(|cause| cause.field.as_str()).collect::<Vec<_>>(), ["list[0].size"]);
    }

    #[test]
    fn a_part_is_named_below_its_field() {
        let check = Check::compile(&json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}));
        let causes = check.run(&json!({"n": -1}), None, "status");
        assert_eq!(causes[0].field, "status.n");
        assert_eq!(causes[0].message, "Invalid value: -1: n in body should be greater than or equal to 0");
    }
}
