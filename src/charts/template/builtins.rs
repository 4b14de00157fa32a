//! The functions that Go's template language has of itself.

use super::error::Error;
use super::format::{display, sprint, sprintf, sprintln};
use super::function::{Call, Failure, Function, Type, failure};
use super::quote;
use super::value::{List, UintType, Value};

use Type::{Any, Reflect, Str};

/// Go's functions; sprig's win over those of the same name.
pub static FUNCTIONS: &[Function] = &[
    Function { name: "and", parameters: &[Reflect, Reflect], variadic: true, run: |_| Ok(Value::Nil) },
    Function { name: "or", parameters: &[Reflect, Reflect], variadic: true, run: |_| Ok(Value::Nil) },
    Function { name: "call", parameters: &[Reflect, Reflect], variadic: true, run: |_| Ok(Value::Nil) },
    Function { name: "not", parameters: &[Reflect], variadic: false, run: |call| Ok((!call.any(0).truth()).into()) },
    Function {
        name: "eq",
        parameters: &[Reflect, Reflect],
        variadic: true,
        run: |call| equal(call.any(0), call.rest(1)),
    },
    Function {
        name: "ne",
        parameters: &[Reflect, Reflect],
        variadic: false,
        run: |call| not(equal(call.any(0), call.rest(1))),
    },
    Function {
        name: "lt",
        parameters: &[Reflect, Reflect],
        variadic: false,
        run: |call| less(call.any(0), call.any(1)),
    },
    Function { name: "le", parameters: &[Reflect, Reflect], variadic: false, run: less_or_equal },
    Function { name: "gt", parameters: &[Reflect, Reflect], variadic: false, run: |call| not(less_or_equal(call)) },
    Function {
        name: "ge",
        parameters: &[Reflect, Reflect],
        variadic: false,
        run: |call| not(less(call.any(0), call.any(1))),
    },
    Function { name: "len", parameters: &[Reflect], variadic: false, run: |call| length(call.any(0)) },
    Function {
        name: "index",
        parameters: &[Reflect, Reflect],
        variadic: true,
        run: |call| index(call.any(0), call.rest(1)),
    },
    Function {
        name: "slice",
        parameters: &[Reflect, Reflect],
        variadic: true,
        run: |call| slice(call.any(0), call.rest(1)),
    },
    Function { name: "print", parameters: &[Any], variadic: true, run: |call| Ok(sprint(call.arguments).into()) },
    Function { name: "println", parameters: &[Any], variadic: true, run: |call| Ok(sprintln(call.arguments).into()) },
    Function {
        name: "printf",
        parameters: &[Str, Any],
        variadic: true,
        run: |call| Ok(sprintf(&call.text(0), call.rest(1)).into()),
    },
    Function { name: "html", parameters: &[Any], variadic: true, run: html },
    Function { name: "js", parameters: &[Any], variadic: true, run: js },
    Function {
        name: "urlquery",
        parameters: &[Any],
        variadic: true,
        run: |call| Ok(url_query(&joined(call.arguments)).into()),
    },
];

/// `call`: there are no function values here, so it can only say so.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    match arguments.first() {
        None | Some(Value::Nil) => failure("call of nil"),
        Some(value) => failure(format!("non-function {name} of type {}", value.type_name())),
    }
}

fn not(result: Result<Value, Failure>) -> Result<Value, Failure> {
    result.map(|value| Value::Bool(!value.truth()))
}

/// What comparisons tell apart.
#[derive(PartialEq, Clone, Copy)]
enum Basic {
    None,
    Bool,
    Complex,
    Int,
    Float,
    Str,
    Uint,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(_) => Basic::Bool,
        Value::Complex(..) => Basic::Complex,
        Value::Int(..) => Basic::Int,
        Value::Float(_) => Basic::Float,
        Value::Str(_) => Basic::Str,
        Value::Uint(..) => Basic::Uint,
        Value::Object(object) if object.kind() == "string" => Basic::Str,
        _ => Basic::None,
    }
}

