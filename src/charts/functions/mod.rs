//! The functions that a chart's templates can call: sprig's and Helm's, one table for each theme.
//!
//! A function is an entry with its Go parameters, against which the engine checks arguments, and the work. Texts of
//! errors are Go's, sprig's and Helm's.

#[cfg(test)]
mod cases;
mod certificates;
mod cipher;
#[cfg(test)]
mod corners;
mod crypto;
mod dates;
mod decimal;
mod dicts;
mod encoding;
mod helm;
pub(crate) mod json;
mod lists;
mod logic;
mod math;
mod paths;
mod random;
mod reflection;
mod regexes;
mod semver;
mod strings;
mod toml;
mod toml_words;
mod urls;
mod words;

pub use regexes::compiled as expression;

/// What a reference means in a document at `base` (empty: nowhere), in Go's eyes.
pub fn resolved_url(base: &str, reference: &str) -> Result<String, String> {
    urls::resolved(base, reference)
}

/// Whether an address is absolute, and its host; else Go's error.
pub fn checked_url(address: &str) -> Result<(bool, String), String> {
    urls::looked_at(address)
}

/// A path of a URL without `%25` and the like.
pub fn path_unescaped(text: &str) -> Result<String, String> {
    urls::path_unescaped(text)
}

use std::borrow::Cow;
use std::sync::LazyLock;

use super::template::{self, Call, Failure, Function, Names, Text, Type, Value};

/// Every function by name; those of later tables win.
static TABLE: LazyLock<Names<&'static str, &'static Function>> = LazyLock::new(|| {
    let tables: [&'static [Function]; 18] = [
        template::BUILTINS,
        certificates::FUNCTIONS,
        crypto::FUNCTIONS,
        dates::FUNCTIONS,
        dicts::FUNCTIONS,
        encoding::FUNCTIONS,
        lists::FUNCTIONS,
        logic::FUNCTIONS,
        math::FUNCTIONS,
        paths::FUNCTIONS,
        random::FUNCTIONS,
        reflection::FUNCTIONS,
        regexes::FUNCTIONS,
        semver::FUNCTIONS,
        strings::FUNCTIONS,
        urls::FUNCTIONS,
        words::FUNCTIONS,
        helm::FUNCTIONS,
    ];
    tables.iter().flat_map(|table| table.iter()).map(|function| (function.name, function)).collect()
});

/// The function of a name.
pub fn find(name: &str) -> Option<&'static Function> {
    TABLE.get(name).copied()
}

/// A table's entry.
const fn fixed(
    name: &'static str,
    parameters: &'static [Type],
    run: fn(&Call<'_>) -> Result<Value, Failure>,
) -> Function {
    Function { name, parameters, variadic: false, run }
}

/// A table's entry whose last parameter may come any number of times.
const fn variadic(
    name: &'static str,
    parameters: &'static [Type],
    run: fn(&Call<'_>) -> Result<Value, Failure>,
) -> Function {
    Function { name, parameters, variadic: true, run }
}

/// sprig's `strval`: what a value is as text.
fn text_of(value: &Value) -> Text {
    match value {
        Value::Str(text) => text.clone(),
        Value::Bytes(bytes) => Text::from(&bytes[..]),
        other => template::display_bytes(other).into(),
    }
}

/// The elements of a list of any type.
fn items(value: &Value) -> Option<Cow<'_, [Value]>> {
    match value {
        Value::List(list) => Some(Cow::Borrowed(&list.items)),
        Value::Bytes(bytes) => {
            let byte = |byte: &u8| Value::Uint(u64::from(*byte), template::UintType::Uint8);
            Some(Cow::Owned(bytes.iter().map(byte).collect()))
        }
        Value::Object(object) if object.kind() == "slice" => {
            object.underlying().and_then(|inner| items(&inner).map(|items| Cow::Owned(items.into_owned())))
        }
        _ => None,
    }
}

/// What Go says when the type of nil is asked for.
const NIL_POINTER: &str = "runtime error: invalid memory address or nil pointer dereference";

/// sprig's `empty`.
fn is_empty(value: &Value) -> bool {
    !value.truth()
}

/// Go's `reflect.DeepEqual`.
fn deep_equal(first: &Value, other: &Value) -> bool {
    deep_equal_at(first, other, 0)
}

fn deep_equal_at(first: &Value, other: &Value, depth: usize) -> bool {
    if depth > 1000 || first.type_name() != other.type_name() {
        return false;
    }
    match (first, other) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a, _), Value::Int(b, _)) => a == b,
        (Value::Uint(a, _), Value::Uint(b, _)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, b), Value::Complex(c, d)) => a == c && b == d,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            let same = |(a, b): (&Value, &Value)| deep_equal_at(a, b, depth + 1);
            a.nil == b.nil && a.len() == b.len() && a.iter().zip(b.iter()).all(same)
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.same(b) {
                return true;
            }
            let (a, b) = (a.view(), b.view());
            let same = |((k, a), (l, b)): ((_, &Value), (_, &Value))| -> bool {
                let _: (&std::rc::Rc<str>, &std::rc::Rc<str>) = (k, l);
                k == l && deep_equal_at(a, b, depth + 1)
            };
            a.len() == b.len() && a.iter().zip(b.iter()).all(same)
        }
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => {
            std::rc::Rc::ptr_eq(a, b)
                || match (a.underlying(), b.underlying()) {
                    (Some(a), Some(b)) => deep_equal_at(&a, &b, depth + 1),
                    _ => {
                        let (a, b) = (a.fields(), b.fields());
                        !a.is_empty()
                            && a.len() == b.len()
                            && a.iter().zip(&b).all(|(a, b)| deep_equal_at(&a.1, &b.1, depth + 1))
                    }
                }
        }
        _ => false,
    }
}
