//! What a template is once it is read, and how Go prints its parts in messages.
//!
//! All parts of one text lie in the tables of its [`Code`], children of one parent side by side, and name each other by
//! their places there; names and constants are places in the text. So reading a text makes few allocations, however many
//! parts it has, and dropping it is as cheap.

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::function::Function;
use super::lexer::Span;
use super::quote;
use super::text::Text;

/// A text that was read, by whatever thread and for all of them, with the names and roots of its trees.
pub struct Parsed {
    pub(super) code: Arc<Code>,
    pub(super) trees: Vec<(Arc<str>, Run)>,
}

impl Parsed {
    /// The trees, for a thread that executes them.
    pub(super) fn trees(&self) -> impl Iterator<Item = Tree> {
        let strings = Rc::new(self.code.strings.iter().map(|_| OnceCell::new()).collect::<Vec<_>>());
        let tree = move |(name, root): &(Arc<str>, Run)| Tree {
            name: name.clone(),
            code: self.code.clone(),
            strings: strings.clone(),
            root: *root,
        };
        self.trees.iter().map(tree)
    }
}

/// A tree: the text of one template or definition.
pub(super) struct Tree {
    /// The template's own name.
    pub name: Arc<str>,
    /// What it was read from.
    pub code: Arc<Code>,
    /// The values of text constants that somebody asked for: most templates of a chart are never executed.
    strings: Rc<Vec<OnceCell<Text>>>,
    pub root: Run,
}

impl Tree {
    /// Whether it prints nothing, and so defines nothing anew.
    pub fn is_empty(&self) -> bool {
        self.code.is_empty(self.root)
    }

    /// The value of a text constant.
    pub fn string(&self, place: Index) -> &Text {
        let written = self.code.strings[place as usize].of(&self.code.text);
        // The parser found nothing wrong with it.
        self.strings[place as usize].get_or_init(|| quote::unquote(written.as_bytes()).unwrap_or_default().into())
    }
}

/// A text that was read.
pub(super) struct Code {
    /// The file's name, for messages.
    pub name: String,
    pub text: String,
    pub nodes: Vec<Node>,
    pub branches: Vec<Branch>,
    pub invocations: Vec<Invocation>,
    pub pipes: Vec<Pipe>,
    pub commands: Vec<Command>,
    pub words: Vec<Word>,
    /// Fields and variables.
    pub names: Vec<Span>,
    /// Text constants with their quotes, which were found to be right.
    pub strings: Vec<Span>,
    pub numbers: Vec<Number>,
}

/// Neighbours in a table.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    pub start: u32,
    pub end: u32,
}

impl Run {
    /// How many there are.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// The neighbours themselves.
    pub fn of<T>(self, table: &[T]) -> &[T] {
        &table[self.start as usize..self.end as usize]
    }
}

/// Where one part is in its table.
pub(super) type Index = u32;

/// A part of the text.
#[derive(Clone, Copy)]
pub(super) enum Node {
    Text(Span),
    /// With its position.
    Action(u32, Index),
    Break,
    Continue,
    If(Index),
    With(Index),
    Range(Index),
    Template(Index),
}

/// `if`, `with` and `range`.
pub(super) struct Branch {
    pub position: u32,
    pub pipe: Index,
    pub list: Run,
    pub otherwise: Option<Run>,
}

/// `{{template "name" pipe}}`.
pub(super) struct Invocation {
    pub position: u32,
    pub name: Arc<str>,
    pub pipe: Option<Index>,
}

/// Commands, each the last argument of the next, perhaps bound to variables.
pub(super) struct Pipe {
    pub position: u32,
    pub assigns: bool,
    pub variables: Run,
    pub commands: Run,
}

/// A word and its arguments.
#[derive(Clone, Copy)]
pub(super) struct Command {
    pub position: u32,
    pub words: Run,
}

/// One word of a command.
#[derive(Clone, Copy)]
pub(super) struct Word {
    pub position: u32,
    pub term: Term,
}

/// What a word is.
#[derive(Clone, Copy)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Index),
    Str(Index),
    Field(Run),
    Variable(Span, Run),
    Function(&'static Function),
    Pipe(Index),
    Chain(Index, Run),
}

/// A number constant, in every type that can hold it.
#[derive(Default)]
pub(super) struct Number {
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
    pub complex: Option<(f64, f64)>,
    pub written: Span,
}

impl Code {
    /// Nothing was read yet. The tables have room for what charts have in so much text on average.
    pub fn new(name: &str, text: &str) -> Self {
        let one_in = |bytes: usize| text.len() / bytes + 1;
        Code {
            name: name.to_string(),
            text: text.to_string(),
            nodes: Vec::with_capacity(one_in(48)),
            branches: Vec::with_capacity(one_in(128)),
            invocations: Vec::new(),
            pipes: Vec::with_capacity(one_in(48)),
            commands: Vec::with_capacity(one_in(40)),
            words: Vec::with_capacity(one_in(20)),
            names: Vec::with_capacity(one_in(20)),
            strings: Vec::with_capacity(one_in(96)),
            numbers: Vec::new(),
        }
    }

    /// A name as it stands in the text.
    pub fn name(&self, span: Span) -> &str {
        span.of(&self.text)
    }

