//! OpenPGP keyrings: who may sign, signing, and whether a signature is good. The one place that names the crate `pgp`.
//!
//! Keyrings are files of keys, binary or armoured, and GnuPG's keybox. A signature counts if its key is in the ring, is
//! bound to itself (and a subkey to its main key, both ways), and neither is revoked or expired.

use super::super::Error;
use pgp::armor::Dearmor;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable, PublicOrSecret, SignedPublicKey, SignedPublicSubKey,
    SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, KeyVersion, Password, Tag, Timestamp};
use std::io::Read;
use std::path::Path;

const START: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const END: &str = "-----END PGP SIGNATURE-----";
const ARMOUR: &str = "-----BEGIN PGP ";
/// Hashes that are too weak to be believed.
const WEAK: &[HashAlgorithm] = &[HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Ripemd160];

/// The owner of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// `Name (Comment) <address>`, each.
    pub names: Vec<String>,
    /// Of the main key, in upper case.
    pub fingerprint: String,
}

/// Keys of a file.
pub struct Keyring(Vec<PublicOrSecret>);

fn refused<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Chart(text.into()))
}

impl Keyring {
    /// The keys of a file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let data = std::fs::read(path).map_err(|error| Error::io("open", path, &error))?;
        Self::parse(&data)
    }

    fn parse(data: &[u8]) -> Result<Self, Error> {
        let binary = match std::str::from_utf8(data) {
            _ if data.get(8..12) == Some(b"KBXf") => keybox(data),
            Ok(text) if text.trim_start().starts_with(ARMOUR) => unarmoured(text)?,
            _ => data.to_vec(),
        };
        let keys = keys(&binary);
        if keys.is_empty() && !binary.is_empty() {
            return refused("openpgp: invalid data: no key can be read");
        }
        Ok(Self(keys))
    }

    /// The key that is called `id`, or the only one whose name contains it.
    fn named(&self, id: &str) -> Result<&PublicOrSecret, Error> {
        let named = |key: &&PublicOrSecret, is_it: &dyn Fn(&str) -> bool| names(key).iter().any(|name| is_it(name));
        if let Some(exact) = self.0.iter().find(|key| named(key, &|name| name == id)) {
            return Ok(exact);
        }
        let mut close = self.0.iter().filter(|key| named(key, &|name| name.contains(id)));
        match (close.next(), close.next()) {
            (_, Some(_)) => refused(format!("more than one key contain the id {id:?}")),
            (Some(key), None) => Ok(key),
            (None, None) => refused("private key not found"),
        }
    }

    /// Signs a text in clear.
    pub fn sign(
        &self,
        id: &str,
        passphrase: &dyn Fn(&str) -> Result<Vec<u8>, Error>,
        text: &str,
    ) -> Result<String, Error> {
        let key = self.named(id)?;
        let PublicOrSecret::Secret(secret) = key else {
            return refused("provided key is not a private key. Try providing a keyring with secret keys");
        };
        let main = &secret.primary_key;
        let password = match main.secret_params().is_encrypted() {
            true => {
                let name = names(key).into_iter().next().unwrap_or_else(|| "Unknown".into());
                Password::from(&passphrase(&name)?[..])
            }
            false => Password::empty(),
        };
        if main.unlock(&password, |_, _| Ok(())).and_then(|opened| opened).is_err() {
            return refused("openpgp: invalid data: private key checksum failure");
        }
        if main.version() != KeyVersion::V4 {
            return refused(format!("openpgp: keys of version {:?} cannot sign", main.version()));
        }
        let failed = |error: pgp::errors::Error| Error::Chart(format!("openpgp: {error}"));
        let message = clear_signed(main, &password, text).map_err(failed)?;
        let options = ArmorOptions { headers: None, include_checksum: false };
        Ok(message.to_armored_string(options).map_err(failed)?.trim_end().to_string())
    }

    /// The text of a clear-signed message, if a key of this ring signed it, and whose that is.
    pub fn check(&self, file: &str) -> Result<(String, Signer), Error> {
        let missing = || Error::Chart("signature block not found".into());
        let start = file.find(START).ok_or_else(missing)?;
        let end = file[start..].find(END).ok_or_else(missing)? + start + END.len();
        let message = CleartextSignedMessage::from_string(&file[start..end]);
        let (message, _) = message.map_err(|_| missing())?;
        let text = message.signed_text();
        let mut problem = "signature made by unknown entity".to_string();
        for signature in message.signatures() {
            for key in &self.0 {
                let key = match key {
                    PublicOrSecret::Public(key) => key.clone(),
                    PublicOrSecret::Secret(key) => key.to_public_key(),
                };
                match check_by(signature, &key, text.as_bytes()) {
                    None => {}
                    Some(Err(why)) => problem = why,
                    Some(Ok(())) => return Ok((text.replace("\r\n", "\n"), signer(&key))),
                }
            }
        }
        refused(format!("openpgp: {problem}"))
    }
}

