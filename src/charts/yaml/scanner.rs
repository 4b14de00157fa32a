//! Cuts YAML into tokens as libyaml does under go-yaml v2, with its words for what is wrong.

use std::collections::VecDeque;

/// A place in the text; lines count from 0.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Mark {
    pub index: usize,
    pub line: usize,
    pub column: usize,
}

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    StreamEnd,
    VersionDirective(u32, u32),
    TagDirective(String, String),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    SequenceStart,
    SequenceEnd,
    MappingStart,
    MappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(String),
    Anchor(String),
    Tag(String, String),
    /// The text, and whether it was plain.
    Scalar(String, bool),
}

/// Longest distance between a key and its colon.
const KEY_REACH: usize = 1024;

#[derive(Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token: usize,
    mark: Mark,
}

/// The text with its tokens ahead.
pub(super) struct Scanner {
    pub(super) text: Vec<char>,
    pub(super) mark: Mark,
    tokens: VecDeque<(Token, Mark)>,
    taken: usize,
    pub(super) indent: isize,
    indents: Vec<isize>,
    pub(super) flow: usize,
    pub(super) key_allowed: bool,
    keys: Vec<SimpleKey>,
    ended: bool,
}

pub(super) type Scanned<T> = Result<T, String>;

impl Scanner {
    /// A scanner at the start of a text.
    pub fn new(text: &str) -> Scanned<Self> {
        let text: Vec<char> = text.chars().collect();
        let fine = |letter: &char| matches!(letter, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        if !text.iter().all(fine) {
            return Err("yaml: control characters are not allowed".into());
        }
        Ok(Scanner {
            text,
            mark: Mark::default(),
            tokens: VecDeque::new(),
            taken: 0,
            indent: -1,
            indents: Vec::new(),
            flow: 0,
            key_allowed: true,
            keys: vec![SimpleKey::default()],
            ended: false,
        })
    }

    /// The next token, still there.
    pub fn peek(&mut self) -> Scanned<&(Token, Mark)> {
        while self.needs_more()? {
            self.fetch()?;
        }
        if self.tokens.is_empty() {
            self.tokens.push_back((Token::StreamEnd, self.mark));
        }
        Ok(&self.tokens[0])
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Scanned<(Token, Mark)> {
        self.peek()?;
        self.taken += 1;
        Ok(self.tokens.pop_front().unwrap_or((Token::StreamEnd, self.mark)))
    }

    fn needs_more(&mut self) -> Scanned<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.tokens.is_empty() {
            return Ok(true);
        }
        for index in 0..self.keys.len() {
            if self.keys[index].possible && self.keys[index].token == self.taken {
                return self.key_is_valid(index);
            }
        }
        Ok(false)
    }

    pub(super) fn error<T>(&self, problem: &str) -> Scanned<T> {
        Err(match self.mark.line {
            0 => format!("yaml: {problem}"),
            line => format!("yaml: line {}: {problem}", line + 1),
        })
    }

    fn key_is_valid(&mut self, index: usize) -> Scanned<bool> {
        let key = self.keys[index];
        if !key.possible {
            return Ok(false);
        }
        if key.mark.line < self.mark.line || key.mark.index + KEY_REACH < self.mark.index {
            if key.required {
                return self.error("could not find expected ':'");
            }
            self.keys[index].possible = false;
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn at(&self, ahead: usize) -> char {
        self.text.get(self.mark.index + ahead).copied().unwrap_or('\0')
    }

    pub(super) fn blank(&self, ahead: usize) -> bool {
        matches!(self.at(ahead), ' ' | '\t')
    }

    pub(super) fn line_end(&self, ahead: usize) -> bool {
        is_break(self.at(ahead)) || self.at(ahead) == '\0'
    }

    pub(super) fn blank_or_end(&self, ahead: usize) -> bool {
        self.blank(ahead) || self.line_end(ahead)
    }

    pub(super) fn skip(&mut self) {
        self.mark.index += 1;
        self.mark.column += 1;
    }

    pub(super) fn skip_line(&mut self) {
        if self.at(0) == '\r' && self.at(1) == '\n' {
            self.mark.index += 2;
        } else if is_break(self.at(0)) {
            self.mark.index += 1;
        } else {
            return;
        }
        self.mark.column = 0;
        self.mark.line += 1;
    }

    /// Takes a line break into a text.
    pub(super) fn read_line(&mut self, into: &mut String) {
        match self.at(0) {
            '\r' | '\n' | '\u{85}' => into.push('\n'),
            letter if is_break(letter) => into.push(letter),
            _ => {}
        }
        self.skip_line();
    }

    pub(super) fn read(&mut self, into: &mut String) {
        into.push(self.at(0));
        self.skip();
    }

    pub(super) fn push(&mut self, token: Token, mark: Mark) {
        self.tokens.push_back((token, mark));
    }

    pub(super) fn document_indicator(&self) -> bool {
        let three = [self.at(0), self.at(1), self.at(2)];
        self.mark.column == 0 && (three == ['-'; 3] || three == ['.'; 3]) && self.blank_or_end(3)
    }

    fn fetch(&mut self) -> Scanned<()> {
        self.skip_to_token();
        self.unroll(self.mark.column as isize);
        let (first, mark) = (self.at(0), self.mark);
        if first == '\0' {
            return self.stream_end();
        }
        if mark.column == 0 && first == '%' {
            return self.directive();
        }
        if self.document_indicator() {
            self.unroll(-1);
            self.forget_key()?;
            self.key_allowed = false;
            (0..3).for_each(|_| self.skip());
            self.push(if first == '-' { Token::DocumentStart } else { Token::DocumentEnd }, mark);
            return Ok(());
        }
        match first {
            '[' => self.flow_start(Token::SequenceStart),
            '{' => self.flow_start(Token::MappingStart),
            ']' => self.flow_end(Token::SequenceEnd),
            '}' => self.flow_end(Token::MappingEnd),
            ',' => {
                self.forget_key()?;
                self.key_allowed = true;
                self.skip();
                self.push(Token::FlowEntry, mark);
                Ok(())
            }
            '-' if self.blank_or_end(1) => self.block_entry(),
            '?' if self.flow > 0 || self.blank_or_end(1) => self.key(),
            ':' if self.flow > 0 || self.blank_or_end(1) => self.value(),
            '*' | '&' => self.anchor(first == '*'),
            '!' => self.tag(),
            '|' | '>' if self.flow == 0 => self.block_scalar(first == '|'),
            '\'' | '"' => self.quoted(first == '\''),
            ' ' | '\t' | '#' | '%' | '@' | '`' | '|' | '>' => self.error("found character that cannot start any token"),
            '-' if self.blank(1) => self.error("found character that cannot start any token"),
            _ => self.plain(),
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.mark.column == 0 && self.at(0) == '\u{feff}' {
                self.skip();
            }
            while self.at(0) == ' ' || (self.flow > 0 || !self.key_allowed) && self.at(0) == '\t' {
                self.skip();
            }
            if self.at(0) == '#' {
                while !self.line_end(0) {
                    self.skip();
                }
            }
            if !is_break(self.at(0)) {
                return;
            }
            self.skip_line();
            if self.flow == 0 {
                self.key_allowed = true;
            }
        }
    }

    pub(super) fn save_key(&mut self) -> Scanned<()> {
        let required = self.flow == 0 && self.indent == self.mark.column as isize;
        if self.key_allowed {
            self.forget_key()?;
            let key = SimpleKey { possible: true, required, token: self.taken + self.tokens.len(), mark: self.mark };
            if let Some(last) = self.keys.last_mut() {
                *last = key;
            }
        }
        Ok(())
    }

    pub(super) fn forget_key(&mut self) -> Scanned<()> {
        let Some(last) = self.keys.last_mut() else { return Ok(()) };
        let lost = last.possible && last.required;
        last.possible = false;
        if lost { self.error("could not find expected ':'") } else { Ok(()) }
    }

    /// Opens a block collection if the column is deeper; the token goes where the key began, if it is known.
    fn roll(&mut self, column: usize, token: Option<usize>, kind: Token, mark: Mark) {
        if self.flow > 0 || self.indent >= column as isize {
            return;
        }
        self.indents.push(self.indent);
        self.indent = column as isize;
        match token {
            Some(token) => self.tokens.insert(token - self.taken, (kind, mark)),
            None => self.tokens.push_back((kind, mark)),
        }
    }

    fn unroll(&mut self, column: isize) {
        if self.flow > 0 {
            return;
        }
        while self.indent > column {
            self.push(Token::BlockEnd, self.mark);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn stream_end(&mut self) -> Scanned<()> {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
        self.unroll(-1);
        self.forget_key()?;
        self.key_allowed = false;
        self.ended = true;
        self.push(Token::StreamEnd, self.mark);
        Ok(())
    }

    fn flow_start(&mut self, token: Token) -> Scanned<()> {
        self.save_key()?;
        self.keys.push(SimpleKey::default());
        self.flow += 1;
        if self.flow > 10_000 {
            return self.error("exceeded max depth of 10000");
        }
        self.key_allowed = true;
        let mark = self.mark;
        self.skip();
        self.push(token, mark);
        Ok(())
    }

    fn flow_end(&mut self, token: Token) -> Scanned<()> {
        self.forget_key()?;
        if self.flow > 0 {
            self.flow -= 1;
            self.keys.pop();
        }
        self.key_allowed = false;
        let mark = self.mark;
        self.skip();
        self.push(token, mark);
        Ok(())
    }

    fn block_entry(&mut self) -> Scanned<()> {
        if self.flow == 0 {
            if !self.key_allowed {
                return self.error("block sequence entries are not allowed in this context");
            }
            self.roll(self.mark.column, None, Token::BlockSequenceStart, self.mark);
        }
        self.forget_key()?;
        self.key_allowed = true;
        let mark = self.mark;
        self.skip();
        self.push(Token::BlockEntry, mark);
        Ok(())
    }

    fn key(&mut self) -> Scanned<()> {
        if self.flow == 0 {
            if !self.key_allowed {
                return self.error("mapping keys are not allowed in this context");
            }
            self.roll(self.mark.column, None, Token::BlockMappingStart, self.mark);
        }
        self.forget_key()?;
        self.key_allowed = self.flow == 0;
        let mark = self.mark;
        self.skip();
        self.push(Token::Key, mark);
        Ok(())
    }

    fn value(&mut self) -> Scanned<()> {
        let last = self.keys.len() - 1;
        if self.key_is_valid(last)? {
            let key = self.keys[last];
            self.tokens.insert(key.token - self.taken, (Token::Key, key.mark));
            self.roll(key.mark.column, Some(key.token), Token::BlockMappingStart, key.mark);
            self.keys[last].possible = false;
            self.key_allowed = false;
        } else {
            if self.flow == 0 {
                if !self.key_allowed {
                    return self.error("mapping values are not allowed in this context");
                }
                self.roll(self.mark.column, None, Token::BlockMappingStart, self.mark);
            }
            self.key_allowed = self.flow == 0;
        }
        let mark = self.mark;
        self.skip();
        self.push(Token::Value, mark);
        Ok(())
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while self.at(0).is_ascii_alphanumeric() || matches!(self.at(0), '_' | '-') {
            self.read(&mut word);
        }
        word
    }

    fn anchor(&mut self, alias: bool) -> Scanned<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        self.skip();
        let name = self.word();
        if name.is_empty()
            || !(self.blank_or_end(0) || matches!(self.at(0), '?' | ':' | ',' | ']' | '}' | '%' | '@' | '`'))
        {
            return self.error("did not find expected alphabetic or numeric character");
        }
        self.push(if alias { Token::Alias(name) } else { Token::Anchor(name) }, mark);
        Ok(())
    }

    fn directive(&mut self) -> Scanned<()> {
        self.unroll(-1);
        self.forget_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        self.skip();
        let name = self.word();
        if name.is_empty() {
            return self.error("could not find expected directive name");
        }
        if !self.blank_or_end(0) {
            return self.error("found unexpected non-alphabetical character");
        }
        let token = match name.as_str() {
            "YAML" => self.version_directive()?,
            "TAG" => self.tag_directive()?,
            _ => return self.error("found unknown directive name"),
        };
        self.skip_blanks();
        if self.at(0) == '#' {
            while !self.line_end(0) {
                self.skip();
            }
        }
        if !self.line_end(0) {
            return self.error("did not find expected comment or line break");
        }
        self.skip_line();
        self.push(token, mark);
        Ok(())
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.blank(0) {
            self.skip();
        }
    }

    fn version_directive(&mut self) -> Scanned<Token> {
        self.skip_blanks();
        let major = self.version_number()?;
        if self.at(0) != '.' {
            return self.error("did not find expected digit or '.' character");
        }
        self.skip();
        Ok(Token::VersionDirective(major, self.version_number()?))
    }

    fn version_number(&mut self) -> Scanned<u32> {
        let mut digits = String::new();
        while self.at(0).is_ascii_digit() {
            self.read(&mut digits);
        }
        if digits.len() > 2 {
            return self.error("found extremely long version number");
        }
        match digits.parse() {
            Ok(number) => Ok(number),
            Err(_) => self.error("did not find expected version number"),
        }
    }

    fn tag_directive(&mut self) -> Scanned<Token> {
        self.skip_blanks();
        let handle = self.tag_handle(true)?;
        if !self.blank(0) {
            return self.error("did not find expected whitespace");
        }
        self.skip_blanks();
        let prefix = self.tag_uri(String::new())?;
        if !self.blank_or_end(0) {
            return self.error("did not find expected whitespace or line break");
        }
        Ok(Token::TagDirective(handle, prefix))
    }

    fn tag_handle(&mut self, directive: bool) -> Scanned<String> {
        if self.at(0) != '!' {
            return self.error("did not find expected '!'");
        }
        let mut handle = String::new();
        self.read(&mut handle);
        handle.push_str(&self.word());
        if self.at(0) == '!' {
            self.read(&mut handle);
        } else if directive && handle != "!" {
            return self.error("did not find expected '!'");
        }
        Ok(handle)
    }

    fn tag_uri(&mut self, head: String) -> Scanned<String> {
        let had_head = !head.is_empty();
        let mut uri: String = head.chars().skip(1).collect();
        let mut bytes: Vec<u8> = Vec::new();
        let mut any = had_head;
        loop {
            let letter = self.at(0);
            if letter == '%' {
                let digits: String = [self.at(1), self.at(2)].iter().collect();
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte) => bytes.push(byte),
                    Err(_) => return self.error("did not find URI escaped octet"),
                }
                (0..3).for_each(|_| self.skip());
            } else if letter.is_ascii_alphanumeric() || "_-;/?:@&=+$,.!~*'()[]".contains(letter) && letter != '\0' {
                uri.push_str(&String::from_utf8_lossy(&std::mem::take(&mut bytes)));
                self.read(&mut uri);
            } else {
                break;
            }
            any = true;
        }
        uri.push_str(&String::from_utf8_lossy(&bytes));
        if any { Ok(uri) } else { self.error("did not find expected tag URI") }
    }

    fn tag(&mut self) -> Scanned<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        let (handle, suffix);
        if self.at(1) == '<' {
            self.skip();
            self.skip();
            handle = String::new();
            suffix = self.tag_uri(String::new())?;
            if self.at(0) != '>' {
                return self.error("did not find the expected '>'");
            }
            self.skip();
        } else {
            let start = self.tag_handle(false)?;
            if start.len() > 1 && start.ends_with('!') {
                suffix = self.tag_uri(String::new())?;
                handle = start;
            } else {
                let rest = self.tag_uri(start)?;
                (handle, suffix) = if rest.is_empty() { (String::new(), "!".into()) } else { ("!".into(), rest) };
            }
        }
        if !self.blank_or_end(0) {
            return self.error("did not find expected whitespace or line break");
        }
        self.push(Token::Tag(handle, suffix), mark);
        Ok(())
    }
}

pub(super) fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
