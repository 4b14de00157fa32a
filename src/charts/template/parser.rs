//! Tokens into trees, with Go's words for what does not parse.

use std::sync::Arc;

use super::error::Error;
use super::function::Function;
use super::lexer::{Kind, Lexer, Span, Token, Word as Key};
use super::node::{Branch, Code, Command, Index, Invocation, Node, Number, Parsed, Pipe, Run, Term, Word};
use super::number::{Bad, parse_float, parse_int, parse_uint};
use super::quote;
use super::stack;
use super::text::Text;

/// How deep parentheses and blocks may nest.
const DEEPEST: usize = 10_000;
/// The same on a thread with a stack of unknown size.
const SHALLOW: usize = 1000;

/// Finds a function by name.
pub type Finder = fn(&str) -> Option<&'static Function>;

/// Reads a text. Its own tree is the last, after those that it defines.
pub fn parse(name: &str, text: &str, finder: Finder) -> Result<Parsed, Error> {
    if u32::try_from(text.len()).is_err() {
        return Err(Error::new(format!("template: {name}:1: the text is too long")));
    }
    let mut parser = Parser {
        lexer: Lexer::new(text),
        text,
        code: Code::new(name, text),
        pending: Pending::default(),
        finder,
        ahead: Vec::with_capacity(4),
        last: 0,
        variables: vec!["$"],
        action: None,
        range_depth: 0,
        depth: 0,
        trees: Vec::new(),
    };
    let root = parser.top()?;
    parser.add(name.into(), root)?;
    Ok(Parsed { code: Arc::new(parser.code), trees: parser.trees })
}

/// What ended a list.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Ending::End => "{{end}}",
            Ending::Else => "{{else}}",
        }
    }
}

/// What an action is: a node, or the end of a list.
enum Action {
    Node(Node),
    Ending(Ending),
}

/// Children whose parents are not read yet, and so have no place in the tables.
#[derive(Default)]
struct Pending {
    nodes: Vec<Node>,
    commands: Vec<Command>,
    words: Vec<Word>,
}

/// Moves what is pending from a mark on to its place.
fn settle<T: Copy>(pending: &mut Vec<T>, mark: usize, table: &mut Vec<T>) -> Run {
    let start = table.len() as u32;
    table.extend_from_slice(&pending[mark..]);
    pending.truncate(mark);
    Run { start, end: table.len() as u32 }
}