fn clear_signed(
    key: &pgp::packet::SecretKey,
    password: &Password,
    text: &str,
) -> Result<CleartextSignedMessage, pgp::errors::Error> {
    let mut config = SignatureConfig::v4(SignatureType::Text, key.algorithm(), HashAlgorithm::Sha512);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::now()))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
    ];
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?];
    CleartextSignedMessage::new(text, config, key, password)
}

fn names(key: &PublicOrSecret) -> Vec<String> {
    let details = match key {
        PublicOrSecret::Public(key) => &key.details,
        PublicOrSecret::Secret(key) => &key.details,
    };
    details.users.iter().map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).collect()
}

fn signer(key: &SignedPublicKey) -> Signer {
    Signer {
        names: key.details.users.iter().map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).collect(),
        fingerprint: hex::encode_upper(key.fingerprint().as_bytes()),
    }
}

/// Whether a key made a signature; nothing if the signature does not name it.
fn check_by(signature: &Signature, key: &SignedPublicKey, text: &[u8]) -> Option<Result<(), String>> {
    let is_named = |one: &dyn KeyDetails| {
        signature.issuer_fingerprint().into_iter().any(|found| *found == one.fingerprint())
            || signature.issuer_key_id().into_iter().any(|found| *found == one.legacy_key_id())
    };
    if is_named(&key.primary_key) {
        return Some(check_signature(signature, text, &key.primary_key).and_then(|()| check_key(key)));
    }
    let subkey = key.public_subkeys.iter().find(|subkey| is_named(&subkey.key))?;
    let checked = check_signature(signature, text, &subkey.key);
    Some(checked.and_then(|()| check_key(key)).and_then(|()| check_subkey(key, subkey)))
}

fn check_signature(signature: &Signature, text: &[u8], key: &impl pgp::types::VerifyingKey) -> Result<(), String> {
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err("invalid signature: it is of another kind".into());
    }
    if signature.hash_alg().is_none_or(|hash| WEAK.contains(&hash)) {
        return Err("invalid signature: insecure hash algorithm".into());
    }
    // The library says in a test of its own that the first two bytes differ.
    let words = |error: String| match error.contains("invalid signed hash value") {
        true => "hash tag doesn't match".into(),
        false => error,
    };
    signature.verify(key, text).map_err(|error| format!("invalid signature: {}", words(error.to_string())))?;
    let lifetime = signature.signature_expiration_time().map(|lifetime| lifetime.as_secs());
    match is_over(signature.created(), lifetime) {
        true => Err("signature expired".into()),
        false => Ok(()),
    }
}

/// Whether something that was made at a time has outlived its lifetime in seconds; none, and 0, is for ever.
fn is_over(made: Option<Timestamp>, lifetime: Option<u32>) -> bool {
    let Some(lifetime) = lifetime.filter(|lifetime| *lifetime > 0) else { return false };
    let end = made.map_or(0, |made| u64::from(made.as_secs())) + u64::from(lifetime);
    end < u64::from(Timestamp::now().as_secs())
}

/// The newest of signatures that are good.
fn newest<'a>(
    signatures: impl IntoIterator<Item = &'a Signature>,
    is_good: impl Fn(&Signature) -> bool,
) -> Option<&'a Signature> {
    signatures.into_iter().filter(|one| is_good(one)).max_by_key(|one| one.created().map(Timestamp::as_secs))
}

