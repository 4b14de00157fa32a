//! What is wrong with a TOML document, in the words of BurntSushi's reader, which Helm uses.
//!
//! Only documents that could not be read come here, so this looks for the first mistake and keeps no values.

use crate::charts::template::{quote, quote_letter};
use std::collections::BTreeMap;

/// The first mistake; nothing if none is found.
pub(super) fn problem(text: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Scan { text, at: 0, context: Vec::new(), key: String::new(), known: BTreeMap::new(), depth: 0 }.document().err()
}

/// How a key came to be.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    /// By the name of a deeper one.
    Implied,
    Table,
    Rows,
    Value,
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    /// The table that keys belong to, and the key that a value is read for.
    context: Vec<String>,
    key: String,
    known: BTreeMap<Vec<String>, Known>,
    depth: usize,
}

type Step<T = ()> = Result<T, String>;

/// What stands for the end of the text.
const END: char = '\0';
/// How deep values may nest before this gives up.
const DEEPEST: usize = 100;

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

fn is_line_end(letter: char) -> bool {
    matches!(letter, '\n' | '\r')
}

fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

fn shown(letter: char) -> String {
    quote_letter(letter, false)
}

fn or_end(letter: char) -> String {
    if letter == END { "end of file".into() } else { format!("'{letter}'") }
}

fn dotted(key: &[String]) -> String {
    let part = |part: &String| {
        let bare = !part.is_empty() && part.chars().all(is_bare);
        if bare { part.clone() } else { quote(part.as_bytes(), false) }
    };
    key.iter().map(part).collect::<Vec<_>>().join(".")
}

impl<'t> Scan<'t> {
    fn told(&self, line: usize, why: impl std::fmt::Display) -> String {
        let key = match (self.context.is_empty(), self.key.is_empty()) {
            (_, true) => dotted(&self.context),
            (true, false) => self.key.clone(),
            (false, false) => format!("{}.{}", dotted(&self.context), self.key),
        };
        match key.as_str() {
            "" => format!("toml: line {line}: {why}"),
            key => format!("toml: line {line} (last key {}): {why}", quote(key.as_bytes(), false)),
        }
    }

    fn line(&self) -> usize {
        1 + self.text[..self.at].matches('\n').count()
    }

    /// A mistake at the letter that was just taken, or at the end.
    fn fail<T>(&self, why: impl std::fmt::Display) -> Step<T> {
        let is_end = self.at >= self.text.len() && self.text.ends_with('\n');
        Err(self.told(self.line() - usize::from(is_end), why))
    }

    /// A mistake at the end of the line that was just left.
    fn fail_before<T>(&self, why: impl std::fmt::Display) -> Step<T> {
        Err(self.told(self.line() - 1, why))
    }

    fn peek(&self) -> char {
        self.text[self.at..].chars().next().unwrap_or(END)
    }

    fn next(&mut self) -> Step<char> {
        let Some(letter) = self.text[self.at..].chars().next() else { return Ok(END) };
        let is_lone = letter == '\r' && !self.text[self.at + 1..].starts_with('\n');
        if is_lone || letter.is_ascii_control() && !matches!(letter, '\t' | '\r' | '\n') {
            let why = format!("TOML files cannot contain control characters: '0x{:02x}'", letter as u32);
            return Err(self.told(self.line(), why));
        }
        self.at += letter.len_utf8();
        Ok(letter)
    }

    fn accept(&mut self, wanted: char) -> Step<bool> {
        let here = self.at;
        if self.next()? == wanted {
            return Ok(true);
        }
        self.at = here;
        Ok(false)
    }

