//! Tokens into trees, with Go's words for what does not parse.

use std::rc::Rc;

use super::error::Error;
use super::function::Function;
use super::lexer::{Kind, Lexer, Token, Word as Key};
use super::node::{Branch, Command, Invocation, Node, Number, Pipe, Source, Term, Tree, Word};
use super::number::{Bad, parse_float, parse_int, parse_uint};
use super::quote;
use super::text::Text;

/// How deep parentheses and blocks may nest.
const DEEPEST: usize = 1000;

/// Finds a function by name.
pub(super) type Finder = fn(&str) -> Option<&'static Function>;

/// Reads a text. Answers the tree of the text itself, last, after those that it defines.
pub(super) fn parse(name: &str, text: &str, finder: Finder) -> Result<Vec<Tree>, Error> {
    let source = Rc::new(Source { name: name.to_string(), text: text.to_string() });
    let mut parser = Parser {
        lexer: Lexer::new(text),
        source,
        finder,
        ahead: Vec::with_capacity(4),
        last_line: 1,
        variables: vec!["$".into()],
        action_line: 0,
        range_depth: 0,
        depth: 0,
        trees: Vec::new(),
    };
    let root = parser.top()?;
    parser.add(name.into(), root)?;
    Ok(parser.trees)
}

/// Whether a list has nothing but white space.
pub(super) fn is_empty(list: &[Node]) -> bool {
    list.iter().all(|node| match node {
        Node::Text(text) => text.as_str().trim().is_empty(),
        _ => false,
    })
}

/// What ended a list.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    End,
    Else(usize),
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Ending::End => "{{end}}",
            Ending::Else(_) => "{{else}}",
        }
    }
}

