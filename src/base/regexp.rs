//! Regular expressions in Go's notation (RE2), carried over to the `regex` crate's.
//!
//! Source of the notation: <https://github.com/google/re2/wiki/Syntax>, and Go's `regexp/syntax` for the words of errors.

use regex::Regex;

/// Why there is no machine for an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is none; in Go's words.
    #[error("{0}")]
    Syntax(String),
    /// Its machine would be larger than it may be.
    #[error("expression too large")]
    TooLarge,
}

/// The machine of an expression, which has at most so many bytes.
///
/// # Errors
/// Where Go would refuse the expression, or its machine were larger.
pub fn compile(pattern: &str, largest: usize) -> Result<Regex, Problem> {
    let translated = translate(pattern).map_err(Problem::Syntax)?;
    regex::RegexBuilder::new(&translated).size_limit(largest).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Problem::TooLarge,
        other => {
            let text = other.to_string();
            Problem::Syntax(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string())
        }
    })
}

/// Where a translation is in its pattern.
struct Translator<'p> {
    pattern: &'p str,
    rest: &'p str,
    out: String,
    groups: Vec<&'p str>,
    /// Where the last thing that can be repeated, or its repetition, began.
    repeated: Option<&'p str>,
    repeatable: bool,
}

/// Go's classes are ASCII; its escapes and braces are laxer.
fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        pattern,
        rest: pattern,
        out: String::new(),
        groups: Vec::new(),
        repeated: None,
        repeatable: false,
    };
    while let Some(letter) = translator.rest.chars().next() {
        translator.step(letter)?;
    }
    if !translator.groups.is_empty() {
        return Err(format!("missing closing ): `{pattern}`"));
    }
    Ok(translator.out)
}

