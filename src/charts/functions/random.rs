//! Randomness: texts, numbers, orders. It comes from the host.

use base64::Engine;

use super::fixed;
use crate::charts::template::Type::{Int, Str};
use crate::charts::template::{Call, Failure, Function, Host, Value, failure};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("randAlphaNum", &[Int], |call| {
        let mut text = letters(call, |byte| byte.is_ascii_alphanumeric());
        // There is a digit in it always, as in goutils.
        if !text.is_empty() && !text.iter().any(u8::is_ascii_digit) {
            let host = call.engine.host();
            let at = below(host, text.len() as u64) as usize;
            text[at] = b'0' + below(host, 10) as u8;
        }
        Ok(text.into())
    }),
    fixed("randAlpha", &[Int], |call| Ok(letters(call, |byte| byte.is_ascii_alphabetic()).into())),
    fixed("randNumeric", &[Int], |call| Ok(letters(call, |byte| byte.is_ascii_digit()).into())),
    fixed("randAscii", &[Int], |call| Ok(letters(call, |byte| (b' '..=b'~').contains(&byte)).into())),
    fixed("randBytes", &[Int], |call| match usize::try_from(call.int(0)) {
        Ok(count) if count <= LONGEST => {
            let mut bytes = vec![0; count];
            call.engine.host().random(&mut bytes);
            Ok(base64::engine::general_purpose::STANDARD.encode(bytes).into())
        }
        _ => failure("runtime error: makeslice: len out of range"),
    }),
    fixed("randInt", &[Int, Int], rand_int),
    fixed("shuffle", &[Str], |call| {
        let mut letters: Vec<char> = call.str(0).chars().collect();
        for index in (1..letters.len()).rev() {
            letters.swap(index, below(call.engine.host(), index as u64 + 1) as usize);
        }
        Ok(letters.into_iter().collect::<String>().into())
    }),
    fixed("uuidv4", &[], |call| {
        let mut bytes = [0; 16];
        call.engine.host().random(&mut bytes);
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into())
    }),
];

/// The longest random text that is made.
const LONGEST: usize = 1 << 24;

/// A number below a limit, each equally likely.
fn below(host: &dyn Host, limit: u64) -> u64 {
    let fair = u64::MAX - u64::MAX % limit;
    loop {
        let mut bytes = [0; 8];
        host.random(&mut bytes);
        let number = u64::from_le_bytes(bytes);
        if number < fair {
            return number % limit;
        }
    }
}

/// As many letters of a class as were asked for; none if that is no sensible number.
fn letters(call: &Call<'_>, class: fn(u8) -> bool) -> Vec<u8> {
    let count = usize::try_from(call.int(0)).unwrap_or(0).min(LONGEST);
    let mut text = Vec::with_capacity(count);
    let mut buffer = [0; 64];
    while text.len() < count {
        call.engine.host().random(&mut buffer);
        let fitting = buffer.iter().map(|byte| byte & 0x7f).filter(|byte| class(*byte));
        text.extend(fitting.take(count - text.len()));
    }
    text
}

fn rand_int(call: &Call<'_>) -> Result<Value, Failure> {
    let (low, high) = (call.int(0), call.int(1));
    match u64::try_from(i128::from(high) - i128::from(low)) {
        Ok(limit) if limit > 0 => Ok(Value::from(low.wrapping_add(below(call.engine.host(), limit) as i64))),
        _ => failure("invalid argument to Intn"),
    }
}
