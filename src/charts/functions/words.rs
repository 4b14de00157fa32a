//! Words: their letter case, first letters, width.

use super::fixed;
use crate::charts::template::Type::{Int, Str};
use crate::charts::template::{Call, Failure, Function, Value};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("upper", &[Str], |call| {
        Ok(call.str(0).chars().map(|letter| one(letter, letter.to_uppercase())).collect::<String>().into())
    }),
    fixed("lower", &[Str], |call| {
        Ok(call.str(0).chars().map(|letter| one(letter, letter.to_lowercase())).collect::<String>().into())
    }),
    fixed("title", &[Str], |call| Ok(title(&call.str(0)).into())),
    fixed("untitle", &[Str], |call| Ok(untitle(&call.str(0)).into())),
    fixed("swapcase", &[Str], |call| Ok(swap_case(&call.str(0)).into())),
    fixed("initials", &[Str], |call| Ok(initials(&call.text(0)).into())),
    fixed("nospace", &[Str], nospace),
    fixed("snakecase", &[Str], |call| Ok(lower_words(&call.str(0), '_').into())),
    fixed("kebabcase", &[Str], |call| Ok(lower_words(&call.str(0), '-').into())),
    fixed("camelcase", &[Str], |call| Ok(pascal_case(&call.str(0)).into())),
    fixed("wrap", &[Int, Str], |call| Ok(wrap(&call.text(1), call.int(0), b"\n", false).into())),
    fixed("wrapWith", &[Int, Str, Str], |call| {
        let line = call.text(1);
        let line: &[u8] = if line.is_empty() { b"\n" } else { &line };
        Ok(wrap(&call.text(2), call.int(0), line, true).into())
    }),
    fixed("abbrev", &[Int, Str], |call| abbreviate(call, 0, call.int(0), &call.text(1))),
    fixed("abbrevboth", &[Int, Int, Str], |call| {
        let (left, right) = (call.int(0), call.int(1));
        if right < 4 || left > 0 && right < 7 {
            return Ok(call.any(2).clone());
        }
        abbreviate(call, left, right, &call.text(2))
    }),
];

/// Go maps one letter to one letter.
fn one(letter: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(letter) } else { letter }
}

fn upper(letter: char) -> char {
    one(letter, letter.to_uppercase())
}

fn lower(letter: char) -> char {
    one(letter, letter.to_lowercase())
}

/// `strings.Title`.
fn title(text: &str) -> String {
    let mut before = ' ';
    let separator = |letter: char| match letter {
        '_' => false,
        letter if letter.is_ascii() => !letter.is_ascii_alphanumeric(),
        letter => !letter.is_alphanumeric() && letter.is_whitespace(),
    };
    text.chars()
        .map(|letter| {
            let changed = if separator(before) { upper(letter) } else { letter };
            before = letter;
            changed
        })
        .collect()
}

fn untitle(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|letter| {
            let changed = if start && !letter.is_whitespace() { lower(letter) } else { letter };
            start = letter.is_whitespace();
            changed
        })
        .collect()
}

fn swap_case(text: &str) -> String {
    let mut space = true;
    text.chars()
        .map(|letter| {
            if letter.is_uppercase() {
                space = false;
                lower(letter)
            } else if letter.is_lowercase() {
                space = false;
                upper(letter)
            } else {
                space = letter.is_whitespace();
                letter
            }
        })
        .collect()
}

/// Bytes taken for letters, as goutils does.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 11 | 12 | b'\r' | b' ' | 0x85 | 0xa0)
}

fn initials(text: &[u8]) -> String {
    let mut gap = true;
    let mut out = String::new();
    for &byte in text {
        if is_space(byte) {
            gap = true;
        } else if std::mem::take(&mut gap) {
            out.push(byte as char);
        }
    }
    out
}

fn nospace(call: &Call<'_>) -> Result<Value, Failure> {
    let text = call.text(0);
    if !text.iter().copied().any(is_space) {
        return Ok(text.into());
    }
    Ok(text.iter().filter(|byte| !is_space(**byte)).map(|byte| *byte as char).collect::<String>().into())
}

fn wrap(text: &[u8], width: i64, line: &[u8], long_words: bool) -> Vec<u8> {
    let width = width.max(1) as usize;
    let mut out = Vec::new();
    let mut offset = 0;
    while text.len() - offset > width {
        if text[offset] == b' ' {
            offset += 1;
            continue;
        }
        let space = memchr::memrchr(b' ', &text[offset..offset + width + 1]);
        let (end, next) = match space {
            Some(space) => (offset + space, offset + space + 1),
            None if long_words => (offset + width, offset + width),
            None => match memchr::memchr(b' ', &text[offset + width..]) {
                Some(space) => (offset + width + space, offset + width + space + 1),
                None => break,
            },
        };
        out.extend_from_slice(&text[offset..end]);
        out.extend_from_slice(line);
        offset = next;
    }
    out.extend_from_slice(&text[offset..]);
    out
}

