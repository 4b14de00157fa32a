//! Template text into tokens, as Go's `text/template/parse` cuts it.

use super::quote::is_print;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParenthesis,
    Number,
    Pipe,
    RawString,
    RightDelimiter,
    RightParenthesis,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Nil,
    Keyword(Word),
}

/// The words that begin or end an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A token.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    /// Where it starts, in bytes.
    pub position: usize,
    /// The line it starts on.
    pub line: usize,
    /// Its text, or what is wrong.
    pub text: std::borrow::Cow<'t, str>,
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::End => formatter.write_str("EOF"),
            Kind::Error => formatter.write_str(&self.text),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => write!(formatter, "<{}>", self.text),
            _ if self.text.len() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                write!(formatter, "{}...", super::quote::quote(start.as_bytes(), false))
            }
            _ => formatter.write_str(&super::quote::quote(self.text.as_bytes(), false)),
        }
    }
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
const LEFT: &str = "{{";
const RIGHT: &str = "}}";

/// The reader of one text.
pub(super) struct Lexer<'t> {
    input: &'t str,
    position: usize,
    start: usize,
    line: usize,
    start_line: usize,
    parentheses: i32,
    inside: bool,
    failed: bool,
}

impl<'t> Lexer<'t> {
    pub fn new(input: &'t str) -> Self {
        Lexer { input, position: 0, start: 0, line: 1, start_line: 1, parentheses: 0, inside: false, failed: false }
    }

