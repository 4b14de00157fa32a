//! Tokens into a value, as go-yaml v2 and `sigs.k8s.io/yaml` together make JSON of a document.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine;

use super::resolve::{Scalar, resolve};
use super::scanner::{Mark, Scanner, Tag, Token};
use crate::charts::template::{Entries, Map, Value, format_float};

/// What numbers become.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Numbers {
    /// `float64`, as Go's JSON decoder makes them.
    Floats,
    /// Whole ones stay whole.
    AsWritten,
}

/// How deep collections may nest.
const DEEPEST: usize = 1000;
const PREFIX: &str = "tag:yaml.org,2002:";

/// Reads the first document of a text; an empty text is nil.
pub(super) fn read(text: &str, numbers: Numbers) -> Result<Value, String> {
    let mut reader = Reader {
        scanner: Scanner::new(text)?,
        numbers,
        anchors: HashMap::new(),
        handles: HashMap::new(),
        nodes: 0,
        aliased: 0,
        deepest: 0,
        problem: None,
    };
    let value = reader.document()?;
    match reader.problem {
        Some((_, problem)) => Err(problem),
        None => Ok(value),
    }
}

/// The steps after parsing in which Helm's reader finds something wrong with a document that can be parsed.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Step {
    /// What a node means.
    Decode,
    /// YAML's keys become JSON's.
    Convert,
    /// Numbers become JSON's.
    Write,
}

/// A node.
struct Node {
    value: Value,
    /// What a scalar is, where its text as a key is not that of its value.
    scalar: Scalar,
    /// Whether it is a plain `<<`.
    merge: bool,
}

impl Node {
    /// Anything but a scalar.
    fn of(value: Value) -> Self {
        Node { value, scalar: Scalar::Str, merge: false }
    }

    /// The text that it is as a key.
    fn key(&self) -> Rc<str> {
        match (&self.scalar, &self.value) {
            (Scalar::Int(number), _) => number.to_string().into(),
            (Scalar::Uint(number), _) => number.to_string().into(),
            // sigs.k8s.io/yaml writes float keys with 32 bits.
            (Scalar::Float(number), _) => {
                format_float((*number as f32).to_string().parse().unwrap_or(*number), 'g', None).into()
            }
            (_, Value::Str(text)) => text.as_str().into(),
            (_, Value::Bool(truth)) => truth.to_string().into(),
            (_, Value::Int(number, _)) => number.to_string().into(),
            (_, Value::Uint(number, _)) => number.to_string().into(),
            (_, Value::Float(number)) => format_float(*number, 'g', None).into(),
            // Refused before.
            _ => "".into(),
        }
    }
}

/// What an alias stands for.
#[derive(Clone)]
struct Anchored {
    value: Value,
    /// How many nodes it has.
    size: usize,
    /// How many levels it has below its own.
    height: usize,
}

struct Reader<'t> {
    scanner: Scanner<'t>,
    numbers: Numbers,
    /// By name; `None` while they are being read.
    anchors: HashMap<&'t str, Option<Anchored>>,
    handles: HashMap<String, String>,
    nodes: usize,
    aliased: usize,
    /// How deep the deepest node was since somebody has asked.
    deepest: usize,
    /// What will be said if the document can be parsed to its end: the first problem of the earliest step.
    problem: Option<(Step, String)>,
}

fn error<T>(problem: &str, mark: Mark) -> Result<T, String> {
    Err(match mark.line {
        0 => format!("yaml: {problem}"),
        line => format!("yaml: line {line}: {problem}"),
    })
}

impl<'t> Reader<'t> {
    fn peek(&mut self) -> Result<(&Token<'t>, Mark), String> {
        let (token, mark) = self.scanner.peek()?;
        Ok((token, *mark))
    }

    fn take(&mut self, wanted: &Token<'_>) -> Result<bool, String> {
        let found = self.peek()?.0 == wanted;
        if found {
            self.scanner.next()?;
        }
        Ok(found)
    }

