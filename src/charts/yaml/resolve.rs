//! What a plain scalar is: YAML 1.1 as go-yaml has it.

use crate::charts::template::{parse_float, parse_int, parse_uint};

/// A scalar's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// `<<`, the key of a merge.
    Merge,
    /// A moment, which JSON has as its text.
    Timestamp,
    Str,
}

/// Resolves a plain scalar without a tag. Version 3 knows fewer booleans.
pub(super) fn resolve(text: &str, old_booleans: bool) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text, old_booleans),
        b'.' => match word(text, old_booleans) {
            Scalar::Str => parse_float(text).map_or(Scalar::Str, Scalar::Float),
            known => known,
        },
        b'+' | b'-' | b'0'..=b'9' => match word(text, old_booleans) {
            Scalar::Str => number(text, old_booleans),
            known => known,
        },
        _ => Scalar::Str,
    }
}

/// Whether a text is one of the booleans of YAML 1.1 that version 3 quotes but does not read.
pub(super) fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    )
}

fn word(text: &str, old_booleans: bool) -> Scalar {
    match text {
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if old_booleans => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if old_booleans => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        "<<" => Scalar::Merge,
        _ => Scalar::Str,
    }
}

fn number(text: &str, old: bool) -> Scalar {
    if is_timestamp(text) {
        return Scalar::Timestamp;
    }
    let plain = if text.contains('_') { text.replace('_', "") } else { text.to_string() };
    if let Ok(int) = parse_int(&plain, 0) {
        return Scalar::Int(int);
    }
    if let Ok(uint) = parse_uint(&plain, 0) {
        return Scalar::Uint(uint);
    }
    if is_float(&plain)
        && let Ok(float) = parse_float(&plain)
    {
        return Scalar::Float(float);
    }
    let binary = if let Some(digits) = plain.strip_prefix("0b") {
        parse_int(digits, 2)
    } else if let Some(digits) = plain.strip_prefix("-0b") {
        parse_int(&format!("-{digits}"), 2)
    } else if !old && let Some(digits) = plain.strip_prefix("0o") {
        parse_int(digits, 8)
    } else {
        return Scalar::Str;
    };
    binary.map_or(Scalar::Str, Scalar::Int)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = digits(rest);
    let mut rest = &rest[whole..];
    if let Some(after) = rest.strip_prefix('.') {
        let fraction = digits(after);
        if whole == 0 && fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    } else if whole == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}

/// Whether a text is `year-month-day`, perhaps with a time.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    const LAYOUTS: [&str; 4] =
        ["2006-1-2T15:4:5.999999999Z07:00", "2006-1-2t15:4:5.999999999Z07:00", "2006-1-2 15:4:5.999999999", "2006-1-2"];
    LAYOUTS.iter().any(|layout| crate::charts::template::parse_time(layout, text).is_ok())
}

/// Numbers to the base 60, which YAML 1.1 has and go-yaml quotes.
pub(super) fn is_base_60(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['+', '-']).or(Some(text)).filter(|_| text.contains(':')) else { return false };
    let mut parts = rest.split(':');
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|letter: char| letter.is_ascii_digit())
        || !first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
    {
        return false;
    }
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return false };
    let sixty = |part: &str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    };
    let (whole, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|part| sixty(part))
        && sixty(whole)
        && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}
