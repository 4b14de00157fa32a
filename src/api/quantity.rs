//! Quantities: amounts with a suffix, such as `500m`, `2Gi` or `1e3`.
//!
//! Source: k8s.io/apimachinery `pkg/api/resource/quantity.go`. Exact down to a billionth; what is finer is rounded up.

use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;

/// How an amount was written, and is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Decimal,
    Binary,
    Exponent,
}

/// An amount. Two are equal and ordered by what they are worth, not by how they are written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct NotAQuantity;

impl Quantity {
    /// A whole number of units.
    pub fn whole(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANO, form: Form::Decimal }
    }

    /// Reads a JSON value: a string or a number.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, NotAQuantity> {
        match value {
            serde_json::Value::String(text) => text.parse(),
            serde_json::Value::Number(number) => number.to_string().parse(),
            _ => Err(NotAQuantity),
        }
    }

    /// In whole units, rounded up: bytes, or processors.
    pub fn units(self) -> i64 {
        clamp(ceiling(self.nanos, NANO))
    }

    /// In thousandths, rounded up: what processors are counted in.
    pub fn milli(self) -> i64 {
        clamp(ceiling(self.nanos, NANO / 1000))
    }

    /// Below, at or above zero.
    pub fn sign(self) -> i32 {
        self.nanos.signum() as i32
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether it is a whole number of thousandths.
    pub fn is_milli(self) -> bool {
        self.nanos % (NANO / 1000) == 0
    }

    /// The sum, written as the first of the two.
    pub fn plus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos), form: self.form }
    }

    /// The difference, written as the first of the two.
    pub fn minus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_sub(other.nanos), form: self.form }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

fn clamp(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

fn ceiling(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0)
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(NotAQuantity);
        }
        let (multiplier, form) = scale(suffix)?;
        let nanos = worth(whole, fraction, multiplier)?;
        Ok(Self { nanos: if negative { -nanos } else { nanos }, form })
    }
}

/// What a suffix multiplies with: a power of two, or of ten.
#[derive(Clone, Copy)]
enum Scale {
    Two(u32),
    Ten(i32),
}

fn scale(suffix: &str) -> Result<(Scale, Form), NotAQuantity> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(index) = binary.iter().position(|known| *known == suffix) {
        return Ok((Scale::Two(10 * (index as u32 + 1)), Form::Binary));
    }
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if let Some(index) = decimal.iter().position(|known| *known == suffix) {
        return Ok((Scale::Ten(3 * (index as i32 - 3)), Form::Decimal));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse::<i32>().ok());
    exponent.map(|power| (Scale::Ten(power), Form::Exponent)).ok_or(NotAQuantity)
}

/// Nano units of `whole.fraction × scale`, rounded up; amounts beyond all measure are the greatest there is.
fn worth(whole: &str, fraction: &str, scale: Scale) -> Result<i128, NotAQuantity> {
    // Twelve digits after the point are more than a billionth of the smallest suffix needs.
    let fraction = &fraction[..fraction.len().min(12)];
    let digits: i128 = match whole.trim_start_matches('0').len() {
        0..=19 => format!("0{whole}{fraction}").parse().map_err(|_| NotAQuantity)?,
        _ => return Ok(i128::from(i64::MAX) * NANO),
    };
    let power = match scale {
        Scale::Two(bits) => {
            let by = 10i128.pow(fraction.len() as u32);
            let product = digits.saturating_mul(1 << bits);
            let most = i128::from(i64::MAX) * by;
            if product >= most {
                return Ok(i128::from(i64::MAX) * NANO);
            }
            return Ok(product / by * NANO + ceiling(product % by * NANO, by));
        }
        Scale::Ten(power) => power + 9 - fraction.len() as i32,
    };
    let most = i128::from(i64::MAX) * NANO;
    Ok(match power {
        ..-37 => i128::from(digits > 0),
        -37..0 => ceiling(digits, 10i128.pow(-power as u32)),
        0..38 => digits.saturating_mul(10i128.pow(power as u32)).min(most),
        _ if digits == 0 => 0,
        _ => most,
    })
}

impl fmt::Display for Quantity {
    /// The canonical form: the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let is_small = self.nanos.abs() < 1024 * NANO;
        match self.form {
            Form::Binary if !is_small => {
                let mut number = ceiling(self.nanos, NANO);
                let mut steps = 0;
                while number % 1024 == 0 && steps < 6 {
                    number /= 1024;
                    steps += 1;
                }
                write!(f, "{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][steps])
            }
            form => {
                let (mut number, mut steps) = (self.nanos, 0);
                while number % 1000 == 0 && steps < 9 {
                    number /= 1000;
                    steps += 1;
                }
                match form {
                    Form::Exponent if steps != 3 => write!(f, "{number}e{}", 3 * (steps as i32 - 3)),
                    _ => write!(f, "{number}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][steps]),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>().unwrap().to_string()
    }

    #[test]
    fn the_canonical_form_has_the_largest_suffix() {
        let cases = [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Ki", "1Mi"),
            ("2000", "2k"),
            ("0", "0"),
            ("1e3", "1e3"),
            ("1E", "1E"),
            ("-1.5", "-1500m"),
            ("0.1Ki", "102400m"),
            ("100", "100"),
            ("+1", "1"),
            ("1.0", "1"),
            (".5", "500m"),
            ("5.", "5"),
            ("1000Mi", "1000Mi"),
            ("0.0000000001", "1n"),
            ("1.123456789012Ei", "1295257491548492070"),
        ];
        for (text, wanted) in cases {
            assert_eq!(canonical(text), wanted, "{text}");
        }
    }

    #[test]
    fn worth_counts_and_spelling_does_not() {
        let quantity = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(quantity("1Gi"), quantity("1073741824"));
        assert!(quantity("1G") < quantity("1Gi"));
        assert_eq!(quantity("250m").milli(), 250);
        assert_eq!(quantity("2Ki").units(), 2048);
        assert_eq!(quantity("1m").units(), 1);
        assert_eq!(quantity("-1").sign(), -1);
    }

    #[test]
    fn amounts_beyond_measure_do_not_overflow() {
        for text in ["99999999999999999999999999Ei", "1e99", "9999999999999999999E", "1e-99"] {
            text.parse::<Quantity>().unwrap().to_string();
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "a", "1x", "1.2.3", "1 Gi", ".", "--1", "1ki", "1e", "é"] {
            assert_eq!(text.parse::<Quantity>(), Err(NotAQuantity), "{text}");
        }
    }
}
