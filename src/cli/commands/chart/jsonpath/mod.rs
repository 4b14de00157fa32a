//! The templates that `show values --jsonpath` takes: text with actions in braces, which are paths, texts and ranges.
//!
//! `{.image.tag}`, `{.list[0:2].name}`, `{.list[?(@.port>1.0)]}`, `{range .list[*]}{.name}{"\n"}{end}`.
//!
//! The paths of definitions (`api::json_path`) are read from the same grammar, but there a key that is missing is no error
//! and a list may be a table. Source of the rules: k8s.io/client-go `util/jsonpath/{parser,jsonpath}.go`.

mod evaluate;
mod parse;

use serde_json::Value;

/// A template that was read.
pub struct Template(Vec<Node>);

enum Node {
    /// What is between braces: each is applied to what the one before it found.
    List(Vec<Node>),
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// `range` and `end`; any other is an error when it is met.
    Identifier(String),
    Field(String),
    Array(Range),
    /// Items for which the left side finds something or, if there is an operator, compares so with what the right one finds.
    Filter {
        left: Vec<Node>,
        comparison: Option<(String, Vec<Node>)>,
    },
    /// Every item or value.
    Wildcard,
    /// Everything below, however deep.
    Recursive,
    /// What any of these finds, one after the other.
    Union(Vec<Vec<Node>>),
}

/// Items of a list.
#[derive(Clone, Copy)]
struct Range {
    start: i64,
    end: Option<i64>,
    step: Option<i64>,
    /// Whether only a start was written.
    is_one: bool,
}

impl Template {
    /// Reads a template; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::template(text).map(Self)
    }

    /// The text that it makes of a document, whose numbers are floats; nothing if it asks for what is not there.
    pub fn print(&self, document: &Value) -> Option<String> {
        evaluate::print(&self.0, document)
    }
}

#[cfg(test)]
mod tests;
