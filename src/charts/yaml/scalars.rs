//! Scalars of every style as libyaml scans them.

use super::scanner::{Scanned, Scanner, Token, is_break};

impl Scanner {
    pub(super) fn block_scalar(&mut self, literal: bool) -> Scanned<()> {
        self.forget_key()?;
        self.key_allowed = true;
        let mark = self.mark;
        self.skip();
        let (keep, increment) = self.block_header()?;
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
        let mut indent = if increment > 0 { self.indent.max(0) as usize + increment } else { 0 };
        let (mut text, mut leading, mut trailing) = (String::new(), String::new(), String::new());
        self.block_breaks(&mut indent, &mut trailing)?;
        let mut leading_blank = false;
        while self.mark.column == indent && self.at(0) != '\0' {
            let blank = self.blank(0);
            if !literal && !leading_blank && !blank && leading.starts_with('\n') {
                if trailing.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(&leading);
            }
            leading.clear();
            text.push_str(&trailing);
            trailing.clear();
            leading_blank = blank;
            while !self.line_end(0) {
                self.read(&mut text);
            }
            self.read_line(&mut leading);
            self.block_breaks(&mut indent, &mut trailing)?;
        }
        if keep >= 0 {
            text.push_str(&leading);
        }
        if keep > 0 {
            text.push_str(&trailing);
        }
        self.push(Token::Scalar(text, false), mark);
        Ok(())
    }

    /// What becomes of line breaks at the end (1 keeps, -1 drops them all), and the indentation that was told.
    fn block_header(&mut self) -> Scanned<(i8, usize)> {
        let (mut keep, mut increment) = (0, 0);
        for _ in 0..2 {
            match self.at(0) {
                '+' if keep == 0 => keep = 1,
                '-' if keep == 0 => keep = -1,
                '0' if increment == 0 => return self.error("found an indentation indicator equal to 0"),
                digit @ '1'..='9' if increment == 0 => increment = digit as usize - '0' as usize,
                _ => break,
            }
            self.skip();
        }
        Ok((keep, increment))
    }

    fn block_breaks(&mut self, indent: &mut usize, breaks: &mut String) -> Scanned<()> {
        let mut deepest = 0;
        loop {
            while (*indent == 0 || self.mark.column < *indent) && self.at(0) == ' ' {
                self.skip();
            }
            deepest = deepest.max(self.mark.column);
            if (*indent == 0 || self.mark.column < *indent) && self.at(0) == '\t' {
                return self.error("found a tab character where an indentation space is expected");
            }
            if !is_break(self.at(0)) {
                break;
            }
            self.read_line(breaks);
        }
        if *indent == 0 {
            *indent = deepest.max((self.indent + 1).max(1) as usize);
        }
        Ok(())
    }

