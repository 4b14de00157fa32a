//! Template text into tokens, as Go's `text/template/parse` cuts it. A token is a place in the text and owns nothing.

use super::quote::{is_print, quote};

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

/// A part of the text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The part itself.
    pub fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

/// A token; that of an error says where it is, and [`Lexer::problem`] what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

const LEFT: &[u8] = b"{{";
const RIGHT: &[u8] = b"}}";

/// The reader of one text.
pub(super) struct Lexer<'t> {
    input: &'t str,
    bytes: &'t [u8],
    position: usize,
    start: usize,
    parentheses: usize,
    inside: bool,
    /// What is wrong; nothing is read after it.
    pub problem: Option<String>,
}

impl<'t> Lexer<'t> {
    pub fn new(input: &'t str) -> Self {
        Lexer { input, bytes: input.as_bytes(), position: 0, start: 0, parentheses: 0, inside: false, problem: None }
    }

    /// The next token; after an error or at the end always the end.
    pub fn next(&mut self) -> Token {
        if self.problem.is_some() {
            return self.token(Kind::End);
        }
        if self.inside { self.inside_action() } else { self.text() }
    }

    /// The token as messages show it.
    pub fn show(&self, token: Token) -> String {
        let text = token.span.of(self.input);
        match token.kind {
            Kind::End => "EOF".into(),
            Kind::Error => self.problem.clone().unwrap_or_default(),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{text}>"),
            _ if text.len() > 10 => {
                let start: String = text.chars().take(10).collect();
                format!("{}...", quote(start.as_bytes(), false))
            }
            _ => quote(text.as_bytes(), false),
        }
    }

    fn rest(&self) -> &'t [u8] {
        &self.bytes[self.position..]
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    /// The letter at a byte that may be part of a longer one.
    fn letter(&self) -> Option<char> {
        self.input[self.position..].chars().next()
    }

    fn token(&self, kind: Kind) -> Token {
        // Texts are shorter than 4 GiB: the parser takes no longer ones.
        Token { kind, span: Span { start: self.start as u32, end: self.position as u32 } }
    }

    fn emit(&mut self, kind: Kind) -> Token {
        let token = self.token(kind);
        self.start = self.position;
        token
    }

    /// Drops what was read.
    fn ignore(&mut self) {
        self.start = self.position;
    }

    fn error(&mut self, message: impl Into<String>) -> Token {
        self.problem = Some(message.into());
        self.position = self.start;
        self.token(Kind::Error)
    }

