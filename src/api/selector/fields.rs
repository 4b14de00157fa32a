//! The string form of field selectors: `metadata.name=a,spec.nodeName!=b`. Values may be any text, with `\` before `,`, `=`
//! and `\`.
//!
//! Source of grammar and wording: k8s.io/apimachinery `pkg/fields/selector.go`.

use super::{Error, Requirement, Selector};

/// Reads a selector.
pub fn parse(text: &str) -> Result<Selector, Error> {
    let terms = terms(text).into_iter().filter(|term| !term.is_empty());
    terms.map(|term| requirement(text, term)).collect::<Result<_, _>>().map(Selector)
}

/// Splits at commas that have no `\` before them.
fn terms(text: &str) -> Vec<&str> {
    let (mut all, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        if letter == ',' && !is_escaped {
            all.push(&text[start..at]);
            start = at + 1;
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    all.push(&text[start..]);
    all
}

fn requirement(whole: &str, term: &str) -> Result<Requirement, Error> {
    let sign = term.char_indices().find_map(|(at, _)| {
        let sign = ["!=", "==", "="].into_iter().find(|sign| term[at..].starts_with(sign))?;
        Some((at, sign))
    });
    let Some((at, sign)) = sign else {
        return Err(Error(format!("invalid selector: '{whole}'; can't understand '{term}'")));
    };
    let (key, value) = (term[..at].to_string(), plain(&term[at + sign.len()..])?);
    Ok(if sign == "!=" { Requirement::NotIn(key, vec![value]) } else { Requirement::In(key, vec![value]) })
}

/// A value without its escapes.
fn plain(value: &str) -> Result<String, Error> {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => text.push(escaped),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(Error(format!("invalid field selector: invalid escape sequence: {sequence}")));
                }
            },
            ',' | '=' => {
                return Err(Error(format!("invalid field selector: unescaped character in value: {letter}")));
            }
            letter => text.push(letter),
        }
    }
    Ok(text)
}