    fn document(&mut self) -> Result<Value, String> {
        let (token, mark) = self.peek()?;
        if matches!(token, Token::DocumentEnd) {
            return error("did not find expected node content", mark);
        }
        if matches!(token, Token::StreamEnd) {
            return Ok(Value::Nil);
        }
        self.directives()?;
        let node = self.node(0, true, false)?;
        // What comes next must at least be a token.
        self.peek()?;
        Ok(node.value)
    }

    fn directives(&mut self) -> Result<(), String> {
        let mut any = false;
        let mut version = false;
        loop {
            let mark = self.peek()?.1;
            match self.peek()?.0.clone() {
                Token::VersionDirective(major, minor) => {
                    if std::mem::replace(&mut version, true) {
                        return error("found duplicate %YAML directive", mark);
                    }
                    if (major, minor) != (1, 1) {
                        return error("found incompatible YAML document", mark);
                    }
                }
                Token::TagDirective(tag) => {
                    if self.handles.insert(tag.handle, tag.suffix).is_some() {
                        return error("found duplicate %TAG directive", mark);
                    }
                }
                _ => break,
            }
            any = true;
            self.scanner.next()?;
        }
        let mark = self.peek()?.1;
        if !self.take(&Token::DocumentStart)? && any {
            return error("did not find expected <document start>", mark);
        }
        Ok(())
    }

    /// Keeps a problem that is told once the document is parsed.
    fn note(&mut self, step: Step, problem: impl Into<String>) {
        if self.problem.as_ref().is_none_or(|(known, _)| step < *known) {
            self.problem = Some((step, problem.into()));
        }
    }

    /// Counts a node and refuses documents that are mostly aliases.
    fn count(&mut self, nodes: usize, aliased: usize) {
        self.nodes += nodes;
        self.aliased += aliased;
        let ratio = match self.nodes {
            ..=400_000 => 0.99,
            4_000_000.. => 0.10,
            nodes => 0.99 - 0.89 * (nodes as f64 - 400_000.0) / 3_600_000.0,
        };
        if self.aliased > 100 && self.nodes > 1000 && self.aliased as f64 / self.nodes as f64 > ratio {
            self.note(Step::Decode, "yaml: document contains excessive aliasing");
        }
    }

    fn tag(&self, tag: &Tag, mark: Mark) -> Result<String, String> {
        let suffix = &tag.suffix;
        match &*tag.handle {
            "" => Ok(suffix.to_string()),
            handle => match (self.handles.get(handle), handle) {
                (Some(prefix), _) => Ok(format!("{prefix}{suffix}")),
                (None, "!") => Ok(format!("!{suffix}")),
                (None, "!!") => Ok(format!("{PREFIX}{suffix}")),
                _ => error("found undefined tag handle", mark),
            },
        }
    }

    /// Reads a node. In a block a sequence may stand at the column of its key (`indentless`).
    fn node(&mut self, depth: usize, block: bool, indentless: bool) -> Result<Node, String> {
        let mark = self.peek()?.1;
        self.descend(depth, mark)?;
        self.count(1, 0);
        let (mut anchor, mut tag) = (None, None);
        loop {
            match self.peek()? {
                (Token::Alias(name), _) if anchor.is_none() && tag.is_none() => {
                    let name = *name;
                    self.scanner.next()?;
                    return self.alias(name, depth, mark);
                }
                (Token::Anchor(name), _) if anchor.is_none() => anchor = Some(*name),
                (Token::Tag(found), mark) if tag.is_none() => tag = Some((found.clone(), mark)),
                _ => break,
            }
            self.scanner.next()?;
        }
        let tag = tag.map(|(tag, mark)| self.tag(&tag, mark)).transpose()?;
        let before = self.nodes;
        if let Some(name) = anchor {
            self.anchors.insert(name, None);
        }
        let marked = anchor.is_some() || tag.is_some();
        let outer = std::mem::replace(&mut self.deepest, depth);
        let node = self.content(depth, block, indentless, tag.as_deref(), marked)?;
        let height = self.deepest - depth;
        self.deepest = self.deepest.max(outer);
        if let Some(name) = anchor {
            let size = self.nodes - before + 1;
            self.anchors.insert(name, Some(Anchored { value: node.value.clone(), size, height }));
        }
        Ok(node)
    }