    pub(super) fn quoted(&mut self, single: bool) -> Scanned<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        let quote = self.at(0);
        self.skip();
        let (mut text, mut leading, mut trailing, mut spaces) =
            (String::new(), String::new(), String::new(), String::new());
        loop {
            if self.document_indicator() {
                return self.error("found unexpected document indicator");
            }
            if self.at(0) == '\0' {
                return self.error("found unexpected end of stream");
            }
            let mut breaks = false;
            while !self.blank_or_end(0) {
                if single && self.at(0) == '\'' && self.at(1) == '\'' {
                    text.push('\'');
                    self.skip();
                    self.skip();
                } else if self.at(0) == quote {
                    break;
                } else if !single && self.at(0) == '\\' && is_break(self.at(1)) {
                    self.skip();
                    self.skip_line();
                    breaks = true;
                    break;
                } else if !single && self.at(0) == '\\' {
                    text.push(self.escape()?);
                } else {
                    self.read(&mut text);
                }
            }
            if self.at(0) == quote {
                break;
            }
            while self.blank(0) || is_break(self.at(0)) {
                if self.blank(0) {
                    if breaks { self.skip() } else { self.read(&mut spaces) }
                } else if breaks {
                    self.read_line(&mut trailing);
                } else {
                    spaces.clear();
                    self.read_line(&mut leading);
                    breaks = true;
                }
            }
            if breaks {
                join(&mut text, &leading, &trailing);
                leading.clear();
                trailing.clear();
            } else {
                text.push_str(&spaces);
            }
            spaces.clear();
        }
        self.skip();
        self.push(Token::Scalar(text, false), mark);
        Ok(())
    }

    fn escape(&mut self) -> Scanned<char> {
        let (letter, count) = match self.at(1) {
            '0' => ('\0', 0),
            'a' => ('\u{7}', 0),
            'b' => ('\u{8}', 0),
            't' | '\t' => ('\t', 0),
            'n' => ('\n', 0),
            'v' => ('\u{b}', 0),
            'f' => ('\u{c}', 0),
            'r' => ('\r', 0),
            'e' => ('\u{1b}', 0),
            same @ (' ' | '"' | '\'' | '\\' | '/') => (same, 0),
            'N' => ('\u{85}', 0),
            '_' => ('\u{a0}', 0),
            'L' => ('\u{2028}', 0),
            'P' => ('\u{2029}', 0),
            'x' => (' ', 2),
            'u' => (' ', 4),
            'U' => (' ', 8),
            _ => return self.error("found unknown escape character"),
        };
        self.skip();
        self.skip();
        if count == 0 {
            return Ok(letter);
        }
        let mut number = 0u32;
        for ahead in 0..count {
            match self.at(ahead).to_digit(16) {
                Some(digit) => number = (number << 4) + digit,
                None => return self.error("did not find expected hexdecimal number"),
            }
        }
        let Some(letter) = char::from_u32(number) else {
            return self.error("found invalid Unicode character escape code");
        };
        (0..count).for_each(|_| self.skip());
        Ok(letter)
    }

    pub(super) fn plain(&mut self) -> Scanned<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        let indent = self.indent + 1;
        let (mut text, mut leading, mut trailing, mut spaces) =
            (String::new(), String::new(), String::new(), String::new());
        let mut breaks = false;
        loop {
            if self.document_indicator() || self.at(0) == '#' {
                break;
            }
            while !self.blank_or_end(0) {
                let letter = self.at(0);
                if letter == ':' && self.blank_or_end(1)
                    || self.flow > 0 && matches!(letter, ',' | '?' | '[' | ']' | '{' | '}')
                {
                    break;
                }
                if breaks {
                    join(&mut text, &leading, &trailing);
                    leading.clear();
                    trailing.clear();
                    breaks = false;
                } else {
                    text.push_str(&spaces);
                }
                spaces.clear();
                self.read(&mut text);
            }
            if !(self.blank(0) || is_break(self.at(0))) {
                break;
            }
            while self.blank(0) || is_break(self.at(0)) {
                if self.blank(0) {
                    if breaks && (self.mark.column as isize) < indent && self.at(0) == '\t' {
                        return self.error("found a tab character that violates indentation");
                    }
                    if breaks { self.skip() } else { self.read(&mut spaces) }
                } else if breaks {
                    self.read_line(&mut trailing);
                } else {
                    spaces.clear();
                    self.read_line(&mut leading);
                    breaks = true;
                }
            }
            if self.flow == 0 && (self.mark.column as isize) < indent {
                break;
            }
        }
        if breaks {
            self.key_allowed = true;
        }
        self.push(Token::Scalar(text, true), mark);
        Ok(())
    }
}

/// Folds line breaks: one is a space, more are one less.
fn join(text: &mut String, leading: &str, trailing: &str) {
    if leading.starts_with('\n') {
        text.push_str(if trailing.is_empty() { " " } else { trailing });
    } else {
        text.push_str(leading);
        text.push_str(trailing);
    }
}