    fn skip(&mut self, wanted: fn(char) -> bool) -> Step<&'t str> {
        let start = self.at;
        while self.at < self.text.len() && wanted(self.peek()) {
            self.next()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Spaces, lines and comments.
    fn skip_all(&mut self) -> Step {
        loop {
            self.skip(|letter| is_space(letter) || is_line_end(letter))?;
            if self.peek() != '#' || self.at >= self.text.len() {
                return Ok(());
            }
            self.skip(|letter| !is_line_end(letter))?;
        }
    }

    fn document(&mut self) -> Step {
        loop {
            self.skip_all()?;
            if self.at >= self.text.len() {
                return Ok(());
            }
            if self.accept('[')? {
                self.header()?;
            } else {
                self.pair()?;
                self.key.clear();
            }
            self.skip(is_space)?;
            if self.peek() == '#' {
                self.skip(|letter| !is_line_end(letter))?;
            }
            let letter = self.next()?;
            if letter != END && !is_line_end(letter) {
                let found = shown(letter);
                return self.fail(format!(
                    "expected a top-level item to end with a newline, comment, or EOF, but got {found} instead"
                ));
            }
        }
    }

    fn header(&mut self) -> Step {
        let rows = self.accept('[')?;
        let mut key = Vec::new();
        loop {
            self.skip(is_space)?;
            match self.peek() {
                ']' | END => return self.fail("unexpected end of table name (table names cannot be empty)"),
                '.' => return self.fail("unexpected table separator (table names cannot be empty)"),
                _ => key.push(self.name()?),
            }
            self.skip(is_space)?;
            match self.next()? {
                '.' => {}
                ']' => break,
                other => {
                    return self
                        .fail(format!("expected '.' or ']' to end table name, but got {} instead", shown(other)));
                }
            }
        }
        if rows {
            let letter = self.next()?;
            if letter != ']' {
                let found = shown(letter);
                return self.fail(format!("expected end of table array name delimiter ']', but got {found} instead"));
            }
        }
        self.open(key, rows)
    }

    /// Makes a table the one that keys belong to.
    fn open(&mut self, key: Vec<String>, rows: bool) -> Step {
        self.imply(&key[..key.len() - 1])?;
        self.context = key[..key.len() - 1].to_vec();
        match (rows, self.known.get(&key)) {
            (true, None | Some(Known::Rows)) => {
                self.known.retain(|other, _| !(other.len() > key.len() && other.starts_with(&key)));
                self.known.insert(key.clone(), Known::Rows);
            }
            (true, Some(_)) => {
                return self
                    .fail(format!("Key '{}' was already created and cannot be used as an array.", dotted(&key)));
            }
            (false, None | Some(Known::Implied)) => {
                self.known.insert(key.clone(), Known::Table);
            }
            (false, Some(_)) => return self.fail(format!("Key '{}' has already been defined.", dotted(&key))),
        }
        self.context = key;
        Ok(())
    }

    fn imply(&mut self, key: &[String]) -> Step {
        for end in 1..=key.len() {
            if *self.known.entry(key[..end].to_vec()).or_insert(Known::Implied) == Known::Value {
                return self.fail(format!("Key '{}' was already created as a hash.", dotted(&key[..end])));
            }
        }
        Ok(())
    }

    /// A part of a key.
    fn name(&mut self) -> Step<String> {
        match self.peek() {
            '"' => {
                self.next()?;
                self.string().map(String::from)
            }
            '\'' => {
                self.next()?;
                self.raw().map(String::from)
            }
            _ => self.skip(is_bare).map(String::from),
        }
    }

    fn pair(&mut self) -> Step {
        self.skip(is_space)?;
        match self.peek() {
            '=' | END => return self.fail("unexpected '=': key name appears blank"),
            '.' => return self.fail("unexpected '.': keys cannot start with a '.'"),
            _ => {}
        }
        let mut key = Vec::new();
        loop {
            self.skip(is_space)?;
            match self.peek() {
                '=' | END => return self.fail("unexpected '='"),
                '.' => return self.fail("unexpected '.'"),
                _ => key.push(self.name()?),
            }
            self.skip(is_space)?;
            match self.next()? {
                '=' => break,
                '.' => {}
                END => return self.fail("unexpected EOF; expected key separator '='"),
                '\n' => return self.fail_before("expected '.' or '=', but got '\\n' instead"),
                other => return self.fail(format!("expected '.' or '=', but got {} instead", shown(other))),
            }
        }
        let line = self.line();
        let outer = self.context.clone();
        self.key = key.pop().unwrap_or_default();
        self.context.extend(key);
        if let Some((_, before)) = self.context.clone().split_last() {
            self.imply(before)?;
        }
        let found = self.value()?;
        let mut full = self.context.clone();
        full.push(self.key.clone());
        for (key, is_taken) in [
            (&self.context, self.known.get(&self.context) == Some(&Known::Value)),
            (&full, self.known.contains_key(&full)),
        ] {
            if is_taken {
                return Err(self.told(line, format!("Key '{}' has already been defined.", dotted(key))));
            }
        }
        if !self.context.is_empty() {
            self.known.entry(self.context.clone()).or_insert(Known::Implied);
        }
        self.known.insert(full, found);
        self.context = outer;
        Ok(())
    }

    fn value(&mut self) -> Step<Known> {
        self.skip(is_space)?;
        let start = self.at;
        if self.depth > DEEPEST {
            return self.fail("values are nested too deeply");
        }
        let letter = self.next()?;
        match letter {
            '0'..='9' => {
                self.at = start;
                self.number()?;
            }
            '[' => self.array()?,
            '{' => {
                self.inline()?;
                return Ok(Known::Table);
            }
            '"' if self.text[start..].starts_with("\"\"\"") => self.long('"')?,
            '"' => drop(self.string()?),
            '\'' if self.text[start..].starts_with("'''") => self.long('\'')?,
            '\'' => drop(self.raw()?),
            '.' => return self.fail("floats must start with a digit, not '.'"),
            '-' | '+' => self.signed(start)?,
            END => return self.fail("unexpected EOF; expected value"),
            '\n' => return self.fail_before("expected value but found '\\n' instead"),
            letter if letter.is_alphabetic() => {
                if matches!(letter, 'i' | 'n') {
                    if self.accept('n')? && self.accept('f')? || self.accept('a')? && self.accept('n')? {
                        return Ok(Known::Value);
                    }
                    // What was taken on trial stays taken, but for one letter.
                    self.at -= 1;
                } else {
                    self.at = start;
                }
                let word = self.skip(char::is_alphabetic)?;
                if !matches!(word, "true" | "false") {
                    return self.fail(format!("expected value but found {} instead", quote(word.as_bytes(), false)));
                }
            }
            other => return self.fail(format!("expected value but found {} instead", shown(other))),
        }
        Ok(Known::Value)
    }

    fn array(&mut self) -> Step {
        self.depth += 1;
        loop {
            self.skip_all()?;
            if self.accept(',')? {
                return self.fail("unexpected comma");
            }
            if self.accept(']')? {
                break;
            }
            self.value()?;
            self.skip_all()?;
            match self.next()? {
                ',' => {}
                ']' => break,
                other => {
                    let found = or_end(other);
                    return self.fail(format!("expected a comma (',') or array terminator (']'), but got {found}"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn inline(&mut self) -> Step {
        self.depth += 1;
        let (outer, key) = (self.context.clone(), self.key.clone());
        self.context.push(std::mem::take(&mut self.key));
        loop {
            self.skip_all()?;
            if self.accept(',')? {
                return self.fail("unexpected comma");
            }
            if self.accept('}')? {
                break;
            }
            self.pair()?;
            self.skip_all()?;
            match self.next()? {
                ',' => {}
                '}' => break,
                other => {
                    let found = or_end(other);
                    return self
                        .fail(format!("expected a comma or an inline table terminator '}}', but got {found} instead"));
                }
            }
        }
        self.known.retain(|other, _| !(other.len() > outer.len() + 1 && other.starts_with(&self.context)));
        self.known.remove(&self.context);
        (self.context, self.key) = (outer, key);
        self.depth -= 1;
        Ok(())
    }

    fn string(&mut self) -> Step<&'t str> {
        let start = self.at;
        loop {
            match self.next()? {
                END => return self.fail("unexpected EOF; expected '\"'"),
                letter if is_line_end(letter) => return self.fail_before("strings cannot contain newlines"),
                '\\' => self.escape()?,
                '"' => return Ok(&self.text[start..self.at - 1]),
                _ => {}
            }
        }
    }

    fn raw(&mut self) -> Step<&'t str> {
        let start = self.at;
        loop {
            match self.next()? {
                END => return self.fail("unexpected EOF; expected \"'\""),
                letter if is_line_end(letter) => return self.fail_before("strings cannot contain newlines"),
                '\'' => return Ok(&self.text[start..self.at - 1]),
                _ => {}
            }
        }
    }

    /// A text in three quotes.
    fn long(&mut self, mark: char) -> Step {
        self.at += 2;
        let end = mark.to_string().repeat(3);
        loop {
            if self.text[self.at..].starts_with(&end) {
                let marks = self.text[self.at..].chars().take_while(|letter| *letter == mark).count();
                self.at += marks.min(5);
                return if marks < 6 { Ok(()) } else { self.fail(format!("unexpected '{}'", end.repeat(2))) };
            }
            match self.next()? {
                END if mark == '"' => return self.fail("unexpected EOF; expected '\"\"\"'"),
                END => return self.fail("unexpected EOF; expected \"'''\""),
                '\\' if mark == '"' && !is_line_end(self.peek()) => self.escape()?,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Step {
        let start = self.at - 1;
        let letter = self.next()?;
        let (count, name) = match letter {
            'e' | 'b' | 't' | 'n' | 'f' | 'r' | '"' | ' ' | '\t' | '\\' => return Ok(()),
            'x' => (2, "two"),
            'u' => (4, "four"),
            'U' => (8, "eight"),
            END | '\r' | '\n' => return self.fail("unexpected end of line after '\\'"),
            other => return self.fail(format!("invalid escape in string '\\{other}'")),
        };
        for _ in 0..count {
            if !self.next()?.is_ascii_hexdigit() {
                // Go shows the whole text so far, which begins behind the quote.
                let from = self.text[..start].rfind('"').map_or(start, |quote| quote + 1);
                let found = quote(&self.text.as_bytes()[from..self.at], false);
                return self
                    .fail(format!("expected {name} hexadecimal digits after '\\{letter}', but got {found} instead"));
            }
        }
        Ok(())
    }

    fn signed(&mut self, start: usize) -> Step {
        let letter = self.next()?;
        match letter {
            'i' | 'n' => {
                let rest = if letter == 'i' { ['n', 'f'] } else { ['a', 'n'] };
                for wanted in rest {
                    if !self.accept(wanted)? {
                        return self.fail(format!("invalid float: '{}'", &self.text[start..self.at]));
                    }
                }
                Ok(())
            }
            '0' if matches!(self.peek(), 'b' | 'o' | 'x') => {
                let word = &self.text[start..self.at];
                self.fail(format!("cannot use sign with non-decimal numbers: '{word}{}'", self.peek()))
            }
            '.' => self.fail("floats must start with a digit, not '.'"),
            letter if letter.is_ascii_digit() => {
                self.skip(|letter| letter.is_ascii_digit() || letter == '_')?;
                if matches!(self.peek(), '.' | 'e' | 'E') {
                    self.skip(|letter| letter.is_ascii_digit() || "_.-+eE".contains(letter))?;
                    return self.float(&self.text[start..self.at]);
                }
                self.integer(&self.text[start..self.at])
            }
            other => self.fail(format!("expected a digit but got {}", shown(other))),
        }
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        if self.peek() == '0' {
            self.next()?;
            let (wanted, what): (fn(char) -> bool, _) = match self.peek() {
                'b' => (|letter| matches!(letter, '0' | '1'), "a binary"),
                'o' => (|letter| matches!(letter, '0'..='7'), "an octal"),
                'x' => (|letter| letter.is_ascii_hexdigit(), "a hexadecimal"),
                _ => (|letter| letter == END, ""),
            };
            if !what.is_empty() {
                self.next()?;
                if !wanted(self.peek()) {
                    let (word, found) = (&self.text[start..self.at], self.peek());
                    return self.fail(format!("not {what} number: '{word}{found}'"));
                }
                while wanted(self.peek()) && self.at < self.text.len() || self.peek() == '_' {
                    self.next()?;
                }
                return self.integer(&self.text[start..self.at]);
            }
        }
        self.skip(|letter| letter.is_ascii_digit())?;
        match self.peek() {
            '-' | ':' => {
                let word = self.skip(|letter| letter.is_ascii_digit() || "-:Tt .Zz+".contains(letter))?;
                let whole = self.text[start..self.at].trim();
                let _ = word;
                let text = whole.replace('z', "Z").replace(['t', ' '], "T");
                if whole.parse::<toml::value::Datetime>().is_err() {
                    return self.fail(format!("invalid datetime: {}", quote(text.as_bytes(), false)));
                }
                return Ok(());
            }
            '_' => {
                self.skip(|letter| letter.is_ascii_digit() || letter == '_')?;
            }
            _ => {}
        }
        if matches!(self.peek(), '.' | 'e' | 'E') {
            self.skip(|letter| letter.is_ascii_digit() || "_.-+eE".contains(letter))?;
            return self.float(&self.text[start..self.at]);
        }
        self.integer(&self.text[start..self.at])
    }

    fn integer(&self, word: &str) -> Step {
        let quoted = quote(word.as_bytes(), false);
        if !has_good_underscores(word) {
            return self.fail(format!("Invalid integer {quoted}: underscores must be surrounded by digits"));
        }
        if has_leading_zero(word) {
            return self.fail(format!("Invalid integer {quoted}: cannot have leading zeroes"));
        }
        match crate::charts::template::parse_int(word, 0) {
            Ok(_) => Ok(()),
            Err(_) => self.fail(format!("{word} is out of range for int64")),
        }
    }

    fn float(&self, word: &str) -> Step {
        let quoted = quote(word.as_bytes(), false);
        let parts: Vec<&str> = word.split(['.', 'e', 'E']).filter(|part| !part.is_empty()).collect();
        if !parts.iter().all(|part| has_good_underscores(part)) {
            return self.fail(format!("Invalid float {quoted}: underscores must be surrounded by digits"));
        }
        if parts.first().is_some_and(|part| has_leading_zero(part)) {
            return self.fail(format!("Invalid float {quoted}: cannot have leading zeroes"));
        }
        let followed = |part: &str| part.starts_with(|letter: char| letter.is_ascii_digit());
        if !word.split('.').skip(1).all(followed) {
            return self.fail(format!("Invalid float {quoted}: '.' must be followed by one or more digits"));
        }
        match word.replace('_', "").parse::<f64>() {
            Ok(number) if number.is_infinite() => self.fail(format!("{word} is out of range for float64")),
            Ok(_) => Ok(()),
            Err(_) => self.fail(format!("Invalid float value: {quoted}")),
        }
    }
}

fn has_leading_zero(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() > 1 && bytes[0] == b'0' && !matches!(bytes[1], b'b' | b'o' | b'x')
        || bytes.len() > 2 && matches!(bytes[0], b'-' | b'+') && bytes[1] == b'0'
}

fn has_good_underscores(word: &str) -> bool {
    let mut accepts = false;
    for letter in word.chars() {
        if letter == '_' && !accepts {
            return false;
        }
        accepts = letter.is_ascii_hexdigit();
    }
    accepts
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn mistakes_are_told_as_by_the_reader_that_helm_uses() {
        // Printed by Helm 4.2.3's engine.
        let cases = [
            ("a = [1,,2]", "toml: line 1 (last key \"a\"): unexpected comma"),
            (
                "a = [1 2]",
                "toml: line 1 (last key \"a\"): expected a comma (',') or array terminator (']'), but got '2'",
            ),
            (
                "a = [1",
                "toml: line 1 (last key \"a\"): expected a comma (',') or array terminator (']'), but got end of file",
            ),
            (
                "a = {b = 1",
                "toml: line 1 (last key \"a.b\"): expected a comma or an inline table terminator '}', but got end of file instead",
            ),
            ("a = {b 1}", "toml: line 1 (last key \"a\"): expected '.' or '=', but got '1' instead"),
            ("a = {,}", "toml: line 1 (last key \"a\"): unexpected comma"),
            ("a = \"x", "toml: line 1 (last key \"a\"): unexpected EOF; expected '\"'"),
            ("a = \"x\ny\"", "toml: line 1 (last key \"a\"): strings cannot contain newlines"),
            ("a = 'x", "toml: line 1 (last key \"a\"): unexpected EOF; expected \"'\""),
            ("a = 'x\ny'", "toml: line 1 (last key \"a\"): strings cannot contain newlines"),
            ("a = \"\\q\"", "toml: line 1 (last key \"a\"): invalid escape in string '\\q'"),
            (
                "a = \"\\u12\"",
                "toml: line 1 (last key \"a\"): expected four hexadecimal digits after '\\u', but got \"\\\\u12\\\"\" instead",
            ),
            ("a = \"\"\"x", "toml: line 1 (last key \"a\"): unexpected EOF; expected '\"\"\"'"),
            ("a = '''x", "toml: line 1 (last key \"a\"): unexpected EOF; expected \"'''\""),
            (
                "a = 1_",
                "toml: line 1 (last key \"a\"): Invalid integer \"1_\": underscores must be surrounded by digits",
            ),
            ("a = 01", "toml: line 1 (last key \"a\"): Invalid integer \"01\": cannot have leading zeroes"),
            (
                "a = 1.",
                "toml: line 1 (last key \"a\"): Invalid float \"1.\": '.' must be followed by one or more digits",
            ),
            ("a = .5", "toml: line 1 (last key \"a\"): floats must start with a digit, not '.'"),
            ("a = 1e", "toml: line 1 (last key \"a\"): Invalid float value: \"1e\""),
            (
                "a = 99999999999999999999",
                "toml: line 1 (last key \"a\"): 99999999999999999999 is out of range for int64",
            ),
            ("a = 2020-13-01", "toml: line 1 (last key \"a\"): invalid datetime: \"2020-13-01\""),
            ("a = 2020-1-1", "toml: line 1 (last key \"a\"): invalid datetime: \"2020-1-1\""),
            ("a = foo", "toml: line 1 (last key \"a\"): expected value but found \"foo\" instead"),
            ("a = inx", "toml: line 1 (last key \"a\"): expected value but found \"nx\" instead"),
            ("a = +x", "toml: line 1 (last key \"a\"): expected a digit but got 'x'"),
            ("a = +inx", "toml: line 1 (last key \"a\"): invalid float: '+in'"),
            ("a = 0xZ", "toml: line 1 (last key \"a\"): not a hexadecimal number: '0xZ'"),
            ("a = -0x1", "toml: line 1 (last key \"a\"): cannot use sign with non-decimal numbers: '-0x'"),
            ("a =", "toml: line 1 (last key \"a\"): unexpected EOF; expected value"),
            ("a = \n", "toml: line 1 (last key \"a\"): expected value but found '\\n' instead"),
            ("a", "toml: line 1: unexpected EOF; expected key separator '='"),
            ("a\n", "toml: line 1: expected '.' or '=', but got '\\n' instead"),
            ("a b = 1", "toml: line 1: expected '.' or '=', but got 'b' instead"),
            ("= 1", "toml: line 1: unexpected '=': key name appears blank"),
            (".a = 1", "toml: line 1: unexpected '.': keys cannot start with a '.'"),
            ("a. = 1", "toml: line 1: unexpected '='"),
            ("a..b = 1", "toml: line 1: unexpected '.'"),
            ("[a", "toml: line 1: expected '.' or ']' to end table name, but got '\\x00' instead"),
            ("[]", "toml: line 1: unexpected end of table name (table names cannot be empty)"),
            ("[.a]", "toml: line 1: unexpected table separator (table names cannot be empty)"),
            ("[a.]", "toml: line 1: unexpected end of table name (table names cannot be empty)"),
            (
                "[a]]",
                "toml: line 1 (last key \"a\"): expected a top-level item to end with a newline, comment, or EOF, but got ']' instead",
            ),
            ("[[a]", "toml: line 1: expected end of table array name delimiter ']', but got '\\x00' instead"),
            (
                "[[a]] x",
                "toml: line 1 (last key \"a\"): expected a top-level item to end with a newline, comment, or EOF, but got 'x' instead",
            ),
            (
                "[a] b = 1",
                "toml: line 1 (last key \"a\"): expected a top-level item to end with a newline, comment, or EOF, but got 'b' instead",
            ),
            (
                "a = 1 b = 2",
                "toml: line 1: expected a top-level item to end with a newline, comment, or EOF, but got 'b' instead",
            ),
            ("a = 1\na = 2", "toml: line 2 (last key \"a\"): Key 'a' has already been defined."),
            ("[a]\n[a]", "toml: line 2: Key 'a' has already been defined."),
            ("a = 1\n[a]", "toml: line 2: Key 'a' has already been defined."),
            ("a = 1\n[a.b]", "toml: line 2: Key 'a' was already created as a hash."),
            ("a = 1\na.b = 2", "toml: line 2 (last key \"a.b\"): Key 'a' has already been defined."),
            ("[a]\n[[a]]", "toml: line 2: Key 'a' was already created and cannot be used as an array."),
            ("[[a]]\n[a]", "toml: line 2: Key 'a' has already been defined."),
            ("[a]\nb = 1\n[a.b]", "toml: line 3 (last key \"a\"): Key 'a.b' has already been defined."),
            ("[a.b]\n[a]\nb = 1", "toml: line 3 (last key \"a.b\"): Key 'a.b' has already been defined."),
            ("a = {b = 1, b = 2}", "toml: line 1 (last key \"a.b\"): Key 'a.b' has already been defined."),
            ("\"a b\".c = x", "toml: line 1 (last key \"\\\"a b\\\".c\"): expected value but found \"x\" instead"),
            ("[t]\nx = y", "toml: line 2 (last key \"t.x\"): expected value but found \"y\" instead"),
            ("[t]\nx = 1\ny", "toml: line 3 (last key \"t\"): unexpected EOF; expected key separator '='"),
            (
                "a = \"x\"y",
                "toml: line 1: expected a top-level item to end with a newline, comment, or EOF, but got 'y' instead",
            ),
            (
                "a = true1",
                "toml: line 1: expected a top-level item to end with a newline, comment, or EOF, but got '1' instead",
            ),
            ("a = tru", "toml: line 1 (last key \"a\"): expected value but found \"tru\" instead"),
            ("a = 1 # c\nb = # d", "toml: line 2 (last key \"b\"): expected value but found '#' instead"),
        ];
        for (text, wanted) in cases {
            assert_eq!(problem(text).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(problem("a = 1\n[b]\nc = [1, {d = '''x'''}]\n[[e]]\nf = 0x1F # x\n[[e]]\nf = 1.5e3\n"), None);
    }
}
