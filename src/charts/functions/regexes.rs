//! Functions that search with regular expressions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;

use super::fixed;
use crate::base::regexp;
use crate::charts::template::Type::{Int, Str};
use crate::charts::template::{Call, Element, Failure, Function, Value, failure, quote};

/// The table. The functions that start with `must` give Go's bare error, the others that of `MustCompile`.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("regexMatch", &[Str, Str], |call| {
        Ok(compiled(&call.str(0)).is_ok_and(|regex| regex.is_match(&call.str(1))).into())
    }),
    fixed("mustRegexMatch", &[Str, Str], |call| Ok(must(call)?.is_match(&call.str(1)).into())),
    fixed("regexFind", &[Str, Str], |call| Ok(find(&*panicking(call)?, call))),
    fixed("mustRegexFind", &[Str, Str], |call| Ok(find(&*must(call)?, call))),
    fixed("regexFindAll", &[Str, Str, Int], |call| Ok(find_all(&*panicking(call)?, call))),
    fixed("mustRegexFindAll", &[Str, Str, Int], |call| Ok(find_all(&*must(call)?, call))),
    fixed("regexReplaceAll", &[Str, Str, Str], |call| Ok(replaced(&*panicking(call)?, call))),
    fixed("mustRegexReplaceAll", &[Str, Str, Str], |call| Ok(replaced(&*must(call)?, call))),
    fixed("regexReplaceAllLiteral", &[Str, Str, Str], |call| Ok(literal(&*panicking(call)?, call))),
    fixed("mustRegexReplaceAllLiteral", &[Str, Str, Str], |call| Ok(literal(&*must(call)?, call))),
    fixed("regexSplit", &[Str, Str, Int], |call| Ok(split(&*panicking(call)?, call))),
    fixed("mustRegexSplit", &[Str, Str, Int], |call| Ok(split(&*must(call)?, call))),
    fixed("regexQuoteMeta", &[Str], |call| {
        let mut out = String::new();
        for letter in call.str(0).chars() {
            if r"\.+*?()|[]{}^$".contains(letter) {
                out.push('\\');
            }
            out.push(letter);
        }
        Ok(out.into())
    }),
];

/// The largest machine that an expression is made into, in bytes.
const LARGEST: usize = 32 << 20;

thread_local! {
    /// What was compiled on this thread: charts use few expressions often. Shared, as a clone would search with new memory.
    static COMPILED: RefCell<HashMap<String, Result<Rc<Regex>, String>>> = RefCell::default();
}

/// The expression, or Go's error.
pub fn compiled(pattern: &str) -> Result<Rc<Regex>, String> {
    COMPILED.with_borrow_mut(|known| {
        if let Some(regex) = known.get(pattern) {
            return regex.clone();
        }
        let regex = regexp::compile(pattern, LARGEST).map(Rc::new);
        let regex = regex.map_err(|problem| format!("error parsing regexp: {problem}"));
        known.insert(pattern.to_string(), regex.clone());
        regex
    })
}

fn must(call: &Call<'_>) -> Result<Rc<Regex>, Failure> {
    compiled(&call.str(0)).or_else(failure)
}

fn panicking(call: &Call<'_>) -> Result<Rc<Regex>, Failure> {
    let pattern = call.str(0);
    compiled(&pattern).or_else(|error| {
        let bare = !pattern.contains('`') && pattern.chars().all(|letter| letter >= ' ' || letter == '\t');
        let shown = if bare { format!("`{pattern}`") } else { quote(pattern.as_bytes(), false) };
        failure(format!("regexp: Compile({shown}): {error}"))
    })
}

fn find(regex: &Regex, call: &Call<'_>) -> Value {
    regex.find(&call.str(1)).map_or("", |found| found.as_str()).into()
}

fn find_all(regex: &Regex, call: &Call<'_>) -> Value {
    let most = usize::try_from(call.int(2)).unwrap_or(usize::MAX);
    let text = call.str(1);
    let found: Vec<&str> = regex.find_iter(&text).take(most).map(|found| found.as_str()).collect();
    if found.is_empty() { Value::nil_list(Element::Str) } else { Value::strings(found) }
}

fn replaced(regex: &Regex, call: &Call<'_>) -> Value {
    regex.replace_all(&call.str(1), &*call.str(2)).as_ref().into()
}

fn literal(regex: &Regex, call: &Call<'_>) -> Value {
    regex.replace_all(&call.str(1), regex::NoExpand(&call.str(2))).as_ref().into()
}

/// `Regexp.Split`.
fn split(regex: &Regex, call: &Call<'_>) -> Value {
    let (text, most) = (call.str(1), call.int(2));
    if most == 0 {
        return Value::nil_list(Element::Str);
    }
    if !call.str(0).is_empty() && text.is_empty() {
        return Value::strings([""]);
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(&text).take(most) {
        if parts.len() + 1 == most {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(&text[begin..end]);
        }
        begin = found.end();
    }
    if end != text.len() {
        parts.push(&text[begin..]);
    }
    Value::strings(parts)
}
