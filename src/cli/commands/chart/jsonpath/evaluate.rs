//! From nodes and a document to text.
//!
//! Errors have no words: Helm prints nothing of a template that failed, and does not say why.

use super::{Node, Range};
use crate::charts::decode::go_float;
use crate::charts::functions::json::{self, Style};
use crate::charts::template;
use serde_json::Value;
use std::cmp::Ordering;

/// What is found on the way.
#[derive(Clone)]
enum Found<'a> {
    /// A part of the document.
    Part(&'a Value),
    /// What the template itself says.
    Own(Scalar),
    /// What a range over nulls is in.
    Nothing,
}

#[derive(Clone, PartialEq, PartialOrd)]
enum Scalar {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// It went wrong; a filter that only asks whether there is something takes what was found until then.
struct Failed<'a>(Vec<Found<'a>>);

type Step<'a> = Result<Vec<Found<'a>>, Failed<'a>>;

/// The text that a template makes of a document, if nothing in it goes wrong.
pub fn print(nodes: &[Node], document: &Value) -> Option<String> {
    let mut out = Vec::new();
    let mut run = Run { nodes, begun: 0, inside: 0, ended: 0, last_end: 0 };
    run.find(0, &Found::Part(document), &mut out).ok()?;
    let texts: Option<Vec<String>> = out.iter().map(|found| Some(texts(found)?.join(" "))).collect();
    Some(texts?.concat())
}

fn texts(found: &[Found]) -> Option<Vec<String>> {
    found.iter().map(Found::text).collect()
}

impl<'a> Found<'a> {
    fn text(&self) -> Option<String> {
        Some(match self {
            Self::Nothing => "<no value>".into(),
            Self::Part(Value::Null) => "null".into(),
            Self::Part(value @ (Value::Array(_) | Value::Object(_))) => {
                json::encode(&template::Value::from_json(value), Style { html: true, pretty: false }).ok()?
            }
            other => match other.scalar()? {
                Scalar::Text(text) => text,
                Scalar::Int(number) => number.to_string(),
                Scalar::Float(number) => go_float(number),
                Scalar::Bool(truth) => truth.to_string(),
            },
        })
    }

    fn scalar(&self) -> Option<Scalar> {
        match self {
            Self::Own(scalar) => Some(scalar.clone()),
            Self::Part(Value::String(text)) => Some(Scalar::Text(text.clone())),
            Self::Part(Value::Number(number)) => number.as_f64().map(Scalar::Float),
            Self::Part(Value::Bool(truth)) => Some(Scalar::Bool(*truth)),
            _ => None,
        }
    }

    /// The values of a table, the items of a list, the bytes of a text.
    fn children(&self) -> Vec<Found<'a>> {
        match self {
            Self::Part(Value::Object(table)) => table.values().map(Self::Part).collect(),
            Self::Part(Value::Array(items)) => items.iter().map(Self::Part).collect(),
            Self::Part(Value::String(text)) | Self::Own(Scalar::Text(text)) => {
                text.bytes().map(|byte| Self::Own(Scalar::Int(byte.into()))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// It with everything below it, if there is something.
    fn descendants(&self, out: &mut Vec<Found<'a>>) {
        let children = self.children();
        if !children.is_empty() {
            out.push(self.clone());
            children.iter().for_each(|child| child.descendants(out));
        }
    }
}

/// How far a template was followed.
struct Run<'t> {
    nodes: &'t [Node],
    /// Ranges that the node just met begins.
    begun: usize,
    /// Ranges that it is in.
    inside: usize,
    /// Ranges that it ends.
    ended: usize,
    /// Where the `end` is that was met last.
    last_end: usize,
}

impl Run<'_> {
    /// Follows the nodes from one on, to the `end` of the range that they are in; each that prints adds what it found.
    fn find<'a>(&mut self, start: usize, current: &Found<'a>, out: &mut Vec<Vec<Found<'a>>>) -> Result<(), Failed<'a>> {
        let nodes = self.nodes;
        let mut at = start;
        while let Some(node) = nodes.get(at) {
            let found = self.step(vec![current.clone()], node)?;
            if self.ended > 0 && self.ended <= self.inside {
                self.ended -= 1;
                self.last_end = at;
                return Ok(());
            }
            if self.begun > 0 {
                self.begun -= 1;
                self.range(at + 1, found, out)?;
                // One without an end goes on with what it has just repeated.
                at = at.max(self.last_end);
            } else {
                out.push(found);
            }
            at += 1;
        }
        Ok(())
    }

    fn range<'a>(
        &mut self,
        start: usize,
        items: Vec<Found<'a>>,
        out: &mut Vec<Vec<Found<'a>>>,
    ) -> Result<(), Failed<'a>> {
        self.inside += 1;
        if items.is_empty() {
            // What is in it has to go well all the same, and tells where it ends.
            self.find(start, &Found::Nothing, &mut Vec::new())?;
        }
        for item in items {
            let item = if matches!(item, Found::Part(Value::Null)) { Found::Nothing } else { item };
            self.find(start, &item, out)?;
        }
        self.inside -= 1;
        Ok(())
    }

    fn list<'a>(&mut self, input: Vec<Found<'a>>, nodes: &[Node]) -> Step<'a> {
        nodes.iter().try_fold(input, |found, node| self.step(found, node))
    }

    fn step<'a>(&mut self, input: Vec<Found<'a>>, node: &Node) -> Step<'a> {
        let each = |scalar: Scalar| Ok(vec![Found::Own(scalar); input.len()]);
        match node {
            Node::List(nodes) => self.list(input, nodes),
            Node::Text(text) => Ok(vec![Found::Own(Scalar::Text(text.clone()))]),
            Node::Int(number) => each(Scalar::Int(*number)),
            Node::Float(number) => each(Scalar::Float(*number)),
            Node::Bool(truth) => each(Scalar::Bool(*truth)),
            Node::Identifier(name) => self.identifier(input, name),
            Node::Field(name) => field(&input, name),
            Node::Array(range) => items(input, *range),
            Node::Filter { left, comparison } => self.filter(input, left, comparison.as_ref()),
            Node::Wildcard => Ok(input.iter().flat_map(Found::children).collect()),
            Node::Recursive => {
                let mut all = Vec::new();
                input.iter().for_each(|found| found.descendants(&mut all));
                Ok(all)
            }
            Node::Union(parts) => {
                let found: Result<Vec<_>, _> = parts.iter().map(|part| self.list(input.clone(), part)).collect();
                found.map(|found| found.concat()).map_err(|_| Failed(input))
            }
        }
    }

    fn identifier<'a>(&mut self, input: Vec<Found<'a>>, name: &str) -> Step<'a> {
        match name {
            "range" => {
                self.begun += 1;
                Ok(input)
            }
            "end" if self.inside > 0 => {
                self.ended += 1;
                Ok(Vec::new())
            }
            "end" => Err(Failed(Vec::new())),
            _ => Err(Failed(input)),
        }
    }

    fn filter<'a>(
        &mut self,
        input: Vec<Found<'a>>,
        left: &[Node],
        comparison: Option<&(String, Vec<Node>)>,
    ) -> Step<'a> {
        let mut kept = Vec::new();
        for list in &input {
            let Found::Part(Value::Array(items)) = list else { return Err(Failed(input)) };
            for item in items.iter().map(Found::Part) {
                kept.extend(self.keeps(&item, left, comparison)?.then_some(item));
            }
        }
        Ok(kept)
    }

    fn keeps<'a>(
        &mut self,
        item: &Found<'a>,
        left: &[Node],
        comparison: Option<&(String, Vec<Node>)>,
    ) -> Result<bool, Failed<'a>> {
        let found = self.list(vec![item.clone()], left);
        let Some((operator, right)) = comparison else {
            let (Ok(found) | Err(Failed(found))) = found;
            return Ok(!found.is_empty());
        };
        let Some(left) = one(found?)? else { return Ok(false) };
        let Some(right) = one(self.list(vec![item.clone()], right)?)? else { return Ok(false) };
        compares(&left, operator, &right).ok_or(Failed(Vec::new()))
    }
}

