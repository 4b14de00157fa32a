//! Writes YAML as libyaml's emitter does under go-yaml: where it quotes, breaks and indents.

use std::cmp::Ordering;

use super::resolve::{Scalar, is_base_60, is_old_boolean, resolve};
use crate::charts::template::{Value, format_float, json_float};

/// Which go-yaml writes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Dialect {
    /// Version 2 after a turn through JSON: lists at the column of their key, lines folded after column 80.
    V2,
    /// Version 3 straight from the values: lists indented, no folding.
    V3,
}

/// How deep values may nest.
const DEEPEST: usize = 1000;
/// Where lines are folded.
const WIDTH: usize = 80;
/// The longest key that is written in one line with its value.
const SIMPLE_KEY: usize = 128;
/// From here on a reader may not find the end of a key.
const LONG_KEY: usize = 1000;

/// Writes a value as a document; whether it has something in it that a reader may not take from JSON.
pub(super) fn emit(value: &Value, dialect: Dialect) -> Result<(String, bool), String> {
    let mut emitter =
        Emitter { out: String::new(), column: 0, whitespace: true, indention: true, dialect, is_odd: false };
    emitter.node(value, None, Context::Root, 0)?;
    if emitter.column > 0 {
        emitter.out.push('\n');
    }
    Ok((emitter.out, emitter.is_odd))
}

/// What a node is a part of.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Root,
    Sequence,
    Mapping,
    Key,
}

struct Emitter {
    out: String,
    column: usize,
    whitespace: bool,
    indention: bool,
    dialect: Dialect,
    is_odd: bool,
}

/// How a scalar may be written.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

impl Emitter {
    fn put(&mut self, letter: char) {
        self.out.push(letter);
        self.column += 1;
    }

