//! Tokens into a value, as go-yaml v2 and `sigs.k8s.io/yaml` together make JSON of a document.

use std::collections::HashMap;

use base64::Engine;

use super::resolve::{Scalar, resolve};
use super::scanner::{Mark, Scanner, Token};
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
    };
    reader.document()
}

/// A node: its value, its size, and whether it is a plain `<<`.
struct Node {
    value: Value,
    key: String,
    merge: bool,
}

struct Reader {
    scanner: Scanner,
    numbers: Numbers,
    /// Values by anchor with the number of their nodes; `None` while they are being read.
    anchors: HashMap<String, Option<(Value, usize)>>,
    handles: HashMap<String, String>,
    nodes: usize,
    aliased: usize,
}

fn error<T>(problem: &str, mark: Mark) -> Result<T, String> {
    Err(match mark.line {
        0 => format!("yaml: {problem}"),
        line => format!("yaml: line {line}: {problem}"),
    })
}

impl Reader {
    fn peek(&mut self) -> Result<(&Token, Mark), String> {
        let (token, mark) = self.scanner.peek()?;
        Ok((token, *mark))
    }

    fn take(&mut self, wanted: &Token) -> Result<bool, String> {
        let found = self.peek()?.0 == wanted;
        if found {
            self.scanner.next()?;
        }
        Ok(found)
    }