    /// Not part of `next`, which would save what this needs for every token of an action.
    #[inline(never)]
    fn text(&mut self) -> Token {
        loop {
            let Some(found) = left_ahead(self.rest()) else {
                self.position = self.bytes.len();
                return if self.start == self.position { self.token(Kind::End) } else { self.emit(Kind::Text) };
            };
            if found > 0 {
                let delimiter = self.position + found;
                let end = if has_left_trim(&self.bytes[delimiter + LEFT.len()..]) {
                    let text = &self.bytes[self.start..delimiter];
                    self.start + text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1)
                } else {
                    delimiter
                };
                self.position = end;
                let token = self.emit(Kind::Text);
                self.position = delimiter;
                self.ignore();
                if token.span.start < token.span.end {
                    return token;
                }
            }
            if let Some(token) = self.left_delimiter() {
                return token;
            }
        }
    }

    /// `{{`, or `None` after a comment.
    fn left_delimiter(&mut self) -> Option<Token> {
        self.position += LEFT.len();
        let marker = if has_left_trim(self.rest()) { 2 } else { 0 };
        if self.bytes[self.position + marker..].starts_with(b"/*") {
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

    fn comment(&mut self) -> Option<Token> {
        self.position += 2;
        let Some(length) = memchr::memmem::find(self.rest(), b"*/") else {
            return Some(self.error("unclosed comment"));
        };
        self.position += length + 2;
        let Some(trim) = self.right_delimiter_ahead() else {
            return Some(self.error("comment ends before closing delimiter"));
        };
        self.position += if trim { 2 } else { 0 } + RIGHT.len();
        if trim {
            self.skip_spaces();
        }
        self.ignore();
        None
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.position += 1;
        }
    }

    /// Whether the right delimiter comes next, and whether it trims.
    fn right_delimiter_ahead(&self) -> Option<bool> {
        match self.rest() {
            [b'}', b'}', ..] => Some(false),
            [space, b'-', b'}', b'}', ..] if is_space(*space) => Some(true),
            _ => None,
        }
    }

    fn right_delimiter(&mut self, trim: bool) -> Token {
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

    fn inside_action(&mut self) -> Token {
        let Some(first) = self.peek() else { return self.error("unclosed action") };
        if (first == b'}' || is_space(first))
            && let Some(trim) = self.right_delimiter_ahead()
        {
            return if self.parentheses == 0 { self.right_delimiter(trim) } else { self.error("unclosed left paren") };
        }
        self.position += 1;
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => self.space(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.identifier(),
            b'.' if self.peek().is_some_and(|next| !next.is_ascii_digit()) => self.field_or_variable(Kind::Field),
            b'$' => self.field_or_variable(Kind::Variable),
            b'"' => self.quoted(b'"', Kind::String, "unterminated quoted string"),
            b'\'' => self.quoted(b'\'', Kind::CharConstant, "unterminated character constant"),
            b'`' => self.raw_string(),
            b'|' => self.emit(Kind::Pipe),
            b'=' => self.emit(Kind::Assign),
            b':' if self.peek() == Some(b'=') => {
                self.position += 1;
                self.emit(Kind::Declare)
            }
            b':' => self.error("expected :="),
            b'.' | b'+' | b'-' | b'0'..=b'9' => {
                self.position -= 1;
                self.number()
            }
            b'(' => {
                self.parentheses += 1;
                self.emit(Kind::LeftParenthesis)
            }
            b')' => match self.parentheses.checked_sub(1) {
                Some(parentheses) => {
                    self.parentheses = parentheses;
                    self.emit(Kind::RightParenthesis)
                }
                None => self.error("unexpected right paren"),
            },
            b' '..=b'~' => self.emit(Kind::Char),
            _ => self.foreign(),
        }
    }

    /// Begins with something else than printable ASCII.
    fn foreign(&mut self) -> Token {
        self.position -= 1;
        // There is a letter: its first byte was seen.
        let letter = self.letter().unwrap_or_default();
        if alphanumeric(letter) {
            return self.identifier();
        }
        self.error(format!("unrecognized character in action: {}", unicode(letter)))
    }

    fn space(&mut self) -> Token {
        self.skip_spaces();
        let last = self.position - 1;
        if self.rest().starts_with(b"-}}") {
            self.position = last;
            if self.start == last {
                return self.right_delimiter(true);
            }
        }
        self.emit(Kind::Space)
    }

    /// Letters, digits and underscores.
    fn skip_word(&mut self) {
        loop {
            self.position += self.rest().iter().take_while(|byte| IS_PART[usize::from(**byte)]).count();
            match self.peek().filter(|byte| !byte.is_ascii()).and_then(|_| self.letter()) {
                Some(letter) if alphanumeric(letter) => self.position += letter.len_utf8(),
                _ => return,
            }
        }
    }

    fn identifier(&mut self) -> Token {
        self.skip_word();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.bytes[self.start..self.position] {
            b"block" => Kind::Keyword(Word::Block),
            b"break" => Kind::Keyword(Word::Break),
            b"continue" => Kind::Keyword(Word::Continue),
            b"define" => Kind::Keyword(Word::Define),
            b"else" => Kind::Keyword(Word::Else),
            b"end" => Kind::Keyword(Word::End),
            b"if" => Kind::Keyword(Word::If),
            b"range" => Kind::Keyword(Word::Range),
            b"template" => Kind::Keyword(Word::Template),
            b"with" => Kind::Keyword(Word::With),
            b"nil" => Kind::Nil,
            b"true" | b"false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    fn bad_character(&mut self) -> Token {
        let letter = self.letter().map_or_else(|| "U+FFFFFFFFFFFFFFFF".to_string(), unicode);
        self.error(format!("bad character {letter}"))
    }

    fn field_or_variable(&mut self, kind: Kind) -> Token {
        if self.at_terminator() {
            return self.emit(if kind == Kind::Variable { Kind::Variable } else { Kind::Dot });
        }
        self.skip_word();
        if self.at_terminator() { self.emit(kind) } else { self.bad_character() }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(b'.' | b',' | b'|' | b':' | b')' | b'(') => true,
            Some(b'}') => self.rest().starts_with(RIGHT),
            Some(byte) => is_space(byte),
        }
    }

    fn quoted(&mut self, close: u8, kind: Kind, message: &str) -> Token {
        loop {
            let Some(found) = memchr::memchr3(close, b'\\', b'\n', self.rest()) else { return self.error(message) };
            self.position += found + 1;
            match self.bytes[self.position - 1] {
                b'\\' if matches!(self.peek(), None | Some(b'\n')) => return self.error(message),
                b'\\' => self.position += 1,
                b'\n' => return self.error(message),
                _ => return self.emit(kind),
            }
        }
    }

    fn raw_string(&mut self) -> Token {
        match memchr::memchr(b'`', self.rest()) {
            Some(found) => {
                self.position += found + 1;
                self.emit(Kind::RawString)
            }
            None => self.error("unterminated raw quoted string"),
        }
    }

    fn accept(&mut self, letters: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| letters.contains(&byte));
        self.position += usize::from(found);
        found
    }

    fn accept_run(&mut self, letters: &[u8]) {
        while self.accept(letters) {}
    }

    fn number(&mut self) -> Token {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.peek(), Some(b'+' | b'-')) {
            if !self.scan_number() || self.bytes[self.position - 1] != b'i' {
                return self.bad_number();
            }
            return self.emit(Kind::Complex);
        }
        self.emit(Kind::Number)
    }

    fn bad_number(&mut self) -> Token {
        let text = quote(&self.bytes[self.start..self.position], false);
        self.error(format!("bad number syntax: {text}"))
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &[u8] = b"0123456789_";
        const HEXADECIMAL: &[u8] = b"0123456789abcdefABCDEF_";
        self.accept(b"+-");
        let mut digits = DECIMAL;
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = HEXADECIMAL;
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        self.accept_run(digits);
        if self.accept(b".") {
            self.accept_run(digits);
        }
        if digits == DECIMAL && self.accept(b"eE") || digits == HEXADECIMAL && self.accept(b"pP") {
            self.accept(b"+-");
            self.accept_run(DECIMAL);
        }
        self.accept(b"i");
        match self.letter().filter(|letter| alphanumeric(*letter)) {
            Some(letter) => {
                self.position += letter.len_utf8();
                false
            }
            None => true,
        }
    }
}

/// Whether a byte is a letter, a digit or an underscore of ASCII.
static IS_PART: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
        byte += 1;
    }
    table
};

/// Where the next `{{` is.
fn left_ahead(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(LEFT[0], text).find(|at| text.get(at + 1) == Some(&LEFT[1]))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn alphanumeric(letter: char) -> bool {
    letter == '_'
        || letter.is_ascii_alphanumeric()
        || !letter.is_ascii() && (letter.is_alphabetic() || letter.is_numeric())
}

fn has_left_trim(text: &[u8]) -> bool {
    matches!(text, [b'-', space, ..] if is_space(*space))
}

/// `%#U`.
fn unicode(letter: char) -> String {
    let mut text = format!("U+{:04X}", letter as u32);
    if is_print(letter) {
        text.push_str(&format!(" '{letter}'"));
    }
    text
}
