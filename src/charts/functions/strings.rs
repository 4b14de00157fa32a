//! Texts: cut, joined, quoted, indented.

use memchr::memmem;

use super::{fixed, items, text_of, variadic};
use crate::charts::template::Type::{Any, Int, Str};
use crate::charts::template::{
    Call, Element, Entries, Failure, Function, Map, MapKind, Text, Value, failure, quote, sprintf,
};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("hello", &[], |_| Ok("Hello!".into())),
    fixed("trunc", &[Int, Str], trunc),
    fixed("substr", &[Int, Int, Str], substr),
    fixed("trim", &[Str], |call| Ok(call.text(0).trim_ascii_and_more().into())),
    fixed("trimall", &[Str, Str], |call| Ok(trim_all(&call.text(1), &call.str(0)))),
    fixed("trimAll", &[Str, Str], |call| Ok(trim_all(&call.text(1), &call.str(0)))),
    fixed("trimSuffix", &[Str, Str], |call| {
        let text = call.text(1);
        Ok(text.strip_suffix(&*call.text(0)).map_or_else(|| text.clone(), Text::from).into())
    }),
    fixed("trimPrefix", &[Str, Str], |call| {
        let text = call.text(1);
        Ok(text.strip_prefix(&*call.text(0)).map_or_else(|| text.clone(), Text::from).into())
    }),
    fixed("contains", &[Str, Str], |call| Ok(memmem::find(&call.text(1), &call.text(0)).is_some().into())),
    fixed("hasPrefix", &[Str, Str], |call| Ok(call.text(1).starts_with(&call.text(0)).into())),
    fixed("hasSuffix", &[Str, Str], |call| Ok(call.text(1).ends_with(&call.text(0)).into())),
    variadic("quote", &[Any], |call| Ok(each(call, |value| quote(&text_of(value), false).into_bytes()))),
    variadic("squote", &[Any], |call| Ok(each(call, |value| sprintf(b"'%v'", std::slice::from_ref(value))))),
    variadic("cat", &[Any], cat),
    fixed("indent", &[Int, Str], |call| indent(call, b"")),
    fixed("nindent", &[Int, Str], |call| indent(call, b"\n")),
    fixed("replace", &[Str, Str, Str], |call| Ok(replaced(&call.text(2), &call.text(0), &call.text(1)).into())),
    fixed("repeat", &[Int, Str], repeat),
    fixed("plural", &[Str, Str, Int], |call| Ok(call.any(usize::from(call.int(2) != 1)).clone())),
    fixed("toString", &[Any], |call| Ok(text_of(call.any(0)).into())),
    fixed("toStrings", &[Any], |call| Ok(Value::strings(strings(call.any(0))))),
    fixed("join", &[Str, Any], |call| {
        let parts = strings(call.any(1));
        let parts: Vec<&[u8]> = parts.iter().map(Text::as_bytes).collect();
        Ok(parts.join(&call.text(0)[..]).into())
    }),
    fixed("split", &[Str, Str], |call| Ok(numbered(split(&call.text(1), &call.text(0), -1)))),
    fixed("splitList", &[Str, Str], |call| Ok(Value::strings(split(&call.text(1), &call.text(0), -1)))),
    fixed("splitn", &[Str, Int, Str], |call| Ok(numbered(split(&call.text(2), &call.text(0), call.int(1))))),
    fixed("sortAlpha", &[Any], |call| {
        let nil = call.any(0).is_nil();
        let mut texts = if nil { vec![text_of(call.any(0))] } else { strings(call.any(0)) };
        texts.sort();
        Ok(Value::strings(texts))
    }),
];

/// Trimming as Go does, on bytes.
trait Trim {
    fn trim_ascii_and_more(&self) -> Text;
}

impl Trim for Text {
    fn trim_ascii_and_more(&self) -> Text {
        match std::str::from_utf8(self) {
            Ok(text) if text.len() == text.trim().len() => self.clone(),
            Ok(text) => text.trim().into(),
            Err(_) => self.trim_ascii().into(),
        }
    }
}

fn trunc(call: &Call<'_>) -> Result<Value, Failure> {
    let text = call.text(1);
    let (count, length) = (call.int(0), text.len() as i64);
    Ok(if count < 0 && length + count > 0 {
        text[(length + count) as usize..].to_vec().into()
    } else if count >= 0 && length > count {
        text[..count as usize].to_vec().into()
    } else {
        text.into()
    })
}

/// A part of a text; what Go says when there is no such part.
fn cut(text: &[u8], start: i64, end: i64) -> Result<Value, Failure> {
    let length = text.len() as i64;
    if end < 0 {
        return failure(format!("runtime error: slice bounds out of range [:{end}]"));
    }
    if end > length {
        return failure(format!("runtime error: slice bounds out of range [:{end}] with length {length}"));
    }
    if start < 0 || start > end {
        return failure(format!("runtime error: slice bounds out of range [{start}:{end}]"));
    }
    Ok(text[start as usize..end as usize].to_vec().into())
}

