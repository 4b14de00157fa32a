//! Decimal numbers, exact in sums and products, as sprig computes with.

use crate::charts::template::{Failure, failure};

/// A whole number times a power of ten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    digits: i128,
    exponent: i32,
}

/// Places after the point of a quotient.
const PLACES: i32 = 16;

impl Decimal {
    /// The decimal that a float is printed as.
    pub fn new(number: f64) -> Result<Self, Failure> {
        if !number.is_finite() {
            return failure(format!(
                "Cannot create a Decimal from {}",
                crate::charts::template::format_float(number, 'g', None)
            ));
        }
        Ok(Self::shortest(number))
    }

    fn shortest(number: f64) -> Self {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        let digits = mantissa.replace('.', "").parse().unwrap_or(0);
        Decimal { digits, exponent: exponent.parse::<i32>().unwrap_or(0) - places }
    }

    /// The same digits with the point elsewhere, which may be farther than a float reaches.
    fn shifted(self, places: i32) -> Self {
        Decimal { exponent: self.exponent + places, ..self }
    }

    /// The float next to it.
    pub fn to_float(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(0.0)
    }

    /// Both with the same exponent, if the digits suffice.
    fn aligned(self, other: Self) -> Option<(i128, i128, i32)> {
        let exponent = self.exponent.min(other.exponent);
        let scaled = |number: Self| {
            let power = 10i128.checked_pow((number.exponent - exponent) as u32);
            if number.digits == 0 { Some(0) } else { number.digits.checked_mul(power?) }
        };
        Some((scaled(self)?, scaled(other)?, exponent))
    }

    /// The sum.
    pub fn add(self, other: Self) -> Result<Self, Failure> {
        let exact =
            self.aligned(other).and_then(|(a, b, exponent)| Some(Decimal { digits: a.checked_add(b)?, exponent }));
        Ok(exact.unwrap_or_else(|| Self::shortest(self.to_float() + other.to_float())))
    }

    /// The difference.
    pub fn sub(self, other: Self) -> Result<Self, Failure> {
        self.add(Decimal { digits: -other.digits, exponent: other.exponent })
    }

    /// The product.
    pub fn mul(self, other: Self) -> Result<Self, Failure> {
        let exact = self.digits.checked_mul(other.digits);
        Ok(match exact {
            Some(digits) => Decimal { digits, exponent: self.exponent + other.exponent },
            None => Self::shortest(self.digits as f64 * other.digits as f64).shifted(self.exponent + other.exponent),
        })
    }

    /// The quotient, rounded to 16 places, halves away from zero.
    pub fn div(self, other: Self) -> Result<Self, Failure> {
        if other.digits == 0 {
            return failure("decimal division by 0");
        }
        let shift = self.exponent - other.exponent + PLACES;
        let (mut above, mut below) = (Some(self.digits), Some(other.digits));
        match u32::try_from(shift) {
            Ok(shift) => above = 10i128.checked_pow(shift).and_then(|power| self.digits.checked_mul(power)),
            Err(_) => {
                below = 10i128.checked_pow(shift.unsigned_abs()).and_then(|power| other.digits.checked_mul(power))
            }
        }
        let (above, below) = match (above, below) {
            (Some(above), Some(below)) => (above, below),
            // So small that none of its places is left.
            (_, None) => return Ok(Decimal { digits: 0, exponent: 0 }),
            (None, _) => {
                let quotient = Self::shortest(self.digits as f64 / other.digits as f64);
                return Ok(quotient.shifted(self.exponent - other.exponent));
            }
        };
        let (mut digits, rest) = (above / below, above % below);
        if rest.unsigned_abs() * 2 >= below.unsigned_abs() {
            digits += if (above < 0) == (below < 0) { 1 } else { -1 };
        }
        Ok(Decimal { digits, exponent: -PLACES })
    }
}
