//! `values.schema.json`: values against JSON Schema (drafts 4 to 2020-12), with the words of Helm's validator.
//!
//! ```text
//! draft      what the drafts call things, and their own schemas     remote   documents of other places
//! documents  addresses, anchors and rules of schemas in documents   compile  schemas made ready
//! check      a schema held against a value                         words    what is wrong      formats  `format`
//! plain      the short way for schemas without odd rules
//! ```

mod check;
mod compile;
mod documents;
mod draft;
mod formats;
mod plain;
mod remote;
mod words;

use super::chart::Chart;
use super::values::{Value, go_type};
use super::{Error, values};
use std::sync::{Arc, OnceLock};

const HEAD: &str = "values don't meet the specifications of the schema(s) in the following chart(s):";

/// Checks the values of a chart and of its subcharts; the error names every violation.
pub fn validate(chart: &Chart, values: &Value) -> Result<(), Error> {
    let mut problems = String::new();
    collect(chart, values, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(Error::Schema(format!("{HEAD}\n{problems}"))) }
}

fn collect(chart: &Chart, given: &Value, problems: &mut String) {
    if let Some(schema) = &chart.schema
        && let Some(problem) = schema.violations(given)
    {
        problems.push_str(&format!("{}:\n{problem}", chart.name()));
    }
    for subchart in &chart.dependencies {
        match given.get(subchart.name()) {
            None | Some(Value::Null) => {}
            Some(inner @ Value::Object(_)) => collect(subchart, inner, problems),
            Some(other) => {
                let (name, found) = (subchart.name(), go_type(other));
                problems.push_str(&format!("{name}:\ninvalid type for values: expected object (map), got {found}\n"));
            }
        }
    }
}

/// The text of a schema, and what is in it once somebody looked.
#[derive(Clone, Debug)]
pub struct Schema {
    text: Arc<[u8]>,
    document: Arc<OnceLock<Document>>,
}

#[derive(Debug)]
enum Document {
    /// Without odd rules.
    Plain(Value),
    Odd(Value),
    /// It is no JSON; why not.
    Broken(String),
}

impl Schema {
    /// The schema of a text.
    pub fn new(text: Arc<[u8]>) -> Self {
        Self { text, document: Arc::default() }
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Looks at it, for who has nothing to do until there are values.
    pub fn look(&self) {
        self.document();
    }

    fn document(&self) -> &Document {
        self.document.get_or_init(|| match remote::parse(&self.text) {
            Ok(schema) if plain::is_plain(&schema) => Document::Plain(schema),
            Ok(schema) => Document::Odd(schema),
            Err(problem) => Document::Broken(problem),
        })
    }

    /// What is wrong with values, one violation a line; `None` if nothing is.
    pub fn violations(&self, values: &Value) -> Option<String> {
        let schema = match self.document() {
            Document::Broken(problem) => return Some(problem.clone()),
            Document::Plain(schema) if plain::fits(schema, values) => return None,
            Document::Plain(schema) | Document::Odd(schema) => schema,
        };
        let values = values::plain(values);
        let mut compiler = compile::Compiler::new(remote::OWN, schema.clone());
        let schema = match compiler.compile(remote::OWN) {
            Ok(schema) => schema,
            Err(problem) => return Some(problem),
        };
        let told = check::Check::new(&compiler.nodes).whole(schema, &values)?;
        let head = format!("jsonschema validation failed with '{}#'\n", remote::OWN);
        Some(told.strip_prefix(&head).map(String::from).unwrap_or(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(schema: &Value, values: &Value) -> String {
        told_of(&schema.to_string(), values)
    }

    fn told_of(schema: &str, values: &Value) -> String {
        Schema::new(schema.as_bytes().into()).violations(values).unwrap_or_default()
    }

    #[test]
    fn items_that_are_there_twice_are_found_among_many() {
        let schema = json!({"properties": {"a": {"uniqueItems": true}}});
        for (first, second) in [
            (json!(0), json!(-0.0)),
            (json!(7), json!(7.0)),
            (json!({"a": 1, "b": [2, "x"]}), json!({"b": [2.0, "x"], "a": 1})),
            (json!(null), json!(null)),
        ] {
            let mut items: Vec<Value> = (0..20_000).map(|number| json!({"number": number})).collect();
            items[3] = first.clone();
            assert_eq!(told(&schema, &json!({"a": items})), "");
            items.push(second);
            items.push(first);
            assert_eq!(told(&schema, &json!({"a": items})), "- at '/a': items at 3 and 20,000 are equal\n");
        }
    }

    #[test]
    fn every_violation_is_told_in_helms_words() {
        let schema = json!({
            "type": "object",
            "required": ["employmentInfo", "x"],
            "additionalProperties": false,
            "properties": {
                "age": {"type": "integer", "minimum": 0},
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
                "kind": {"enum": ["a", "b", 1]},
                "ports": {"type": "array", "items": {"type": "integer"}},
                "one": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            }
        });
        let values = json!({"age": -5.0, "name": "ABCD", "kind": "c", "ports": [1.0, "x"], "one": 1.0, "more": {}});
        assert_eq!(
            told(&schema, &values),
            "- at '': missing properties 'employmentInfo', 'x'\n\
             - at '/age': minimum: got -5, want 0\n\
             - at '/kind': value must be one of 'a', 'b', 1\n\
             - at '/name': validation failed\n  \
               - at '/name': maxLength: got 4, want 3\n  \
               - at '/name': 'ABCD' does not match pattern '^[a-z]+$'\n\
             - at '/one': 'oneOf' failed, none matched\n  \
               - at '/one': got number, want string\n  \
               - at '/one': got number, want null\n\
             - at '/ports/1': got string, want integer\n\
             - at '': additional properties 'more' not allowed\n"
        );
    }

    #[test]
    fn types_are_told_in_an_order_of_their_own() {
        let schema = json!({"properties": {"a": {"type": ["string", "integer", "null"]}}});
        assert_eq!(told(&schema, &json!({"a": []})), "- at '/a': got array, want null or integer or string\n");
    }

    #[test]
    fn references_and_old_drafts_are_followed() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"port": {"type": "integer", "maximum": 65535}},
            "properties": {"port": {"$ref": "#/definitions/port"}},
            "if": {"required": ["a"]}, "then": {"required": ["b"]}
        });
        assert_eq!(
            told(&schema, &json!({"port": 70000.0, "a": 1.0})),
            "- at '/port': maximum: got 70,000, want 65,535\n- at '': missing property 'b'\n"
        );
        assert_eq!(told(&schema, &json!({"port": 80.0})), "");
        let old = json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "properties": {"n": {"type": "number", "minimum": 0, "exclusiveMinimum": true}}
        });
        assert!(told(&old, &json!({"n": 0.0})).starts_with("- at '/n': "));
    }

    /// Schemas and values with what Helm 4.2.3 said of them, one a line.
    #[test]
    fn schemas_and_values_are_told_as_helm_tells_them() {
        let mut wrong = Vec::new();
        for line in include_str!("schema/cases.jsonl").lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| case[name].as_str().unwrap_or_default();
            let told = told_of(text("schema"), &case["values"]);
            if told != text("told") {
                wrong.push(format!("{}\n{}\n{told}\n{}", text("schema"), case["values"], text("told")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}
