//! From text to nodes.

use super::{Node, Range};
use crate::charts::chart::printable;

/// What ends a name, beside the end of the text.
const ENDS: [char; 12] = [' ', '\t', '\r', '\n', '.', ',', '[', ']', '$', '@', '{', '}'];
/// What comparisons are written with.
const SIGNS: [char; 4] = ['!', '<', '>', '='];

/// Reads a template; the error says what is wrong in client-go's words.
pub fn template(text: &str) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        push_text(&mut nodes, before);
        let mut reader = Reader { text: after, at: 0, nodes: Vec::new() };
        reader.action()?;
        rest = reader.rest();
        nodes.push(Node::List(reader.nodes));
    }
    push_text(&mut nodes, rest);
    Ok(nodes)
}

fn push_text(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node::Text(text.into()));
    }
}

/// Reads what stands between braces; a brace in it ends it, and what follows is of no account.
fn action(text: &str) -> Result<Vec<Node>, String> {
    match template(&format!("{{{text}}}"))?.into_iter().next() {
        Some(Node::List(nodes)) => Ok(nodes),
        _ => Ok(Vec::new()),
    }
}

/// Reads one action.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    nodes: Vec<Node>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Goes on by so many bytes and returns them.
    fn take(&mut self, length: usize) -> &'t str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    /// Whether the text goes on so; then it is passed.
    fn passes(&mut self, text: &str) -> bool {
        let passes = self.rest().starts_with(text);
        self.at += if passes { text.len() } else { 0 };
        passes
    }

    /// Reads up to the brace at the end, and that.
    fn action(&mut self) -> Result<(), String> {
        while !self.passes("}") {
            if self.passes("[?(") {
                self.filter()?;
            } else if self.passes("..") {
                self.recursive()?;
            } else {
                self.other()?;
            }
        }
        Ok(())
    }

    fn other(&mut self) -> Result<(), String> {
        match self.rest().chars().next() {
            None | Some('\r' | '\n') => return Err("unclosed action".into()),
            // The current value, which is there without being named.
            Some(' ' | '@' | '$') => self.at += 1,
            Some('[') => self.array()?,
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            Some('.') => {
                self.at += 1;
                self.field();
            }
            Some(first) if first == '+' || first == '-' || first.is_ascii_digit() => self.number()?,
            Some(first) if is_of_name(first) => self.identifier(),
            Some(other) => return Err(unrecognized(other)),
        }
        Ok(())
    }

    fn recursive(&mut self) -> Result<(), String> {
        if matches!(self.nodes.last(), Some(Node::Recursive)) {
            return Err("invalid multiple recursive descent".into());
        }
        self.nodes.push(Node::Recursive);
        if self.rest().starts_with(is_of_name) {
            self.field();
        }
        Ok(())
    }

    fn field(&mut self) {
        let rest = self.rest();
        let mut escaped = false;
        // A backslash takes its meaning from what follows it.
        let end = rest.find(|c| {
            let ends = !escaped && ENDS.contains(&c);
            escaped = !escaped && c == '\\';
            ends
        });
        let name = self.take(end.unwrap_or(rest.len()));
        self.nodes.push(if name == "*" { Node::Wildcard } else { Node::Field(name.replace('\\', "")) });
    }

    fn identifier(&mut self) {
        let rest = self.rest();
        let name = self.take(rest.find(ENDS).unwrap_or(rest.len()));
        self.nodes.push(match name {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            _ => Node::Identifier(name.into()),
        });
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let after = unsigned.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        let text = self.take(rest.len() - after.len());
        let float = || text.parse().ok().filter(|float: &f64| float.is_finite()).map(Node::Float);
        let number = text.parse().ok().map(Node::Int).or_else(float);
        self.nodes.push(number.ok_or_else(|| format!("cannot parse number {text}"))?);
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), String> {
        let end = self.end_of_quoted(quote).ok_or("unterminated quoted string")?;
        let text = self.take(end + 1);
        let plain = unquote(&text[1..end], quote);
        self.nodes.push(Node::Text(plain.ok_or_else(|| format!("unquote string {text} error invalid syntax"))?));
        Ok(())
    }

    /// Where the quote is that ends the text that begins here.
    fn end_of_quoted(&self, quote: char) -> Option<usize> {
        let bytes = self.rest().as_bytes();
        let end = (1..bytes.len()).find(|at| match bytes[*at] {
            b'\n' => true,
            byte => char::from(byte) == quote && bytes[at - 1] != b'\\',
        });
        end.filter(|at| bytes[*at] != b'\n')
    }

    fn array(&mut self) -> Result<(), String> {
        let end = self.rest().find([']', '\n']).filter(|end| self.rest().as_bytes()[*end] == b']');
        let text = self.take(end.ok_or("unterminated array")? + 1);
        let inner = &text[1..text.len() - 1];
        if inner.contains(',') {
            let parts: Result<_, String> =
                inner.split(',').map(|part| action(&format!("[{}]", part.trim_matches(' ')))).collect();
            self.nodes.push(Node::Union(parts?));
            return Ok(());
        }
        let quoted = inner.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\''));
        if let Some(key) = quoted.filter(|key| !key.contains('\'')) {
            // A key is read like a field: one with a dot is two.
            self.nodes.extend(action(&format!(".{key}"))?);
            return Ok(());
        }
        self.nodes.push(Node::Array(range(if inner == "*" { ":" } else { inner })?));
        Ok(())
    }

    fn filter(&mut self) -> Result<(), String> {
        let text = self.take(self.end_of_filter()?);
        if !self.passes(")]") {
            return Err("unclosed array expect ]".into());
        }
        self.nodes.push(match comparison(text) {
            Some((left, operator, right)) => {
                Node::Filter { left: action(left)?, comparison: Some((operator.into(), action(right)?)) }
            }
            None => Node::Filter { left: action(text)?, comparison: None },
        });
        Ok(())
    }

    /// How long the text in a filter's brackets is. The first quote in it is waited for to come again.
    fn end_of_filter(&self) -> Result<usize, String> {
        let bytes = self.rest().as_bytes();
        let (mut quote, mut is_closed) = (None, false);
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => break,
                b'"' | b'\'' if quote.is_none() => quote = Some(byte),
                b'"' | b'\'' => is_closed |= quote == Some(byte) && bytes[at - 1] != b'\\',
                b')' if quote.is_some() == is_closed => return Ok(at),
                _ => {}
            }
        }
        Err("unterminated filter".into())
    }
}

