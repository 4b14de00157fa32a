//! Scalars of every style as libyaml scans them.

use std::borrow::Cow;

use super::scanner::{Scanned, Scanner, Token};

/// A scalar that is being put together: a part of the source as long as nothing else stands for it.
struct Pieces<'t> {
    source: &'t str,
    start: usize,
    end: usize,
    own: Option<String>,
}

impl<'t> Pieces<'t> {
    /// Nothing, at a byte of the source.
    fn new(source: &'t str, start: usize) -> Self {
        Pieces { source, start, end: start, own: None }
    }

    /// Takes the source up to a byte, from where the last piece ended.
    fn take(&mut self, end: usize) {
        if let Some(own) = &mut self.own {
            own.push_str(&self.source[self.end..end]);
        }
        self.end = end;
    }

    /// What the source says otherwise up to a byte.
    fn replace(&mut self, end: usize) -> &mut String {
        let before = &self.source[self.start..self.end];
        self.end = end;
        self.own.get_or_insert_with(|| before.to_string())
    }

    fn finish(self) -> Cow<'t, str> {
        self.own.map_or(Cow::Borrowed(&self.source[self.start..self.end]), Cow::Owned)
    }
}

/// Blanks and line breaks inside a scalar: blanks stay, breaks are folded and take the blanks around them away.
#[derive(Default)]
struct Gap {
    breaks: bool,
    leading: String,
    trailing: String,
}

impl Gap {
    /// Something follows at a byte, so the gap is part of the scalar.
    fn close(&mut self, text: &mut Pieces<'_>, position: usize) {
        if !std::mem::take(&mut self.breaks) {
            return text.take(position);
        }
        join(text.replace(position), &self.leading, &self.trailing);
        self.leading.clear();
        self.trailing.clear();
    }
}

impl<'t> Scanner<'t> {
    pub(super) fn block_scalar(&mut self, literal: bool) -> Scanned<()> {
        self.forget_key()?;
        self.key_allowed = true;
        let mark = self.mark;
        self.skip();
        let (keep, increment) = self.block_header()?;
        self.skip_blanks();
        if self.at(0) == b'#' {
            self.skip_rest();
        }
        if !self.line_end(0) {
            return self.error("did not find expected comment or line break");
        }
        self.skip_line();
        let mut indent = if increment > 0 { self.indent.max(0) as usize + increment } else { 0 };
        let (mut text, mut leading, mut trailing) = (String::new(), String::new(), String::new());
        self.block_breaks(&mut indent, &mut trailing)?;
        let mut leading_blank = false;
        while self.mark.column == indent && self.at(0) != 0 {
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
            text.push_str(self.skip_rest());
            self.read_line(&mut leading);
            self.block_breaks(&mut indent, &mut trailing)?;
        }
        if keep >= 0 {
            text.push_str(&leading);
        }
        if keep > 0 {
            text.push_str(&trailing);
        }
        self.push(Token::Scalar(text.into(), false), mark);
        Ok(())
    }

    /// What becomes of line breaks at the end (1 keeps, -1 drops them all), and the indentation that was told.
    fn block_header(&mut self) -> Scanned<(i8, usize)> {
        let (mut keep, mut increment) = (0, 0);
        for _ in 0..2 {
            match self.at(0) {
                b'+' if keep == 0 => keep = 1,
                b'-' if keep == 0 => keep = -1,
                b'0' if increment == 0 => return self.error("found an indentation indicator equal to 0"),
                digit @ b'1'..=b'9' if increment == 0 => increment = usize::from(digit - b'0'),
                _ => break,
            }
            self.skip();
        }
        Ok((keep, increment))
    }

    fn block_breaks(&mut self, indent: &mut usize, breaks: &mut String) -> Scanned<()> {
        let mut deepest = 0;
        loop {
            while (*indent == 0 || self.mark.column < *indent) && self.at(0) == b' ' {
                self.skip();
            }
            deepest = deepest.max(self.mark.column);
            if (*indent == 0 || self.mark.column < *indent) && self.at(0) == b'\t' {
                return self.error("found a tab character where an indentation space is expected");
            }
            if !self.line_break(0) {
                break;
            }
            self.read_line(breaks);
        }
        if *indent == 0 {
            *indent = deepest.max((self.indent + 1).max(1) as usize);
        }
        Ok(())
    }

