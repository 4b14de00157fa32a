//! Go's `encoding/json`, to its escapes and to its errors.

use crate::charts::template::{Element, Entries, List, Map, MapKind, Value, json_float};
use base64::Engine;

/// How deep values may nest.
const DEEPEST: usize = 10_000;

/// How JSON is written.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// Whether `<`, `>` and `&` are escaped.
    pub html: bool,
    /// Whether it is spread over lines with two spaces of indentation.
    pub pretty: bool,
}

/// `json.Marshal` and its kin.
pub(crate) fn encode(value: &Value, style: Style) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, value, style, 0)?;
    Ok(out)
}

fn line(out: &mut String, style: Style, depth: usize) {
    if style.pretty {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

fn write(out: &mut String, value: &Value, style: Style, depth: usize) -> Result<(), String> {
    if depth > 1000 {
        return Err(format!("json: unsupported value: encountered a cycle via {}", value.type_name()));
    }
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number, _) => out.push_str(&number.to_string()),
        Value::Uint(number, _) => out.push_str(&number.to_string()),
        Value::Float(number) if number.is_finite() => out.push_str(&json_float(*number)),
        Value::Float(number) => {
            return Err(format!(
                "json: unsupported value: {}",
                crate::charts::template::format_float(*number, 'g', None)
            ));
        }
        Value::Complex(..) => return Err("json: unsupported type: complex128".into()),
        Value::Str(text) => string(out, text, style.html),
        Value::Bytes(bytes) => {
            out.push('"');
            out.push_str(&base64::engine::general_purpose::STANDARD.encode(bytes));
            out.push('"');
        }
        Value::List(list) if list.nil => out.push_str("null"),
        Value::List(list) => sequence(out, list, style, depth)?,
        Value::Map(map) if map.is_nil() => out.push_str("null"),
        Value::Map(map) => {
            object(out, map.view().iter().map(|(key, value)| (key.as_ref(), value)), style, depth)?;
        }
        Value::Time(_) => string(out, value.to_json().as_str().unwrap_or_default().as_bytes(), style.html),
        Value::Object(inner) => match inner.underlying() {
            Some(inner) => write(out, &inner, style, depth)?,
            None => {
                let fields = inner.fields();
                match inner.text().filter(|_| inner.is_text()) {
                    Some(text) => string(out, text.as_bytes(), style.html),
                    None => object(out, fields.iter().map(|(name, value)| (*name, value)), style, depth)?,
                }
            }
        },
    }
    Ok(())
}

fn sequence(out: &mut String, list: &List, style: Style, depth: usize) -> Result<(), String> {
    if list.is_empty() {
        out.push_str("[]");
        return Ok(());
    }
    out.push('[');
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        line(out, style, depth + 1);
        write(out, item, style, depth + 1)?;
    }
    line(out, style, depth);
    out.push(']');
    Ok(())
}

fn object<'v>(
    out: &mut String,
    entries: impl Iterator<Item = (&'v str, &'v Value)>,
    style: Style,
    depth: usize,
) -> Result<(), String> {
    let mut any = false;
    out.push('{');
    for (key, value) in entries {
        if std::mem::replace(&mut any, true) {
            out.push(',');
        }
        line(out, style, depth + 1);
        string(out, key.as_bytes(), style.html);
        out.push_str(if style.pretty { ": " } else { ":" });
        write(out, value, style, depth + 1)?;
    }
    if any {
        line(out, style, depth);
    }
    out.push('}');
    Ok(())
}

fn string(out: &mut String, text: &[u8], html: bool) {
    out.push('"');
    for letter in crate::charts::template::letters(text) {
        let Ok(letter) = letter else {
            out.push_str("\\ufffd");
            continue;
        };
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter
                if letter < ' '
                    || html && matches!(letter, '<' | '>' | '&')
                    || matches!(letter, '\u{2028}' | '\u{2029}') =>
            {
                out.push_str(&format!("\\u{:04x}", letter as u32));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// `json.Unmarshal` of a text into `interface {}`: numbers become `float64`.
pub(crate) fn decode(text: &[u8]) -> Result<Value, String> {
    let (value, problem) = decode_all(text)?;
    problem.map_or(Ok(value), Err)
}

/// The value of a text with what is wrong with it though it is JSON: numbers that are too large are nothing.
fn decode_all(text: &[u8]) -> Result<(Value, Option<String>), String> {
    let mut reader = Reader { text, at: 0, problem: None };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok((value, reader.problem)),
        Some(byte) => Err(unexpected(byte, "after top-level value")),
    }
}

/// Helm's `fromJson`: a map, and what is wrong as its `Error`, beside what could be read.
pub(crate) fn decode_map(text: &[u8]) -> Map {
    let (map, problem) = match decode_all(text) {
        Ok((Value::Map(map), problem)) => (map, problem),
        // A number alone that is too large was not even to be a number.
        Ok((_, Some(_))) => (Map::new(Entries::new()), into_map(Value::Float(0.0)).err()),
        Ok((other, None)) => match into_map(other) {
            Ok(map) => (map, None),
            Err(problem) => (Map::new(Entries::new()), Some(problem)),
        },
        Err(problem) => (Map::new(Entries::new()), Some(problem)),
    };
    if let Some(problem) = problem {
        map.set("Error", problem.into());
    }
    map
}

/// Helm's `fromJsonArray`: a list, or what is wrong as its only element.
pub(crate) fn decode_list(text: &[u8]) -> Value {
    let list = match decode_all(text) {
        Ok((list @ Value::List(_), None)) => Ok(list),
        Ok((Value::List(_), Some(problem))) | Err(problem) => Err(problem),
        Ok((_, Some(_))) => into_list(Value::Float(0.0)),
        Ok((other, None)) => into_list(other),
    };
    list.unwrap_or_else(|problem| Value::list(vec![problem.into()]))
}

/// What Go calls the JSON type of a value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        Value::Nil => "null",
        _ => "number",
    }
}