    fn document(&mut self) -> Result<Value, String> {
        while self.take(&Token::DocumentEnd)? {}
        if matches!(self.peek()?.0, Token::StreamEnd) {
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
                Token::TagDirective(handle, prefix) => {
                    if self.handles.insert(handle, prefix).is_some() {
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

    /// Counts a node and refuses documents that are mostly aliases.
    fn count(&mut self, nodes: usize, aliased: usize) -> Result<(), String> {
        self.nodes += nodes;
        self.aliased += aliased;
        let ratio = match self.nodes {
            ..=400_000 => 0.99,
            4_000_000.. => 0.10,
            nodes => 0.99 - 0.89 * (nodes as f64 - 400_000.0) / 3_600_000.0,
        };
        if self.aliased > 100 && self.nodes > 1000 && self.aliased as f64 / self.nodes as f64 > ratio {
            return Err("yaml: document contains excessive aliasing".into());
        }
        Ok(())
    }

    fn tag(&self, handle: &str, suffix: &str, mark: Mark) -> Result<String, String> {
        match handle {
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
        if depth > DEEPEST {
            return error("exceeded max depth of 10000", self.peek()?.1);
        }
        self.count(1, 0)?;
        if let Token::Alias(name) = self.peek()?.0.clone() {
            self.scanner.next()?;
            return self.alias(&name);
        }
        let (mut anchor, mut tag) = (None, None);
        loop {
            let mark = self.peek()?.1;
            match self.peek()?.0.clone() {
                Token::Anchor(name) if anchor.is_none() => anchor = Some(name),
                Token::Tag(handle, suffix) if tag.is_none() => tag = Some(self.tag(&handle, &suffix, mark)?),
                _ => break,
            }
            self.scanner.next()?;
        }
        let before = self.nodes;
        if let Some(name) = &anchor {
            self.anchors.insert(name.clone(), None);
        }
        let marked = anchor.is_some() || tag.is_some();
        let node = self.content(depth, block, indentless, tag.as_deref(), marked)?;
        if let Some(name) = anchor {
            self.anchors.insert(name, Some((node.value.clone(), self.nodes - before + 1)));
        }
        Ok(node)
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
        let value = match token.clone() {
            Token::BlockEntry if indentless => self.indentless_sequence(depth)?,
            Token::Scalar(text, plain) => {
                self.scanner.next()?;
                return self.scalar(text, plain, tag);
            }
            Token::SequenceStart => {
                self.scanner.next()?;
                self.flow_sequence(depth)?
            }
            Token::MappingStart => {
                self.scanner.next()?;
                self.flow_mapping(depth)?
            }
            Token::BlockSequenceStart if block => {
                self.scanner.next()?;
                self.block_sequence(depth)?
            }
            Token::BlockMappingStart if block => {
                self.scanner.next()?;
                self.block_mapping(depth)?
            }
            _ if marked => return self.scalar(String::new(), true, tag),
            // A document may be empty.
            Token::StreamEnd | Token::DocumentStart | Token::DocumentEnd if depth == 0 => Value::Nil,
            _ => return error("did not find expected node content", mark),
        };
        Ok(Node { value, key: String::new(), merge: false })
    }

    fn alias(&mut self, name: &str) -> Result<Node, String> {
        let Some(anchored) = self.anchors.get(name).cloned() else {
            return Err(format!("yaml: unknown anchor '{name}' referenced"));
        };
        let Some((value, size)) = anchored else {
            return Err(format!("yaml: anchor '{name}' value contains itself"));
        };
        self.count(size, size)?;
        let key = key_text(&value).unwrap_or_default();
        Ok(Node { value: copy(&value), key, merge: false })
    }

    fn scalar(&mut self, text: String, plain: bool, tag: Option<&str>) -> Result<Node, String> {
        let merge = plain && text == "<<" && (tag.is_none() || tag == Some("!"));
        let short = tag.map(|tag| tag.strip_prefix(PREFIX).map_or_else(|| tag.to_string(), |name| format!("!!{name}")));
        let resolved = match short.as_deref() {
            None if plain => resolve(&text, true),
            None | Some("!" | "!!str" | "!!binary") => Scalar::Str,
            Some("!!int" | "!!float" | "!!bool" | "!!null" | "!!timestamp") => {
                typed(&text, short.as_deref().unwrap_or_default())?
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
                return Err(format!("json: unsupported value: {shown}"));
            }
            Scalar::Float(number) => Value::Float(number),
            Scalar::Merge | Scalar::Timestamp => Value::from(text.as_str()),
            Scalar::Str if short.as_deref() == Some("!!binary") => {
                let bare: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
                match base64::engine::general_purpose::STANDARD.decode(bare) {
                    Ok(bytes) => Value::from(bytes),
                    Err(_) => return Err("yaml: !!binary value contains invalid base64 data".into()),
                }
            }
            Scalar::Str => Value::from(text.as_str()),
        };
        let key = match resolved {
            Scalar::Int(number) => number.to_string(),
            Scalar::Uint(number) => number.to_string(),
            // sigs.k8s.io/yaml writes float keys with 32 bits.
            Scalar::Float(number) => format_float((number as f32).to_string().parse().unwrap_or(number), 'g', None),
            _ => key_text(&value).unwrap_or(text),
        };
        Ok(Node { value, key, merge })
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
            } else if matches!(self.peek()?.0, Token::Value) {
                self.nothing()
            } else if self.take(&Token::BlockEnd)? {
                return Ok(map.into());
            } else {
                return error("did not find expected key", mark);
            };
            let value = if self.take(&Token::Value)? {
                match self.peek()?.0 {
                    Token::Key | Token::Value | Token::BlockEnd => Value::Nil,
                    _ => self.node(depth + 1, true, true)?.value,
                }
            } else {
                Value::Nil
            };
            insert(&map, key, value)?;
        }
    }

    fn nothing(&self) -> Node {
        Node { value: Value::Nil, key: "null".into(), merge: false }
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
                let value = self.flow_value(depth, &Token::SequenceEnd)?;
                insert(&map, key, value)?;
                items.push(map.into());
            } else {
                items.push(self.node(depth + 1, false, false)?.value);
            }
        }
        Ok(Value::list(items))
    }

    fn flow_value(&mut self, depth: usize, end: &Token) -> Result<Value, String> {
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
            } else if matches!(self.peek()?.0, Token::Value) {
                self.nothing()
            } else {
                // A key without a value.
                let key = self.node(depth + 1, false, false)?;
                insert(&map, key, Value::Nil)?;
                continue;
            };
            let value = self.flow_value(depth, &Token::MappingEnd)?;
            insert(&map, key, value)?;
        }
        Ok(map.into())
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

/// A value as the text of a key.
fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.as_str().into_owned()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Int(number, _) => Some(number.to_string()),
        Value::Uint(number, _) => Some(number.to_string()),
        Value::Float(number) => Some(format_float(*number, 'g', None)),
        _ => None,
    }
}

/// Puts an entry into a map; `<<` takes the entries of other maps.
fn insert(map: &Map, key: Node, value: Value) -> Result<(), String> {
    if key.merge {
        return merge(map, &value);
    }
    match &key.value {
        Value::Map(_) => return Err(format!("yaml: invalid map key: {}", go_syntax(&key.value))),
        Value::List(_) => return Err(format!("yaml: invalid map key: {}", go_syntax(&key.value))),
        Value::Nil => {
            let shown = go_syntax(&value);
            return Err(format!("unsupported map key of type: %!s(<nil>), key: <nil>, value: {shown}"));
        }
        _ => {}
    }
    map.set(key.key.as_str(), value);
    Ok(())
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
        Value::Map(map) => Value::map(map.entries().into_iter().map(|(key, value)| (key, copy(&value))).collect()),
        Value::List(list) => Value::list(list.iter().map(copy).collect()),
        other => other.clone(),
    }
}
