//! Passwords, hashes of passwords, and a cipher.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::cipher::Aes256;
use super::fixed;
use crate::charts::template::Type::{Str, Uint32};
use crate::charts::template::{Call, Failure, Function, Value, failure};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("bcrypt", &[Str], |call| Ok(bcrypt_hash(call, &call.text(0)).into())),
    fixed("htpasswd", &[Str, Str], |call| {
        let name = call.str(0);
        if name.contains(':') {
            return Ok(format!("invalid username: {name}").into());
        }
        Ok(format!("{name}:{}", bcrypt_hash(call, &call.text(1))).into())
    }),
    fixed("derivePassword", &[Uint32, Str, Str, Str, Str], derive_password),
    fixed("encryptAES", &[Str, Str], encrypt),
    fixed("decryptAES", &[Str, Str], decrypt),
];

/// bcrypt's usual cost.
const COST: u32 = 10;

fn bcrypt_hash(call: &Call<'_>, password: &[u8]) -> String {
    if password.len() > 72 {
        return "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".into();
    }
    let mut salt = [0; 16];
    call.engine.host().random(&mut salt);
    match bcrypt::hash_with_salt(password, COST, salt) {
        Ok(hash) => hash.format_for_version(bcrypt::Version::TwoA),
        Err(error) => format!("failed to encrypt string with bcrypt: {error}"),
    }
}

/// The forms of passwords by type.
const FORMS: &[(&str, &[&str])] = &[
    ("maximum", &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
    (
        "long",
        &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
    ),
    ("medium", &["CvcnoCvc", "CvcCvcno"]),
    ("short", &["Cvcn"]),
    ("basic", &["aaanaaan", "aannaaan", "aaannaaa"]),
    ("pin", &["nnnn"]),
];

/// The letters of a class of a form.
fn class(letter: u8) -> &'static [u8] {
    match letter {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The Master Password algorithm.
fn derive_password(call: &Call<'_>) -> Result<Value, Failure> {
    const SEED: &[u8] = b"com.lyndir.masterpassword";
    let counter = match call.any(0) {
        Value::Uint(counter, _) => *counter as u32,
        _ => 0,
    };
    let kind = call.str(1);
    let Some((_, forms)) = FORMS.iter().find(|(name, _)| *name == kind) else {
        return Ok(format!("cannot find password template {kind}").into());
    };
    let (password, user, site) = (call.text(2), call.text(3), call.text(4));
    let salt = [SEED, &(user.len() as u32).to_be_bytes(), &user].concat();
    let mut key = [0; 64];
    let derived = scrypt::Params::new(15, 8, 2).map_err(|error| error.to_string()).and_then(|parameters| {
        scrypt::scrypt(&password, &salt, &parameters, &mut key).map_err(|error| error.to_string())
    });
    if let Err(problem) = derived {
        return Ok(format!("failed to derive password: {problem}").into());
    }
    let message = [SEED, &(site.len() as u32).to_be_bytes(), &site, &counter.to_be_bytes()].concat();
    let seed = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key), &message);
    let seed = seed.as_ref();
    let form = forms[usize::from(seed[0]) % forms.len()];
    let letters = form.bytes().zip(&seed[1..]).map(|(letter, byte)| {
        let class = class(letter);
        class[usize::from(*byte) % class.len()]
    });
    Ok(letters.collect::<Vec<u8>>().into())
}

/// A password as a key: cut or filled with zeros.
fn key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let length = password.len().min(32);
    key[..length].copy_from_slice(&password[..length]);
    key
}

/// CBC with padding as PKCS#7 has it; the first block is the random start.
fn encrypt(call: &Call<'_>) -> Result<Value, Failure> {
    let (password, text) = (call.text(0), call.text(1));
    if text.is_empty() {
        return Ok("".into());
    }
    let cipher = Aes256::new(&key(&password));
    let padding = 16 - text.len() % 16;
    let mut plain = text.to_vec();
    plain.resize(text.len() + padding, padding as u8);
    let mut before = [0; 16];
    call.engine.host().random(&mut before);
    let mut out = before.to_vec();
    for block in plain.chunks_exact(16) {
        for (byte, other) in before.iter_mut().zip(block) {
            *byte ^= other;
        }
        before = cipher.encrypt(before);
        out.extend_from_slice(&before);
    }
    Ok(STANDARD.encode(out).into())
}

fn decrypt(call: &Call<'_>) -> Result<Value, Failure> {
    let (password, text) = (call.text(0), call.text(1));
    if text.is_empty() {
        return Ok("".into());
    }
    let Ok(bytes) = STANDARD.decode(&*text) else {
        return failure("illegal base64 data at input byte 0");
    };
    if bytes.len() < 32 || bytes.len() % 16 != 0 {
        return failure("crypto/cipher: input not full blocks");
    }
    let cipher = Aes256::new(&key(&password));
    let mut out = Vec::with_capacity(bytes.len());
    for (block, before) in bytes[16..].chunks_exact(16).zip(bytes.chunks_exact(16)) {
        let mut plain = [0; 16];
        plain.copy_from_slice(block);
        plain = cipher.decrypt(plain);
        out.extend(plain.iter().zip(before).map(|(byte, other)| byte ^ other));
    }
    let padding = usize::from(*out.last().unwrap_or(&0));
    if padding > out.len() {
        return failure("runtime error: slice bounds out of range");
    }
    out.truncate(out.len() - padding);
    Ok(out.into())
}