impl<'p> Translator<'p> {
    fn take(&mut self, count: usize) -> &'p str {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Writes a part that can be repeated.
    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = true;
        self.repeated = None;
    }

    /// Writes a part that cannot.
    fn mark(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = false;
        self.repeated = None;
    }

    fn step(&mut self, letter: char) -> Result<(), String> {
        match letter {
            '(' => self.open()?,
            ')' => {
                if self.groups.pop().is_none() {
                    return Err(format!("unexpected ): `{}`", self.pattern));
                }
                self.take(1);
                self.atom(")");
            }
            '|' => {
                self.take(1);
                self.mark("|");
            }
            '[' => self.class()?,
            '*' | '+' | '?' => self.repeat(1)?,
            '{' => match repetition(self.rest) {
                Some(length) => self.repeat(length)?,
                None => {
                    self.take(1);
                    self.atom("\\{");
                }
            },
            '\\' => self.escape()?,
            '^' | '$' | '.' => {
                let text = self.take(1);
                self.atom(text);
            }
            letter => {
                let text = self.take(letter.len_utf8());
                self.atom(&regex::escape(text));
            }
        }
        Ok(())
    }

    fn repeat(&mut self, length: usize) -> Result<(), String> {
        let start = self.rest;
        let operator = self.take(length);
        if let Some(counts) = operator.strip_prefix('{') {
            let counts: Vec<&str> = counts.trim_end_matches('}').split(',').filter(|count| !count.is_empty()).collect();
            // A number that is too long for a machine is too large as well.
            let numbers: Vec<usize> = counts.iter().map(|count| count.parse().unwrap_or(usize::MAX)).collect();
            if numbers.iter().any(|count| *count > 1000) || numbers.len() == 2 && numbers[0] > numbers[1] {
                return Err(format!("invalid repeat count: `{operator}`"));
            }
        }
        let lazy = if self.rest.starts_with('?') { self.take(1) } else { "" };
        let shown = &start[..length + lazy.len()];
        if let Some(before) = self.repeated {
            let both = &before[..before.len() - self.rest.len()];
            return Err(format!("invalid nested repetition operator: `{both}`"));
        }
        if !self.repeatable {
            return Err(format!("missing argument to repetition operator: `{shown}`"));
        }
        self.out.push_str(operator);
        self.out.push_str(lazy);
        self.repeated = Some(start);
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        let start = self.rest;
        let Some(inside) = start.strip_prefix("(?") else {
            self.take(1);
            self.groups.push(start);
            self.mark("(");
            return Ok(());
        };
        if let Some(named) = inside.strip_prefix("P<").or_else(|| inside.strip_prefix('<')) {
            let Some(end) = named.find('>') else {
                if inside.starts_with("<=") || inside.starts_with("<!") {
                    return Err(format!("invalid or unsupported Perl syntax: `{}`", &start[..4]));
                }
                return Err(format!("invalid named capture: `{start}`"));
            };
            let name = &named[..end];
            let fine = !name.is_empty() && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
            let length = start.len() - named.len() + end + 1;
            if !fine {
                let lookbehind = inside.starts_with("<=") || inside.starts_with("<!");
                let shown = if lookbehind { &start[..4] } else { &start[..length] };
                let what = if lookbehind { "invalid or unsupported Perl syntax" } else { "invalid named capture" };
                return Err(format!("{what}: `{shown}`"));
            }
            self.take(length);
            self.groups.push(start);
            self.mark(&format!("(?P<{name}>"));
            return Ok(());
        }
        let flags = inside.len() - inside.trim_start_matches(|flag| "imsU-".contains(flag)).len();
        let shown = |length: usize| start.chars().take(length).collect::<String>();
        match inside[flags..].chars().next() {
            Some(end @ (':' | ')')) if !(end == ')' && flags == 0) => {
                let text = self.take(2 + flags + 1);
                if end == ':' {
                    self.groups.push(start);
                }
                self.mark(text);
                Ok(())
            }
            Some(_) => Err(format!("invalid or unsupported Perl syntax: `{}`", shown(3 + flags))),
            None => Err(format!("invalid or unsupported Perl syntax: `{start}`")),
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(letter) = self.rest[1..].chars().next() else {
            return Err("trailing backslash at end of expression: ``".into());
        };
        if letter == 'Q' {
            let text = &self.rest[2..];
            let end = text.find("\\E").unwrap_or(text.len());
            let quoted = regex::escape(&text[..end]);
            self.take(2 + end);
            if !self.rest.is_empty() {
                self.take(2);
            }
            self.atom(&quoted);
            return Ok(());
        }
        let plain = match letter {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            's' => r"[\t\n\x0c\r ]",
            'S' => r"[^\t\n\x0c\r ]",
            'b' => r"(?-u:\b)",
            'B' => r"(?-u:\B)",
            'A' => r"\A",
            'z' => r"\z",
            _ => "",
        };
        if !plain.is_empty() {
            self.take(2);
            self.atom(plain);
            return Ok(());
        }
        let text = self.literal_escape(letter)?;
        self.atom(&text);
        Ok(())
    }

    /// An escape that stands for one letter or a Unicode class, inside of a class or not.
    fn literal_escape(&mut self, letter: char) -> Result<String, String> {
        let start = self.rest;
        match letter {
            'p' | 'P' => {
                let length = match start[2..].chars().next() {
                    Some('{') => start.find('}').map_or(start.len(), |end| end + 1),
                    name => 2 + name.map_or(0, char::len_utf8),
                };
                let class = self.take(length).to_string();
                match Regex::new(&class) {
                    Ok(_) => Ok(class),
                    Err(_) => Err(format!("invalid character class range: `{class}`")),
                }
            }
            _ => self.escaped_letter().map(written),
        }
    }

    /// The letter that an escape stands for.
    fn escaped_letter(&mut self) -> Result<char, String> {
        let start = self.rest;
        self.take(1);
        let letter = self.next_letter().unwrap_or('\\');
        let found = match letter {
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(letter),
            letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => Some(letter),
            _ => None,
        };
        found.ok_or_else(|| format!("invalid escape sequence: `{}`", &start[..start.len() - self.rest.len()]))
    }

    fn next_letter(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.take(letter.len_utf8());
        Some(letter)
    }

    /// Up to three octal digits. One alone, other than 0, would be a reference to a group, which RE2 does not have.
    fn octal(&mut self, first: char) -> Option<char> {
        let is_digit = |rest: &str| rest.starts_with(|digit: char| digit.is_digit(8));
        if first != '0' && !is_digit(self.rest) {
            return None;
        }
        let mut number = first.to_digit(8)?;
        for _ in 0..2 {
            if is_digit(self.rest) {
                number = number * 8 + self.next_letter()?.to_digit(8)?;
            }
        }
        char::from_u32(number)
    }

    /// Two hexadecimal digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Option<char> {
        let first = self.next_letter()?;
        if first != '{' {
            let second = self.next_letter();
            return char::from_u32(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut number = None;
        loop {
            match self.next_letter()? {
                '}' => return char::from_u32(number?),
                digit => {
                    let digit = digit.to_digit(16)?;
                    number = Some(number.unwrap_or(0) * 16 + digit).filter(|number| *number <= 0x10_ffff);
                    number?;
                }
            }
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let start = self.rest;
        let mut out = String::from("[");
        self.take(1);
        if self.rest.starts_with('^') {
            out.push_str(self.take(1));
        }
        let mut first = true;
        loop {
            let Some(letter) = self.rest.chars().next() else {
                return Err(format!("missing closing ]: `{start}`"));
            };
            if letter == ']' && !first {
                self.take(1);
                out.push(']');
                break;
            }
            first = false;
            let group = if letter == '\\' { self.group_escape()? } else { None };
            if let Some(group) = group {
                out.push_str(&group);
            } else if self.rest.starts_with("[:") && self.rest.contains(":]") {
                let length = self.rest.find(":]").unwrap_or(0) + 2;
                out.push_str(self.take(length));
            } else {
                self.range(start, &mut out)?;
            }
        }
        self.atom(&out);
        Ok(())
    }

    /// An escape within a class that stands for more than one letter.
    fn group_escape(&mut self) -> Result<Option<String>, String> {
        let plain = match self.rest[1..].chars().next() {
            Some('d') => "0-9",
            Some('D') => "[^0-9]",
            Some('w') => "0-9A-Za-z_",
            Some('W') => "[^0-9A-Za-z_]",
            Some('s') => r"\t\n\x0c\r ",
            Some('S') => r"[^\t\n\x0c\r ]",
            Some(letter @ ('p' | 'P')) => return self.literal_escape(letter).map(Some),
            _ => return Ok(None),
        };
        self.take(2);
        Ok(Some(plain.to_string()))
    }

    /// A letter of a class, or two with all that are between them.
    fn range(&mut self, class: &str, out: &mut String) -> Result<(), String> {
        let start = self.rest;
        let low = self.class_letter(class)?;
        out.push_str(&written(low));
        if self.rest.len() < 2 || !self.rest.starts_with('-') || self.rest[1..].starts_with(']') {
            return Ok(());
        }
        self.take(1);
        let high = self.class_letter(class)?;
        if high < low {
            return Err(format!("invalid character class range: `{}`", &start[..start.len() - self.rest.len()]));
        }
        out.push('-');
        out.push_str(&written(high));
        Ok(())
    }

    fn class_letter(&mut self, class: &str) -> Result<char, String> {
        match self.rest.as_bytes() {
            [b'\\'] => Err("trailing backslash at end of expression: ``".into()),
            [b'\\', ..] => self.escaped_letter(),
            _ => self.next_letter().ok_or_else(|| format!("missing closing ]: `{class}`")),
        }
    }
}

/// A letter by its number where it could mean something else.
fn written(letter: char) -> String {
    if letter.is_alphanumeric() { letter.to_string() } else { format!("\\x{{{:x}}}", u32::from(letter)) }
}

/// The length of `{n}`, `{n,}` or `{n,m}` at the start of a text.
fn repetition(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let inside = &text[1..end];
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!low.is_empty() && digits(low) && digits(high)).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern, 1 << 20).unwrap().is_match(text)
    }

    #[test]
    fn classes_are_gos() {
        assert!(matches(r"^[^()[\]?]+$", "a"));
        assert!(!matches(r"^[^()[\]?]+$", "a["));
        assert!(matches("^[[:alpha:][]+$", "a["));
        assert!(matches("^[a&&b]+$", "&a"), "no intersection");
        assert!(matches(r"^\d+$", "12") && !matches(r"^\d+$", "\u{663}"), "digits are those of ASCII");
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words_and_what_is_too_large_is_not_wrong() {
        let problem = |pattern: &str| compile(pattern, 64 << 10).unwrap_err();
        assert_eq!(problem("a(b"), Problem::Syntax("missing closing ): `a(b`".into()));
        assert_eq!(problem("(?=a)"), Problem::Syntax("invalid or unsupported Perl syntax: `(?=`".into()));
        assert_eq!(problem(r"^(\pL{1,100}){1,10}$"), Problem::TooLarge);
    }
}
