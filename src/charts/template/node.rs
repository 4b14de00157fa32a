//! The tree that a template is, and how Go prints its parts in messages.

use std::fmt;
use std::rc::Rc;

use super::function::Function;
use super::text::Text;

/// A tree: the text of one template or definition.
pub(super) struct Tree {
    /// The template's own name.
    pub name: Rc<str>,
    /// The file or text that it was read from.
    pub source: Rc<Source>,
    pub root: Vec<Node>,
}

/// A text that was read, for positions in messages.
pub(super) struct Source {
    pub name: String,
    pub text: String,
}

impl Source {
    /// `name:line:column` of a byte; the column counts bytes from 0.
    pub fn location(&self, position: usize) -> String {
        let before = &self.text.as_bytes()[..position.min(self.text.len())];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let column = memchr::memrchr(b'\n', before).map_or(position, |newline| position - newline - 1);
        format!("{}:{line}:{column}", self.name)
    }
}

/// A part of the text.
pub(super) enum Node {
    Text(Text),
    Action(usize, Pipe),
    Break,
    Continue,
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template(Box<Invocation>),
}

/// `if`, `with` and `range`.
pub(super) struct Branch {
    pub position: usize,
    pub pipe: Pipe,
    pub list: Vec<Node>,
    pub otherwise: Option<Vec<Node>>,
}

/// `{{template "name" pipe}}`.
pub(super) struct Invocation {
    pub position: usize,
    pub name: Rc<str>,
    pub pipe: Option<Pipe>,
}

/// Commands, each the last argument of the next, perhaps bound to variables.
pub(super) struct Pipe {
    pub position: usize,
    pub assigns: bool,
    pub variables: Vec<Rc<str>>,
    pub commands: Vec<Command>,
}

/// A word and its arguments.
pub(super) struct Command {
    pub position: usize,
    pub words: Vec<Word>,
}

/// One word of a command.
pub(super) struct Word {
    pub position: usize,
    pub term: Term,
}

/// What a word is.
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Box<Number>),
    /// The value, and the text as written.
    Str(Text, Box<str>),
    Field(Vec<Rc<str>>),
    Variable(Rc<str>, Vec<Rc<str>>),
    Function(&'static Function),
    Pipe(Box<Pipe>),
    Chain(Box<Word>, Vec<Rc<str>>),
}

/// A constant, in every type that can hold it.
#[derive(Default)]
pub(super) struct Number {
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
    pub complex: Option<(f64, f64)>,
    pub text: String,
}

fn join(formatter: &mut fmt::Formatter<'_>, fields: &[Rc<str>]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(formatter, ".{field}"))
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Dot => formatter.write_str("."),
            Term::Nil => formatter.write_str("nil"),
            Term::Bool(truth) => write!(formatter, "{truth}"),
            Term::Number(number) => formatter.write_str(&number.text),
            Term::Str(_, written) => formatter.write_str(written),
            Term::Field(fields) => join(formatter, fields),
            Term::Variable(name, fields) => {
                formatter.write_str(name)?;
                join(formatter, fields)
            }
            Term::Function(function) => formatter.write_str(function.name),
            Term::Pipe(pipe) => write!(formatter, "{pipe}"),
            Term::Chain(word, fields) => {
                write_word(formatter, word)?;
                join(formatter, fields)
            }
        }
    }
}

/// A word as a part of something: pipes go in parentheses.
fn write_word(formatter: &mut fmt::Formatter<'_>, word: &Word) -> fmt::Result {
    match &word.term {
        Term::Pipe(pipe) => write!(formatter, "({pipe})"),
        _ => write!(formatter, "{word}"),
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            write_word(formatter, word)?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            formatter.write_str(&self.variables.join(", "))?;
            formatter.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" | ")?;
            }
            write!(formatter, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{{template {}", super::quote::quote(self.name.as_bytes(), false))?;
        if let Some(pipe) = &self.pipe {
            write!(formatter, " {pipe}")?;
        }
        formatter.write_str("}}")
    }
}

fn write_branch(formatter: &mut fmt::Formatter<'_>, word: &str, branch: &Branch) -> fmt::Result {
    write!(formatter, "{{{{{word} {}}}}}", branch.pipe)?;
    branch.list.iter().try_for_each(|node| write!(formatter, "{node}"))?;
    if let Some(list) = &branch.otherwise {
        formatter.write_str("{{else}}")?;
        list.iter().try_for_each(|node| write!(formatter, "{node}"))?;
    }
    formatter.write_str("{{end}}")
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Text(text) => write!(formatter, "{text}"),
            Node::Action(_, pipe) => write!(formatter, "{{{{{pipe}}}}}"),
            Node::Break => formatter.write_str("{{break}}"),
            Node::Continue => formatter.write_str("{{continue}}"),
            Node::If(branch) => write_branch(formatter, "if", branch),
            Node::With(branch) => write_branch(formatter, "with", branch),
            Node::Range(branch) => write_branch(formatter, "range", branch),
            Node::Template(invocation) => write!(formatter, "{invocation}"),
        }
    }
}