    pub(super) fn quoted(&mut self, quote: u8) -> Scanned<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        let single = quote == b'\'';
        self.skip();
        let mut text = Pieces::new(self.text, self.position);
        loop {
            if self.document_indicator() {
                return self.error("found unexpected document indicator");
            }
            if self.at(0) == 0 {
                return self.error("found unexpected end of stream");
            }
            let mut gap = Gap::default();
            while !self.blank_or_end(0) {
                let run = self.quoted_run(quote);
                self.skip_bytes(run);
                text.take(self.position);
                if run > 0 {
                    continue;
                }
                if single && self.at(1) == b'\'' {
                    text.replace(self.position + 2).push('\'');
                    self.skip_bytes(2);
                } else if self.at(0) == quote {
                    break;
                } else if self.line_break(1) {
                    self.skip();
                    self.skip_line();
                    text.replace(self.position);
                    gap.breaks = true;
                    break;
                } else {
                    let letter = self.escape()?;
                    text.replace(self.position).push(letter);
                }
            }
            if self.at(0) == quote {
                break;
            }
            self.gap(&mut gap, isize::MIN)?;
            gap.close(&mut text, self.position);
        }
        self.skip();
        self.push(Token::Scalar(text.finish(), false), mark);
        Ok(())
    }

    /// How many bytes from here on mean themselves in quotes.
    fn quoted_run(&self, quote: u8) -> usize {
        let mut run = 0;
        loop {
            match self.at(run) {
                0 | b' ' | b'\t' | b'\r' | b'\n' => return run,
                byte if byte == quote || byte == b'\\' && quote == b'"' => return run,
                byte if !byte.is_ascii() && self.line_break(run) => return run,
                _ => run += 1,
            }
        }
    }

    /// Reads on to what is neither blank nor a break. Behind a break no tab may stand before the column.
    fn gap(&mut self, gap: &mut Gap, column: isize) -> Scanned<()> {
        loop {
            if self.blank(0) {
                if gap.breaks && (self.mark.column as isize) < column && self.at(0) == b'\t' {
                    return self.error("found a tab character that violates indentation");
                }
                self.skip();
            } else if !self.line_break(0) {
                return Ok(());
            } else if gap.breaks {
                self.read_line(&mut gap.trailing);
            } else {
                self.read_line(&mut gap.leading);
                gap.breaks = true;
            }
        }
    }

    fn escape(&mut self) -> Scanned<char> {
        let (letter, count) = match self.at(1) {
            b'0' => ('\0', 0),
            b'a' => ('\u{7}', 0),
            b'b' => ('\u{8}', 0),
            b't' | b'\t' => ('\t', 0),
            b'n' => ('\n', 0),
            b'v' => ('\u{b}', 0),
            b'f' => ('\u{c}', 0),
            b'r' => ('\r', 0),
            b'e' => ('\u{1b}', 0),
            same @ (b' ' | b'"' | b'\'' | b'\\' | b'/') => (char::from(same), 0),
            b'N' => ('\u{85}', 0),
            b'_' => ('\u{a0}', 0),
            b'L' => ('\u{2028}', 0),
            b'P' => ('\u{2029}', 0),
            b'x' => (' ', 2),
            b'u' => (' ', 4),
            b'U' => (' ', 8),
            _ => return self.error("found unknown escape character"),
        };
        self.skip();
        self.skip();
        if count == 0 {
            return Ok(letter);
        }
        let mut number = 0u32;
        for ahead in 0..count {
            match char::from(self.at(ahead)).to_digit(16) {
                Some(digit) => number = (number << 4) + digit,
                None => return self.error("did not find expected hexdecimal number"),
            }
        }
        let Some(letter) = char::from_u32(number) else {
            return self.error("found invalid Unicode character escape code");
        };
        self.skip_bytes(count);
        Ok(letter)
    }

    pub(super) fn plain(&mut self) -> Scanned<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.mark;
        let indent = self.indent + 1;
        let mut text = Pieces::new(self.text, self.position);
        let mut gap = Gap::default();
        loop {
            if self.document_indicator() || self.at(0) == b'#' {
                break;
            }
            let run = self.plain_run();
            if run > 0 {
                gap.close(&mut text, self.position);
                self.skip_bytes(run);
                text.take(self.position);
            }
            if !(self.blank(0) || self.line_break(0)) {
                break;
            }
            self.gap(&mut gap, indent)?;
            if self.flow == 0 && (self.mark.column as isize) < indent {
                break;
            }
        }
        if gap.breaks {
            self.key_allowed = true;
        }
        self.push(Token::Scalar(text.finish(), true), mark);
        Ok(())
    }

    /// How many bytes from here on are a plain scalar without blanks.
    fn plain_run(&self) -> usize {
        let mut run = 0;
        loop {
            match self.at(run) {
                0 | b' ' | b'\t' | b'\r' | b'\n' => return run,
                b':' if self.blank_or_end(run + 1) => return run,
                b',' | b'?' | b'[' | b']' | b'{' | b'}' if self.flow > 0 => return run,
                byte if !byte.is_ascii() && self.line_break(run) => return run,
                _ => run += 1,
            }
        }
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