const INCOMPATIBLE: &str = "incompatible types for comparison";
fn incompatible<T>(first: &Value, other: &Value) -> Result<T, Failure> {
    failure(format!("{INCOMPATIBLE}: {} and {}", first.type_name(), other.type_name()))
}

const INVALID: &str = "invalid type for comparison";

fn equal(first: &Value, others: &[Value]) -> Result<Value, Failure> {
    if others.is_empty() {
        return failure("missing argument for comparison");
    }
    for other in others {
        if equal_pair(first, other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn equal_pair(first: &Value, other: &Value) -> Result<bool, Failure> {
    Ok(match (first, other) {
        (Value::Int(a, _), Value::Uint(b, _)) => u64::try_from(*a) == Ok(*b),
        (Value::Uint(a, _), Value::Int(b, _)) => Ok(*a) == u64::try_from(*b),
        _ if basic(first) != basic(other) => {
            if !first.is_nil() && !other.is_nil() {
                return incompatible(first, other);
            }
            false
        }
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Complex(a, b), Value::Complex(c, d)) => a == c && b == d,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Int(a, _), Value::Int(b, _)) => a == b,
        (Value::Uint(a, _), Value::Uint(b, _)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        _ => return equal_composite(first, other),
    })
}

/// Maps, lists and the like, which Go mostly cannot compare.
fn equal_composite(first: &Value, other: &Value) -> Result<bool, Failure> {
    let kinds = (first.kind(), other.kind());
    if kinds.0 != kinds.1 && !first.is_nil() && !other.is_nil() {
        return failure(format!(
            "non-comparable types {}: {}, {}: {}",
            shown(first),
            first.type_name(),
            other.type_name(),
            display(other)
        ));
    }
    let nil = |value: &Value| match value {
        Value::Nil => true,
        Value::List(list) => list.nil,
        Value::Map(map) => map.is_nil(),
        _ => false,
    };
    if nil(first) || nil(other) {
        return Ok(nil(first) == nil(other));
    }
    match (first, other) {
        (Value::Time(a), Value::Time(b)) => Ok(a == b && a.time_zone() == b.time_zone()),
        (Value::Object(a), Value::Object(b)) if a.kind() == "struct" || a.kind() == "ptr" => {
            Ok(std::rc::Rc::ptr_eq(a, b))
        }
        _ => failure(format!("non-comparable type {}: {}", shown(other), other.type_name())),
    }
}

/// A value under `%s`.
fn shown(value: &Value) -> String {
    String::from_utf8_lossy(&sprintf(b"%s", std::slice::from_ref(value))).into_owned()
}

fn less(first: &Value, other: &Value) -> Result<Value, Failure> {
    if basic(first) == Basic::None || basic(other) == Basic::None {
        return failure(INVALID);
    }
    Ok(Value::Bool(match (first, other) {
        (Value::Int(a, _), Value::Uint(b, _)) => *a < 0 || (*a as u64) < *b,
        (Value::Uint(a, _), Value::Int(b, _)) => *b >= 0 && *a < *b as u64,
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::Int(a, _), Value::Int(b, _)) => a < b,
        (Value::Uint(a, _), Value::Uint(b, _)) => a < b,
        (Value::Str(a), Value::Str(b)) => a < b,
        _ if basic(first) != basic(other) => return incompatible(first, other),
        _ => return failure(INVALID),
    }))
}

fn less_or_equal(call: &Call<'_>) -> Result<Value, Failure> {
    let less = less(call.any(0), call.any(1))?;
    if less.truth() { Ok(less) } else { equal(call.any(0), call.rest(1)) }
}

fn length(value: &Value) -> Result<Value, Failure> {
    let count = match &*value.underlying() {
        Value::Nil => return failure("reflect: call of reflect.Value.Type on zero Value"),
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return failure(format!("len of type {}", other.type_name().trim_start_matches('*'))),
    };
    Ok(Value::from(count as i64))
}

/// An index into a list of some length.
fn position(index: &Value, limit: usize) -> Result<usize, Failure> {
    let number = match index {
        Value::Int(number, _) => *number,
        Value::Uint(number, _) => *number as i64,
        Value::Nil => return failure("cannot index slice/array with nil"),
        other => return failure(format!("cannot index slice/array with type {}", other.type_name())),
    };
    match usize::try_from(number) {
        Ok(at) if at <= limit => Ok(at),
        _ => failure(format!("index out of range: {number}")),
    }
}

fn index(item: &Value, indexes: &[Value]) -> Result<Value, Failure> {
    if item.is_nil() {
        return failure("index of untyped nil");
    }
    let mut item = item.clone();
    for key in indexes {
        let underlying = item.underlying().into_owned();
        item = match &underlying {
            Value::Nil => return failure("index of nil pointer"),
            Value::List(list) => {
                let at = position(key, list.len())?;
                list.get(at).cloned().ok_or_else(|| out_of_range("slice"))?
            }
            Value::Bytes(bytes) => {
                let at = position(key, bytes.len())?;
                Value::Uint(u64::from(*bytes.get(at).ok_or_else(|| out_of_range("slice"))?), UintType::Uint8)
            }
            Value::Str(text) => {
                let at = position(key, text.len())?;
                Value::Uint(u64::from(*text.get(at).ok_or_else(|| out_of_range("string"))?), UintType::Uint8)
            }
            Value::Map(map) => match key {
                Value::Str(key) => map.get(&key.as_str()).unwrap_or_else(|| map.element().zero()),
                Value::Nil => return failure("value is nil; should be of type string"),
                other => return failure(format!("value has type {}; should be string", other.type_name())),
            },
            other => return failure(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

/// What reflect says of an index one past the end.
fn out_of_range(what: &str) -> Error {
    Error::new(format!("reflect: {what} index out of range"))
}

fn slice(item: &Value, indexes: &[Value]) -> Result<Value, Failure> {
    if item.is_nil() {
        return failure("slice of untyped nil");
    }
    if indexes.len() > 3 {
        return failure(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match item {
        Value::Str(_) if indexes.len() == 3 => return failure("cannot 3-index slice a string"),
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Bytes(bytes) => bytes.len(),
        other => return failure(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    for pair in bounds.windows(2).take(indexes.len().clamp(2, 3) - 1) {
        if pair[0] > pair[1] {
            return failure(format!("invalid slice index: {} > {}", pair[0], pair[1]));
        }
    }
    let range = bounds[0]..bounds[1];
    Ok(match item {
        Value::Str(text) => Value::Str(text[range].into()),
        Value::List(list) => {
            Value::List(List { element: list.element, nil: list.nil, items: list[range].to_vec() }.into())
        }
        Value::Bytes(bytes) => Value::Bytes(bytes[range].into()),
        _ => Value::Nil,
    })
}

/// The arguments as one text.
fn joined(arguments: &[Value]) -> Vec<u8> {
    if let [Value::Str(text)] = arguments {
        return text.to_vec();
    }
    let shown: Vec<Value> =
        arguments.iter().map(|value| if value.is_nil() { Value::from("<no value>") } else { value.clone() }).collect();
    sprint(&shown)
}

fn html(call: &Call<'_>) -> Result<Value, Failure> {
    let mut out = Vec::new();
    for byte in joined(call.arguments) {
        let escaped: &[u8] = match byte {
            0 => "\u{fffd}".as_bytes(),
            b'"' => b"&#34;",
            b'\'' => b"&#39;",
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(escaped);
    }
    Ok(out.into())
}

fn js(call: &Call<'_>) -> Result<Value, Failure> {
    let mut out = String::new();
    for letter in quote::letters(&joined(call.arguments)) {
        match letter.unwrap_or('\u{fffd}') {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            letter if letter < ' ' || !letter.is_ascii() && !quote::is_print(letter) => {
                out.push_str(&format!("\\u{:04X}", letter as u32));
            }
            letter => out.push(letter),
        }
    }
    Ok(out.into())
}

/// `url.QueryEscape`.
pub fn url_query(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte as char),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
