//! Go's quoted strings and characters: `strconv.Quote`, `Unquote` and their kin.

/// Whether Go prints the character as it is (`unicode.IsPrint`).
pub fn is_print(letter: char) -> bool {
    if letter.is_ascii() {
        return (' '..='~').contains(&letter);
    }
    // As a second letter, so that combining marks count as printable.
    let pair: String = ['a', letter].iter().collect();
    pair.escape_debug().nth(1) == Some(letter) && !(letter.is_whitespace())
}

/// The letters of bytes: each a character, or a byte that is none.
pub fn letters(bytes: &[u8]) -> impl Iterator<Item = Result<char, u8>> + '_ {
    bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars().map(Ok).chain(chunk.invalid().iter().copied().map(Err)))
}

/// `strconv.Quote`, or `QuoteToASCII`.
pub fn quote(bytes: &[u8], ascii: bool) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for letter in letters(bytes) {
        match letter {
            Ok(letter) => escape(&mut text, letter, '"', ascii),
            Err(byte) => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

/// `strconv.QuoteRune`, or `QuoteRuneToASCII`.
pub fn quote_letter(letter: char, ascii: bool) -> String {
    let mut text = String::from("'");
    escape(&mut text, letter, '\'', ascii);
    text.push('\'');
    text
}

/// Writes one character of a quoted text.
fn escape(text: &mut String, letter: char, quote: char, ascii: bool) {
    if letter == quote || letter == '\\' {
        text.push('\\');
        text.push(letter);
        return;
    }
    if letter.is_ascii() && (' '..='~').contains(&letter) || !ascii && !letter.is_ascii() && is_print(letter) {
        text.push(letter);
        return;
    }
    match letter {
        '\u{7}' => text.push_str("\\a"),
        '\u{8}' => text.push_str("\\b"),
        '\u{c}' => text.push_str("\\f"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\u{b}' => text.push_str("\\v"),
        letter if letter < ' ' || letter == '\u{7f}' => text.push_str(&format!("\\x{:02x}", letter as u32)),
        letter if (letter as u32) < 0x10000 => text.push_str(&format!("\\u{:04x}", letter as u32)),
        letter => text.push_str(&format!("\\U{:08x}", letter as u32)),
    }
}

/// `strconv.CanBackquote`.
pub fn can_backquote(bytes: &[u8]) -> bool {
    letters(bytes).all(|letter| match letter {
        Ok('\u{feff}') => false,
        Ok(letter) if letter.is_ascii() => (letter >= ' ' || letter == '\t') && letter != '`' && letter != '\u{7f}',
        Ok(_) => true,
        Err(_) => false,
    })
}

/// `strconv.Unquote` of a text in double quotes or backquotes; `None` is invalid syntax.
pub fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    match (text[0], text[text.len() - 1]) {
        (b'`', b'`') => Some(inner.iter().copied().filter(|byte| *byte != b'\r').collect()),
        (b'"', b'"') if memchr::memchr3(b'\\', b'"', b'\n', inner).is_none() && std::str::from_utf8(inner).is_ok() => {
            Some(inner.to_vec())
        }
        (b'"', b'"') => {
            let mut bytes = Vec::with_capacity(inner.len());
            let mut rest = inner;
            while !rest.is_empty() {
                rest = unquote_step(rest, b'"', &mut bytes)?.0;
            }
            Some(bytes)
        }
        _ => None,
    }
}

/// `strconv.UnquoteChar`: the first character of a text, and what follows.
pub fn unquote_letter(text: &[u8], quote: u8) -> Option<(u32, &[u8])> {
    let mut bytes = Vec::new();
    let (rest, letter) = unquote_step(text, quote, &mut bytes)?;
    Some((letter, rest))
}

/// Takes one character or escape off the text.
fn unquote_step<'t>(text: &'t [u8], quote: u8, out: &mut Vec<u8>) -> Option<(&'t [u8], u32)> {
    let first = *text.first()?;
    if first == quote || first == b'\n' {
        return None;
    }
    if first.is_ascii() && first != b'\\' {
        out.push(first);
        return Some((&text[1..], u32::from(first)));
    }
    if first != b'\\' {
        let width = match letters(text).next()? {
            Ok(letter) => {
                out.extend_from_slice(&text[..letter.len_utf8()]);
                return Some((&text[letter.len_utf8()..], letter as u32));
            }
            Err(_) => 1,
        };
        out.extend_from_slice("\u{fffd}".as_bytes());
        return Some((&text[width..], 0xfffd));
    }
    let kind = *text.get(1)?;
    let rest = &text[2..];
    let simple = match kind {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        b'\'' | b'"' if kind == quote => kind,
        b'x' | b'u' | b'U' => return unquote_hexadecimal(kind, rest, out),
        b'0'..=b'7' => {
            let digits = text.get(1..4)?;
            let mut number = 0u32;
            for digit in digits {
                number = number * 8 + (*digit as char).to_digit(8)?;
            }
            let byte = u8::try_from(number).ok()?;
            out.push(byte);
            return Some((&text[4..], number));
        }
        _ => return None,
    };
    out.push(simple);
    Some((rest, u32::from(simple)))
}

/// `\xHH`, `\uHHHH`, `\UHHHHHHHH`.
fn unquote_hexadecimal<'t>(kind: u8, rest: &'t [u8], out: &mut Vec<u8>) -> Option<(&'t [u8], u32)> {
    let count = match kind {
        b'x' => 2,
        b'u' => 4,
        _ => 8,
    };
    let mut number = 0u32;
    for digit in rest.get(..count)? {
        number = (number << 4) | (*digit as char).to_digit(16)?;
    }
    if kind == b'x' {
        out.push(number as u8);
    } else {
        out.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some((&rest[count..], number))
}