    /// Letters of one line.
    fn run(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += if text.is_ascii() { text.len() } else { text.chars().count() };
        self.indention = false;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    /// Goes to the column of an indentation, on a new line if need be.
    fn indent(&mut self, indent: usize) {
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, space: bool, whitespace: bool, indention: bool) {
        if space && !self.whitespace {
            self.put(' ');
        }
        self.out.push_str(text);
        self.column += text.len();
        self.whitespace = whitespace;
        self.indention &= indention;
    }

    fn node(&mut self, value: &Value, indent: Option<usize>, context: Context, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("json: unsupported value: encountered a cycle via {}", value.type_name()));
        }
        let literal = |emitter: &mut Self, text: &str| emitter.scalar(text, Style::Plain, indent, context);
        match value {
            Value::Nil => literal(self, "null"),
            Value::Bool(truth) => literal(self, if *truth { "true" } else { "false" }),
            Value::Int(number, kind) => match (self.dialect, kind) {
                (Dialect::V3, crate::charts::template::IntType::Duration) => {
                    literal(self, &crate::charts::template::time::duration_text(*number));
                }
                _ => literal(self, &number.to_string()),
            },
            Value::Uint(number, _) => literal(self, &number.to_string()),
            Value::Float(number) => {
                let text = self.float(*number)?;
                literal(self, &text);
            }
            Value::Complex(..) => return Err("json: unsupported type: complex128".into()),
            Value::Str(text) if self.dialect == Dialect::V3 && std::str::from_utf8(text).is_err() => {
                self.binary(text, indent, context);
            }
            Value::Str(text) => self.string(&text.as_str(), indent, context),
            Value::Bytes(_) if self.dialect == Dialect::V2 => {
                self.string(value.to_json().as_str().unwrap_or_default(), indent, context)
            }
            Value::Bytes(bytes) => {
                let items: Vec<Value> = bytes.iter().map(|byte| Value::from(i64::from(*byte))).collect();
                self.sequence(&items, indent, context, depth)?;
            }
            Value::List(list) if list.nil && self.dialect == Dialect::V2 => literal(self, "null"),
            Value::List(list) => self.sequence(list, indent, context, depth)?,
            Value::Map(map) if map.is_nil() && self.dialect == Dialect::V2 => literal(self, "null"),
            Value::Map(map) => {
                let entries = map.view();
                let entries = entries.iter().map(|(key, value)| (key.as_ref(), value)).collect();
                self.mapping(entries, indent, context, depth)?;
            }
            Value::Time(_) => self.string(value.to_json().as_str().unwrap_or_default(), indent, context),
            Value::Object(object) => match object.underlying() {
                Some(inner) => self.node(&inner, indent, context, depth + 1)?,
                None => {
                    let fields = object.fields();
                    match object.text().filter(|_| fields.is_empty()) {
                        Some(text) => self.string(&text, indent, context),
                        None => {
                            let entries = fields.iter().map(|(name, value)| (*name, value)).collect();
                            self.mapping(entries, indent, context, depth)?;
                        }
                    }
                }
            },
        }
        Ok(())
    }

    /// A float as it is after the turn through JSON, where whole ones become integers.
    fn float(&self, number: f64) -> Result<String, String> {
        if self.dialect == Dialect::V3 {
            return Ok(match number {
                number if number.is_nan() => ".nan".into(),
                f64::INFINITY => ".inf".into(),
                f64::NEG_INFINITY => "-.inf".into(),
                number => format_float(number, 'g', None),
            });
        }
        if !number.is_finite() {
            return Err(format!("json: unsupported value: {}", format_float(number, 'g', None)));
        }
        let text = json_float(number);
        Ok(match resolve(&text, true) {
            Scalar::Int(number) => number.to_string(),
            Scalar::Uint(number) => number.to_string(),
            _ => format_float(number, 'g', None),
        })
    }

    fn sequence(
        &mut self,
        items: &[Value],
        indent: Option<usize>,
        context: Context,
        depth: usize,
    ) -> Result<(), String> {
        if items.is_empty() {
            self.indicator("[", true, true, false);
            self.indicator("]", false, false, false);
            return Ok(());
        }
        let indentless = self.dialect == Dialect::V2 && context == Context::Mapping && !self.indention;
        let indent = match indent {
            None => 0,
            Some(indent) if indentless => indent,
            Some(indent) => indent + 2,
        };
        for item in items {
            self.indent(indent);
            self.indicator("-", true, false, true);
            self.node(item, Some(indent), Context::Sequence, depth + 1)?;
        }
        Ok(())
    }

    fn mapping(
        &mut self,
        mut entries: Vec<(&str, &Value)>,
        indent: Option<usize>,
        context: Context,
        depth: usize,
    ) -> Result<(), String> {
        let _ = context;
        if entries.is_empty() {
            self.indicator("{", true, true, false);
            self.indicator("}", false, false, false);
            return Ok(());
        }
        entries.sort_by(|a, b| key_order(a.0, b.0, self.dialect));
        let indent = indent.map_or(0, |indent| indent + 2);
        for (key, value) in entries {
            self.indent(indent);
            self.is_odd |= key.len() > LONG_KEY || !key.is_ascii() && key.contains('\u{85}');
            if !has_break(key) && key.len() <= SIMPLE_KEY {
                self.string(key, Some(indent), Context::Key);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.string(key, Some(indent), Context::Mapping);
                self.indent(indent);
                self.indicator(":", true, false, true);
            }
            self.node(value, Some(indent), Context::Mapping, depth + 1)?;
        }
        Ok(())
    }

    fn string(&mut self, text: &str, indent: Option<usize>, context: Context) {
        let old = self.dialect == Dialect::V2;
        let plain = resolve(text, old) == Scalar::Str && !is_base_60(text) && (old || !is_old_boolean(text));
        let style = if text.contains('\n') {
            Style::Literal
        } else if plain {
            Style::Plain
        } else {
            Style::Double
        };
        self.scalar(text, style, indent, context);
    }

    /// A text that is none, as its bytes.
    fn binary(&mut self, bytes: &[u8], indent: Option<usize>, context: Context) {
        use base64::Engine;
        const LINE: usize = 70;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        self.indicator("!!binary", true, false, false);
        if text.len() <= LINE {
            return self.scalar(&text, Style::Plain, indent, context);
        }
        let lines: Vec<&str> = text.as_bytes().chunks(LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        self.scalar(&(lines.join("\n") + "\n"), Style::Literal, indent, context);
    }

    fn scalar(&mut self, text: &str, wanted: Style, indent: Option<usize>, context: Context) {
        let looks = Looks::of(text, self.dialect);
        self.is_odd |= looks.special;
        if looks.multiline && self.dialect == Dialect::V2 && text.contains('\u{85}') {
            return self.string(&next_lines_folded(text), indent, context);
        }
        let key = context == Context::Key;
        let mut style = wanted;
        if key && looks.multiline {
            style = Style::Double;
        }
        if style == Style::Plain && (!looks.plain || text.is_empty() && key) {
            style = Style::Single;
        }
        if style == Style::Single && !looks.single {
            style = Style::Double;
        }
        if style == Style::Literal && (!looks.block || key) {
            style = Style::Double;
        }
        let indent = indent.map_or(2, |indent| indent + 2);
        let folds = !key && self.dialect == Dialect::V2;
        match style {
            Style::Plain => self.plain(text, folds, indent),
            Style::Single => self.single(text, folds, indent),
            Style::Double => self.double(text, folds, indent),
            Style::Literal => self.literal(text, indent),
        }
    }

    /// Writes a letter, or folds the line at a space; answers whether it folded.
    fn folds_here(&self, folds: bool, spaces: bool) -> bool {
        folds && !spaces && self.column > WIDTH
    }

    fn plain(&mut self, text: &str, folds: bool, indent: usize) {
        if !self.whitespace {
            self.put(' ');
        }
        if !folds || self.column + text.len() <= WIDTH || !text.contains(' ') {
            self.run(text);
            self.whitespace = false;
            return;
        }
        let mut spaces = false;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == ' ' {
                if self.folds_here(folds, spaces) && letters.peek() != Some(&' ') {
                    self.indent(indent);
                } else {
                    self.put(letter);
                }
                spaces = true;
            } else {
                self.put(letter);
                self.indention = false;
                spaces = false;
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single(&mut self, text: &str, folds: bool, indent: usize) {
        self.indicator("'", true, false, false);
        let mut spaces = false;
        let mut breaks = false;
        let last = text.chars().count().saturating_sub(1);
        let mut letters = text.chars().enumerate().peekable();
        while let Some((index, letter)) = letters.next() {
            match letter {
                ' ' => {
                    let next_space = letters.peek().is_some_and(|(_, next)| *next == ' ');
                    if self.folds_here(folds, spaces) && index > 0 && index < last && !next_space {
                        self.indent(indent);
                    } else {
                        self.put(letter);
                    }
                    spaces = true;
                }
                '\n' => {
                    if !breaks {
                        self.line_break();
                    }
                    self.line_break();
                    self.indention = true;
                    breaks = true;
                }
                letter if is_break(letter) => {
                    self.put(letter);
                    self.column = 0;
                    self.indention = true;
                    breaks = true;
                }
                letter => {
                    if breaks {
                        self.indent(indent);
                    }
                    if letter == '\'' {
                        self.put('\'');
                    }
                    self.put(letter);
                    self.indention = false;
                    spaces = false;
                    breaks = false;
                }
            }
        }
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn double(&mut self, text: &str, folds: bool, indent: usize) {
        self.indicator("\"", true, false, false);
        let mut spaces = false;
        let last = text.len().saturating_sub(1);
        // The library takes every letter for the mark if the first one is.
        let is_marked = text.starts_with('\u{feff}');
        let mut letters = text.char_indices().peekable();
        while let Some((index, letter)) = letters.next() {
            if is_marked || !is_printable(letter) || is_break(letter) || matches!(letter, '\u{feff}' | '"' | '\\') {
                let escaped = escape(letter);
                self.out.push_str(&escaped);
                self.column += escaped.len();
                spaces = false;
            } else if letter == ' ' {
                if self.folds_here(folds, spaces) && index > 0 && index < last {
                    self.indent(indent);
                    if letters.peek().is_some_and(|(_, next)| *next == ' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(letter);
                }
                spaces = true;
            } else {
                self.put(letter);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.indicator("|", true, false, false);
        if text.starts_with([' ', '\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            self.indicator("2", false, false, false);
        }
        let mut back = text.chars().rev();
        let hint = match (back.next().is_some_and(is_break), back.next()) {
            (false, _) => "-",
            (true, None) => "+",
            (true, Some(before)) if is_break(before) => "+",
            _ => "",
        };
        if !hint.is_empty() {
            self.indicator(hint, false, false, false);
        }
        self.line_break();
        self.indention = true;
        self.whitespace = true;
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.find(is_break).unwrap_or(rest.len()));
            if !line.is_empty() {
                self.indent(indent);
                self.run(line);
            }
            let mut letters = after.chars();
            if let Some(letter) = letters.next() {
                self.out.push(letter);
                self.column = 0;
                self.indention = true;
            }
            rest = letters.as_str();
        }
    }
}

/// Next-line letters are lost on the turn through JSON, which is read as YAML: a line that ends is a space.
fn next_lines_folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.split('\u{85}').peekable();
    let mut empty = 0;
    out.push_str(lines.next().unwrap_or_default());
    while let Some(line) = lines.next() {
        let last = lines.peek().is_none();
        let line = line.trim_start_matches(' ');
        if line.is_empty() && !last {
            empty += 1;
            continue;
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push_str(if empty == 0 { " " } else { "" });
        out.extend(std::iter::repeat_n('\n', empty));
        out.push_str(line);
        empty = 0;
    }
    out
}

fn escape(letter: char) -> String {
    match letter {
        '\0' => "\\0".into(),
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{b}' => "\\v".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        '\u{1b}' => "\\e".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        letter if letter <= '\u{ff}' => format!("\\x{:02X}", letter as u32),
        letter if letter <= '\u{ffff}' => format!("\\u{:04X}", letter as u32),
        letter => format!("\\U{:08X}", letter as u32),
    }
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What libyaml takes for printable.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && letter != '\u{feff}'
}

/// Whether a letter of a text ends a line.
fn has_break(text: &str) -> bool {
    if text.is_ascii() { text.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) } else { text.contains(is_break) }
}

/// Whether a text can stand as it is wherever a text can: printed ASCII that nothing can be taken for, as most keys and values are.
fn is_harmless(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins =
        bytes.first().is_some_and(|first| first.is_ascii_alphanumeric() || matches!(first, b'/' | b'$' | b'('));
    let ends = bytes.last().is_some_and(|last| !matches!(last, b' ' | b':'));
    let printed = bytes.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    begins && ends && printed && !bytes.windows(2).any(|pair| matches!(pair, [b':', b' '] | [b' ', b'#']))
}

/// What the letters of a text allow.
struct Looks {
    multiline: bool,
    /// It has letters that cannot be printed.
    special: bool,
    plain: bool,
    single: bool,
    block: bool,
}

impl Looks {
    fn of(text: &str, dialect: Dialect) -> Self {
        if text.is_empty() {
            return Looks { multiline: false, special: false, plain: true, single: true, block: false };
        }
        if is_harmless(text) {
            return Looks { multiline: false, special: false, plain: true, single: true, block: true };
        }
        Self::by_letter(text, dialect)
    }

    /// The same, of each letter in its turn.
    fn by_letter(text: &str, dialect: Dialect) -> Self {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut line_breaks, mut special, mut tabs) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut previous_space, mut previous_break, mut preceded) = (false, false, true);
        let mut letters = text.chars().peekable();
        let mut first = true;
        while let Some(letter) = letters.next() {
            let followed = letters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            let followed = followed || dialect == Dialect::V3 && letters.peek().is_some_and(|next| is_break(*next));
            indicators |= match (first, letter) {
                (
                    true,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
                ) => true,
                (true, '?' | ':' | '-') => followed,
                (false, ':') => followed,
                (false, '#') => preceded,
                _ => false,
            };
            if dialect == Dialect::V3 && letter == '\t' {
                tabs = true;
            } else if !is_printable(letter) {
                special = true;
            }
            if letter == ' ' {
                break_space |= previous_break;
                (previous_space, previous_break) = (true, false);
            } else if is_break(letter) {
                line_breaks = true;
                space_break |= previous_space;
                (previous_space, previous_break) = (false, true);
            } else {
                (previous_space, previous_break) = (false, false);
            }
            preceded = matches!(letter, ' ' | '\t') || is_break(letter);
            first = false;
        }
        let edge = |letter: Option<char>| letter.is_some_and(|letter| letter == ' ' || is_break(letter));
        let edges = edge(text.chars().next()) || edge(text.chars().next_back());
        let unfit = space_break || special;
        Looks {
            multiline: line_breaks,
            special,
            plain: !(edges || break_space || unfit || tabs || line_breaks || indicators),
            single: !(break_space || unfit || tabs),
            block: !(text.ends_with(' ') || unfit),
        }
    }
}

/// go-yaml's order of keys: numbers within texts count as numbers.
fn key_order(a: &str, b: &str, dialect: Dialect) -> Ordering {
    let mut digits = false;
    for ((at, p), q) in a.char_indices().zip(b.chars()) {
        if p == q {
            digits = p.is_numeric();
            continue;
        }
        let (first, second) = (p.is_alphabetic(), q.is_alphabetic());
        if first && second {
            return p.cmp(&q);
        }
        if first || second {
            let less = if digits && dialect == Dialect::V3 { first } else { second };
            return if less { Ordering::Less } else { Ordering::Greater };
        }
        // Both are the same up to here.
        let run = |text: &str, mut number: i64| {
            let mut end = at;
            for digit in text[at..].chars().map_while(|letter| letter.to_digit(10)) {
                number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
                end += 1;
            }
            (number, end)
        };
        let zero = p == '0' || q == '0';
        let start = i64::from(
            zero && a[..at].chars().rev().take_while(|letter| letter.is_numeric()).any(|letter| letter != '0'),
        );
        let ((m, i), (n, j)) = (run(a, start), run(b, start));
        return m.cmp(&n).then(i.cmp(&j)).then(p.cmp(&q));
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_for_harmless_needs_no_quotes_letter_by_letter_either() {
        const LETTERS: &[u8] = b"a0 :#-./$(\"'!~%,[\t\n";
        let mut texts = vec![String::new()];
        let mut harmless = 0;
        for _ in 0..4 {
            let longer =
                |text: &String| LETTERS.iter().map(|letter| format!("{text}{}", *letter as char)).collect::<Vec<_>>();
            texts = texts.iter().flat_map(longer).collect();
            for text in texts.iter().filter(|text| is_harmless(text)) {
                harmless += 1;
                for dialect in [Dialect::V2, Dialect::V3] {
                    let looks = Looks::by_letter(text, dialect);
                    let is_free = looks.plain && looks.single && looks.block;
                    assert!(is_free && !looks.multiline && !looks.special, "{text:?}");
                }
            }
        }
        assert!(harmless > 1000);
    }
}
