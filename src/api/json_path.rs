//! JSONPath as definitions of custom kinds use it, for columns, scales and fields to select by.
//!
//! `.spec.replicas`, `.metadata.labels['a/b']`, `.metadata.annotations.example\.com/a`, `.spec.list[0]`, `.spec.list[-1]`,
//! `.spec.list[*].name`, `.spec.list[0:2]`, `.spec.list[0,2]`, `..name`, `.status.conditions[?(@.type=="Ready")].status`,
//! `.spec.list[?(@.port)]`.
//!
//! Source of the grammar: k8s.io/client-go `util/jsonpath/{parser,jsonpath}.go`.

use super::Object;
use serde_json::Value;
use std::cmp::Ordering;

/// A path that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    /// From an item on, up to another, each so many.
    Slice(Option<i64>, Option<i64>, usize),
    /// What any of these leads to, one after the other.
    Union(Vec<Step>),
    /// Every item or value.
    All,
    /// Everything below, however deep.
    Deep,
    /// Items in which the path leads to a value that compares so; to any, if it is not compared.
    Where(JsonPath, Option<(Comparison, Value)>),
}

/// Signs of comparisons, the longer of two that begin alike first, and what an ordering has to be for them.
type Comparison = (&'static str, fn(Ordering) -> bool);
const COMPARISONS: [Comparison; 6] = [
    ("==", Ordering::is_eq),
    ("!=", Ordering::is_ne),
    ("<=", Ordering::is_le),
    (">=", Ordering::is_ge),
    ("<", Ordering::is_lt),
    (">", Ordering::is_gt),
];

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
            (Step::Slice(from, to, step), Value::Array(list)) => {
                let at = |index: i64| if index < 0 { index + list.len() as i64 } else { index };
                let bound = |index: i64| usize::try_from(at(index)).unwrap_or(0).min(list.len());
                let (from, to) = (from.map_or(0, bound), to.map_or(list.len(), bound));
                list.get(from..to).into_iter().flatten().step_by(*step).collect()
            }
            (Step::Union(steps), value) => steps.iter().flat_map(|step| step.below(value)).collect(),
            (Step::Deep, value) => {
                let mut all = vec![value];
                let below = Step::All.below(value);
                all.extend(below.into_iter().flat_map(|value| Step::Deep.below(value)));
                all
            }
            (Step::Where(path, condition), Value::Array(list)) => list
                .iter()
                .filter(|item| match (path.find(item).first(), condition) {
                    (found, None) => found.is_some(),
                    // What is not there is not compared.
                    (None, Some(_)) => false,
                    (Some(found), Some(((_, holds), wanted))) => compared(found, wanted).is_some_and(holds),
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// How two values of a kind stand to each other.
fn compared(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        // Values of different kinds are only unequal.
        _ => Some(Ordering::Less).filter(|_| one != other),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// The next step; a lone dot is none.
    fn step(&mut self) -> Result<Option<Step>, String> {
        if let Some(rest) = self.rest.strip_prefix("..") {
            self.rest = rest;
            return Ok(Some(Step::Deep));
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
    let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    match parts.as_slice() {
        [one] => item(one),
        many => many.iter().map(|part| item(part)).collect::<Result<_, _>>().map(Step::Union),
    }
}

/// A name in quotes, an index, or a slice; nothing at all is the first item, as it is there.
fn item(text: &str) -> Result<Step, String> {
    if let Some(name) = unquoted(text) {
        return Ok(Step::Field(name.to_string()));
    }
    let wrong = || format!("invalid array index {text}");
    let number = |text: &str| match text {
        "" => Ok(None),
        text => text.parse::<i64>().map(Some).map_err(|_| wrong()),
    };
    let bounds = text.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
    match bounds.as_slice() {
        [index] => Ok(Step::Index(index.unwrap_or(0))),
        [from, to] => Ok(Step::Slice(*from, *to, 1)),
        [from, to, step] => {
            let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0);
            Ok(Step::Slice(*from, *to, step.ok_or("step must be > 0")?))
        }
        _ => Err(wrong()),
    }
}

fn filter(condition: &str) -> Result<Step, String> {
    let own = |path: &str| {
        let path = path.trim().strip_prefix('@').ok_or_else(|| format!("unrecognized filter {condition}"))?;
        JsonPath::parse(path)
    };
    let sign = COMPARISONS.into_iter().find_map(|sign| Some((sign, condition.split_once(sign.0)?)));
    let Some((sign, (left, right))) = sign else { return Ok(Step::Where(own(condition)?, None)) };
    let right = right.trim();
    let wanted = match unquoted(right) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(right).map_err(|_| format!("unrecognized value {right}"))?,
    };
    Ok(Step::Where(own(left)?, Some((sign, wanted))))
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
        assert_eq!(found(".spec.list[].name"), ["x"]);
        assert_eq!(found(".spec.list[0:1].name"), ["x"]);
        assert_eq!(found(".spec.list[1:].n"), [2]);
        assert_eq!(found(".spec.list[-2::2].name"), ["x"]);
        assert_eq!(found(".spec.list[1,0].n"), [2, 1]);
        assert_eq!(found(".metadata.labels['a/b','d.e']"), ["c", "f"]);
        assert_eq!(found("..name"), ["x", "y"]);
        assert_eq!(found(".spec.list[?(@.n>=2)].name"), ["y"]);
        assert_eq!(found(".spec.list[?(@.n)].name"), ["x", "y"]);
        assert_eq!(found(".spec.list[?(@.lost)].name").len(), 0);
    }

    #[test]
    fn other_forms_are_refused() {
        for path in [".list[a]", ".list[0", ".list[0:1:0]", ".list[?(a)]", ".list[1:2:3:4]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