/// A decoded value as a `map[string]interface {}`.
pub(crate) fn into_map(value: Value) -> Result<Map, String> {
    match value {
        Value::Map(map) => Ok(map),
        Value::Nil => Ok(Map::of(MapKind::Nil, Entries::new())),
        other => {
            Err(format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", kind(&other)))
        }
    }
}

/// A decoded value as a `[]interface {}`.
pub(crate) fn into_list(value: Value) -> Result<Value, String> {
    match value {
        Value::List(_) => Ok(value),
        Value::Nil => Ok(Value::nil_list(Element::Any)),
        other => Err(format!("json: cannot unmarshal {} into Go value of type []interface {{}}", kind(&other))),
    }
}

const END: &str = "unexpected end of JSON input";

fn unexpected(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => "'\\''".to_string(),
        b'"' => "'\"'".to_string(),
        byte => {
            let letter = (byte as char).to_string();
            let quoted = crate::charts::template::quote(letter.as_bytes(), false);
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    };
    format!("invalid character {shown} {context}")
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// The first number that was too large.
    problem: Option<String>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST.min(2000) {
            return Err("exceeded max depth".into());
        }
        match self.peek().ok_or(END)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(Value::from(self.string()?)),
            b't' => self.literal(b"true", Value::Bool(true)),
            b'f' => self.literal(b"false", Value::Bool(false)),
            b'n' => self.literal(b"null", Value::Nil),
            b'-' | b'0'..=b'9' => self.number(),
            byte => Err(unexpected(byte, "looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &[u8], value: Value) -> Result<Value, String> {
        for expected in word {
            match self.peek() {
                None => return Err(END.into()),
                Some(byte) if byte == *expected => self.at += 1,
                Some(byte) => {
                    let word = String::from_utf8_lossy(word);
                    let expected = *expected as char;
                    return Err(unexpected(byte, &format!("in literal {word} (expecting '{expected}')")));
                }
            }
        }
        Ok(value)
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        match self.peek() {
            Some(b'0'..=b'9') => {}
            Some(byte) => return Err(unexpected(byte, context)),
            None => return Err(END.into()),
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]);
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => {
                let problem = format!("json: cannot unmarshal number {text} into Go value of type float64");
                self.problem.get_or_insert(problem);
                Ok(Value::Nil)
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let byte = self.peek().ok_or(END)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                b'\\' => self.escape(&mut bytes)?,
                byte if byte < b' ' => return Err(unexpected(byte, "in string literal")),
                byte => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let byte = self.peek().ok_or(END)?;
        self.at += 1;
        bytes.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let letter = self.unicode()?;
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(unexpected(byte, "in string escape code")),
        });
        Ok(())
    }

    fn hexadecimal(&mut self) -> Result<u32, String> {
        let mut number = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or(END)?;
            let digit =
                (byte as char).to_digit(16).ok_or_else(|| unexpected(byte, "in \\u hexadecimal character escape"))?;
            number = number * 16 + digit;
            self.at += 1;
        }
        Ok(number)
    }

    /// An escape of 16 bits, or a pair of them.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.hexadecimal()?;
        if !(0xd800..0xdc00).contains(&first) || !self.text[self.at..].starts_with(b"\\u") {
            return Ok(char::from_u32(first).unwrap_or('\u{fffd}'));
        }
        let before = self.at;
        self.at += 2;
        let second = self.hexadecimal()?;
        if (0xdc00..0xe000).contains(&second) {
            return Ok(char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or('\u{fffd}'));
        }
        self.at = before;
        Ok('\u{fffd}')
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek().ok_or(END)? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Value::list(items));
                }
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut entries = Entries::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::map(entries));
        }
        loop {
            self.space();
            match self.peek().ok_or(END)? {
                b'"' => {}
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            let key = self.string()?;
            self.space();
            match self.peek().ok_or(END)? {
                b':' => self.at += 1,
                byte => return Err(unexpected(byte, "after object key")),
            }
            self.space();
            let value = self.value(depth + 1)?;
            entries.insert(key.into(), value);
            self.space();
            match self.peek().ok_or(END)? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(Value::map(entries));
                }
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }
}