    /// Whether a list has nothing but white space.
    pub fn is_empty(&self, list: Run) -> bool {
        list.of(&self.nodes).iter().all(|node| match node {
            Node::Text(text) => self.name(*text).trim().is_empty(),
            _ => false,
        })
    }

    /// `name:line:column` of a byte; the column counts bytes from 0.
    pub fn location(&self, position: u32) -> String {
        let position = position as usize;
        let before = &self.text.as_bytes()[..position.min(self.text.len())];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let column = memchr::memrchr(b'\n', before).map_or(position, |newline| position - newline - 1);
        format!("{}:{line}:{column}", self.name)
    }

    /// A part as Go prints it.
    pub fn show<'c, T>(&'c self, part: &'c T) -> Shown<'c, T> {
        Shown { code: self, part }
    }
}

/// A part that can be printed.
pub(super) struct Shown<'c, T> {
    code: &'c Code,
    part: &'c T,
}

impl<T> Shown<'_, T> {
    fn join(&self, formatter: &mut fmt::Formatter<'_>, fields: Run) -> fmt::Result {
        fields.of(&self.code.names).iter().try_for_each(|field| write!(formatter, ".{}", self.code.name(*field)))
    }

    /// A word as a part of something: pipes go in parentheses.
    fn word(&self, formatter: &mut fmt::Formatter<'_>, word: &Word) -> fmt::Result {
        let shown = self.code.show(word);
        if matches!(word.term, Term::Pipe(_)) { write!(formatter, "({shown})") } else { write!(formatter, "{shown}") }
    }

    fn pipe(&self, formatter: &mut fmt::Formatter<'_>, pipe: Index) -> fmt::Result {
        write!(formatter, "{}", self.code.show(&self.code.pipes[pipe as usize]))
    }

    fn list(&self, formatter: &mut fmt::Formatter<'_>, list: Run) -> fmt::Result {
        list.of(&self.code.nodes).iter().try_for_each(|node| write!(formatter, "{}", self.code.show(node)))
    }

    fn branch(&self, formatter: &mut fmt::Formatter<'_>, word: &str, branch: Index) -> fmt::Result {
        let branch = &self.code.branches[branch as usize];
        write!(formatter, "{{{{{word} ")?;
        self.pipe(formatter, branch.pipe)?;
        formatter.write_str("}}")?;
        self.list(formatter, branch.list)?;
        if let Some(list) = branch.otherwise {
            formatter.write_str("{{else}}")?;
            self.list(formatter, list)?;
        }
        formatter.write_str("{{end}}")
    }

    fn invocation(&self, formatter: &mut fmt::Formatter<'_>, invocation: Index) -> fmt::Result {
        let invocation = &self.code.invocations[invocation as usize];
        write!(formatter, "{{{{template {}", quote::quote(invocation.name.as_bytes(), false))?;
        if let Some(pipe) = invocation.pipe {
            formatter.write_str(" ")?;
            self.pipe(formatter, pipe)?;
        }
        formatter.write_str("}}")
    }
}

impl fmt::Display for Shown<'_, Word> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code;
        match self.part.term {
            Term::Dot => formatter.write_str("."),
            Term::Nil => formatter.write_str("nil"),
            Term::Bool(truth) => write!(formatter, "{truth}"),
            Term::Number(number) => formatter.write_str(code.name(code.numbers[number as usize].written)),
            Term::Str(string) => formatter.write_str(code.name(code.strings[string as usize])),
            Term::Field(fields) => self.join(formatter, fields),
            Term::Variable(name, fields) => {
                formatter.write_str(code.name(name))?;
                self.join(formatter, fields)
            }
            Term::Function(function) => formatter.write_str(function.name),
            Term::Pipe(pipe) => self.pipe(formatter, pipe),
            Term::Chain(word, fields) => {
                self.word(formatter, &code.words[word as usize])?;
                self.join(formatter, fields)
            }
        }
    }
}

impl fmt::Display for Shown<'_, Command> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.part.words.of(&self.code.words).iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            self.word(formatter, word)?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown<'_, Pipe> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables = self.part.variables.of(&self.code.names);
        for (index, name) in variables.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(formatter, "{comma}{}", self.code.name(*name))?;
        }
        if !variables.is_empty() {
            formatter.write_str(if self.part.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.part.commands.of(&self.code.commands).iter().enumerate() {
            if index > 0 {
                formatter.write_str(" | ")?;
            }
            write!(formatter, "{}", self.code.show(command))?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown<'_, Node> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.part {
            Node::Text(text) => formatter.write_str(self.code.name(text)),
            Node::Action(_, pipe) => {
                formatter.write_str("{{")?;
                self.pipe(formatter, pipe)?;
                formatter.write_str("}}")
            }
            Node::Break => formatter.write_str("{{break}}"),
            Node::Continue => formatter.write_str("{{continue}}"),
            Node::If(branch) => self.branch(formatter, "if", branch),
            Node::With(branch) => self.branch(formatter, "with", branch),
            Node::Range(branch) => self.branch(formatter, "range", branch),
            Node::Template(invocation) => self.invocation(formatter, invocation),
        }
    }
}