fn substr(call: &Call<'_>) -> Result<Value, Failure> {
    let text = call.text(2);
    let (start, end, length) = (call.int(0), call.int(1), text.len() as i64);
    if start < 0 {
        return cut(&text, 0, end);
    }
    if end < 0 || end > length {
        return cut(&text, start, length);
    }
    cut(&text, start, end)
}

fn trim_all(text: &Text, letters: &str) -> Value {
    match std::str::from_utf8(text) {
        Ok(inner) => inner.trim_matches(|letter| letters.contains(letter)).into(),
        Err(_) => text.clone().into(),
    }
}

/// What is not nil, shown and put together with spaces.
fn each(call: &Call<'_>, show: impl Fn(&Value) -> Vec<u8>) -> Value {
    let shown: Vec<Vec<u8>> = call.arguments.iter().filter(|value| !value.is_nil()).map(show).collect();
    shown.join(&b' ').into()
}

fn cat(call: &Call<'_>) -> Result<Value, Failure> {
    let values: Vec<Value> = call.arguments.iter().filter(|value| !value.is_nil()).cloned().collect();
    let format = "%v ".repeat(values.len());
    Ok(sprintf(format.trim().as_bytes(), &values).into())
}

/// The most that is made of a text by repeating.
const LONGEST: usize = 64 << 20;

fn indent(call: &Call<'_>, before: &[u8]) -> Result<Value, Failure> {
    let (count, text) = (call.int(0), call.text(1));
    let Some(spaces) = usize::try_from(count).ok().filter(|count| *count < 1 << 20) else {
        return failure("strings: negative Repeat count");
    };
    let lines = memchr::memchr_iter(b'\n', &text).count() + 1;
    if lines * spaces > LONGEST {
        return failure("strings: Repeat output length overflow");
    }
    let mut out = Vec::with_capacity(before.len() + text.len() + lines * spaces);
    out.extend_from_slice(before);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        out.resize(out.len() + spaces, b' ');
        out.extend_from_slice(line);
    }
    Ok(out.into())
}

/// `strings.ReplaceAll`; an empty text to replace stands before every letter and at the end.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    if old.is_empty() {
        let mut out = new.to_vec();
        for letter in crate::charts::template::letters(text) {
            match letter {
                Ok(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(byte) => out.push(byte),
            }
            out.extend_from_slice(new);
        }
        return out;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memmem::find_iter(text, old) {
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(new);
        from = at + old.len();
    }
    out.extend_from_slice(&text[from..]);
    out
}

fn repeat(call: &Call<'_>) -> Result<Value, Failure> {
    let (count, text) = (call.int(0), call.text(1));
    match usize::try_from(count) {
        Err(_) => failure("strings: negative Repeat count"),
        Ok(count) if count.saturating_mul(text.len()) > LONGEST => failure("strings: Repeat output length overflow"),
        Ok(count) => Ok(text.repeat(count).into()),
    }
}

/// sprig's `strslice`: the texts of a list, or of one value.
pub(super) fn strings(value: &Value) -> Vec<Text> {
    match items(value) {
        Some(items) => items.iter().filter(|item| !item.is_nil()).map(text_of).collect(),
        None if value.is_nil() => Vec::new(),
        None => vec![text_of(value)],
    }
}

/// `strings.SplitN`; negative is all.
fn split(text: &[u8], separator: &[u8], most: i64) -> Vec<Text> {
    if most == 0 {
        return Vec::new();
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts: Vec<Text> = Vec::new();
    if separator.is_empty() {
        let text = String::from_utf8_lossy(text);
        let mut rest = &*text;
        while let Some(letter) = rest.chars().next() {
            if parts.len() + 1 == most {
                break;
            }
            parts.push(rest[..letter.len_utf8()].into());
            rest = &rest[letter.len_utf8()..];
        }
        if !rest.is_empty() {
            parts.push(rest.into());
        }
        return parts;
    }
    let mut from = 0;
    for at in memmem::find_iter(text, separator) {
        if parts.len() + 1 == most {
            break;
        }
        parts.push(text[from..at].into());
        from = at + separator.len();
    }
    parts.push(text[from..].into());
    parts
}

/// Parts under the keys `_0`, `_1` and so on.
fn numbered(parts: Vec<Text>) -> Value {
    let entries: Entries =
        parts.into_iter().enumerate().map(|(index, part)| (format!("_{index}").into(), Value::Str(part))).collect();
    Value::Map(Map::of(MapKind::Of(Element::Str), entries))
}
