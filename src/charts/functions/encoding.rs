//! Texts in other forms: JSON as sprig has it, Base64, Base32, hashes that are not secrets.

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine};
use sha2::Digest;

use super::fixed;
use super::json::{self, Style};
use crate::charts::template::Type::{Any, Str};
use crate::charts::template::{Call, Failure, Function, Value, failure};

const PLAIN: Style = Style { html: true, pretty: false };
const PRETTY: Style = Style { html: true, pretty: true };
const RAW: Style = Style { html: false, pretty: false };

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("toPrettyJson", &[Any], |call| Ok(json::encode(call.any(0), PRETTY).unwrap_or_default().into())),
    fixed("mustToPrettyJson", &[Any], |call| encoded(call, PRETTY)),
    fixed("toRawJson", &[Any], |call| encoded(call, RAW)),
    fixed("mustToRawJson", &[Any], |call| encoded(call, RAW)),
    fixed("toJson", &[Any], |call| Ok(json::encode(call.any(0), PLAIN).unwrap_or_default().into())),
    fixed("mustToJson", &[Any], |call| encoded(call, PLAIN)),
    fixed("mustFromJson", &[Str], |call| json::decode(&call.text(0)).or_else(failure)),
    fixed("b64enc", &[Str], |call| Ok(STANDARD.encode(call.text(0).as_bytes()).into())),
    fixed("b64dec", &[Str], |call| Ok(base64_decoded(&call.text(0)))),
    fixed("b32enc", &[Str], |call| Ok(base32_encoded(&call.text(0)).into())),
    fixed("b32dec", &[Str], |call| Ok(base32_decoded(&call.text(0)))),
    fixed("sha1sum", &[Str], |call| {
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &call.text(0));
        Ok(hex::encode(digest).into())
    }),
    fixed("sha256sum", &[Str], |call| Ok(hex::encode(sha2::Sha256::digest(&*call.text(0))).into())),
    fixed("sha512sum", &[Str], |call| Ok(hex::encode(sha2::Sha512::digest(&*call.text(0))).into())),
    fixed("adler32sum", &[Str], |call| Ok(adler32(&call.text(0)).to_string().into())),
];

fn encoded(call: &Call<'_>, style: Style) -> Result<Value, Failure> {
    json::encode(call.any(0), style).map(Value::from).or_else(failure)
}

fn illegal(what: &str, at: usize) -> Value {
    format!("illegal {what} data at input byte {at}").into()
}

/// sprig gives the error as the text.
fn base64_decoded(text: &[u8]) -> Value {
    let bare: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let lenient = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    match lenient.decode(&bare) {
        Ok(bytes) => bytes.into(),
        Err(error) => illegal("base64", base64_error(text, &bare, &error)),
    }
}

/// Where Go says that the text is wrong.
fn base64_error(text: &[u8], bare: &[u8], _error: &DecodeError) -> usize {
    let place = |at: usize| {
        let counted = text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
        counted.map(|(index, _)| index).nth(at).unwrap_or(text.len())
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut at = 0;
    while at < bare.len() {
        let group = &bare[at..bare.len().min(at + 4)];
        match group.iter().position(|byte| !letter(*byte)) {
            None if group.len() == 4 => at += 4,
            // Go counts from the start of the group that is not whole.
            None => return place(bare.len()).saturating_sub(group.len()),
            Some(found @ (2 | 3)) if group[found] == b'=' => {
                if found == 2 && group.get(3) != Some(&b'=') {
                    return if group.len() == 3 { text.len() } else { place(at + 3) };
                }
                return place(at + 4);
            }
            Some(found) => return place(at + found),
        }
    }
    place(at)
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32_encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(5) {
        let mut block = [0u8; 8];
        block[3..3 + group.len()].copy_from_slice(group);
        let number = u64::from_be_bytes(block);
        let letters = (group.len() * 8).div_ceil(5);
        for index in 0..8 {
            let letter = BASE32[(number >> (35 - 5 * index)) as usize & 31];
            out.push(if index < letters { letter as char } else { '=' });
        }
    }
    out
}

fn base32_decoded(text: &[u8]) -> Value {
    let bare: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut out = Vec::new();
    for (index, group) in bare.chunks(8).enumerate() {
        let letters = group.iter().position(|byte| *byte == b'=').unwrap_or(group.len());
        let mut number = 0u64;
        for (place, byte) in group[..letters].iter().enumerate() {
            let Some(digit) = BASE32.iter().position(|letter| letter == byte) else {
                return illegal("base32", index * 8 + place);
            };
            number |= (digit as u64) << (35 - 5 * place);
        }
        let last = (index + 1) * 8 >= bare.len();
        let padded = group[letters..].iter().all(|byte| *byte == b'=');
        if group.len() != 8 {
            let place = match letters {
                letters if letters == group.len() => index * 8,
                0 | 1 => index * 8 + letters,
                _ => bare.len(),
            };
            return illegal("base32", place);
        }
        if !padded || !matches!(letters, 2 | 4 | 5 | 7 | 8) || letters < 8 && !last {
            return illegal("base32", index * 8 + letters);
        }
        out.extend_from_slice(&number.to_be_bytes()[3..3 + letters * 5 / 8]);
    }
    out.into()
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1u32, 0u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    (high << 16) | low
}
