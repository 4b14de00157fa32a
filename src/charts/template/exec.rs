//! Executes a tree: walks the text, evaluates pipelines, says what went wrong where.

use super::engine::Engine;
use super::error::Error;
use super::format;
use super::lexer::Span;
use super::node::{Branch, Code, Command, Index, Invocation, Node, Number, Pipe, Run, Shown, Term, Tree, Word};
use super::quote::quote;
use super::stack;
use super::value::{Element, IntType, UintType, Value};

/// How deep `{{template}}` may call.
const DEEPEST: usize = 100_000;

/// A value, and whether it came as an `interface {}` (an element of a map or list). Go treats a nil that is an element
/// unlike a nil that is a result, and messages name the type `interface {}`.
#[derive(Clone, Default)]
pub(super) struct Slot {
    pub value: Value,
    pub boxed: bool,
}

/// The most bytes that a template may print.
const MOST_OUTPUT: usize = 128 << 20;

impl Slot {
    pub fn plain(value: Value) -> Self {
        Slot { value, boxed: false }
    }

    pub fn element(value: Value, element: Element) -> Self {
        Slot { value, boxed: element == Element::Any }
    }

    /// Neither a value nor an element that is nil.
    pub fn is_invalid(&self) -> bool {
        !self.boxed && self.value.is_nil()
    }

    /// The name of its type in messages.
    pub fn type_name(&self) -> std::borrow::Cow<'static, str> {
        if self.boxed { "interface {}".into() } else { self.value.type_name() }
    }
}

/// Where the execution is, for messages.
#[derive(Clone, Copy)]
pub(super) enum Place<'t> {
    Nowhere,
    Node(u32, &'t Node),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Word(&'t Word),
}

/// How a list ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// Executes a tree and answers what it wrote.
pub(super) fn execute(engine: &Engine<'_>, tree: &Tree, data: &Value) -> Result<Vec<u8>, Error> {
    let dot = Slot::plain(data.clone());
    let mut state = State {
        engine,
        tree,
        code: &tree.code,
        place: Place::Nowhere,
        variables: vec![("$", dot.clone())],
        stack: Vec::new(),
        depth: 0,
        out: Vec::with_capacity(256),
    };
    if stack::is_full() {
        return Err(state.error(format!("exceeded maximum template depth ({DEEPEST})")));
    }
    state.list(&dot, tree.root)?;
    Ok(state.out)
}

pub(super) struct State<'t> {
    pub engine: &'t Engine<'t>,
    pub tree: &'t Tree,
    pub code: &'t Code,
    pub place: Place<'t>,
    variables: Vec<(&'t str, Slot)>,
    /// Arguments of the calls that are being prepared.
    pub stack: Vec<Value>,
    depth: usize,
    out: Vec<u8>,
}

impl<'t> State<'t> {
    /// The error for a message, with place and context.
    pub fn error(&self, message: impl AsRef<str>) -> Error {
        Error::execution(self.located(message.as_ref()), None)
    }

    /// The same around another error, whose text follows the message.
    pub fn error_around(&self, message: &str, cause: Error) -> Error {
        if cause.is_bottomless() && self.engine.is_in_tpl() {
            return cause;
        }
        // Go wraps twice: the execution's error around a formatted one around the cause.
        Error::execution(self.located(message), Some(cause))
    }

    fn located(&self, message: &str) -> String {
        let (position, context) = match self.place {
            Place::Nowhere => return format!("template: {}: {message}", self.tree.name),
            Place::Node(position, node) => (position, self.show(node)),
            Place::Pipe(pipe) => (pipe.position, self.show(pipe)),
            Place::Command(command) => (command.position, self.show(command)),
            Place::Word(word) => (word.position, self.show(word)),
        };
        let name = quote(self.tree.name.as_bytes(), false);
        format!("template: {}: executing {name} at <{context}>: {message}", self.code.location(position))
    }

    /// A part as messages show it.
    pub fn show<T>(&self, part: &T) -> String
    where
        for<'c> Shown<'c, T>: std::fmt::Display,
    {
        self.code.show(part).to_string()
    }