    /// Notes that something is so deep, if it may be.
    fn descend(&mut self, depth: usize, mark: Mark) -> Result<(), String> {
        if depth > DEEPEST {
            return error(&format!("exceeded max depth of {DEEPEST}"), mark);
        }
        self.deepest = self.deepest.max(depth);
        Ok(())
    }

    fn content(
        &mut self,
        depth: usize,
        block: bool,
        indentless: bool,
        tag: Option<&str>,
        marked: bool,
    ) -> Result<Node, String> {
        let (token, mark) = self.peek()?;
        let read = match token {
            Token::BlockEntry if indentless => return self.indentless_sequence(depth).map(Node::of),
            Token::Scalar(..) => {
                let (Token::Scalar(text, plain), _) = self.scanner.next()? else { return Ok(Node::of(Value::Nil)) };
                return Ok(self.scalar(text, plain, tag));
            }
            Token::SequenceStart => Self::flow_sequence,
            Token::MappingStart => Self::flow_mapping,
            Token::BlockSequenceStart if block => Self::block_sequence,
            Token::BlockMappingStart if block => Self::block_mapping,
            _ if marked => return Ok(self.scalar("".into(), true, tag)),
            // A document may be empty.
            Token::StreamEnd
            | Token::DocumentStart
            | Token::DocumentEnd
            | Token::VersionDirective(..)
            | Token::TagDirective(_)
                if depth == 0 =>
            {
                return Ok(Node::of(Value::Nil));
            }
            _ => return error("did not find expected node content", mark),
        };
        self.scanner.next()?;
        read(self, depth).map(Node::of)
    }

    fn alias(&mut self, name: &str, depth: usize, mark: Mark) -> Result<Node, String> {
        let Some(anchored) = self.anchors.get(name).cloned() else {
            return Err(format!("yaml: unknown anchor '{name}' referenced"));
        };
        let Some(Anchored { value, size, height }) = anchored else {
            self.note(Step::Decode, format!("yaml: anchor '{name}' value contains itself"));
            return Ok(Node::of(Value::Nil));
        };
        self.count(size, size);
        self.descend(depth + height, mark)?;
        // Nothing will come of a document with a problem of this step, so it need not grow.
        let is_lost = matches!(self.problem, Some((Step::Decode, _)));
        Ok(Node::of(if is_lost { Value::Nil } else { copy(&value) }))
    }

    fn scalar(&mut self, text: Cow<'t, str>, plain: bool, tag: Option<&str>) -> Node {
        let merge = plain && text == "<<" && (tag.is_none() || tag == Some("!"));
        let short = tag.map(|tag| tag.strip_prefix(PREFIX).map_or_else(|| tag.to_string(), |name| format!("!!{name}")));
        let resolved = match short.as_deref() {
            None if plain => resolve(&text, true),
            None | Some("!" | "!!str" | "!!binary") => Scalar::Str,
            Some("!!int" | "!!float" | "!!bool" | "!!null" | "!!timestamp") => {
                typed(&text, short.as_deref().unwrap_or_default()).unwrap_or_else(|problem| {
                    self.note(Step::Decode, problem);
                    Scalar::Null
                })
            }
            Some(_) => Scalar::Str,
        };
        let value = match resolved {
            Scalar::Null => Value::Nil,
            Scalar::Bool(truth) => truth.into(),
            Scalar::Int(number) if self.numbers == Numbers::Floats => Value::Float(number as f64),
            Scalar::Uint(number) if self.numbers == Numbers::Floats => Value::Float(number as f64),
            Scalar::Int(number) => Value::int64(number),
            Scalar::Uint(number) => Value::Uint(number, crate::charts::template::UintType::Uint64),
            Scalar::Float(number) if !number.is_finite() => {
                let shown = format_float(number, 'g', None);
                self.note(Step::Write, format!("json: unsupported value: {shown}"));
                Value::Nil
            }
            Scalar::Float(number) => Value::Float(number),
            Scalar::Merge | Scalar::Timestamp => Value::from(&*text),
            Scalar::Str if short.as_deref() == Some("!!binary") => {
                let bare: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
                match base64::engine::general_purpose::STANDARD.decode(bare) {
                    Ok(bytes) => Value::from(bytes),
                    Err(_) => {
                        self.note(Step::Decode, "yaml: !!binary value contains invalid base64 data");
                        Value::Nil
                    }
                }
            }
            Scalar::Str => Value::from(&*text),
        };
        Node { value, scalar: resolved, merge }
    }