/// Whether a main key is neither revoked nor expired.
fn check_key(key: &SignedPublicKey) -> Result<(), String> {
    let main = &key.primary_key;
    if key.details.revocation_signatures.iter().any(|one| one.verify_key(main).is_ok()) {
        return Err("signature made by revoked key".into());
    }
    let direct = newest(&key.details.direct_signatures, |one| one.verify_key(main).is_ok());
    let own = key.details.users.iter().filter_map(|user| {
        newest(&user.signatures, |one| {
            one.is_certification() && one.verify_certification(main, Tag::UserId, &user.id).is_ok()
        })
    });
    let Some(newest) = newest(own.chain(direct), |_| true) else {
        return Err("invalid signature: the key is not bound to any name".into());
    };
    let lifetime = newest.key_expiration_time().map(|lifetime| lifetime.as_secs());
    match is_over(Some(main.created_at()), lifetime) {
        true => Err("key expired".into()),
        false => Ok(()),
    }
}

/// Whether a subkey belongs to its main key, may sign, and is neither revoked nor expired.
fn check_subkey(key: &SignedPublicKey, subkey: &SignedPublicSubKey) -> Result<(), String> {
    let bound = |one: &Signature| one.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok();
    let is = |one: &Signature, kind: SignatureType| one.typ() == Some(kind);
    if subkey.signatures.iter().any(|one| is(one, SignatureType::SubkeyRevocation) && bound(one)) {
        return Err("signature made by revoked key".into());
    }
    let binding = newest(&subkey.signatures, |one| is(one, SignatureType::SubkeyBinding) && bound(one));
    let binding = binding.ok_or("invalid signature: the subkey is not bound to its key")?;
    let agrees = |back: &Signature| back.verify_primary_key_binding(&subkey.key, &key.primary_key).is_ok();
    if !binding.key_flags().sign() || !binding.embedded_signature().is_some_and(agrees) {
        return Err("invalid signature: the subkey may not sign".into());
    }
    let lifetime = binding.key_expiration_time().map(|lifetime| lifetime.as_secs());
    match is_over(Some(subkey.key.created_at()), lifetime) {
        true => Err("key expired".into()),
        false => Ok(()),
    }
}

/// Every key of a file that can be read; packets of other kinds and keys of other versions are left out.
fn keys(data: &[u8]) -> Vec<PublicOrSecret> {
    let mut groups: Vec<Vec<Packet>> = Vec::new();
    for packet in PacketParser::new(data).flatten() {
        match packet {
            Packet::PublicKey(_) | Packet::SecretKey(_) => groups.push(vec![packet]),
            // What GnuPG remembers of trust stands between a name and its signatures.
            Packet::Trust(_) | Packet::Marker(_) => {}
            other => groups.last_mut().into_iter().for_each(|group| group.push(other.clone())),
        }
    }
    let key = |group: Vec<Packet>| {
        let is_secret = matches!(group.first(), Some(Packet::SecretKey(_)));
        let packets = group.into_iter().map(Ok).peekable();
        match is_secret {
            true => SignedSecretKey::from_packets(packets).next()?.ok().map(PublicOrSecret::Secret),
            false => SignedPublicKey::from_packets(packets).next()?.ok().map(PublicOrSecret::Public),
        }
    };
    groups.into_iter().filter_map(key).collect()
}

/// The bytes of every armoured block of a text.
fn unarmoured(text: &str) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    let starts: Vec<usize> = text.match_indices(ARMOUR).map(|(start, _)| start).collect();
    for (place, start) in starts.iter().enumerate() {
        let block = &text[*start..starts.get(place + 1).copied().unwrap_or(text.len())];
        let read = Dearmor::new(block.as_bytes()).read_to_end(&mut all);
        read.map_err(|error| Error::Chart(format!("openpgp: invalid data: {error}")))?;
    }
    Ok(all)
}

/// The keys of a keybox (`pubring.kbx`): blobs with a length of four bytes, a kind, and where in it the key lies.
fn keybox(data: &[u8]) -> Vec<u8> {
    const OPENPGP: u8 = 2;
    let number = |blob: &[u8], at: usize| {
        blob.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(|bytes| u32::from_be_bytes(bytes) as usize)
    };
    let (mut all, mut rest) = (Vec::new(), data);
    while let Some(length) = number(rest, 0).filter(|length| (5..=rest.len()).contains(length)) {
        let (blob, after) = rest.split_at(length);
        if blob[4] == OPENPGP
            && let (Some(start), Some(length)) = (number(blob, 8), number(blob, 12))
            && let Some(key) = blob.get(start..start.saturating_add(length))
        {
            all.extend_from_slice(key);
        }
        rest = after;
    }
    all
}
