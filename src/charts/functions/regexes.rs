//! Regular expressions in Go's notation (RE2), carried over to the `regex` crate's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;

use super::fixed;
use crate::charts::template::Type::{Int, Str};
use crate::charts::template::{Call, Element, Failure, Function, Value, failure, quote};

/// The table. The functions that start with `must` give Go's bare error, the others that of `MustCompile`.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("regexMatch", &[Str, Str], |call| {
        Ok(compiled(&call.str(0)).is_ok_and(|regex| regex.is_match(&call.str(1))).into())
    }),
    fixed("mustRegexMatch", &[Str, Str], |call| Ok(must(call)?.is_match(&call.str(1)).into())),
    fixed("regexFind", &[Str, Str], |call| Ok(find(&*panicking(call)?, call))),
    fixed("mustRegexFind", &[Str, Str], |call| Ok(find(&*must(call)?, call))),
    fixed("regexFindAll", &[Str, Str, Int], |call| Ok(find_all(&*panicking(call)?, call))),
    fixed("mustRegexFindAll", &[Str, Str, Int], |call| Ok(find_all(&*must(call)?, call))),
    fixed("regexReplaceAll", &[Str, Str, Str], |call| Ok(replaced(&*panicking(call)?, call))),
    fixed("mustRegexReplaceAll", &[Str, Str, Str], |call| Ok(replaced(&*must(call)?, call))),
    fixed("regexReplaceAllLiteral", &[Str, Str, Str], |call| Ok(literal(&*panicking(call)?, call))),
    fixed("mustRegexReplaceAllLiteral", &[Str, Str, Str], |call| Ok(literal(&*must(call)?, call))),
    fixed("regexSplit", &[Str, Str, Int], |call| Ok(split(&*panicking(call)?, call))),
    fixed("mustRegexSplit", &[Str, Str, Int], |call| Ok(split(&*must(call)?, call))),
    fixed("regexQuoteMeta", &[Str], |call| {
        let mut out = String::new();
        for letter in call.str(0).chars() {
            if r"\.+*?()|[]{}^$".contains(letter) {
                out.push('\\');
            }
            out.push(letter);
        }
        Ok(out.into())
    }),
];

thread_local! {
    /// What was compiled on this thread: charts use few expressions often. Shared, as a clone would search with new memory.
    static COMPILED: RefCell<HashMap<String, Result<Rc<Regex>, String>>> = RefCell::default();
}

/// The expression, or Go's error.
pub fn compiled(pattern: &str) -> Result<Rc<Regex>, String> {
    COMPILED.with_borrow_mut(|known| {
        if let Some(regex) = known.get(pattern) {
            return regex.clone();
        }
        let regex =
            translate(pattern).map_err(|problem| format!("error parsing regexp: {problem}")).and_then(|pattern| {
                let built = regex::RegexBuilder::new(&pattern).size_limit(32 << 20).build();
                built.map(Rc::new).map_err(|error| match error {
                    regex::Error::CompiledTooBig(_) => "error parsing regexp: expression too large".to_string(),
                    other => format!(
                        "error parsing regexp: {}",
                        other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")
                    ),
                })
            });
        known.insert(pattern.to_string(), regex.clone());
        regex
    })
}

fn must(call: &Call<'_>) -> Result<Rc<Regex>, Failure> {
    compiled(&call.str(0)).or_else(failure)
}

fn panicking(call: &Call<'_>) -> Result<Rc<Regex>, Failure> {
    let pattern = call.str(0);
    compiled(&pattern).or_else(|error| {
        let bare = !pattern.contains('`') && pattern.chars().all(|letter| letter >= ' ' || letter == '\t');
        let shown = if bare { format!("`{pattern}`") } else { quote(pattern.as_bytes(), false) };
        failure(format!("regexp: Compile({shown}): {error}"))
    })
}

fn find(regex: &Regex, call: &Call<'_>) -> Value {
    regex.find(&call.str(1)).map_or("", |found| found.as_str()).into()
}

fn find_all(regex: &Regex, call: &Call<'_>) -> Value {
    let most = usize::try_from(call.int(2)).unwrap_or(usize::MAX);
    let text = call.str(1);
    let found: Vec<&str> = regex.find_iter(&text).take(most).map(|found| found.as_str()).collect();
    if found.is_empty() { Value::nil_list(Element::Str) } else { Value::strings(found) }
}

fn replaced(regex: &Regex, call: &Call<'_>) -> Value {
    regex.replace_all(&call.str(1), &*call.str(2)).as_ref().into()
}

fn literal(regex: &Regex, call: &Call<'_>) -> Value {
    regex.replace_all(&call.str(1), regex::NoExpand(&call.str(2))).as_ref().into()
}