    fn block_sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            let mark = self.peek()?.1;
            if self.take(&Token::BlockEntry)? {
                items.push(match self.peek()?.0 {
                    Token::BlockEntry | Token::BlockEnd => Value::Nil,
                    _ => self.node(depth + 1, true, false)?.value,
                });
            } else if self.take(&Token::BlockEnd)? {
                return Ok(Value::list(items));
            } else {
                return error("did not find expected '-' indicator", mark);
            }
        }
    }

    fn indentless_sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        while self.take(&Token::BlockEntry)? {
            items.push(match self.peek()?.0 {
                Token::BlockEntry | Token::Key | Token::Value | Token::BlockEnd => Value::Nil,
                _ => self.node(depth + 1, true, false)?.value,
            });
        }
        Ok(Value::list(items))
    }

    fn block_mapping(&mut self, depth: usize) -> Result<Value, String> {
        let map = Map::new(Entries::new());
        loop {
            let mark = self.peek()?.1;
            let key = if self.take(&Token::Key)? {
                match self.peek()?.0 {
                    Token::Key | Token::Value | Token::BlockEnd => self.nothing(),
                    _ => self.node(depth + 1, true, true)?,
                }
            } else if self.take(&Token::BlockEnd)? {
                return Ok(map.into());
            } else {
                return error("did not find expected key", mark);
            };
            self.check_key(&key);
            let value = if self.take(&Token::Value)? {
                match self.peek()?.0 {
                    Token::Key | Token::Value | Token::BlockEnd => Value::Nil,
                    _ => self.node(depth + 1, true, true)?.value,
                }
            } else {
                Value::Nil
            };
            self.insert(&map, key, value);
        }
    }

    fn nothing(&self) -> Node {
        Node::of(Value::Nil)
    }

    fn flow_sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        while !self.take(&Token::SequenceEnd)? {
            if !items.is_empty() {
                let mark = self.peek()?.1;
                if !self.take(&Token::FlowEntry)? {
                    return error("did not find expected ',' or ']'", mark);
                }
                if self.take(&Token::SequenceEnd)? {
                    break;
                }
            }
            if self.take(&Token::Key)? {
                let map = Map::new(Entries::new());
                let key = match self.peek()?.0 {
                    Token::Value | Token::FlowEntry | Token::SequenceEnd => self.nothing(),
                    _ => self.node(depth + 1, false, false)?,
                };
                self.check_key(&key);
                let value = self.flow_value(depth, &Token::SequenceEnd)?;
                self.insert(&map, key, value);
                items.push(map.into());
            } else {
                items.push(self.node(depth + 1, false, false)?.value);
            }
        }
        Ok(Value::list(items))
    }

    fn flow_value(&mut self, depth: usize, end: &Token<'_>) -> Result<Value, String> {
        if !self.take(&Token::Value)? {
            return Ok(Value::Nil);
        }
        let next = self.peek()?.0;
        if *next == Token::FlowEntry || next == end {
            return Ok(Value::Nil);
        }
        Ok(self.node(depth + 1, false, false)?.value)
    }

    fn flow_mapping(&mut self, depth: usize) -> Result<Value, String> {
        let map = Map::new(Entries::new());
        let mut first = true;
        while !self.take(&Token::MappingEnd)? {
            if !std::mem::take(&mut first) {
                let mark = self.peek()?.1;
                if !self.take(&Token::FlowEntry)? {
                    return error("did not find expected ',' or '}'", mark);
                }
                if self.take(&Token::MappingEnd)? {
                    break;
                }
            }
            let key = if self.take(&Token::Key)? {
                match self.peek()?.0 {
                    Token::Value | Token::FlowEntry | Token::MappingEnd => self.nothing(),
                    _ => self.node(depth + 1, false, false)?,
                }
            } else {
                // A key without a value.
                let key = self.node(depth + 1, false, false)?;
                self.check_key(&key);
                self.insert(&map, key, Value::Nil);
                continue;
            };
            self.check_key(&key);
            let value = self.flow_value(depth, &Token::MappingEnd)?;
            self.insert(&map, key, value);
        }
        Ok(map.into())
    }

    /// Only a scalar can be a key.
    fn check_key(&mut self, key: &Node) {
        if matches!(key.value, Value::Map(_) | Value::List(_)) {
            self.note(Step::Decode, format!("yaml: invalid map key: {}", go_syntax(&key.value)));
        }
    }

    /// Puts an entry into a map; `<<` takes the entries of other maps.
    fn insert(&mut self, map: &Map, key: Node, value: Value) {
        if key.merge {
            if let Err(problem) = merge(map, &value) {
                self.note(Step::Decode, problem);
            }
            return;
        }
        if key.value.is_nil() {
            let shown = go_syntax(&value);
            self.note(Step::Convert, format!("unsupported map key of type: %!s(<nil>), key: <nil>, value: {shown}"));
        }
        map.set(key.key(), value);
    }
}