/// The only one that was found, if any was; more cannot be compared.
fn one<'a>(found: Vec<Found<'a>>) -> Result<Option<Found<'a>>, Failed<'a>> {
    if found.len() > 1 { Err(Failed(found)) } else { Ok(found.into_iter().next()) }
}

/// Whether an operator is true of two values; nothing if they are of kinds that it does not compare.
fn compares(left: &Found, operator: &str, right: &Found) -> Option<bool> {
    let (left, right) = (left.scalar()?, right.scalar()?);
    if std::mem::discriminant(&left) != std::mem::discriminant(&right) {
        return None;
    }
    let order = left.partial_cmp(&right);
    let ordered = if matches!(left, Scalar::Bool(_)) { None } else { order };
    match operator {
        "==" => order.map(Ordering::is_eq),
        "!=" => order.map(Ordering::is_ne),
        "<" => ordered.map(Ordering::is_lt),
        ">" => ordered.map(Ordering::is_gt),
        "<=" => ordered.map(Ordering::is_le),
        ">=" => ordered.map(Ordering::is_ge),
        _ => None,
    }
}

fn field<'a>(input: &[Found<'a>], name: &str) -> Step<'a> {
    let of = |found: &Found<'a>| match found {
        Found::Part(Value::Object(table)) => table.get(name).map(Found::Part),
        _ => None,
    };
    let found: Vec<_> = input.iter().filter_map(of).collect();
    if found.is_empty() && !input.is_empty() { Err(Failed(found)) } else { Ok(found) }
}

fn items<'a>(input: Vec<Found<'a>>, range: Range) -> Step<'a> {
    let mut found = Vec::new();
    for list in &input {
        match list {
            Found::Part(Value::Null) => {}
            Found::Part(Value::Array(items)) => match bounds(range, items.len()) {
                Some((start, end, _)) if start == end => return Ok(found),
                Some((start, end, step)) => found.extend(items[start..end].iter().step_by(step).map(Found::Part)),
                None => return Err(Failed(input)),
            },
            _ => return Err(Failed(input)),
        }
    }
    Ok(found)
}

/// Start, end and step of a range in a list of so many; nothing if it is not within it.
fn bounds(range: Range, length: usize) -> Option<(usize, usize, usize)> {
    let count = i64::try_from(length).ok()?;
    let from_the_end = |number: i64| if number < 0 { number.saturating_add(count) } else { number };
    let start = from_the_end(range.start);
    let end = match range.end {
        // The item after the last one is the end.
        None if range.is_one && range.start == -1 => count,
        None if range.is_one => from_the_end(range.start.saturating_add(1)),
        None => count,
        Some(end) => from_the_end(end),
    };
    if start == end {
        // None at all are there, wherever.
        return Some((0, 0, 1));
    }
    let is_within = 0 <= start && start < end && end <= count;
    let step = range.step.unwrap_or(1);
    let number = |number: i64| usize::try_from(number).ok();
    (is_within && step > 0).then_some((number(start)?, number(end)?, number(step)?))
}
