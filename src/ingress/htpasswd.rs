//! Users and hashes of their passwords, as `htpasswd` writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Pairs that were right lately, so that slow hashes are not computed for every request.
const REMEMBERED: usize = 1024;

/// Who may enter.
pub struct Users {
    hashes: HashMap<String, String>,
    /// SHA-256 of user and password.
    right: Mutex<HashSet<[u8; 32]>>,
}

impl fmt::Debug for Users {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} users", self.hashes.len())
    }
}

impl Users {
    /// The lines of a file.
    pub fn of_file(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pairs = lines.map(|line| line.split_once(':').ok_or("a line without `:`".to_string()));
        Self::of(pairs.map(|pair| pair.map(|(user, hash)| (user.to_string(), hash.to_string()))))
    }

    /// Keys as users, values as hashes.
    pub fn of_map(data: BTreeMap<String, String>) -> Result<Self, String> {
        Self::of(data.into_iter().map(|(user, hash)| Ok((user, hash.trim().to_string()))))
    }

    fn of(pairs: impl Iterator<Item = Result<(String, String), String>>) -> Result<Self, String> {
        let hashes = pairs.collect::<Result<HashMap<_, _>, _>>()?;
        if let Some((user, _)) = hashes.iter().find(|(_, hash)| Kind::of(hash).is_none()) {
            return Err(format!(
                "the password of `{user}` is hashed in a way that is not built in: bcrypt, apr1 and SHA are"
            ));
        }
        Ok(Self { hashes, right: Mutex::default() })
    }

    /// Whether an `Authorization` header has a user and the right password. May compute for a while.
    pub fn admit(&self, header: &str) -> bool {
        let Some((user, password)) = credentials(header) else { return false };
        let Some(hash) = self.hashes.get(&user) else { return false };
        let mark = <sha2::Sha256 as sha2::Digest>::digest(format!("{user}\0{password}").as_bytes()).into();
        if self.right.lock().contains(&mark) {
            return true;
        }
        let is_right = Kind::of(hash).is_some_and(|kind| kind.fits(hash, &password));
        if is_right {
            let mut right = self.right.lock();
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(mark);
        }
        is_right
    }

    /// Whether it is known already that a header is right.
    pub fn knows(&self, header: &str) -> bool {
        credentials(header).is_some_and(|(user, password)| {
            let mark: [u8; 32] =
                <sha2::Sha256 as sha2::Digest>::digest(format!("{user}\0{password}").as_bytes()).into();
            self.right.lock().contains(&mark)
        })
    }
}

fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.into(), password.into()))
}

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Apr1,
    Sha,
}

impl Kind {
    fn of(hash: &str) -> Option<Self> {
        let starts = [
            ("$2y$", Kind::Bcrypt),
            ("$2a$", Kind::Bcrypt),
            ("$2b$", Kind::Bcrypt),
            ("$apr1$", Kind::Apr1),
            ("{SHA}", Kind::Sha),
        ];
        starts.iter().find(|(start, _)| hash.starts_with(start)).map(|(_, kind)| *kind)
    }

    fn fits(self, hash: &str, password: &str) -> bool {
        let computed = match self {
            Kind::Bcrypt => return bcrypt::verify(password, hash).unwrap_or(false),
            Kind::Apr1 => apr1(password, hash),
            Kind::Sha => {
                let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
                Some(format!("{{SHA}}{}", STANDARD.encode(digest)))
            }
        };
        computed.is_some_and(|computed| same(computed.as_bytes(), hash.as_bytes()))
    }
}

/// Compares in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |found, (one, other)| found | (one ^ other)) == 0
}

/// Apache's variant of MD5, a thousand rounds.
fn apr1(password: &str, hash: &str) -> Option<String> {
    use md5::{Digest, Md5};
    let salt = hash.strip_prefix("$apr1$")?.split('$').next()?;
    let (word, salt) = (password.as_bytes(), &salt.as_bytes()[..salt.len().min(8)]);
    let inner = Md5::new().chain_update(word).chain_update(salt).chain_update(word).finalize();
    let mut outer = Md5::new().chain_update(word).chain_update(b"$apr1$").chain_update(salt);
    (0..word.len()).for_each(|index| outer.update([inner[index % 16]]));
    let mut length = word.len();
    while length > 0 {
        outer.update(if length & 1 == 1 { &[0][..] } else { &word[..1] });
        length >>= 1;
    }
    let mut sum = outer.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        let is_odd = round & 1 == 1;
        if is_odd {
            next.update(word)
        } else {
            next.update(sum)
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(word);
        }
        if is_odd {
            next.update(sum)
        } else {
            next.update(word)
        }
        sum = next.finalize();
    }
    let order = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let mut text = String::from_utf8([b"$apr1$", salt, b"$"].concat()).ok()?;
    for [high, middle, low] in order {
        push(&mut text, u32::from(sum[high]) << 16 | u32::from(sum[middle]) << 8 | u32::from(sum[low]), 4);
    }
    push(&mut text, u32::from(sum[11]), 2);
    Some(text)
}

fn push(text: &mut String, mut bits: u32, letters: usize) {
    const LETTERS: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..letters {
        text.push(LETTERS[(bits & 63) as usize] as char);
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn the_right_password_enters_however_it_is_hashed() {
        // `openssl passwd -apr1 -salt r31.....  myPassword`, and `htpasswd -s`.
        let bcrypt = bcrypt::hash("three", 4).unwrap();
        let text = format!(
            "# users\none:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\ntwo:{{SHA}}qvTGHdzF6KLavt4PO0gs2a6pQ00=\nthree:{bcrypt}\n"
        );
        let users = Users::of_file(&text).unwrap();
        for (pair, expected) in [
            ("one:myPassword", true),
            ("one:other", false),
            ("two:hello", true),
            ("two:x", false),
            ("three:three", true),
            ("four:x", false),
            ("three", false),
        ] {
            assert_eq!(users.admit(&header(pair)), expected, "{pair}");
        }
        assert!(users.knows(&header("three:three")) && !users.knows(&header("three:four")));
        assert!(!users.admit("Bearer x"));
        assert!(Users::of_file("plain:secret").is_err());
    }
}