/// A scalar under a tag that says its type.
fn typed(text: &str, tag: &str) -> Result<Scalar, String> {
    let resolved = resolve(text, true);
    let (kind, resolved) = match (resolved, tag) {
        (Scalar::Int(number), "!!float") => ("!!float", Scalar::Float(number as f64)),
        (Scalar::Null, _) => ("!!null", Scalar::Null),
        (Scalar::Bool(truth), _) => ("!!bool", Scalar::Bool(truth)),
        (Scalar::Int(number), _) => ("!!int", Scalar::Int(number)),
        (Scalar::Uint(number), _) => ("!!int", Scalar::Uint(number)),
        (Scalar::Float(number), _) => ("!!float", Scalar::Float(number)),
        (Scalar::Timestamp, _) => ("!!timestamp", Scalar::Timestamp),
        (Scalar::Merge, _) => ("!!merge", Scalar::Merge),
        (Scalar::Str, _) => ("!!str", Scalar::Str),
    };
    if kind != tag {
        return Err(format!("yaml: cannot decode {kind} `{text}` as a {tag}"));
    }
    Ok(resolved)
}

fn go_syntax(value: &Value) -> String {
    String::from_utf8_lossy(&crate::charts::template::sprintf(b"%#v", std::slice::from_ref(value))).into_owned()
}

fn merge(map: &Map, value: &Value) -> Result<(), String> {
    let add = |source: &Value| match source {
        Value::Map(source) => {
            source.each(|key, value| map.set(key.clone(), copy(value)));
            Ok(())
        }
        _ => Err("yaml: map merge requires map or sequence of maps as the value".to_string()),
    };
    match value {
        Value::List(sources) => sources.iter().rev().try_for_each(add),
        other => add(other),
    }
}

/// A copy that shares nothing that can change.
fn copy(value: &Value) -> Value {
    match value {
        Value::Map(map) => Value::map(map.view().iter().map(|(key, value)| (key.clone(), copy(value))).collect()),
        Value::List(list) => Value::list(list.iter().map(copy).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::template::on_stack;

    #[test]
    fn what_aliases_stand_for_nests_no_deeper_than_what_is_written() {
        let nested = |levels: usize, inner: &str| format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels));
        let told = |text: &str| on_stack(|| read(text, Numbers::Floats).map(drop)).unwrap();
        assert_eq!(told(&nested(900, "")), Ok(()));
        assert_eq!(told(&nested(1100, "")), Err("yaml: exceeded max depth of 1000".into()));
        let twice = |levels: usize| format!("a: &a {}\nb: {}\n", nested(600, ""), nested(levels, "*a"));
        assert_eq!(told(&twice(300)), Ok(()));
        assert_eq!(told(&twice(500)), Err("yaml: line 1: exceeded max depth of 1000".into()));
        let inside = format!("a: &a {}\nb: &b {}\nc: {}\n", nested(400, ""), nested(400, "*a"), nested(400, "*b"));
        assert_eq!(told(&inside), Err("yaml: line 2: exceeded max depth of 1000".into()));
    }
}
