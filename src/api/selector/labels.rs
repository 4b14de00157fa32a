//! The string form of label selectors: `a=b,c in (d,e),!f`.
//!
//! Source of grammar and wording: k8s.io/apimachinery `pkg/labels/selector.go`.

use super::{Error, Requirement, Selector};
use crate::api::names;

/// Signs, longest first: what two of them could begin is the longer one.
const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];
/// Operators between a key and its values, as messages list them.
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// Reads a selector whose keys and values are those of labels.
pub fn parse(text: &str) -> Result<Selector, Error> {
    let mut parser = Parser { words: words(text), at: 0 };
    let mut all = Vec::new();
    loop {
        let word = parser.look();
        if word.is_empty() {
            break;
        }
        if is_sign(word) && word != "!" {
            return Err(found(word, "!, identifier, or 'end of string'"));
        }
        all.push(parser.requirement().map_err(|error| Error(format!("unable to parse requirement: {}", error.0)))?);
        match parser.take() {
            "" => break,
            "," if is_name(parser.look()) || parser.look() == "!" => {}
            "," => return Err(found(parser.look(), "identifier after ','")),
            other => return Err(found(other, "',' or 'end of string'")),
        }
    }
    Ok(Selector(all))
}

fn found(word: &str, expected: &str) -> Error {
    Error(format!("found '{word}', expected: {expected}"))
}

fn is_sign(word: &str) -> bool {
    SIGNS.contains(&word)
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && !is_sign(word)
}

/// Names and signs. What stands for nothing, `===` for example, is taken apart as far as it can be.
fn words(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let ends = |letter: char| letter.is_ascii_whitespace() || "=!(),<>".contains(letter);
        let length = match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => sign.len(),
            None => rest.find(ends).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        all.push(word);
        rest = after.trim_start();
    }
    all
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    /// The next word; nothing at the end.
    fn look(&self) -> &'a str {
        self.words.get(self.at).copied().unwrap_or_default()
    }

    fn take(&mut self) -> &'a str {
        let word = self.look();
        self.at += 1;
        word
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let is_absent = self.look() == "!";
        if is_absent {
            self.take();
        }
        let key = self.take();
        if !is_name(key) {
            return Err(found(key, "identifier"));
        }
        checked(names::qualified_name(key), "<nil>", key)?;
        let key = key.to_string();
        if is_absent {
            return Ok(Requirement::Absent(key));
        }
        if matches!(self.look(), "" | ",") {
            return Ok(Requirement::Exists(key));
        }
        match self.take() {
            "in" => Ok(Requirement::In(key.clone(), self.values(&key)?)),
            "notin" => Ok(Requirement::NotIn(key.clone(), self.values(&key)?)),
            "=" | "==" => Ok(Requirement::In(key.clone(), vec![self.value(&key)?])),
            "!=" => Ok(Requirement::NotIn(key.clone(), vec![self.value(&key)?])),
            ">" => Ok(Requirement::Greater(key.clone(), self.number(&key)?)),
            "<" => Ok(Requirement::Less(key.clone(), self.number(&key)?)),
            other => Err(found(other, OPERATORS)),
        }
    }

    /// The one value of a comparison, which may be empty.
    fn value(&mut self, key: &str) -> Result<String, Error> {
        if matches!(self.look(), "" | ",") {
            return Ok(String::new());
        }
        let value = self.take();
        if is_sign(value) {
            return Err(found(value, "identifier"));
        }
        checked(names::label_value(value), &format!("values[0][{key}]"), value)?;
        Ok(value.into())
    }

    fn number(&mut self, key: &str) -> Result<i64, Error> {
        let value = self.value(key)?;
        let why = "for 'Gt', 'Lt' operators, the value must be an integer";
        value.parse().map_err(|_| Error(format!("values[0]: Invalid value: {value:?}: {why}")))
    }

    /// The values of `(a, b,)`; what is missing between two commas is the empty value.
    fn values(&mut self, key: &str) -> Result<Vec<String>, Error> {
        let open = self.take();
        if open != "(" {
            return Err(Error(format!("found '{open}' expected: '('")));
        }
        let mut values = vec![String::new()];
        loop {
            match self.take() {
                ")" => break,
                "," => values.push(String::new()),
                value if is_name(value) => {
                    let place = format!("values[{}][{key}]", values.len() - 1);
                    checked(names::label_value(value), &place, value)?;
                    match values.last_mut().filter(|last| last.is_empty()) {
                        Some(last) => *last = value.into(),
                        None => return Err(found(value, "',' or ')'")),
                    }
                }
                other => return Err(found(other, "',', ')' or identifier")),
            }
        }
        Ok(values)
    }
}

fn checked(wrong: Vec<String>, place: &str, value: &str) -> Result<(), Error> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error(format!("{place}: Invalid value: {value:?}: {}", wrong.join("; "))))
}