    /// The pipe at a place.
    fn pipe(&self, index: Index) -> &'t Pipe {
        &self.code.pipes[index as usize]
    }

    fn list(&mut self, dot: &Slot, list: Run) -> Result<Flow, Error> {
        for node in list.of(&self.code.nodes) {
            let flow = self.walk(dot, node)?;
            if self.out.len() > MOST_OUTPUT {
                return Err(self.error(format!("the output is longer than {MOST_OUTPUT} bytes")));
            }
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn walk(&mut self, dot: &Slot, node: &'t Node) -> Result<Flow, Error> {
        match *node {
            Node::Text(text) => self.out.extend_from_slice(self.code.name(text).as_bytes()),
            Node::Action(position, pipe) => {
                let pipe = self.pipe(pipe);
                self.place = Place::Node(position, node);
                let slot = self.pipeline(dot, pipe)?;
                if pipe.variables.len() == 0 {
                    match slot.value {
                        Value::Nil => self.out.extend_from_slice(b"<no value>"),
                        Value::Object(object) => {
                            let text = if self.is_call(pipe) { None } else { object.text_in_place() };
                            match text {
                                Some(text) => self.out.extend_from_slice(text.as_bytes()),
                                None => format::write_display(&mut self.out, &Value::Object(object)),
                            }
                        }
                        value => format::write_display(&mut self.out, &value),
                    }
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::If(branch) => {
                let branch = self.branch(node, branch);
                return self.condition(dot, branch, false);
            }
            Node::With(branch) => {
                let branch = self.branch(node, branch);
                return self.condition(dot, branch, true);
            }
            Node::Range(branch) => {
                let branch = self.branch(node, branch);
                return self.range(dot, branch);
            }
            Node::Template(invocation) => {
                let invocation = &self.code.invocations[invocation as usize];
                self.place = Place::Node(invocation.position, node);
                self.template(dot, invocation)?;
            }
        }
        Ok(Flow::On)
    }

    /// Whether the value of a pipe is what a function made.
    fn is_call(&self, pipe: &Pipe) -> bool {
        let last = pipe.commands.of(&self.code.commands).last();
        let first = last.and_then(|command| command.words.of(&self.code.words).first());
        first.is_some_and(|word| matches!(word.term, Term::Function(_)))
    }

    /// A branch, where the execution is now.
    fn branch(&mut self, node: &'t Node, index: Index) -> &'t Branch {
        let branch = &self.code.branches[index as usize];
        self.place = Place::Node(branch.position, node);
        branch
    }

    fn condition(&mut self, dot: &Slot, branch: &'t Branch, with: bool) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let slot = self.pipeline(dot, self.pipe(branch.pipe))?;
        let flow = if slot.value.truth() {
            self.list(if with { &slot } else { dot }, branch.list)
        } else {
            branch.otherwise.map_or(Ok(Flow::On), |list| self.list(dot, list))
        };
        self.variables.truncate(mark);
        flow
    }

    fn range(&mut self, dot: &Slot, branch: &'t Branch) -> Result<Flow, Error> {
        let before = self.variables.len();
        let over = self.pipeline(dot, self.pipe(branch.pipe))?.value;
        let flow = self.iterate(dot, branch, &over)?;
        self.variables.truncate(before);
        // `break` ends the loop, also where it stands in its `else`.
        Ok(if flow == Flow::Break { Flow::On } else { flow })
    }

    fn iterate(&mut self, dot: &Slot, branch: &'t Branch, over: &Value) -> Result<Flow, Error> {
        let underlying = over.underlying();
        match underlying.as_ref() {
            Value::Nil => {}
            Value::Int(count, kind) => {
                self.one_variable(branch, over)?;
                for number in 0..*count {
                    let element = Slot::plain(Value::Int(number, *kind));
                    if self.iteration(branch, Slot::default(), element)? {
                        break;
                    }
                }
                if *count > 0 {
                    return Ok(Flow::On);
                }
            }
            Value::Uint(count, kind) => {
                self.one_variable(branch, over)?;
                for number in 0..*count {
                    let element = Slot::plain(Value::Uint(number, *kind));
                    if self.iteration(branch, Slot::default(), element)? {
                        break;
                    }
                }
                if *count > 0 {
                    return Ok(Flow::On);
                }
            }
            Value::List(list) if !list.is_empty() => {
                for (index, item) in list.iter().enumerate() {
                    let element = Slot::element(item.clone(), list.element);
                    if self.iteration(branch, Slot::plain(Value::from(index as i64)), element)? {
                        break;
                    }
                }
                return Ok(Flow::On);
            }
            Value::Bytes(bytes) if !bytes.is_empty() => {
                for (index, byte) in bytes.iter().enumerate() {
                    let element = Slot::plain(Value::Uint(u64::from(*byte), UintType::Uint8));
                    if self.iteration(branch, Slot::plain(Value::from(index as i64)), element)? {
                        break;
                    }
                }
                return Ok(Flow::On);
            }
            Value::Map(map) if !map.is_empty() => {
                for (key, item) in map.pairs() {
                    let element = Slot::element(item, map.element());
                    if self.iteration(branch, Slot::plain(Value::from(key.as_ref())), element)? {
                        break;
                    }
                }
                return Ok(Flow::On);
            }
            Value::List(_) | Value::Bytes(_) | Value::Map(_) => {}
            _ => return Err(self.error(format!("range can't iterate over {}", format::display(over)))),
        }
        branch.otherwise.map_or(Ok(Flow::On), |list| self.list(dot, list))
    }

    fn one_variable(&self, branch: &Branch, over: &Value) -> Result<(), Error> {
        if self.pipe(branch.pipe).variables.len() > 1 {
            let text = format::display(over);
            return Err(self.error(format!("can't use {text} to iterate over more than one variable")));
        }
        Ok(())
    }

    /// One turn of a loop; whether it was the last.
    fn iteration(&mut self, branch: &'t Branch, index: Slot, element: Slot) -> Result<bool, Error> {
        let mark = self.variables.len();
        let pipe = self.pipe(branch.pipe);
        let names = pipe.variables.of(&self.code.names);
        match (names.len(), pipe.assigns) {
            (0, _) => {}
            (1, true) => self.assign(names[0], element.clone())?,
            (1, false) => self.variables[mark - 1].1 = element.clone(),
            (_, true) => {
                self.assign(names[0], index)?;
                self.assign(names[1], element.clone())?;
            }
            (_, false) => {
                self.variables[mark - 1].1 = element.clone();
                self.variables[mark - 2].1 = index;
            }
        }
        let flow = self.list(&element, branch.list)?;
        self.variables.truncate(mark);
        Ok(flow == Flow::Break)
    }

    fn assign(&mut self, name: Span, slot: Slot) -> Result<(), Error> {
        let name = self.code.name(name);
        match self.variables.iter_mut().rev().find(|(variable, _)| *variable == name) {
            Some(variable) => variable.1 = slot,
            None => return Err(self.error(format!("undefined variable: {name}"))),
        }
        Ok(())
    }

    fn variable(&self, name: Span) -> Result<Slot, Error> {
        let name = self.code.name(name);
        match self.variables.iter().rev().find(|(variable, _)| *variable == name) {
            Some((_, slot)) => Ok(slot.clone()),
            None => Err(self.error(format!("undefined variable: {name}"))),
        }
    }

    fn template(&mut self, dot: &Slot, invocation: &'t Invocation) -> Result<(), Error> {
        let Some(tree) = self.engine.templates.find(&invocation.name) else {
            return Err(self.error(format!("template {} not defined", quote(invocation.name.as_bytes(), false))));
        };
        if self.depth == DEEPEST || stack::is_full() {
            return Err(self.error(format!("exceeded maximum template depth ({DEEPEST})")));
        }
        let dot = match invocation.pipe {
            Some(pipe) => self.pipeline(dot, self.pipe(pipe))?,
            None => Slot::default(),
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.tree, tree);
        self.code = &tree.code;
        let place = self.place;
        self.depth += 1;
        self.list(&dot, tree.root)?;
        self.depth -= 1;
        self.place = place;
        self.tree = caller;
        self.code = &caller.code;
        self.variables = variables;
        Ok(())
    }

    /// The value of a pipeline; never an element.
    pub fn pipeline(&mut self, dot: &Slot, pipe: &'t Pipe) -> Result<Slot, Error> {
        self.place = Place::Pipe(pipe);
        let mut last: Option<Slot> = None;
        for command in pipe.commands.of(&self.code.commands) {
            let mut slot = self.command(dot, command, last.take())?;
            slot.boxed = false;
            last = Some(slot);
        }
        let slot = last.unwrap_or_default();
        for name in pipe.variables.of(&self.code.names) {
            if pipe.assigns {
                self.assign(*name, slot.clone())?;
            } else {
                self.variables.push((self.code.name(*name), slot.clone()));
            }
        }
        Ok(slot)
    }

    fn command(&mut self, dot: &Slot, command: &'t Command, last: Option<Slot>) -> Result<Slot, Error> {
        let words = command.words.of(&self.code.words);
        let first = &words[0];
        match first.term {
            Term::Field(names) => {
                self.place = Place::Word(first);
                self.fields(dot, dot.clone(), Place::Word(first), names, words, last)
            }
            Term::Chain(..) => self.chain(dot, first, words, last),
            Term::Function(function) => {
                self.place = Place::Word(first);
                self.function(dot, function, Place::Command(command), words, last)
            }
            Term::Pipe(pipe) => {
                self.not_a_function(words, &last)?;
                self.pipeline(dot, self.pipe(pipe))
            }
            Term::Variable(..) => self.variable_word(dot, first, words, last),
            _ => {
                self.place = Place::Word(first);
                self.not_a_function(words, &last)?;
                match first.term {
                    Term::Bool(truth) => Ok(Slot::plain(Value::Bool(truth))),
                    Term::Dot => Ok(dot.clone()),
                    Term::Number(number) => self.constant(self.number(number)),
                    Term::Str(text) => Ok(Slot::plain(Value::Str(self.tree.string(text).clone()))),
                    _ => Err(self.error("nil is not a command")),
                }
            }
        }
    }

    fn not_a_function(&self, words: &[Word], last: &Option<Slot>) -> Result<(), Error> {
        if words.len() > 1 || last.is_some() {
            return Err(self.error(format!("can't give argument to non-function {}", self.show(&words[0]))));
        }
        Ok(())
    }

    /// The number constant at a place.
    pub fn number(&self, index: Index) -> &'t Number {
        &self.code.numbers[index as usize]
    }

    pub fn constant(&self, number: &Number) -> Result<Slot, Error> {
        let text = self.code.name(number.written);
        let hexadecimal = text.len() > 2
            && text.starts_with(['0'])
            && matches!(text.as_bytes()[1], b'x' | b'X')
            && !text.contains(['p', 'P']);
        let value = match (number.complex, number.float, number.int, number.uint) {
            (Some((real, imaginary)), ..) => Value::Complex(real, imaginary),
            (_, Some(float), ..)
                if !hexadecimal && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P']) =>
            {
                Value::Float(float)
            }
            (_, _, Some(int), _) => Value::Int(int, IntType::Int),
            (_, _, _, Some(_)) => return Err(self.error(format!("{text} overflows int"))),
            _ => Value::Nil,
        };
        Ok(Slot::plain(value))
    }

    pub fn variable_word(
        &mut self,
        dot: &Slot,
        word: &'t Word,
        words: &'t [Word],
        last: Option<Slot>,
    ) -> Result<Slot, Error> {
        let Term::Variable(name, names) = word.term else { return Ok(Slot::default()) };
        self.place = Place::Word(word);
        let slot = self.variable(name)?;
        if names.len() == 0 {
            self.not_a_function(words, &last)?;
            return Ok(slot);
        }
        self.fields(dot, slot, Place::Word(word), names, words, last)
    }

    pub fn chain(&mut self, dot: &Slot, word: &'t Word, words: &'t [Word], last: Option<Slot>) -> Result<Slot, Error> {
        let Term::Chain(inner, names) = word.term else { return Ok(Slot::default()) };
        self.place = Place::Word(word);
        let inner = &self.code.words[inner as usize];
        if matches!(inner.term, Term::Nil) {
            let shown = self.show(word);
            return Err(self.error(format!("indirection through explicit nil in {shown}")));
        }
        let receiver = self.argument_slot(dot, inner)?;
        self.fields(dot, receiver, Place::Word(word), names, words, last)
    }

    pub fn fields(
        &mut self,
        dot: &Slot,
        mut receiver: Slot,
        place: Place<'t>,
        names: Run,
        words: &'t [Word],
        last: Option<Slot>,
    ) -> Result<Slot, Error> {
        let names = names.of(&self.code.names);
        let Some((end, before)) = names.split_last() else { return Ok(receiver) };
        for name in before {
            receiver = self.field(dot, self.code.name(*name), place, &[], None, receiver)?;
        }
        self.field(dot, self.code.name(*end), place, words, last, receiver)
    }
}
