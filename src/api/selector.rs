//! Label and field selectors, in their string form and as `LabelSelector` objects.
//!
//! Source: k8s.io/apimachinery `pkg/labels/selector.go` and `pkg/fields/selector.go`.

use super::names;
use serde_json::Value;

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

/// All of these conditions; none at all selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// A text that is no selector.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct Error(pub String);

impl Selector {
    /// Whether labels fulfil every condition; `get` finds the value of a label.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| requirement.matches(&get))
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the string form, for example `a=b,c in (d,e),!f`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        split_outside_brackets(text)
            .into_iter()
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Selector)
    }

    /// Reads the string form for labels, whose values cannot be any text.
    pub fn parse_labels(text: &str) -> Result<Self, Error> {
        let selector = Self::parse(text)?;
        for requirement in &selector.0 {
            let (Requirement::In(key, values) | Requirement::NotIn(key, values)) = requirement else { continue };
            for (index, value) in values.iter().enumerate() {
                if let Some(at) = value.find(['=', '!', '<', '>', '(', ')']) {
                    let found =
                        value[at..].split(|letter: char| letter.is_ascii_alphanumeric()).next().unwrap_or_default();
                    return Err(Error(format!("found '{found}', expected: ',' or 'end of string'")));
                }
                if let Some(why) = names::label_value(value).into_iter().next() {
                    return Err(Error(format!("values[{index}][{key}]: Invalid value: \"{value}\": {why}")));
                }
            }
        }
        Ok(selector)
    }

    /// Reads a `LabelSelector` object. Nothing (null) selects nothing, an empty object everything: the caller decides which
    /// of the two a missing field means, so only objects are taken here.
    pub fn from_object(selector: &Value) -> Result<Self, Error> {
        let mut all = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            all.push(Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().into()]));
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            all.push(from_expression(expression)?);
        }
        Ok(Selector(all))
    }

    /// Reads a plain map of labels, as services and replication controllers have it.
    pub fn from_map(labels: &Value) -> Self {
        let pairs = labels.as_object().into_iter().flatten();
        Selector(
            pairs
                .map(|(key, value)| Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().into()]))
                .collect(),
        )
    }
}

impl Requirement {
    fn matches<'a>(&self, get: &impl Fn(&str) -> Option<&'a str>) -> bool {
        let number = |key: &str| get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Requirement::In(key, values) => get(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Requirement::NotIn(key, values) => get(key).is_none_or(|value| values.iter().all(|one| one != value)),
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::Absent(key) => get(key).is_none(),
            Requirement::Greater(key, bound) => number(key).is_some_and(|value| value > *bound),
            Requirement::Less(key, bound) => number(key).is_some_and(|value| value < *bound),
        }
    }
}

fn from_expression(expression: &Value) -> Result<Requirement, Error> {
    let key = expression["key"].as_str().unwrap_or_default().to_string();
    let values =
        || expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect();
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => Ok(Requirement::In(key, values())),
        "NotIn" => Ok(Requirement::NotIn(key, values())),
        "Exists" => Ok(Requirement::Exists(key)),
        "DoesNotExist" => Ok(Requirement::Absent(key)),
        other => Err(Error(format!("\"{other}\" is not a valid label selector operator"))),
    }
}

/// Splits at commas that are in no brackets.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (index, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(text: &str) -> Result<Requirement, Error> {
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Requirement::Absent(checked(key, text)?));
    }
    for (operator, not) in [(" notin ", true), (" in ", false), (" notin(", true), (" in(", false)] {
        if let Some((key, values)) = text.split_once(operator) {
            let values = listed(values, text)?;
            let key = checked(key, text)?;
            return Ok(if not { Requirement::NotIn(key, values) } else { Requirement::In(key, values) });
        }
    }
    compared(text)
}

fn compared(text: &str) -> Result<Requirement, Error> {
    let number = |value: &str| {
        value
            .trim()
            .parse::<i64>()
            .map_err(|_| Error(format!("for 'Gt', 'Lt' operators, the value must be an integer: {text}")))
    };
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(checked(key, text)?, vec![value.trim().into()]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In(checked(key, text)?, vec![value.trim().into()]));
    }
    if let Some((key, value)) = text.split_once('>') {
        return Ok(Requirement::Greater(checked(key, text)?, number(value)?));
    }
    if let Some((key, value)) = text.split_once('<') {
        return Ok(Requirement::Less(checked(key, text)?, number(value)?));
    }
    Ok(Requirement::Exists(checked(text, text)?))
}

/// The values of `(a, b)`; the opening bracket may already be gone.
fn listed(values: &str, whole: &str) -> Result<Vec<String>, Error> {
    let inner = values.trim().trim_start_matches('(');
    let inner = inner.strip_suffix(')').ok_or_else(|| Error(format!("found '{whole}', expected: ')'")))?;
    Ok(inner.split(',').map(|value| value.trim().to_string()).collect())
}

/// A label's key: something, and no blanks in it.
fn checked(key: &str, whole: &str) -> Result<String, Error> {
    let key = key.trim();
    let is_fine = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if is_fine { Ok(key.to_string()) } else { Err(Error(format!("found '{whole}', expected: identifier"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(selector: &str, labels: &[(&str, &'static str)]) -> bool {
        let get = |key: &str| labels.iter().find(|(own, _)| *own == key).map(|(_, value)| *value);
        Selector::parse(selector).unwrap().matches(get)
    }

    #[test]
    fn every_operator_of_the_string_form_selects_as_kubernetes_does() {
        let labels = &[("app", "web"), ("tier", "front"), ("size", "5")];
        for yes in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "app in (db, web)",
            "app notin (db)",
            "app",
            "!gone",
            "size>4",
            "size<6",
            "gone!=x",
            "app=web,tier in (front,back),!x",
        ] {
            assert!(selects(yes, labels), "{yes}");
        }
        for no in [
            "app=db",
            "app!=web",
            "app in (db)",
            "app notin (web)",
            "gone",
            "!app",
            "size>5",
            "gone in (x)",
            "app=web,tier=back",
        ] {
            assert!(!selects(no, labels), "{no}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["=x", "a b", "a in (b", "size>x"] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_of_labels_are_no_other_text() {
        let why = |text: &str| Selector::parse_labels(text).unwrap_err().to_string();
        assert_eq!(why("a==b==c"), "unable to parse requirement: found '==', expected: ',' or 'end of string'");
        assert!(why("a=b c").starts_with("unable to parse requirement: values[0][a]: Invalid value: \"b c\": a valid"));
        assert!(Selector::parse_labels("a in (b,),c=,d!=e_f.g").is_ok());
        assert!(Selector::parse("involvedObject.fieldPath=spec.containers{web}").is_ok());
    }

    #[test]
    fn objects_select_by_labels_and_expressions() {
        let selector =
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]});
        let selector = Selector::from_object(&selector).unwrap();
        assert!(selector.matches(|key| Some(if key == "app" { "web" } else { "x" })));
        assert!(!selector.matches(|key| (key == "app").then_some("web")));
        assert!(Selector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Is"}]})).is_err());
    }
}