    /// The next token; after an error or at the end always the end.
    pub fn next(&mut self) -> Token<'t> {
        if self.failed {
            return Token { kind: Kind::End, position: 0, line: self.start_line, text: "EOF".into() };
        }
        if self.inside { self.inside_action() } else { self.text() }
    }

    fn rest(&self) -> &'t str {
        &self.input[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.position += letter.len_utf8();
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn emit(&mut self, kind: Kind) -> Token<'t> {
        let text = &self.input[self.start..self.position];
        let token = Token { kind, position: self.start, line: self.start_line, text: text.into() };
        self.start = self.position;
        self.start_line = self.line;
        token
    }

    /// Drops what was read; its lines were not counted yet.
    fn ignore(&mut self) {
        self.line += newlines(&self.input[self.start..self.position]);
        self.start = self.position;
        self.start_line = self.line;
    }

    fn error(&mut self, message: impl Into<String>) -> Token<'t> {
        self.failed = true;
        Token { kind: Kind::Error, position: self.start, line: self.start_line, text: message.into().into() }
    }

    fn text(&mut self) -> Token<'t> {
        loop {
            let Some(found) = memchr::memmem::find(self.rest().as_bytes(), LEFT.as_bytes()) else {
                let length = self.rest().len();
                self.position += length;
                if length == 0 {
                    return Token {
                        kind: Kind::End,
                        position: self.position,
                        line: self.start_line,
                        text: "EOF".into(),
                    };
                }
                self.line += newlines(&self.input[self.start..]);
                return self.emit(Kind::Text);
            };
            if found > 0 {
                self.position += found;
                let delimiter = self.position;
                let mut trimmed = 0;
                if has_left_trim(&self.input[delimiter + LEFT.len()..]) {
                    let text = &self.input[self.start..delimiter];
                    trimmed = text.len() - text.trim_end_matches(SPACES).len();
                }
                self.position -= trimmed;
                self.line += newlines(&self.input[self.start..self.position]);
                let token = self.emit(Kind::Text);
                self.position += trimmed;
                self.ignore();
                if !token.text.is_empty() {
                    return token;
                }
            }
            if let Some(token) = self.left_delimiter() {
                return token;
            }
        }
    }

    /// `{{`, or `None` after a comment.
    fn left_delimiter(&mut self) -> Option<Token<'t>> {
        self.position += LEFT.len();
        let marker = if has_left_trim(self.rest()) { 2 } else { 0 };
        if self.input[self.position + marker..].starts_with("/*") {
            self.position += marker;
            self.ignore();
            return self.comment();
        }
        let token = self.emit(Kind::LeftDelimiter);
        self.inside = true;
        self.position += marker;
        self.ignore();
        self.parentheses = 0;
        Some(token)
    }

    fn comment(&mut self) -> Option<Token<'t>> {
        self.position += 2;
        let Some(length) = self.rest().find("*/") else { return Some(self.error("unclosed comment")) };
        self.position += length + 2;
        let Some(trim) = self.right_delimiter_ahead() else {
            return Some(self.error("comment ends before closing delimiter"));
        };
        // Go counts the lines of a comment once when it cuts it and not again.
        self.line += newlines(&self.input[self.start..self.position]);
        self.start = self.position;
        self.start_line = self.line;
        self.position += if trim { 2 } else { 0 } + RIGHT.len();
        if trim {
            self.skip_spaces();
        }
        self.ignore();
        None
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches(SPACES).len();
    }

    /// Whether the right delimiter comes next, and whether it trims.
    fn right_delimiter_ahead(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim(rest) && rest[2..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn right_delimiter(&mut self) -> Token<'t> {
        let trim = self.right_delimiter_ahead() == Some(true);
        if trim {
            self.position += 2;
            self.ignore();
        }
        self.position += RIGHT.len();
        let token = self.emit(Kind::RightDelimiter);
        if trim {
            self.skip_spaces();
            self.ignore();
        }
        self.inside = false;
        token
    }

    fn inside_action(&mut self) -> Token<'t> {
        if self.right_delimiter_ahead().is_some() {
            return if self.parentheses == 0 { self.right_delimiter() } else { self.error("unclosed left paren") };
        }
        let before = (self.position, self.line);
        let Some(letter) = self.advance() else { return self.error("unclosed action") };
        match letter {
            letter if SPACES.contains(&letter) => {
                (self.position, self.line) = before;
                self.space()
            }
            '=' => self.emit(Kind::Assign),
            ':' if self.advance() == Some('=') => self.emit(Kind::Declare),
            ':' => self.error("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '`' => self.raw_string(),
            '$' => self.field_or_variable(Kind::Variable),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '.' if !self.rest().starts_with(|next: char| next.is_ascii_digit()) && !self.rest().is_empty() => {
                self.field_or_variable(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                (self.position, self.line) = before;
                self.number()
            }
            letter if alphanumeric(letter) => self.identifier(),
            '(' => {
                self.parentheses += 1;
                self.emit(Kind::LeftParenthesis)
            }
            ')' => {
                self.parentheses -= 1;
                if self.parentheses < 0 {
                    self.error("unexpected right paren")
                } else {
                    self.emit(Kind::RightParenthesis)
                }
            }
            ' '..='~' => self.emit(Kind::Char),
            letter => self.error(format!("unrecognized character in action: {}", unicode(letter))),
        }
    }

    fn space(&mut self) -> Token<'t> {
        let mut count = 0;
        let mut last = (self.position, self.line);
        while self.peek().is_some_and(|letter| SPACES.contains(&letter)) {
            last = (self.position, self.line);
            self.advance();
            count += 1;
        }
        let tail = &self.input[last.0..];
        if has_right_trim(tail) && tail[2..].starts_with(RIGHT) {
            (self.position, self.line) = last;
            if count == 1 {
                return self.right_delimiter();
            }
        }
        self.emit(Kind::Space)
    }

    /// Letters, digits and underscores; none of them begins a line.
    fn skip_word(&mut self) {
        let rest = self.rest();
        self.position += rest.find(|letter| !alphanumeric(letter)).unwrap_or(rest.len());
    }

    fn identifier(&mut self) -> Token<'t> {
        self.skip_word();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.input[self.start..self.position] {
            "block" => Kind::Keyword(Word::Block),
            "break" => Kind::Keyword(Word::Break),
            "continue" => Kind::Keyword(Word::Continue),
            "define" => Kind::Keyword(Word::Define),
            "else" => Kind::Keyword(Word::Else),
            "end" => Kind::Keyword(Word::End),
            "if" => Kind::Keyword(Word::If),
            "range" => Kind::Keyword(Word::Range),
            "template" => Kind::Keyword(Word::Template),
            "with" => Kind::Keyword(Word::With),
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    fn bad_character(&mut self) -> Token<'t> {
        let letter = self.peek().map_or_else(|| "U+FFFFFFFFFFFFFFFF".to_string(), unicode);
        self.error(format!("bad character {letter}"))
    }

    fn field_or_variable(&mut self, kind: Kind) -> Token<'t> {
        if self.at_terminator() {
            return self.emit(if kind == Kind::Variable { Kind::Variable } else { Kind::Dot });
        }
        self.skip_word();
        if self.at_terminator() { self.emit(kind) } else { self.bad_character() }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(letter) => SPACES.contains(&letter) || self.rest().starts_with(RIGHT),
        }
    }

    fn quoted(&mut self, close: char, kind: Kind, message: &str) -> Token<'t> {
        loop {
            match self.advance() {
                Some('\\') => match self.advance() {
                    None | Some('\n') => return self.error(message),
                    Some(_) => {}
                },
                None | Some('\n') => return self.error(message),
                Some(letter) if letter == close => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Token<'t> {
        loop {
            match self.advance() {
                None => return self.error("unterminated raw quoted string"),
                Some('`') => return self.emit(Kind::RawString),
                Some(_) => {}
            }
        }
    }

    fn accept(&mut self, letters: &str) -> bool {
        let found = self.peek().is_some_and(|letter| letters.contains(letter));
        if found {
            self.advance();
        }
        found
    }

    fn accept_run(&mut self, letters: &str) {
        while self.accept(letters) {}
    }

    fn number(&mut self) -> Token<'t> {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.input[..self.position].ends_with('i') {
                return self.bad_number();
            }
            return self.emit(Kind::Complex);
        }
        self.emit(Kind::Number)
    }

    fn bad_number(&mut self) -> Token<'t> {
        let text = super::quote::quote(&self.input.as_bytes()[self.start..self.position], false);
        self.error(format!("bad number syntax: {text}"))
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEXADECIMAL: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEXADECIMAL;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if digits == DECIMAL && self.accept("eE") || digits == HEXADECIMAL && self.accept("pP") {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(alphanumeric) {
            self.advance();
            return false;
        }
        true
    }
}

fn newlines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

fn alphanumeric(letter: char) -> bool {
    letter == '_'
        || letter.is_ascii_alphanumeric()
        || !letter.is_ascii() && (letter.is_alphabetic() || letter.is_numeric())
}

fn has_left_trim(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2 && bytes[0] == b'-' && SPACES.contains(&(bytes[1] as char))
}

fn has_right_trim(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2 && SPACES.contains(&(bytes[0] as char)) && bytes[1] == b'-'
}

/// `%#U`.
fn unicode(letter: char) -> String {
    let mut text = format!("U+{:04X}", letter as u32);
    if is_print(letter) {
        text.push_str(&format!(" '{letter}'"));
    }
    text
}
