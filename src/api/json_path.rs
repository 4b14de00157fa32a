//! JSONPath as definitions of custom kinds use it, for columns, scales and fields to select by.
//!
//! `.spec.replicas`, `.metadata.labels['a/b']`, `.metadata.annotations.example\.com/a`, `.spec.list[0]`, `.spec.list[-1]`,
//! `.spec.list[*].name`, `.status.conditions[?(@.type=="Ready")].status`. Other forms of client-go's language are refused.

use super::Object;
use serde_json::Value;

/// A path that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    /// Every item or value.
    All,
    /// Items in which the path leads to a value that compares so.
    Where(JsonPath, bool, Value),
}

impl JsonPath {
    /// Reads a path, with or without braces around it; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut reader = Reader { rest: inner.strip_prefix('$').unwrap_or(inner) };
        let mut steps = Vec::new();
        while !reader.rest.is_empty() {
            steps.extend(reader.step()?);
        }
        Ok(Self(steps))
    }

    /// Every value that the path leads to.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        follow(&self.0, root)
    }

    /// Every value of an object that the path leads to; the object itself is none.
    pub fn find_in<'a>(&self, object: &'a Object) -> Vec<&'a Value> {
        match self.0.split_first() {
            Some((Step::Field(name), rest)) => object.0.get(name).map_or_else(Vec::new, |value| follow(rest, value)),
            Some((Step::All, rest)) => object.0.values().flat_map(|value| follow(rest, value)).collect(),
            _ => Vec::new(),
        }
    }

    /// The names of fields on the way, if there is nothing else on it.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let steps = self.0.iter().map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            _ => None,
        });
        steps.collect()
    }
}

fn follow<'a>(steps: &[Step], root: &'a Value) -> Vec<&'a Value> {
    steps.iter().fold(vec![root], |values, step| values.into_iter().flat_map(|value| step.below(value)).collect())
}

impl Step {
    fn below<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
            (Step::Index(index), Value::Array(list)) => {
                let at = if *index < 0 { index + list.len() as i64 } else { *index };
                usize::try_from(at).ok().and_then(|at| list.get(at)).into_iter().collect()
            }
            (Step::All, Value::Array(list)) => list.iter().collect(),
            (Step::All, Value::Object(map)) => map.values().collect(),
            (Step::Where(path, equal, wanted), Value::Array(list)) => {
                list.iter().filter(|item| path.find(item).contains(&wanted) == *equal).collect()
            }
            _ => Vec::new(),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// The next step; a lone dot is none.
    fn step(&mut self) -> Result<Option<Step>, String> {
        if self.rest.starts_with("..") {
            return Err("recursive descent is not supported".into());
        }
        let dotted = self.rest.strip_prefix('.');
        self.rest = dotted.unwrap_or(self.rest);
        if let Some(rest) = self.rest.strip_prefix('[') {
            let end = closing(rest).ok_or("unterminated array")?;
            self.rest = &rest[end + 1..];
            return bracket(rest[..end].trim()).map(Some);
        }
        let name = self.name();
        match name.as_str() {
            "" if self.rest.is_empty() => Ok(None),
            "" => Err(format!("unexpected \"{}\"", self.rest)),
            "*" => Ok(Some(Step::All)),
            _ => Ok(Some(Step::Field(name))),
        }
    }

    /// A name up to the next dot or bracket; a backslash takes what follows as it is.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let mut letters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
                '.' | '[' => {
                    end = at;
                    break;
                }
                other => name.push(other),
            }
        }
        self.rest = &self.rest[end..];
        name
    }
}

/// Where the bracket closes that is open at the start; quotes hide brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Result<Step, String> {
    if inner == "*" {
        return Ok(Step::All);
    }
    if let Some(condition) = inner.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        return filter(condition);
    }
    if let Some(name) = unquoted(inner) {
        return Ok(Step::Field(name.to_string()));
    }
    inner.parse().map(Step::Index).map_err(|_| format!("invalid array index {inner}"))
}

fn filter(condition: &str) -> Result<Step, String> {
    let (left, equal, right) = match (condition.split_once("=="), condition.split_once("!=")) {
        (Some((left, right)), _) => (left, true, right),
        (None, Some((left, right))) => (left, false, right),
        _ => return Err(format!("unrecognized filter {condition}")),
    };
    let path = left.trim().strip_prefix('@').ok_or_else(|| format!("unrecognized filter {condition}"))?;
    let right = right.trim();
    let wanted = match unquoted(right) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(right).map_err(|_| format!("unrecognized value {right}"))?,
    };
    Ok(Step::Where(JsonPath::parse(path)?, equal, wanted))
}

fn unquoted(text: &str) -> Option<&str> {
    let between = |quote| text.strip_prefix(quote).and_then(|text: &str| text.strip_suffix(quote));
    between('\'').or_else(|| between('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(path: &str) -> Vec<Value> {
        let root = json!({
            "metadata": {"labels": {"a/b": "c", "d.e": "f"}},
            "spec": {"list": [{"name": "x", "n": 1}, {"name": "y", "n": 2}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        JsonPath::parse(path).unwrap().find(&root).into_iter().cloned().collect()
    }

    #[test]
    fn paths_lead_through_fields_lists_and_conditions() {
        assert_eq!(found(".spec.list[0].name"), ["x"]);
        assert_eq!(found(".spec.list[-1].n"), [2]);
        assert_eq!(found("{.spec.list[*].name}"), ["x", "y"]);
        assert_eq!(found(".status.conditions[?(@.type==\"Ready\")].status"), ["True"]);
        assert_eq!(found(".status.conditions[?(@.type != 'Ready')].status"), ["False"]);
        assert_eq!(found(".metadata.labels['a/b']"), ["c"]);
        assert_eq!(found(".metadata.labels.d\\.e"), ["f"]);
        assert!(found(".spec.none.deeper").is_empty());
    }

    #[test]
    fn other_forms_are_refused() {
        for path in ["..name", ".list[a]", ".list[0", ".list[?(@.a)]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
