//! Cuts YAML into tokens as libyaml does under go-yaml v2, with its words for what is wrong.
//!
//! The text is read by bytes, and what stands in it as it is meant is not copied. Letters beyond ASCII matter only where
//! they break a line and where columns are counted.

use std::borrow::Cow;
use std::collections::VecDeque;

/// A place in the text; lines and columns (in letters) count from 0.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
}

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    StreamEnd,
    VersionDirective(u32, u32),
    TagDirective(Box<Tag>),
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
    Alias(&'t str),
    Anchor(&'t str),
    Tag(Box<Tag>),
    /// The text, and whether it was plain.
    Scalar(Cow<'t, str>, bool),
}

/// A tag's handle and what follows it; of a directive, the handle and what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tag {
    pub handle: String,
    pub suffix: String,
}

/// Longest distance between a key and its colon.
const KEY_REACH: usize = 1024;

#[derive(Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    /// Whether its token is held back until it is known whether it is a key.
    awaited: bool,
    token: usize,
    mark: Mark,
}

/// The text with its tokens ahead.
pub(super) struct Scanner<'t> {
    pub(super) text: &'t str,
    bytes: &'t [u8],
    /// The next byte.
    pub(super) position: usize,
    pub(super) mark: Mark,
    /// The token that was looked at.
    next: Option<(Token<'t>, Mark)>,
    /// Those behind it.
    tokens: VecDeque<(Token<'t>, Mark)>,
    taken: usize,
    pub(super) indent: isize,
    indents: Vec<isize>,
    pub(super) flow: usize,
    pub(super) key_allowed: bool,
    keys: Vec<SimpleKey>,
    ended: bool,
}

pub(super) type Scanned<T> = Result<T, String>;

impl<'t> Scanner<'t> {
    /// A scanner at the start of a text.
    pub fn new(text: &'t str) -> Scanned<Self> {
        let common = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
        let fine = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        // Looking at all bytes without a way out is faster than stopping at the first that is rare.
        let is_common = text.as_bytes().iter().fold(true, |all, byte| all & common(byte));
        if !is_common && !text.chars().all(fine) {
            return Err("yaml: control characters are not allowed".into());
        }
        Ok(Scanner {
            text,
            bytes: text.as_bytes(),
            position: 0,
            mark: Mark::default(),
            next: None,
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
    pub fn peek(&mut self) -> Scanned<&(Token<'t>, Mark)> {
        if self.next.is_none() {
            self.next = Some(self.cut()?);
        }
        Ok(self.next.get_or_insert((Token::StreamEnd, self.mark)))
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Scanned<(Token<'t>, Mark)> {
        match self.next.take() {
            Some(token) => Ok(token),
            None => self.cut(),
        }
    }

    fn cut(&mut self) -> Scanned<(Token<'t>, Mark)> {
        while self.needs_more()? {
            self.fetch()?;
        }
        self.taken += 1;
        Ok(self.tokens.pop_front().unwrap_or((Token::StreamEnd, self.mark)))
    }

    fn needs_more(&mut self) -> Scanned<bool> {
        if self.tokens.is_empty() {
            return Ok(!self.ended);
        }
        for index in 0..self.keys.len() {
            let key = self.keys[index];
            if key.possible && key.awaited && key.token == self.taken {
                return Ok(self.key_is_valid(index)? && !self.ended);
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
        if key.mark.line < self.mark.line || key.mark.column + KEY_REACH < self.mark.column {
            if key.required {
                return self.error("could not find expected ':'");
            }
            self.keys[index].possible = false;
            return Ok(false);
        }
        Ok(true)
    }

    /// A byte from the next one on; 0, which is in no text, at the end.
    pub(super) fn at(&self, ahead: usize) -> u8 {
        self.bytes.get(self.position + ahead).copied().unwrap_or(0)
    }

    pub(super) fn blank(&self, ahead: usize) -> bool {
        matches!(self.at(ahead), b' ' | b'\t')
    }

    /// Whether a line break starts at a byte.
    pub(super) fn line_break(&self, ahead: usize) -> bool {
        match self.at(ahead) {
            b'\r' | b'\n' => true,
            first if first.is_ascii() => false,
            _ => break_of(&self.bytes[self.position + ahead..]) > 0,
        }
    }

    pub(super) fn line_end(&self, ahead: usize) -> bool {
        self.at(ahead) == 0 || self.line_break(ahead)
    }

    pub(super) fn blank_or_end(&self, ahead: usize) -> bool {
        self.blank(ahead) || self.line_end(ahead)
    }

    /// Skips a letter.
    pub(super) fn skip(&mut self) {
        self.position += width(self.at(0));
        self.mark.column += 1;
    }

    /// Skips letters of a line, which are so many bytes.
    pub(super) fn skip_bytes(&mut self, count: usize) -> &'t str {
        let skipped = &self.text[self.position..self.position + count];
        self.position += count;
        self.mark.column += if skipped.is_ascii() { count } else { skipped.chars().count() };
        skipped
    }

    /// Skips what is left of the line.
    pub(super) fn skip_rest(&mut self) -> &'t str {
        let rest = &self.bytes[self.position..];
        let line = &rest[..memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())];
        let end = if line.is_ascii() { None } else { (0..line.len()).find(|at| break_of(&line[*at..]) > 0) };
        self.skip_bytes(end.unwrap_or(line.len()))
    }

    pub(super) fn skip_line(&mut self) {
        let length = break_of(&self.bytes[self.position..]);
        if length > 0 {
            self.position += length;
            self.mark.column = 0;
            self.mark.line += 1;
        }
    }

    /// Takes a line break into a text.
    pub(super) fn read_line(&mut self, into: &mut String) {
        match self.at(0) {
            b'\r' | b'\n' | 0xc2 => into.push('\n'),
            _ => into.push_str(&self.text[self.position..self.position + break_of(&self.bytes[self.position..])]),
        }
        self.skip_line();
    }

    pub(super) fn read(&mut self, into: &mut String) {
        into.push_str(&self.text[self.position..self.position + width(self.at(0))]);
        self.skip();
    }

    pub(super) fn push(&mut self, token: Token<'t>, mark: Mark) {
        self.tokens.push_back((token, mark));
    }

    pub(super) fn document_indicator(&self) -> bool {
        let ahead = |three: &[u8]| self.bytes[self.position..].starts_with(three);
        self.mark.column == 0 && (ahead(b"---") || ahead(b"...")) && self.blank_or_end(3)
    }

    fn fetch(&mut self) -> Scanned<()> {
        self.skip_to_token();
        self.unroll(self.mark.column as isize);
        let (first, mark) = (self.at(0), self.mark);
        if first == 0 {
            return self.stream_end();
        }
        if mark.column == 0 && first == b'%' {
            return self.directive();
        }
        if self.document_indicator() {
            self.unroll(-1);
            self.forget_key()?;
            self.key_allowed = false;
            (0..3).for_each(|_| self.skip());
            self.push(if first == b'-' { Token::DocumentStart } else { Token::DocumentEnd }, mark);
            return Ok(());
        }
        match first {
            b'[' => self.flow_start(Token::SequenceStart),
            b'{' => self.flow_start(Token::MappingStart),
            b']' => self.flow_end(Token::SequenceEnd),
            b'}' => self.flow_end(Token::MappingEnd),
            b',' => {
                self.forget_key()?;
                self.key_allowed = true;
                self.skip();
                self.push(Token::FlowEntry, mark);
                Ok(())
            }
            b'-' if self.blank_or_end(1) => self.block_entry(),
            b'?' if self.flow > 0 || self.blank_or_end(1) => self.key(),
            b':' if self.flow > 0 || self.blank_or_end(1) => self.value(),
            b'*' | b'&' => self.anchor(first == b'*'),
            b'!' => self.tag(),
            b'|' | b'>' if self.flow == 0 => self.block_scalar(first == b'|'),
            b'\'' | b'"' => self.quoted(first),
            b' ' | b'\t' | b'#' | b'%' | b'@' | b'`' | b'|' | b'>' => {
                self.error("found character that cannot start any token")
            }
            b'-' if self.blank(1) => self.error("found character that cannot start any token"),
            _ => self.plain(),
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.mark.column == 0 && self.bytes[self.position..].starts_with("\u{feff}".as_bytes()) {
                self.skip();
            }
            let tabs = self.flow > 0 || !self.key_allowed;
            let is_gap = |byte: &&u8| **byte == b' ' || tabs && **byte == b'\t';
            let gap = self.bytes[self.position..].iter().take_while(is_gap).count();
            self.position += gap;
            self.mark.column += gap;
            if self.at(0) == b'#' {
                self.skip_rest();
            }
            if !self.line_break(0) {
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
            let token = self.taken + self.tokens.len();
            let key = SimpleKey { possible: true, required, awaited: true, token, mark: self.mark };
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
    fn roll(&mut self, column: usize, token: Option<usize>, kind: Token<'t>, mark: Mark) {
        if self.flow > 0 || self.indent >= column as isize {
            return;
        }
        self.indents.push(self.indent);
        self.indent = column as isize;
        match token {
            Some(token) => self.push_before(token, kind, mark),
            None => self.tokens.push_back((kind, mark)),
        }
    }

    /// Puts a token before another one, or last if that one is gone already.
    fn push_before(&mut self, token: usize, kind: Token<'t>, mark: Mark) {
        let at = token.checked_sub(self.taken).unwrap_or(self.tokens.len());
        self.tokens.insert(at, (kind, mark));
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

    fn flow_start(&mut self, token: Token<'t>) -> Scanned<()> {
        self.save_key()?;
        let inner = SimpleKey { token: self.taken + self.tokens.len(), ..SimpleKey::default() };
        self.keys.push(inner);
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

    fn flow_end(&mut self, token: Token<'t>) -> Scanned<()> {
        self.forget_key()?;
        if self.flow > 0 {
            self.flow -= 1;
            let inner = self.keys.pop().unwrap_or_default();
            // The library forgets here by the number of the last token that could have been a key inside; where there was
            // none, that is the number of the bracket, which therefore cannot be a key.
            if let Some(outer) = self.keys.last_mut().filter(|outer| outer.token == inner.token) {
                outer.awaited = false;
            }
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
            self.push_before(key.token, Token::Key, key.mark);
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

    fn word(&mut self) -> &'t str {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = self.bytes[self.position..].iter().take_while(|byte| is_part(byte)).count();
        self.skip_bytes(length)
    }

    fn anchor(&mut self, alias: bool) -> Scanned<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        self.skip();
        let name = self.word();
        if name.is_empty()
            || !(self.blank_or_end(0) || matches!(self.at(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'))
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
        let token = match name {
            "YAML" => self.version_directive()?,
            "TAG" => self.tag_directive()?,
            _ => return self.error("found unknown directive name"),
        };
        self.skip_blanks();
        if self.at(0) == b'#' {
            self.skip_rest();
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

    fn version_directive(&mut self) -> Scanned<Token<'t>> {
        self.skip_blanks();
        let major = self.version_number()?;
        if self.at(0) != b'.' {
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

    fn tag_directive(&mut self) -> Scanned<Token<'t>> {
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
        Ok(Token::TagDirective(Box::new(Tag { handle, suffix: prefix })))
    }

    fn tag_handle(&mut self, directive: bool) -> Scanned<String> {
        if self.at(0) != b'!' {
            return self.error("did not find expected '!'");
        }
        let mut handle = String::new();
        self.read(&mut handle);
        handle.push_str(self.word());
        if self.at(0) == b'!' {
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
            if letter == b'%' {
                let digits = [char::from(self.at(1)), char::from(self.at(2))].map(|digit| digit.to_digit(16));
                match digits {
                    [Some(high), Some(low)] => bytes.push((high << 4 | low) as u8),
                    _ => return self.error("did not find URI escaped octet"),
                }
                (0..3).for_each(|_| self.skip());
            } else if letter.is_ascii_alphanumeric() || b"_-;/?:@&=+$,.!~*'()[]".contains(&letter) {
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
        if self.at(1) == b'<' {
            self.skip();
            self.skip();
            handle = String::new();
            suffix = self.tag_uri(String::new())?;
            if self.at(0) != b'>' {
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
        self.push(Token::Tag(Box::new(Tag { handle, suffix })), mark);
        Ok(())
    }
}

/// How long the line break is that a text starts with; 0 if it does not.
pub(super) fn break_of(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        // U+0085, U+2028, U+2029
        [0xc2, 0x85, ..] => 2,
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        _ => 0,
    }
}

/// How many bytes a letter has, by its first.
fn width(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}