/// Puts one part into its table.
fn place<T>(table: &mut Vec<T>, part: T) -> Index {
    table.push(part);
    table.len() as u32 - 1
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    text: &'t str,
    code: Code,
    pending: Pending,
    finder: Finder,
    /// Tokens put back, the next one last.
    ahead: Vec<Token>,
    /// Where the last token begins.
    last: u32,
    variables: Vec<&'t str>,
    /// Where the action began that is being read.
    action: Option<u32>,
    range_depth: usize,
    depth: usize,
    trees: Vec<(Arc<str>, Run)>,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Token {
        match self.ahead.pop() {
            Some(token) => token,
            None => {
                let token = self.lexer.next();
                self.last = token.span.start;
                token
            }
        }
    }

    fn back(&mut self, token: Token) {
        self.ahead.push(token);
    }

    fn peek(&mut self) -> Token {
        match self.ahead.last() {
            Some(token) => *token,
            None => {
                let token = self.next();
                self.back(token);
                token
            }
        }
    }

    fn next_word(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_word(&mut self) -> Token {
        let token = self.next_word();
        self.back(token);
        token
    }

    /// The line that a byte is on.
    fn line(&self, position: u32) -> usize {
        1 + memchr::memchr_iter(b'\n', &self.text.as_bytes()[..position as usize]).count()
    }

    fn error<T>(&self, message: impl AsRef<str>) -> Result<T, Error> {
        let line = self.line(self.last);
        Err(Error::new(format!("template: {}:{line}: {}", self.code.name, message.as_ref())))
    }

    fn unexpected<T>(&self, token: Token, context: &str) -> Result<T, Error> {
        let shown = self.lexer.show(token);
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {shown} in {context}"));
        }
        let started = self.action.map(|action| self.line(action)).filter(|line| *line != self.line(token.span.start));
        let extra = started.map(|line| {
            let word = if shown.ends_with(" action") { "" } else { " in action" };
            format!("{word} started at {}:{line}", self.code.name)
        });
        self.error(format!("{shown}{}", extra.unwrap_or_default()))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token, Error> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(token, context) }
    }

    fn add(&mut self, name: Arc<str>, root: Run) -> Result<(), Error> {
        match self.trees.iter_mut().find(|tree| tree.0 == name) {
            Some(before) if self.code.is_empty(before.1) => before.1 = root,
            Some(_) if self.code.is_empty(root) => {}
            Some(_) => {
                let quoted = quote::quote(name.as_bytes(), false);
                return self.error(format!("template: multiple definition of template {quoted}"));
            }
            None => self.trees.push((name, root)),
        }
        Ok(())
    }

    fn top(&mut self) -> Result<Run, Error> {
        loop {
            match self.peek().kind {
                Kind::End => return Ok(settle(&mut self.pending.nodes, 0, &mut self.code.nodes)),
                Kind::LeftDelimiter => {
                    let delimiter = self.next();
                    let word = self.next_word();
                    if word.kind == Kind::Keyword(Key::Define) {
                        self.definition()?;
                        continue;
                    }
                    self.back(word);
                    self.back(delimiter);
                }
                _ => {}
            }
            match self.text_or_action()? {
                Action::Node(node) => self.pending.nodes.push(node),
                Action::Ending(ending) => return self.error(format!("unexpected {}", ending.text())),
            }
        }
    }

    fn name_of(&mut self, token: Token, context: &str) -> Result<Arc<str>, Error> {
        match token.kind {
            Kind::String | Kind::RawString => Ok(self.unquoted(token)?.as_str().into()),
            _ => self.unexpected(token, context),
        }
    }

    fn unquoted(&self, token: Token) -> Result<Text, Error> {
        match quote::unquote(token.span.of(self.text).as_bytes()) {
            Some(bytes) => Ok(bytes.into()),
            None => self.error("invalid syntax"),
        }
    }

    /// A text constant. Only what has escapes can be wrong.
    fn string(&mut self, token: Token) -> Result<Index, Error> {
        if memchr::memchr(b'\\', token.span.of(self.text).as_bytes()).is_some() {
            self.unquoted(token)?;
        }
        Ok(place(&mut self.code.strings, token.span))
    }

    fn definition(&mut self) -> Result<(), Error> {
        const CONTEXT: &str = "define clause";
        let token = self.next_word();
        let name = self.name_of(token, CONTEXT)?;
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        let root = self.own_scope(CONTEXT)?;
        self.add(name, root)
    }

    /// The body of a definition or block, which sees no variable from outside.
    fn own_scope(&mut self, context: &str) -> Result<Run, Error> {
        let variables = std::mem::replace(&mut self.variables, vec!["$"]);
        let range_depth = std::mem::take(&mut self.range_depth);
        // A tree of its own in Go: it does not know on which line the action around it started.
        let action = self.action.take();
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return self.error(format!("unexpected {} in {context}", ending.text()));
        }
        self.variables = variables;
        self.range_depth = range_depth;
        self.action = action;
        Ok(list)
    }

    /// Whether the nesting is deeper than the stack of this thread is sure to bear, of which executions may have taken much.
    fn is_too_deep(&self) -> bool {
        let deepest = if stack::is_deep() { DEEPEST } else { SHALLOW };
        self.depth > deepest || stack::is_full()
    }

    fn list(&mut self) -> Result<(Run, Ending), Error> {
        self.depth += 1;
        if self.is_too_deep() {
            return self.error("max expression depth exceeded");
        }
        let mark = self.pending.nodes.len();
        while self.peek_word().kind != Kind::End {
            match self.text_or_action()? {
                Action::Node(node) => self.pending.nodes.push(node),
                Action::Ending(ending) => {
                    self.depth -= 1;
                    return Ok((settle(&mut self.pending.nodes, mark, &mut self.code.nodes), ending));
                }
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Action, Error> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Action::Node(Node::Text(token.span))),
            Kind::LeftDelimiter => {
                self.action = Some(token.span.start);
                let action = self.action()?;
                self.action = None;
                Ok(action)
            }
            _ => self.unexpected(token, "input"),
        }
    }

    fn action(&mut self) -> Result<Action, Error> {
        let token = self.next_word();
        let Kind::Keyword(word) = token.kind else {
            let position = token.span.start;
            self.back(token);
            let pipe = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Action::Node(Node::Action(position, pipe)));
        };
        Ok(Action::Node(match word {
            Key::Block => self.block()?,
            Key::Break => self.leave("{{break}}", Node::Break)?,
            Key::Continue => self.leave("{{continue}}", Node::Continue)?,
            Key::Else => return self.otherwise(),
            Key::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Action::Ending(Ending::End));
            }
            Key::If => Node::If(self.control("if")?),
            Key::Range => Node::Range(self.control("range")?),
            Key::Template => self.template()?,
            Key::With => Node::With(self.control("with")?),
            Key::Define => {
                self.back(token);
                Node::Action(0, self.pipeline("command", Kind::RightDelimiter)?)
            }
        }))
    }

    fn leave(&mut self, word: &str, node: Node) -> Result<Node, Error> {
        self.expect(Kind::RightDelimiter, word)?;
        if self.range_depth == 0 { self.error(format!("{word} outside {{{{range}}}}")) } else { Ok(node) }
    }

    fn otherwise(&mut self) -> Result<Action, Error> {
        let peek = self.peek_word();
        if !matches!(peek.kind, Kind::Keyword(Key::If | Key::With)) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Action::Ending(Ending::Else))
    }

    fn block(&mut self) -> Result<Node, Error> {
        const CONTEXT: &str = "block clause";
        let token = self.next_word();
        let name = self.name_of(token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        let root = self.own_scope(CONTEXT)?;
        self.add(name.clone(), root)?;
        Ok(self.invocation(token, name, Some(pipe)))
    }

    fn template(&mut self) -> Result<Node, Error> {
        const CONTEXT: &str = "template clause";
        let token = self.next_word();
        let name = self.name_of(token, CONTEXT)?;
        let after = self.next_word();
        let pipe = if after.kind == Kind::RightDelimiter {
            None
        } else {
            self.back(after);
            Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
        };
        Ok(self.invocation(token, name, pipe))
    }

    fn invocation(&mut self, token: Token, name: Arc<str>, pipe: Option<Index>) -> Node {
        let invocation = Invocation { position: token.span.start, name, pipe };
        Node::Template(place(&mut self.code.invocations, invocation))
    }

    fn control(&mut self, context: &str) -> Result<Index, Error> {
        let variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        let ranges = usize::from(context == "range");
        self.range_depth += ranges;
        let (list, ending) = self.list()?;
        self.range_depth -= ranges;
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else => Some(self.alternative(context)?),
        };
        self.variables.truncate(variables);
        let position = self.code.pipes[pipe as usize].position;
        Ok(place(&mut self.code.branches, Branch { position, pipe, list, otherwise }))
    }

    /// What follows `{{else`.
    fn alternative(&mut self, context: &str) -> Result<Run, Error> {
        let next = self.peek().kind;
        let chained = matches!((context, next), ("if", Kind::Keyword(Key::If)) | ("with", Kind::Keyword(Key::With)));
        if chained {
            self.next();
            self.depth += 1;
            if self.is_too_deep() {
                return self.error("max expression depth exceeded");
            }
            let branch = self.control(context)?;
            self.depth -= 1;
            let node = if context == "if" { Node::If(branch) } else { Node::With(branch) };
            let start = place(&mut self.code.nodes, node);
            return Ok(Run { start, end: start + 1 });
        }
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return self.error(format!("expected end; found {}", ending.text()));
        }
        Ok(list)
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Index, Error> {
        let position = self.peek_word().span.start;
        let mut pipe = Pipe { position, assigns: false, variables: Run::default(), commands: Run::default() };
        self.declarations(&mut pipe, context)?;
        let mark = self.pending.commands.len();
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParenthesis => {
                    self.back(token);
                    let command = self.command()?;
                    self.pending.commands.push(command);
                }
                _ => return self.unexpected(token, context),
            }
        }
        if self.pending.commands.len() == mark {
            return self.error(format!("missing value for {context}"));
        }
        pipe.commands = settle(&mut self.pending.commands, mark, &mut self.code.commands);
        for (index, command) in pipe.commands.of(&self.code.commands).iter().enumerate().skip(1) {
            let first = self.code.words[command.words.start as usize].term;
            if let Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Str(_) = first {
                return self.error(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(place(&mut self.code.pipes, pipe))
    }

    /// `$x :=`, `$x =` and `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Error> {
        while self.peek_word().kind == Kind::Variable {
            let variable = self.next();
            let after = self.next();
            let space = (after.kind == Kind::Space).then_some(after);
            let next = if space.is_some() { self.next_word() } else { after };
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.declare(pipe, variable);
                    return Ok(());
                }
                Kind::Char if next.span.of(self.text) == "," => {
                    self.declare(pipe, variable);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    let kind = self.peek_word().kind;
                    if !matches!(kind, Kind::Variable | Kind::RightDelimiter | Kind::RightParenthesis) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.back(next);
                    if let Some(space) = space {
                        self.back(space);
                    }
                    self.back(variable);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &mut Pipe, variable: Token) {
        let place = place(&mut self.code.names, variable.span);
        if pipe.variables.len() == 0 {
            pipe.variables.start = place;
        }
        pipe.variables.end = place + 1;
        self.variables.push(variable.span.of(self.text));
    }

    fn command(&mut self) -> Result<Command, Error> {
        let position = self.peek_word().span.start;
        let mark = self.pending.words.len();
        loop {
            self.peek_word();
            if let Some(word) = self.operand()? {
                self.pending.words.push(word);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParenthesis => self.back(token),
                Kind::Pipe => {}
                _ => return self.unexpected(token, "operand"),
            }
            break;
        }
        if self.pending.words.len() == mark {
            return self.error("empty command");
        }
        Ok(Command { position, words: settle(&mut self.pending.words, mark, &mut self.code.words) })
    }

    fn operand(&mut self) -> Result<Option<Word>, Error> {
        let Some(mut word) = self.term()? else { return Ok(None) };
        let next = self.peek();
        if next.kind != Kind::Field {
            return Ok(Some(word));
        }
        // The fields follow those that the word has, if it has any.
        let start = self.code.names.len() as u32;
        while self.peek().kind == Kind::Field {
            let field = self.next();
            self.code.names.push(behind_dot(field));
        }
        let end = self.code.names.len() as u32;
        match &mut word.term {
            Term::Field(names) | Term::Variable(_, names) => {
                names.end = end;
                word.position = next.span.start;
                Ok(Some(word))
            }
            Term::Bool(_) | Term::Str(_) | Term::Number(_) | Term::Nil | Term::Dot => {
                let quoted = quote::quote(self.code.show(&word).to_string().as_bytes(), false);
                self.error(format!("unexpected . after term {quoted}"))
            }
            _ => {
                let inner = place(&mut self.code.words, word);
                Ok(Some(Word { position: next.span.start, term: Term::Chain(inner, Run { start, end }) }))
            }
        }
    }

    fn term(&mut self) -> Result<Option<Word>, Error> {
        let token = self.next_word();
        let text = token.span.of(self.text);
        let names = self.code.names.len() as u32;
        let term = match token.kind {
            Kind::Identifier => match (self.finder)(text) {
                Some(function) => Term::Function(function),
                None => return self.error(format!("function {} not defined", quote::quote(text.as_bytes(), false))),
            },
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.contains(&text) {
                    return self.error(format!("undefined variable {}", quote::quote(text.as_bytes(), false)));
                }
                Term::Variable(token.span, Run { start: names, end: names })
            }
            Kind::Field => {
                self.code.names.push(behind_dot(token));
                Term::Field(Run { start: names, end: names + 1 })
            }
            Kind::Bool => Term::Bool(text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => match number(text, token) {
                Ok(number) => Term::Number(place(&mut self.code.numbers, number)),
                Err(message) => return self.error(message),
            },
            Kind::LeftParenthesis => {
                self.depth += 1;
                if self.is_too_deep() {
                    return self.error("max expression depth exceeded");
                }
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParenthesis)?;
                self.depth -= 1;
                Term::Pipe(pipe)
            }
            Kind::String | Kind::RawString => Term::Str(self.string(token)?),
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        Ok(Some(Word { position: token.span.start, term }))
    }
}

/// The name of a field.
fn behind_dot(field: Token) -> Span {
    Span { start: field.span.start + 1, end: field.span.end }
}

/// Reads a constant into every type that can hold it.
fn number(text: &str, token: Token) -> Result<Number, String> {
    let mut number = Number { written: token.span, ..Number::default() };
    match token.kind {
        Kind::CharConstant => {
            let (letter, rest) = quote::unquote_letter(&text.as_bytes()[1..], b'\'').ok_or("invalid syntax")?;
            if rest != b"'" {
                return Err(format!("malformed character constant: {text}"));
            }
            number.int = Some(i64::from(letter));
            number.uint = Some(u64::from(letter));
            number.float = Some(f64::from(letter));
            return Ok(number);
        }
        Kind::Complex => {
            let split = text[1..].rfind(['+', '-']).map_or(text.len(), |at| at + 1);
            let real = parse_float(&text[..split]).map_err(Bad::text)?;
            let imaginary = parse_float(text[split..].trim_end_matches('i')).map_err(Bad::text)?;
            return Ok(complex(number, real, imaginary));
        }
        _ => {}
    }
    if let Some(imaginary) = text.strip_suffix('i').and_then(|digits| parse_float(digits).ok()) {
        return Ok(complex(number, 0.0, imaginary));
    }
    number.uint = parse_uint(text, 0).ok();
    number.int = parse_int(text, 0).ok();
    if number.int == Some(0) {
        number.uint = Some(0);
    }
    match (number.int, number.uint) {
        (Some(int), _) => number.float = Some(int as f64),
        (None, Some(uint)) => number.float = Some(uint as f64),
        (None, None) => {
            if let Ok(float) = parse_float(text) {
                if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                    return Err(format!("integer overflow: {}", quote::quote(text.as_bytes(), false)));
                }
                whole(&mut number, float);
            }
        }
    }
    if number.int.is_none() && number.uint.is_none() && number.float.is_none() {
        return Err(format!("illegal number syntax: {}", quote::quote(text.as_bytes(), false)));
    }
    Ok(number)
}

/// A float constant, as an integer too if it is one.
fn whole(number: &mut Number, float: f64) {
    number.float = Some(float);
    if float.fract() == 0.0 && (-9.2e18..9.2e18).contains(&float) {
        number.int = Some(float as i64);
    }
    if float.fract() == 0.0 && (0.0..1.8e19).contains(&float) {
        number.uint = Some(float as u64);
    }
}

/// A complex constant, as a real one too if it is one.
fn complex(mut number: Number, real: f64, imaginary: f64) -> Number {
    number.complex = Some((real, imaginary));
    if imaginary == 0.0 {
        whole(&mut number, real);
    }
    number
}
