//! Quantities (`100m`, `1Gi`, `2e3`) as numbers. Source of the syntax: apimachinery `pkg/api/resource/quantity.go`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// A quantity in billionths of its unit: the finest that the API keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

const NANO: i128 = 1_000_000_000;

impl Amount {
    /// The quantity in `text`, or nothing if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let kept = &fraction[..fraction.len().min(9)];
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let parts: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
        let nanos = whole.checked_mul(NANO)? + parts * 10i128.pow(9 - kept.len() as u32);
        let scaled = scale(nanos, suffix)?;
        Some(Self(if negative { -scaled } else { scaled }))
    }

    /// An amount of whole units.
    pub fn units(units: i64) -> Self {
        Self(i128::from(units) * NANO)
    }

    /// Thousandths, rounded up.
    pub fn milli(self) -> i64 {
        clamp(self.0.div_euclid(1_000_000) + i128::from(self.0.rem_euclid(1_000_000) != 0))
    }

    /// Whole units, rounded up.
    pub fn value(self) -> i64 {
        clamp(self.0.div_euclid(NANO) + i128::from(self.0.rem_euclid(NANO) != 0))
    }

    /// Whole multiples of `divisor`, rounded up; nothing for a divisor of zero.
    pub fn in_units_of(self, divisor: Self) -> Option<i64> {
        (divisor.0 != 0).then(|| clamp(self.0.div_euclid(divisor.0) + i128::from(self.0.rem_euclid(divisor.0) != 0)))
    }

    /// Whether it is more than nothing.
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }
}

impl std::ops::Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

fn clamp(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn scale(nanos: i128, suffix: &str) -> Option<i128> {
    let binary = |power: u32| nanos.checked_mul(1i128 << (10 * power));
    let decimal = |exponent: i32| match exponent {
        0.. => nanos.checked_mul(10i128.checked_pow(exponent as u32)?),
        _ => Some(nanos / 10i128.checked_pow(exponent.unsigned_abs())?),
    };
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => Some(nanos),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => decimal(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

/// The amount of `name` in a resource list; zero when it is missing.
pub fn of(list: Option<&BTreeMap<String, Quantity>>, name: &str) -> Amount {
    list.and_then(|list| list.get(name)).and_then(|quantity| Amount::parse(&quantity.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_is_understood() {
        for (text, milli) in
            [("100m", 100), ("1", 1000), ("0.5", 500), ("1k", 1_000_000), ("1Ki", 1_024_000), ("2e3", 2_000_000)]
        {
            assert_eq!(Amount::parse(text).unwrap().milli(), milli, "{text}");
        }
        assert_eq!(Amount::parse("1500m").unwrap().value(), 2);
        assert_eq!(Amount::parse("1n").unwrap().milli(), 1);
        assert!(Amount::parse("").is_none());
        assert!(Amount::parse("1Zi").is_none());
    }

    #[test]
    fn division_rounds_up_as_the_downward_api_does() {
        let memory = Amount::parse("65Mi").unwrap();
        assert_eq!(memory.in_units_of(Amount::parse("1Mi").unwrap()), Some(65));
        assert_eq!(Amount::parse("1500m").unwrap().in_units_of(Amount::units(1)), Some(2));
        assert_eq!(memory.in_units_of(Amount::default()), None);
    }
}
