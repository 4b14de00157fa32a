//! Label and field selectors, in their string form and as `LabelSelector` objects.
//!
//! Source: k8s.io/apimachinery `pkg/labels/selector.go` and `pkg/fields/selector.go`.

mod fields;
mod labels;

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
#[error("{0}")]
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

    /// Reads the string form for labels, for example `a=b,c in (d,e),!f`.
    pub fn parse_labels(text: &str) -> Result<Self, Error> {
        labels::parse(text)
    }

    /// Reads the string form for fields, for example `metadata.name=a,spec.nodeName!=b`.
    pub fn parse_fields(text: &str) -> Result<Self, Error> {
        fields::parse(text)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(selector: &str, labels: &[(&str, &'static str)]) -> bool {
        let get = |key: &str| labels.iter().find(|(own, _)| *own == key).map(|(_, value)| *value);
        Selector::parse_labels(selector).unwrap().matches(get)
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
    fn nonsense_in_labels_is_told_in_kubernetes_words() {
        let why = |text: &str| Selector::parse_labels(text).unwrap_err().to_string();
        for (text, words) in [
            ("a==b==c", "found '==', expected: ',' or 'end of string'"),
            ("=x", "found '=', expected: !, identifier, or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in", "unable to parse requirement: found '' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
            ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
            ("a=>", "unable to parse requirement: found '>', expected: identifier"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ] {
            assert_eq!(why(text), words, "{text}");
        }
        let number = "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer";
        assert_eq!(why("size>x"), number);
        assert!(why("a=-b").starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid"));
        assert!(why("-a").starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must"));
        assert!(Selector::parse_labels("a in (b,),c=,d!=e_f.g,in,x notin (in)").is_ok());
    }

    #[test]
    fn values_of_fields_may_be_any_text() {
        let parsed = |text: &str| Selector::parse_fields(text).unwrap().0;
        let is = |key: &str, value: &str| Requirement::In(key.into(), vec![value.into()]);
        assert_eq!(
            parsed("involvedObject.fieldPath=spec.containers{web}")[0],
            is("involvedObject.fieldPath", "spec.containers{web}")
        );
        assert_eq!(parsed(r"a=b\,c\=d,e==,"), [is("a", "b,c=d"), is("e", "")]);
        assert_eq!(parsed("a!=b"), [Requirement::NotIn("a".into(), vec!["b".into()])]);
        let why = |text: &str| Selector::parse_fields(text).unwrap_err().to_string();
        assert_eq!(why("a=b,c"), "invalid selector: 'a=b,c'; can't understand 'c'");
        assert_eq!(why(r"a=\b"), r"invalid field selector: invalid escape sequence: \b");
        assert_eq!(why("a==="), "invalid field selector: unescaped character in value: =");
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
