//! Patterns of file names: Go's `path.Match` (ignore rules, `--show-only`) and the globs of `.Files.Glob`.

use std::cell::Cell;

/// Steps that one match may take: a pattern made to take for ever matches nothing.
const STEPS: usize = 1_000_000;

/// The pattern is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Go's `filepath.Match`: `*` and `?` stop at `/`, `[a-z]`, `[^a]`, `\` quotes. The whole name must match.
pub fn matches(pattern: &str, name: &str) -> Result<bool, Malformed> {
    // A malformed pattern is reported even if the name already failed, as Go does.
    check(pattern)?;
    Ok(here(pattern, name, &Cell::new(STEPS)))
}

/// Whether a step is left.
fn step(steps: &Cell<usize>) -> bool {
    steps.set(steps.get().saturating_sub(1));
    steps.get() > 0
}

/// The first letter and what is behind it.
fn split(text: &str) -> Option<(char, &str)> {
    let mut letters = text.chars();
    letters.next().map(|first| (first, letters.as_str()))
}

fn check(pattern: &str) -> Result<(), Malformed> {
    let mut rest = pattern;
    while let Some((first, after)) = split(rest) {
        rest = match first {
            '[' => class(rest, '\0').ok_or(Malformed)?.1,
            '\\' => split(after).ok_or(Malformed)?.1,
            _ => after,
        };
    }
    Ok(())
}

fn here(pattern: &str, name: &str, steps: &Cell<usize>) -> bool {
    let Some((first, after)) = split(pattern) else { return name.is_empty() };
    if !step(steps) {
        return false;
    }
    if first == '*' {
        let reach = name.find('/').unwrap_or(name.len());
        return (0..=reach).any(|skip| name.is_char_boundary(skip) && here(after, &name[skip..], steps));
    }
    let Some((letter, behind)) = split(name) else { return false };
    match first {
        '?' => letter != '/' && here(after, behind, steps),
        '[' => class(pattern, letter).is_some_and(|(hit, rest)| hit && here(rest, behind, steps)),
        '\\' => split(after).is_some_and(|(quoted, after)| quoted == letter && here(after, behind, steps)),
        first => first == letter && here(after, behind, steps),
    }
}

/// Whether `c` is in the class that `pattern` starts with, and the pattern after it; `None` if it is malformed.
fn class(pattern: &str, c: char) -> Option<(bool, &str)> {
    let mut rest = &pattern[1..];
    let negated = rest.starts_with('^');
    if negated {
        rest = &rest[1..];
    }
    let mut hit = false;
    let mut ranges = 0;
    loop {
        if rest.starts_with(']') && ranges > 0 {
            return Some((hit != negated, &rest[1..]));
        }
        let (low, after) = class_char(rest)?;
        let (high, after) = match split(after)? {
            ('-', after) => class_char(after)?,
            _ => (low, after),
        };
        hit |= (low..=high).contains(&c);
        ranges += 1;
        rest = after;
    }
}

fn class_char(rest: &str) -> Option<(char, &str)> {
    match split(rest)? {
        ('-' | ']', _) => None,
        ('\\', after) => split(after),
        found => Some(found),
    }
}

/// A glob of `.Files.Glob` (gobwas/glob with `/` as separator): `*`, `**`, `?`, `[a-z]`, `[!a]`, `{a,b}`, `\` quotes.
#[derive(Debug)]
pub struct Glob {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Char(char),
    /// `?`: one character but `/`.
    One,
    /// `*`: any number of characters but `/`.
    Any,
    /// `**`: any number of characters.
    Super,
    Class {
        negated: bool,
        singles: Vec<char>,
        range: Option<(char, char)>,
    },
    Either(Vec<Vec<Part>>),
}

impl Glob {
    /// Parses a glob. As in Helm, a malformed one matches everything.
    pub fn new(pattern: &str) -> Self {
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        let parsed = parse(&chars, &mut at, 0);
        Self { parts: parsed.filter(|_| at == chars.len()).unwrap_or_else(|| vec![Part::Super]) }
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let parts: Vec<&Part> = self.parts.iter().collect();
        glob_here(&parts, &name, &Cell::new(STEPS))
    }
}

