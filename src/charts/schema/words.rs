//! What is wrong with a value, in words.

use crate::charts::chart::number_text;
use crate::charts::template::{format_float, quote as go_quote};
use crate::charts::values::Value;

/// The way to a value. It becomes a text only where something is wrong.
pub struct Path<'p> {
    /// The way to what it is in.
    pub before: Option<&'p Path<'p>>,
    /// Its name in there.
    pub name: &'p str,
}

impl Path<'_> {
    /// The whole value.
    pub const TOP: Path<'static> = Path { before: None, name: "" };

    /// `/a/b/0`.
    pub fn pointer(&self) -> String {
        match self.before {
            Some(before) => super::documents::below(&before.pointer(), self.name),
            None => String::new(),
        }
    }
}

/// What a violation is made of.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// One rule.
    Plain,
    /// Several rules of one schema.
    Group,
    /// What a reference led to; with one cause, it is that cause.
    Reference,
}

/// A violation, with those that it is made of.
pub struct Problem {
    pub path: String,
    pub text: String,
    pub shape: Shape,
    pub causes: Vec<Problem>,
}

impl Problem {
    /// One line, and one for each cause.
    pub fn write(&self, depth: usize, out: &mut String) {
        let mut inside = depth;
        if self.shape != Shape::Reference || self.causes.len() != 1 {
            out.push_str(&"  ".repeat(depth));
            out.push_str(&format!("- at {}: {}\n", quote(&self.path), self.text));
            inside += 1;
        }
        self.causes.iter().for_each(|cause| cause.write(inside, out));
    }
}

/// What JSON calls the type of a value.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// That another value is wanted.
pub fn choice(wanted: &Value) -> String {
    if is_nested(wanted) { "'const' failed".into() } else { format!("value must be {}", display(wanted)) }
}

/// That one of some values is wanted.
pub fn choices(wanted: &[Value]) -> String {
    match wanted {
        all if all.iter().any(is_nested) => "'enum' failed".into(),
        [one] => format!("value must be {}", display(one)),
        all => format!("value must be one of {}", all.iter().map(display).collect::<Vec<_>>().join(", ")),
    }
}

fn display(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(_) | Value::Object(_) => "value".into(),
        Value::Null => "<nil>".into(),
        // A float that is whole keeps its point, as it is written in most schemas.
        Value::Number(number)
            if number.as_f64().is_some_and(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 1e16) =>
        {
            number.to_string()
        }
        Value::Number(number) => number_text(number),
        Value::Bool(value) => value.to_string(),
    }
}

/// A text in single quotes.
pub fn quote(text: &str) -> String {
    let quoted = go_quote(text.as_bytes(), false);
    format!("'{}'", quoted[1..quoted.len() - 1].replace("\\\"", "\"").replace('\'', "\\'"))
}

/// Names in single quotes, with commas.
pub fn list(names: &[&str]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

/// A count as people of the English tongue write it: 65,535.
pub fn count(number: usize) -> String {
    grouped(&number.to_string())
}

/// Counts as Go prints a list of them.
pub fn counts(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number as people of the English tongue write it: 65,535.5, and 1.5×10⁰⁹ from a million on.
pub fn number(number: f64) -> String {
    let text = format_float(number, 'e', None);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
    let power = exponent.parse::<i32>().unwrap_or_default();
    if number == 0.0 || (-4..6).contains(&power) {
        let text = format_float(number, 'f', None);
        let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |text| ("-", text));
        let (whole, fraction) = text.split_once('.').map_or((text, String::new()), |(a, b)| (a, format!(".{b}")));
        return format!("{sign}{}{fraction}", grouped(whole));
    }
    let raised: String = exponent
        .chars()
        .filter_map(|letter| match letter {
            '-' => Some('⁻'),
            digit => digit.to_digit(10).and_then(|digit| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit as usize)),
        })
        .collect();
    format!("{mantissa}×10{raised}")
}
