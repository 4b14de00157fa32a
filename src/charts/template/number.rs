//! Numbers as Go's `strconv` reads and writes them.

/// Digits behind the point that a float can have: the smallest is 2^-1074. Any behind those are zeros.
const MOST_DIGITS: usize = 1100;

/// A float in one of Go's formats (`e E f g G b x X`); a precision of `None` is the shortest that reads back.
pub fn format_float(number: f64, format: char, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    match format {
        'b' => return binary_exponent(number),
        'x' | 'X' => return hexadecimal(number, precision, format == 'X'),
        _ => {}
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let number = number.abs();
    let text = match format {
        'e' | 'E' => exponent_form(number, precision, format),
        'f' => match precision {
            Some(precision) => {
                let zeros = "0".repeat(precision.saturating_sub(MOST_DIGITS));
                format!("{number:.*}{zeros}", precision.min(MOST_DIGITS))
            }
            None => format!("{number}"),
        },
        _ => general_form(number, precision, format),
    };
    format!("{sign}{text}")
}

/// `%e`: one digit, the point, the others, an exponent of two digits at least.
fn exponent_form(number: f64, precision: Option<usize>, format: char) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.*e}", precision.min(MOST_DIGITS)),
        None => format!("{number:e}"),
    };
    let zeros = "0".repeat(precision.unwrap_or(0).saturating_sub(MOST_DIGITS));
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let letter = if format == 'E' || format == 'G' { 'E' } else { 'e' };
    format!("{digits}{zeros}{letter}{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `%g`: `%e` for large and small exponents, `%f` otherwise.
fn general_form(number: f64, precision: Option<usize>, format: char) -> String {
    let precision = precision.map(|precision| precision.max(1));
    let text = match precision {
        Some(precision) => format!("{number:.*e}", (precision - 1).min(MOST_DIGITS)),
        None => format!("{number:e}"),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    while digits.len() > 1 && digits.ends_with('0') {
        digits.pop();
    }
    let length = digits.len() as i32;
    let limit = match precision {
        None => 6,
        Some(precision) if precision as i32 > length && length > exponent => length,
        Some(precision) => precision as i32,
    };
    if (exponent < -4 || exponent >= limit) && number != 0.0 {
        let fraction = if length > 1 { format!("{}.{}", &digits[..1], &digits[1..]) } else { digits };
        let letter = if format == 'G' { 'E' } else { 'e' };
        return format!("{fraction}{letter}{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    plain(&digits, exponent)
}

/// Digits with the point where the exponent puts it.
fn plain(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{}.{}", &digits[..whole], &digits[whole..])
}

/// Mantissa and exponent of a float, as `strconv` splits it.
fn parts(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    let mantissa = bits & ((1 << 52) - 1);
    if exponent == 0 { (mantissa, -1022) } else { (mantissa | (1 << 52), exponent - 1023) }
}

/// `%b`: the mantissa and a power of two.
fn binary_exponent(number: f64) -> String {
    let (mantissa, exponent) = parts(number);
    let sign = if number.is_sign_negative() { "-" } else { "" };
    format!("{sign}{mantissa}p{:+}", exponent - 52)
}

/// `%x`: hexadecimal mantissa and a power of two.
fn hexadecimal(number: f64, precision: Option<usize>, upper: bool) -> String {
    let (mut mantissa, mut exponent) = parts(number);
    if mantissa == 0 {
        exponent = 0;
    }
    mantissa <<= 8;
    while mantissa != 0 && mantissa & (1 << 60) == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = precision * 4;
        let extra = (mantissa << shift) & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        if extra | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut text = String::from(if number.is_sign_negative() { "-0x" } else { "0x" });
    text.push(if (mantissa >> 60) & 1 == 1 { '1' } else { '0' });
    mantissa <<= 4;
    if precision.map_or(mantissa != 0, |precision| precision > 0) {
        text.push('.');
    }
    let mut digits = 0;
    while precision.map_or(mantissa != 0, |precision| digits < precision) {
        text.push_str(&format!("{:x}", (mantissa >> 60) & 15));
        mantissa <<= 4;
        digits += 1;
    }
    text.push_str(&format!("p{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
    if upper { text.to_uppercase() } else { text }
}

/// A float as Go's `encoding/json` writes it.
pub fn json_float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format_float(number, 'e', None);
        // One digit of exponent where one is enough: e-09 becomes e-9.
        return match text.len().checked_sub(4) {
            Some(cut) if text[cut..].starts_with("e-0") => format!("{}{}", &text[..cut + 2], &text[cut + 3..]),
            _ => text,
        };
    }
    format_float(number, 'f', None)
}

/// Why a number did not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is no number.
    Syntax,
    /// It does not fit.
    Range,
}

impl Bad {
    /// `strconv`'s words.
    pub fn text(self) -> &'static str {
        match self {
            Bad::Syntax => "invalid syntax",
            Bad::Range => "value out of range",
        }
    }
}

/// `strconv.ParseUint`; base 0 takes the prefixes `0x 0o 0b 0` and underscores.
pub fn parse_uint(text: &str, base: u32) -> Result<u64, Bad> {
    let (digits, radix) = match base {
        0 => prefix(text),
        base => (text, base),
    };
    if digits.is_empty() {
        return Err(Bad::Syntax);
    }
    let mut number: u64 = 0;
    let mut overflow = false;
    for letter in digits.chars() {
        if letter == '_' && base == 0 {
            continue;
        }
        let digit = letter.to_digit(radix).ok_or(Bad::Syntax)?;
        match number.checked_mul(u64::from(radix)).and_then(|number| number.checked_add(u64::from(digit))) {
            Some(next) => number = next,
            None => overflow = true,
        }
    }
    if base == 0 && text.contains('_') && !underscores_fit(text) {
        return Err(Bad::Syntax);
    }
    if overflow { Err(Bad::Range) } else { Ok(number) }
}

/// Digits and radix of a number with a prefix.
fn prefix(text: &str) -> (&str, u32) {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'0') || bytes.len() < 2 {
        return (text, 10);
    }
    match bytes[1] {
        b'x' | b'X' if bytes.len() > 2 => (&text[2..], 16),
        b'o' | b'O' if bytes.len() > 2 => (&text[2..], 8),
        b'b' | b'B' if bytes.len() > 2 => (&text[2..], 2),
        _ => (&text[1..], 8),
    }
}

/// Whether underscores stand between digits only (or after a prefix).
pub fn underscores_fit(text: &str) -> bool {
    let bytes = text.trim_start_matches(['+', '-']).as_bytes();
    let mut before = b'^';
    let mut start = 0;
    let mut hexadecimal = false;
    if bytes.len() >= 2 && bytes[0] == b'0' && matches!(bytes[1] | 0x20, b'b' | b'o' | b'x') {
        before = b'0';
        start = 2;
        hexadecimal = bytes[1] | 0x20 == b'x';
    }
    for &byte in &bytes[start..] {
        if byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit() {
            before = b'0';
        } else if byte == b'_' {
            if before != b'0' {
                return false;
            }
            before = b'_';
        } else {
            if before == b'_' {
                return false;
            }
            before = b'!';
        }
    }
    before != b'_'
}

/// `strconv.ParseInt` of 64 bits.
pub fn parse_int(text: &str, base: u32) -> Result<i64, Bad> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'+') => (false, &text[1..]),
        Some(b'-') => (true, &text[1..]),
        _ => (false, text),
    };
    let number = parse_uint(digits, base)?;
    match (negative, number) {
        (false, number) if number <= i64::MAX as u64 => Ok(number as i64),
        (true, number) if number <= 1 << 63 => Ok((number as i64).wrapping_neg()),
        _ => Err(Bad::Range),
    }
}

