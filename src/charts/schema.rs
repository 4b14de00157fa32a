//! `values.schema.json`: values against JSON Schema (drafts 4 to 2020-12), with the words of Helm's validator.
//!
//! The `jsonschema` crate decides whether values are valid, except where a schema is [`plain`]. What is wrong is told by
//! [`explain`], because users and tools know Helm's texts: every violation, each with the path of the value, those of one
//! table together.

mod explain;
mod plain;
mod remote;

use super::chart::Chart;
use super::values::{Map, Value, go_type};
use super::{Error, values};

const HEAD: &str = "values don't meet the specifications of the schema(s) in the following chart(s):";

/// Checks the values of a chart and of its subcharts; the error names every violation.
pub fn validate(chart: &Chart, values: &Map) -> Result<(), Error> {
    let mut problems = String::new();
    collect(chart, values, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(Error::Schema(format!("{HEAD}\n{problems}"))) }
}

fn collect(chart: &Chart, given: &Map, problems: &mut String) {
    if let Some(schema) = &chart.schema
        && let Some(problem) = violations(schema, given)
    {
        problems.push_str(&format!("{}:\n{problem}", chart.name()));
    }
    for subchart in &chart.dependencies {
        match given.get(subchart.name()) {
            None | Some(Value::Null) => {}
            Some(Value::Object(inner)) => collect(subchart, inner, problems),
            Some(other) => {
                let (name, found) = (subchart.name(), go_type(other));
                problems.push_str(&format!("{name}:\ninvalid type for values: expected object (map), got {found}\n"));
            }
        }
    }
}

/// What is wrong with values by a schema, one violation a line; `None` if nothing is.
pub fn violations(schema: &[u8], values: &Map) -> Option<String> {
    let schema: Value = match serde_json::from_slice(schema) {
        Ok(schema) => schema,
        Err(error) => return Some(error.to_string()),
    };
    let values = Value::Object(values::plain_table(values));
    if plain::is_plain(&schema) && explain::explain(&schema, &values).is_empty() {
        return None;
    }
    let words = explain::words(&schema);
    let schema = match remote::complete(schema, words) {
        Ok(schema) => schema,
        Err(problem) => return Some(format!("{problem}\n")),
    };
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => return Some(format!("'{}#' is not valid: {error}\n", remote::OWN)),
    };
    if validator.is_valid(&values) {
        return None;
    }
    let told = explain::explain(&schema, &values);
    if !told.is_empty() {
        return Some(told);
    }
    // A rule that the explanation does not know: the crate's own words.
    let lines = validator.iter_errors(&values).map(|error| format!("- at '{}': {error}\n", error.instance_path()));
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(schema: &Value, values: &Value) -> String {
        violations(schema.to_string().as_bytes(), values.as_object().unwrap()).unwrap_or_default()
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

    #[test]
    fn a_broken_schema_is_told() {
        assert!(violations(b"{", &Map::new()).is_some());
        assert!(told(&json!({"type": 3}), &json!({})).contains("is not valid"));
    }
}