/// The two sides of a comparison and what is between them.
fn comparison(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(SIGNS).filter(|start| *start > 0)?;
    let (left, rest) = text.split_at(start);
    let right = rest.trim_start_matches(SIGNS);
    // There has to be something on the right, and be it a sign.
    let length = (rest.len() - right.len()).min(rest.len() - 1);
    (length > 0).then(|| (left, &rest[..length], &rest[length..]))
}

/// `start`, `start:end` or `start:end:step`, of which each may be missing.
fn range(text: &str) -> Result<Range, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_number = |part: &str| part.strip_prefix('-').unwrap_or(part).bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(|part| is_number(part)) {
        return Err(format!("invalid array index {text}"));
    }
    let number = |at: usize| match parts.get(at).filter(|part| !part.is_empty()) {
        Some(part) => part.parse().map(Some).map_err(|_| format!("array index {part} is not a number")),
        None => Ok(None),
    };
    Ok(Range { start: number(0)?.unwrap_or(0), end: number(1)?, step: number(2)?, is_one: parts.len() == 1 })
}

/// A quoted text without its escapes, which are Go's.
fn unquote(text: &str, quote: char) -> Option<String> {
    let mut plain = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escape = rest.next()?;
        let simple = "abfnrtv\\".find(escape).map(|at| b"\x07\x08\x0c\n\r\t\x0b\\"[at]);
        if let Some(byte) = simple {
            plain.push(byte);
        } else if escape == quote {
            plain.push(u8::try_from(quote).ok()?);
        } else if escape.is_digit(8) {
            let digits: String = std::iter::once(escape).chain(rest.by_ref().take(2)).collect();
            plain.push(u8::try_from(code(&digits, 3, 8)?).ok()?);
        } else {
            let length = [('x', 2), ('u', 4), ('U', 8)].into_iter().find(|(letter, _)| *letter == escape)?.1;
            let digits: String = rest.by_ref().take(length).collect();
            let code = code(&digits, length, 16)?;
            match escape {
                'x' => plain.push(u8::try_from(code).ok()?),
                _ => plain.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
    }
    Some(String::from_utf8_lossy(&plain).into_owned())
}

/// The number that is written in exactly so many digits.
fn code(digits: &str, length: usize, radix: u32) -> Option<u32> {
    let is_whole = digits.len() == length && digits.chars().all(|digit| digit.is_digit(radix));
    is_whole.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

fn is_of_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn unrecognized(c: char) -> String {
    let shown = if printable(c) { format!(" '{c}'") } else { String::new() };
    format!("unrecognized character in action: U+{:04X}{shown}", u32::from(c))
}