/// `strconv.ParseFloat` of 64 bits: decimal, hexadecimal with exponent, `inf`, `nan`.
pub fn parse_float(text: &str) -> Result<f64, Bad> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let lower = unsigned.to_ascii_lowercase();
    let signed = |number: f64| if negative { -number } else { number };
    match lower.as_str() {
        "inf" | "infinity" => return Ok(signed(f64::INFINITY)),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    if let Some(digits) = lower.strip_prefix("0x") {
        return if underscores_fit(&lower) {
            hexadecimal_float(&digits.replace('_', "")).map(signed)
        } else {
            Err(Bad::Syntax)
        };
    }
    if lower.contains('_') && !underscores_fit(&lower) {
        return Err(Bad::Syntax);
    }
    let lower = lower.replace('_', "");
    let well_formed = lower.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'));
    if !well_formed {
        return Err(Bad::Syntax);
    }
    let number: f64 = lower.parse().map_err(|_| Bad::Syntax)?;
    if number.is_infinite() { Err(Bad::Range) } else { Ok(signed(number)) }
}

/// The part of a hexadecimal float after `0x`.
fn hexadecimal_float(text: &str) -> Result<f64, Bad> {
    let (digits, exponent) = text.split_once('p').ok_or(Bad::Syntax)?;
    let exponent: i32 = exponent.parse().map_err(|_| Bad::Syntax)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(Bad::Syntax);
    }
    let mut number = 0f64;
    for letter in whole.chars().chain(fraction.chars()) {
        number = number * 16.0 + f64::from(letter.to_digit(16).ok_or(Bad::Syntax)?);
    }
    let number = number * 2f64.powi(exponent.saturating_sub(4 * fraction.len() as i32));
    if number.is_infinite() { Err(Bad::Range) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::format_float;

    #[test]
    fn a_float_has_as_many_digits_as_are_asked_for() {
        for digits in [3, 1100, 65_536, 1_000_000] {
            assert_eq!(format_float(0.5, 'f', Some(digits)), format!("0.5{}", "0".repeat(digits - 1)));
            assert_eq!(format_float(-2.5, 'e', Some(digits)), format!("-2.5{}e+00", "0".repeat(digits - 1)));
            assert_eq!(format_float(2.5, 'g', Some(digits)), "2.5");
        }
        let smallest = format_float(f64::from_bits(1), 'f', Some(70_000));
        assert_eq!((smallest.len(), smallest.trim_end_matches('0').len()), (70_002, 1076));
    }
}