fn abbreviate(call: &Call<'_>, offset: i64, width: i64, text: &[u8]) -> Result<Value, Failure> {
    if width < 4 {
        return Ok(call.any(call.arguments.len() - 1).clone());
    }
    let length = text.len() as i64;
    if length <= width {
        return Ok(text.to_vec().into());
    }
    let mut offset = offset.min(length);
    if length - offset < width - 3 {
        offset = length - (width - 3);
    }
    let part = |from: i64, to: i64| &text[from.clamp(0, length) as usize..to.clamp(0, length) as usize];
    if offset <= 4 {
        return Ok([part(0, width - 3), b"..."].concat().into());
    }
    if width < 7 {
        return Ok("".into());
    }
    if offset + width - 3 < length {
        let rest = part(offset, length);
        // The rest is abbreviated in turn, and is nothing if it would be too narrow.
        let inner = if width - 3 < 4 { Vec::new() } else { [&rest[..(width - 6) as usize], b"..."].concat() };
        return Ok([b"...".to_vec(), inner].concat().into());
    }
    Ok([b"...", part(length - (width - 3), length)].concat().into())
}

fn is_connector(letter: char) -> bool {
    letter == '-' || letter == '_' || letter.is_whitespace()
}

/// `xstrings.ToPascalCase`.
fn pascal_case(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let Some(start) = letters.iter().position(|letter| !is_connector(*letter)) else {
        // Of connectors alone the last one counts twice.
        return letters.iter().chain(letters.last()).collect();
    };
    out.extend(&letters[..start]);
    // The capitals behind the first one of a word are none.
    let mut in_capitals = letters[start].is_uppercase();
    let mut current = upper(letters[start]);
    for &next in &letters[start + 1..] {
        let before = current;
        current = next;
        match (is_connector(before), is_connector(current)) {
            (true, true) => out.push(before),
            (true, false) => {
                in_capitals = current.is_uppercase();
                current = upper(current);
            }
            (false, _) => {
                in_capitals &= current.is_uppercase();
                if in_capitals {
                    current = lower(current);
                }
                out.push(before);
            }
        }
    }
    out.push(current);
    out
}

/// What a run of letters is to `xstrings`.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    Invalid,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

/// Go's `unicode.IsPunct`, as far as words go.
fn is_punctuation(letter: char) -> bool {
    letter.is_ascii_punctuation() && !matches!(letter, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
        || matches!(letter, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}')
}

/// A letter of a script that has letter case, or one that has none.
fn is_alphabet(letter: char) -> bool {
    letter.is_alphabetic() && (letter.is_uppercase() || letter.is_lowercase() || letter.is_ascii())
}

/// Cuts the first run off a text.
fn next_run(letters: &[char]) -> (Run, &[char], &[char]) {
    let Some(&first) = letters.first() else { return (Run::Invalid, &[], &[]) };
    let while_ = |from: usize, test: &dyn Fn(char) -> bool| {
        from + letters[from..].iter().take_while(|letter| test(**letter)).count()
    };
    let (run, length) = if is_connector(first) {
        (Run::Connector, while_(1, &is_connector))
    } else if is_punctuation(first) {
        (Run::Punctuation, while_(1, &is_punctuation))
    } else if first.is_uppercase() {
        let length = match letters.get(1) {
            Some(second) if second.is_uppercase() => {
                let end = while_(2, &char::is_uppercase);
                end - usize::from(letters.get(end).is_some_and(|next| is_alphabet(*next)))
            }
            Some(second) if is_alphabet(*second) => while_(2, &|letter| is_alphabet(letter) && !letter.is_uppercase()),
            _ => 1,
        };
        (Run::Upper, length)
    } else if is_alphabet(first) {
        (Run::Alphabet, while_(1, &|letter| is_alphabet(letter) && !letter.is_uppercase()))
    } else if first.is_numeric() {
        (Run::Number, while_(1, &char::is_numeric))
    } else {
        let other = |letter: char| {
            !(is_connector(letter) || is_alphabet(letter) || letter.is_numeric() || is_punctuation(letter))
        };
        (Run::Other, while_(1, &other))
    };
    (run, &letters[..length], &letters[length..])
}

/// Writes a run in lower case, connectors as the one that was asked for.
fn push_lower(out: &mut String, run: Run, letters: &[char], connector: char) {
    for &letter in letters {
        out.push(match run {
            Run::Upper | Run::Connector if is_connector(letter) => connector,
            Run::Upper | Run::Connector => lower(letter),
            _ => letter,
        });
    }
}

/// `xstrings.ToSnakeCase` and `ToKebabCase`.
fn lower_words(text: &str, connector: char) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let (mut run, mut word, mut rest) = next_run(&letters);
    let breaks = |run: Run| run != Run::Connector && run != Run::Punctuation;
    while !rest.is_empty() {
        if run != Run::Connector {
            push_lower(&mut out, run, word, connector);
        }
        let (before, last) = (run, word);
        (run, word, rest) = next_run(rest);
        match before {
            Run::Number => {
                while run == Run::Alphabet || run == Run::Number {
                    push_lower(&mut out, run, word, connector);
                    (run, word, rest) = next_run(rest);
                }
                if run != Run::Invalid && breaks(run) {
                    out.push(connector);
                }
            }
            Run::Connector => push_lower(&mut out, before, last, connector),
            Run::Punctuation => {}
            _ if run != Run::Number => {
                if breaks(run) {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (run, word, rest) = next_run(rest);
                if run != Run::Alphabet {
                    push_lower(&mut out, Run::Number, number, connector);
                    if breaks(run) {
                        out.push(connector);
                    }
                    continue;
                }
                out.push(connector);
                push_lower(&mut out, Run::Number, number, connector);
                while run == Run::Alphabet || run == Run::Number {
                    push_lower(&mut out, run, word, connector);
                    (run, word, rest) = next_run(rest);
                }
                if run != Run::Invalid && breaks(run) {
                    out.push(connector);
                }
            }
        }
    }
    push_lower(&mut out, run, word, connector);
    out
}