/// What an action is: a node, or the end of a list.
enum Action {
    Node(Node),
    Ending(Ending),
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    source: Rc<Source>,
    finder: Finder,
    /// Tokens put back, the next one last.
    ahead: Vec<Token<'t>>,
    last_line: usize,
    variables: Vec<Rc<str>>,
    action_line: usize,
    range_depth: usize,
    depth: usize,
    trees: Vec<Tree>,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Token<'t> {
        match self.ahead.pop() {
            Some(token) => token,
            None => {
                let token = self.lexer.next();
                self.last_line = token.line;
                token
            }
        }
    }

    fn back(&mut self, token: Token<'t>) {
        self.ahead.push(token);
    }

    fn peek(&mut self) -> &Token<'t> {
        if self.ahead.is_empty() {
            let token = self.next();
            self.back(token);
        }
        &self.ahead[self.ahead.len() - 1]
    }

    fn next_word(&mut self) -> Token<'t> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_word(&mut self) -> &Token<'t> {
        let token = self.next_word();
        self.back(token);
        self.peek()
    }

    fn error<T>(&self, message: impl AsRef<str>) -> Result<T, Error> {
        Err(Error::new(format!("template: {}:{}: {}", self.source.name, self.last_line, message.as_ref())))
    }

    fn unexpected<T>(&self, token: &Token<'t>, context: &str) -> Result<T, Error> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {token} in {context}"));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            extra = format!(" in action started at {}:{}", self.source.name, self.action_line);
            if token.text.ends_with(" action") {
                extra = extra[" in action".len()..].to_string();
            }
        }
        self.error(format!("{token}{extra}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token<'t>, Error> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn add(&mut self, name: Rc<str>, root: Vec<Node>) -> Result<(), Error> {
        let tree = Tree { name: name.clone(), source: self.source.clone(), root };
        match self.trees.iter().position(|tree| tree.name == name) {
            Some(before) if is_empty(&self.trees[before].root) => self.trees[before] = tree,
            Some(_) if is_empty(&tree.root) => {}
            Some(_) => {
                let quoted = quote::quote(name.as_bytes(), false);
                return self.error(format!("template: multiple definition of template {quoted}"));
            }
            None => self.trees.push(tree),
        }
        Ok(())
    }

    fn top(&mut self) -> Result<Vec<Node>, Error> {
        let mut root = Vec::new();
        loop {
            match self.peek().kind {
                Kind::End => return Ok(root),
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
                Action::Node(node) => root.push(node),
                Action::Ending(ending) => return self.error(format!("unexpected {}", ending.text())),
            }
        }
    }

    fn name_of(&mut self, token: &Token<'t>, context: &str) -> Result<Rc<str>, Error> {
        match token.kind {
            Kind::String | Kind::RawString => Ok(self.unquoted(token)?.as_str().into()),
            _ => self.unexpected(token, context),
        }
    }

    fn unquoted(&self, token: &Token<'t>) -> Result<Text, Error> {
        match quote::unquote(token.text.as_bytes()) {
            Some(bytes) => Ok(bytes.into()),
            None => self.error("invalid syntax"),
        }
    }

    fn definition(&mut self) -> Result<(), Error> {
        const CONTEXT: &str = "define clause";
        let token = self.next_word();
        let name = self.name_of(&token, CONTEXT)?;
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        let root = self.own_scope(CONTEXT)?;
        self.add(name, root)
    }

    /// The body of a definition or block, which sees no variable from outside.
    fn own_scope(&mut self, context: &str) -> Result<Vec<Node>, Error> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        // A tree of its own in Go: it does not know on which line the action around it started.
        let action_line = std::mem::take(&mut self.action_line);
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return self.error(format!("unexpected {} in {context}", ending.text()));
        }
        self.variables = variables;
        self.range_depth = range_depth;
        self.action_line = action_line;
        Ok(list)
    }

    fn list(&mut self) -> Result<(Vec<Node>, Ending), Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("max expression depth exceeded");
        }
        let mut list = Vec::new();
        while self.peek_word().kind != Kind::End {
            match self.text_or_action()? {
                Action::Node(node) => list.push(node),
                Action::Ending(ending) => {
                    self.depth -= 1;
                    return Ok((list, ending));
                }
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Action, Error> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Action::Node(Node::Text(token.text.as_ref().into()))),
            Kind::LeftDelimiter => {
                self.action_line = token.line;
                let action = self.action()?;
                self.action_line = 0;
                Ok(action)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Action, Error> {
        let token = self.next_word();
        let Kind::Keyword(word) = token.kind else {
            let position = token.position;
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
        let position = peek.position;
        if !matches!(peek.kind, Kind::Keyword(Key::If | Key::With)) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Action::Ending(Ending::Else(position)))
    }

    fn block(&mut self) -> Result<Node, Error> {
        const CONTEXT: &str = "block clause";
        let token = self.next_word();
        let name = self.name_of(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        let root = self.own_scope(CONTEXT)?;
        self.add(name.clone(), root)?;
        Ok(Node::Template(Box::new(Invocation { position: token.position, name, pipe: Some(pipe) })))
    }

    fn template(&mut self) -> Result<Node, Error> {
        const CONTEXT: &str = "template clause";
        let token = self.next_word();
        let name = self.name_of(&token, CONTEXT)?;
        let after = self.next_word();
        let pipe = if after.kind == Kind::RightDelimiter {
            None
        } else {
            self.back(after);
            Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
        };
        Ok(Node::Template(Box::new(Invocation { position: token.position, name, pipe })))
    }

    fn control(&mut self, context: &str) -> Result<Box<Branch>, Error> {
        let variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        let ranges = usize::from(context == "range");
        self.range_depth += ranges;
        let (list, ending) = self.list()?;
        self.range_depth -= ranges;
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else(_) => Some(self.alternative(context)?),
        };
        self.variables.truncate(variables);
        Ok(Box::new(Branch { position: pipe.position, pipe, list, otherwise }))
    }

    /// What follows `{{else`.
    fn alternative(&mut self, context: &str) -> Result<Vec<Node>, Error> {
        let next = self.peek().kind;
        let chained = matches!((context, next), ("if", Kind::Keyword(Key::If)) | ("with", Kind::Keyword(Key::With)));
        if chained {
            self.next();
            self.depth += 1;
            if self.depth > DEEPEST {
                return self.error("max expression depth exceeded");
            }
            let branch = self.control(context)?;
            self.depth -= 1;
            return Ok(vec![if context == "if" { Node::If(branch) } else { Node::With(branch) }]);
        }
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return self.error(format!("expected end; found {}", ending.text()));
        }
        Ok(list)
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, Error> {
        let position = self.peek_word().position;
        let mut pipe = Pipe { position, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
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
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Str(..) = command.words[0].term {
                return self.error(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =` and `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Error> {
        while self.peek_word().kind == Kind::Variable {
            let variable = self.next();
            let after = self.next();
            let space = if after.kind == Kind::Space { Some(after.clone()) } else { None };
            let next = match space {
                Some(_) => self.next_word(),
                None => after,
            };
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.declare(pipe, &variable);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.declare(pipe, &variable);
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

    fn declare(&mut self, pipe: &mut Pipe, variable: &Token<'t>) {
        let name: Rc<str> = variable.text.as_ref().into();
        pipe.variables.push(name.clone());
        self.variables.push(name);
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut command = Command { position: self.peek_word().position, words: Vec::new() };
        loop {
            self.peek_word();
            if let Some(word) = self.operand()? {
                command.words.push(word);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParenthesis => self.back(token),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.words.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Word>, Error> {
        let Some(mut word) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(word));
        }
        let position = self.peek().position;
        let mut fields: Vec<Rc<str>> = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].into());
        }
        match &mut word.term {
            Term::Field(names) | Term::Variable(_, names) => {
                names.append(&mut fields);
                word.position = position;
                Ok(Some(word))
            }
            Term::Bool(_) | Term::Str(..) | Term::Number(_) | Term::Nil | Term::Dot => {
                let quoted = quote::quote(word.to_string().as_bytes(), false);
                self.error(format!("unexpected . after term {quoted}"))
            }
            _ => Ok(Some(Word { position, term: Term::Chain(Box::new(word), fields) })),
        }
    }

    fn term(&mut self) -> Result<Option<Word>, Error> {
        let token = self.next_word();
        let position = token.position;
        let term = match token.kind {
            Kind::Identifier => match (self.finder)(&token.text) {
                Some(function) => Term::Function(function),
                None => {
                    return self.error(format!("function {} not defined", quote::quote(token.text.as_bytes(), false)));
                }
            },
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| **name == *token.text) {
                    return self.error(format!("undefined variable {}", quote::quote(token.text.as_bytes(), false)));
                }
                Term::Variable(token.text.as_ref().into(), Vec::new())
            }
            Kind::Field => Term::Field(vec![token.text[1..].into()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => match number(&token.text, token.kind) {
                Ok(number) => Term::Number(Box::new(number)),
                Err(message) => return self.error(message),
            },
            Kind::LeftParenthesis => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return self.error("max expression depth exceeded");
                }
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParenthesis)?;
                self.depth -= 1;
                Term::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => Term::Str(self.unquoted(&token)?, token.text.as_ref().into()),
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        Ok(Some(Word { position, term }))
    }
}

/// Reads a constant into every type that can hold it.
fn number(text: &str, kind: Kind) -> Result<Number, String> {
    let mut number = Number { text: text.to_string(), ..Number::default() };
    match kind {
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