/// `Regexp.Split`.
fn split(regex: &Regex, call: &Call<'_>) -> Value {
    let (text, most) = (call.str(1), call.int(2));
    if most == 0 {
        return Value::nil_list(Element::Str);
    }
    if !call.str(0).is_empty() && text.is_empty() {
        return Value::strings([""]);
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(&text).take(most) {
        if parts.len() + 1 == most {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(&text[begin..end]);
        }
        begin = found.end();
    }
    if end != text.len() {
        parts.push(&text[begin..]);
    }
    Value::strings(parts)
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
        let lazy = if self.rest.starts_with('?') { self.take(1) } else { "" };
        let shown = &start[..length + lazy.len()];
        if !self.repeatable {
            return Err(format!("missing argument to repetition operator: `{shown}`"));
        }
        if let Some(before) = self.repeated {
            let both = &before[..before.len() - self.rest.len()];
            return Err(format!("invalid nested repetition operator: `{both}`"));
        }
        if let Some(counts) = operator.strip_prefix('{') {
            let counts: Vec<&str> = counts.trim_end_matches('}').split(',').collect();
            let numbers: Vec<usize> = counts.iter().filter_map(|count| count.parse().ok()).collect();
            if numbers.iter().any(|count| *count > 1000) || numbers.len() == 2 && numbers[0] > numbers[1] {
                return Err(format!("invalid repeat count: `{shown}`"));
            }
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
            None => Err("missing argument to repetition operator: `?`".to_string()),
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
            'C' => r"(?s:.)",
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
            'a' | 'f' | 't' | 'n' | 'r' | 'v' => Ok(self.take(2).to_string()),
            'p' | 'P' => {
                let length =
                    if start[2..].starts_with('{') { start.find('}').map_or(start.len(), |end| end + 1) } else { 3 };
                let class = self.take(length).to_string();
                match Regex::new(&class) {
                    Ok(_) => Ok(class),
                    Err(_) => Err(format!("invalid character class range: `{class}`")),
                }
            }
            'x' => {
                let length =
                    if start[2..].starts_with('{') { start.find('}').map_or(start.len(), |end| end + 1) } else { 4 };
                Ok(self.take(length).to_string())
            }
            '0'..='7' => {
                let octal = start[1..].bytes().take(3).take_while(|byte| (b'0'..b'8').contains(byte)).count();
                // One digit other than 0 would be a reference to a group, which RE2 does not have.
                if letter != '0' && octal < 2 {
                    return Err(format!("invalid escape sequence: `\\{letter}`"));
                }
                let number = u32::from_str_radix(&start[1..=octal], 8).unwrap_or(0);
                self.take(1 + octal);
                Ok(format!("\\x{{{number:x}}}"))
            }
            letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => {
                self.take(2);
                Ok(escaped(letter))
            }
            letter => Err(format!("invalid escape sequence: `\\{letter}`")),
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
            let before = self.rest;
            match letter {
                '[' if self.rest.starts_with("[:") && self.rest.contains(":]") => {
                    let length = self.rest.find(":]").unwrap_or(0) + 2;
                    out.push_str(self.take(length));
                }
                '\\' => out.push_str(&self.class_escape(start)?),
                '-' => {
                    self.take(1);
                    let end = self.rest.starts_with(']') || out == "[" || out == "[^" || out.ends_with("\\-");
                    out.push_str(if end { "\\-" } else { "-" });
                }
                letter => {
                    self.take(letter.len_utf8());
                    out.push_str(&escaped(letter));
                }
            }
            self.check_range(before, letter)?;
        }
        self.atom(&out);
        Ok(())
    }

    fn class_escape(&mut self, start: &str) -> Result<String, String> {
        let Some(letter) = self.rest[1..].chars().next() else {
            return Err(format!("missing closing ]: `{start}`"));
        };
        let plain = match letter {
            'd' => "0-9",
            'D' => "[^0-9]",
            'w' => "0-9A-Za-z_",
            'W' => "[^0-9A-Za-z_]",
            's' => r"\t\n\x0c\r ",
            'S' => r"[^\t\n\x0c\r ]",
            _ => return self.literal_escape(letter),
        };
        self.take(2);
        Ok(plain.to_string())
    }

    /// A range whose end comes before its start.
    fn check_range(&self, before: &str, low: char) -> Result<(), String> {
        let mut letters = before.chars().skip(1);
        if low == '\\' || low == '-' || letters.next() != Some('-') {
            return Ok(());
        }
        match letters.next() {
            Some(high) if high != ']' && high != '\\' && high < low => {
                Err(format!("invalid character class range: `{low}-{high}`"))
            }
            _ => Ok(()),
        }
    }
}

/// A letter that stands for itself, in and out of classes.
fn escaped(letter: char) -> String {
    if letter.is_ascii_punctuation()
        && !matches!(letter, '<' | '>' | '_' | '"' | '\'' | '/' | ',' | ';' | ':' | '=' | '!' | '@' | '%' | '`')
    {
        return format!("\\{letter}");
    }
    letter.to_string()
}

/// The length of `{n}`, `{n,}` or `{n,m}` at the start of a text.
fn repetition(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let inside = &text[1..end];
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!low.is_empty() && digits(low) && digits(high)).then_some(end + 1)
}