/// Parts until the end, or inside braces until `,` or `}`.
fn parse(chars: &[char], at: &mut usize, depth: usize) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    // Deeper nesting than anybody writes; the recursion stays bounded.
    if depth > 16 {
        return None;
    }
    while let Some(c) = chars.get(*at) {
        if depth > 0 && matches!(c, ',' | '}') {
            break;
        }
        *at += 1;
        parts.push(match c {
            '*' if chars.get(*at) == Some(&'*') => {
                *at += 1;
                Part::Super
            }
            '*' => Part::Any,
            '?' => Part::One,
            '[' => glob_class(chars, at)?,
            '{' => alternatives(chars, at, depth)?,
            '\\' => {
                let quoted = *chars.get(*at)?;
                *at += 1;
                Part::Char(quoted)
            }
            c => Part::Char(*c),
        });
    }
    Some(parts)
}

fn alternatives(chars: &[char], at: &mut usize, depth: usize) -> Option<Part> {
    let mut all = Vec::new();
    loop {
        all.push(parse(chars, at, depth + 1)?);
        // Braces need not be closed.
        let end = chars.get(*at).copied().unwrap_or('}');
        *at = chars.len().min(*at + 1);
        if end == '}' {
            return Some(Part::Either(all));
        }
    }
}

fn glob_class(chars: &[char], at: &mut usize) -> Option<Part> {
    let negated = chars.get(*at) == Some(&'!');
    *at += usize::from(negated);
    let end = *at + chars[*at..].iter().position(|c| *c == ']')?;
    let body = &chars[*at..end];
    *at = end + 1;
    match body {
        [] => None,
        [low, '-', high] if low <= high => Some(Part::Class { negated, singles: vec![], range: Some((*low, *high)) }),
        [_, '-', _] => None,
        _ => Some(Part::Class { negated, singles: body.to_vec(), range: None }),
    }
}

fn glob_here(parts: &[&Part], name: &[char], steps: &Cell<usize>) -> bool {
    let Some((first, after)) = parts.split_first() else { return name.is_empty() };
    if !step(steps) {
        return false;
    }
    let one = |accept: &dyn Fn(char) -> bool| {
        name.split_first().is_some_and(|(c, rest)| accept(*c) && glob_here(after, rest, steps))
    };
    match first {
        Part::Char(wanted) => one(&|c| c == *wanted),
        Part::One => one(&|c| c != '/'),
        Part::Class { negated, singles, range } => {
            one(&|c| (singles.contains(&c) || range.is_some_and(|(low, high)| low <= c && c <= high)) != *negated)
        }
        Part::Any => {
            let reach = name.iter().take_while(|c| **c != '/').count();
            (0..=reach).any(|skip| glob_here(after, &name[skip..], steps))
        }
        Part::Super => (0..=name.len()).any(|skip| glob_here(after, &name[skip..], steps)),
        Part::Either(all) => all.iter().any(|inner| {
            let joined: Vec<&Part> = inner.iter().chain(after.iter().copied()).collect();
            glob_here(&joined, name, steps)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, wanted) in [
            ("abc", "abc", true),
            ("a*c", "abbc", true),
            ("a*", "ab/c", false),
            ("*/c", "ab/c", true),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            ("a\\*", "a*", true),
            ("templates/subdir/role*", "templates/subdir/rolebinding.yaml", true),
        ] {
            assert_eq!(matches(pattern, name), Ok(wanted), "{pattern} {name}");
        }
        for pattern in ["[", "[]a]", "a[", "[a-]", "a\\", "[^]"] {
            assert_eq!(matches(pattern, "zzz"), Err(Malformed), "{pattern}");
        }
    }

    #[test]
    fn globs_match_as_in_gobwas() {
        for (pattern, name, wanted) in [
            ("*", "a.txt", true),
            ("*", "a/b.txt", false),
            ("**", "a/b.txt", true),
            ("**.txt", "a/b.txt", true),
            ("ship/**", "ship/captain.txt", true),
            ("{ship,boat}/*.txt", "boat/a.txt", true),
            ("a[!b]c", "abc", false),
            ("a[x-z]", "ay", true),
            ("files/*.{yaml,yml}", "files/a.yml", true),
            ("a\\*", "a*", true),
            ("a{b", "ab", true),
            ("a{b", "anything/at all", false),
            ("{a.txt,{b.txt", "b.txt", true),
            ("a[b", "anything/at all", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_made_to_take_for_ever_ends() {
        let (pattern, name) = ("*a".repeat(40), "a".repeat(200));
        assert_eq!(matches(&format!("{pattern}b"), &name), Ok(false));
        assert!(!Glob::new(&format!("{pattern}b")).matches(&name));
    }
}
