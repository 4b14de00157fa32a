//! YAML text <-> JSON values, as `sigs.k8s.io/yaml` has it: the one door to the YAML crate.

use serde_json::Value;

/// A text that is no YAML, with where and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The first document of a text; an empty text is null.
pub fn from_text(text: &str) -> Result<Value, Error> {
    Ok(documents(text)?.into_iter().next().unwrap_or(Value::Null))
}

/// Every document of a text that is not empty.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| in_go_words(&error.to_string()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// `yaml: line 3: why` out of a first line `error: line 3 column 4: why`, which pictures of the text follow.
fn in_go_words(text: &str) -> Error {
    let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let parts = line.strip_prefix("line ").and_then(|rest| rest.split_once(" column "));
    let why = parts.and_then(|(line, rest)| Some((line, rest.split_once(": ")?.1)));
    Error(why.map_or_else(|| format!("yaml: {line}"), |(line, why)| format!("yaml: line {line}: {why}")))
}

/// A value as one document.
pub fn to_text(value: &Value) -> Result<String, Error> {
    serde_saphyr::to_string(value).map_err(|error| Error(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_split_and_empty_ones_dropped() {
        let text = "---\na: 1\n---\n# nothing\n---\nb: [x, 'y', \"1\"]\n";
        assert_eq!(documents(text).unwrap(), [json!({"a": 1}), json!({"b": ["x", "y", "1"]})]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({"a": "true", "b": "1", "c": {"d": [null, true, 1.5, "x: y"]}, "e": "two\nlines\n", "f": ""});
        assert_eq!(from_text(&to_text(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn a_broken_text_says_where() {
        let why = from_text("a: b\n  x: [1\n").unwrap_err().to_string();
        assert_eq!(why, "yaml: line 2: mapping values are not allowed in this context");
    }
}
