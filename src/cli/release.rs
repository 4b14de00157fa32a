//! Releases of this executable: where they are, which is the latest, and that one is whose it says it is.
//!
//! The layout is the one that `.ci/release` makes and `install.sh` reads: `latest/download/VERSION`, and per version
//! `download/vV/SHA256SUMS` with its raw Ed25519 signature `SHA256SUMS.sig` and the archives that it sums.

use super::{Context, Exit, Failure};
use crate::base::Hint;
use crate::base::causes::chain;
use crate::config::Preferences;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::cmp::Ordering;
use std::time::Duration;

/// The version of this executable, without a `v`.
pub const OWN: &str = env!("CARGO_PKG_VERSION");
/// What a release build has put in.
const BUILT_IN: (Option<&str>, Option<&str>) = (option_env!("CORACLE_RELEASES"), option_env!("CORACLE_RELEASE_KEY"));
/// How long a server may take to accept, and to go on.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that a list of checksums, a signature or a version may have.
const LIMIT: usize = 1 << 20;

/// Where releases are, and whose they must be.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct From {
    /// Where releases are; by default what `coracle config set releases` or the build says
    #[arg(long, value_name = "URL", env = "CORACLE_RELEASES")]
    releases: Option<String>,
    /// The Ed25519 public key of releases; by default what `coracle config set release-key` or the build says
    #[arg(long, value_name = "HEX", env = "CORACLE_RELEASE_KEY")]
    key: Option<String>,
}

/// Why there is no release to be had, or none that can be trusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("where are releases? this executable has no place built in")]
    NoPlace,
    #[error("this executable does not know the key of releases, so it cannot tell whose they are")]
    NoKey,
    #[error("the key of releases is not 64 hexadecimal digits")]
    BadKey,
    #[error("cannot fetch {url}: {why}")]
    Fetch { url: String, why: String },
    #[error("there is no release {version} at {place}")]
    NoRelease { version: String, place: String },
    #[error("`{0}` is no version")]
    NoVersion(String),
    #[error("the signature of the release {0} is WRONG: nothing was installed")]
    WrongSignature(String),
    #[error("the release {0} is not signed: nothing was installed")]
    NotSigned(String),
}

impl Error {
    fn hint(&self) -> &'static str {
        match self {
            Error::NoPlace => "coracle update --releases URL, or coracle config set releases URL",
            Error::NoKey | Error::BadKey => "coracle update --key HEX, or coracle config set release-key HEX",
            Error::Fetch { .. } => "look at the network and its proxy, and at the place: coracle config get releases",
            Error::NoRelease { .. } | Error::NoVersion(_) => "coracle update-check",
            Error::WrongSignature(_) | Error::NotSigned(_) => {
                "somebody changed the release, or the key is another's: ask those who publish it; do not install it"
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Error::NoPlace | Error::NoKey | Error::BadKey | Error::NoVersion(_) => Exit::Usage,
            Error::Fetch { .. } => Exit::Code(40),
            Error::NoRelease { .. } => Exit::Code(45),
            Error::WrongSignature(_) | Error::NotSigned(_) => Exit::Failure,
        }
    }
}

/// An error of a release with its hint and exit code.
pub fn failure(error: Error) -> Failure {
    let (hint, exit) = (error.hint(), error.exit());
    Failure { error: Box::new(Hint::new(error, hint)), exit }
}

/// A place of releases.
pub struct Place {
    url: String,
    key: Option<Vec<u8>>,
    client: reqwest::Client,
}

impl From {
    /// The place: as flags and environment say, else the preferences, else the build.
    pub fn place(&self, context: &Context) -> Result<Place, Failure> {
        let preferences = Preferences::load(&context.home)?;
        let choose = |said: &Option<String>, preference: &str, built_in: Option<&str>| {
            let said = said.clone().or_else(|| preferences.0.get(preference).cloned());
            said.or_else(|| built_in.map(str::to_string)).filter(|text| !text.trim().is_empty())
        };
        let url = choose(&self.releases, "releases", BUILT_IN.0).ok_or(Error::NoPlace).map_err(failure)?;
        let key = choose(&self.key, "release-key", BUILT_IN.1);
        let key = key.map(|text| key_of(&text)).transpose().map_err(failure)?;
        let client = reqwest::Client::builder().connect_timeout(PATIENCE).read_timeout(PATIENCE).build()?;
        Ok(Place { url: url.trim().trim_end_matches('/').to_string(), key, client })
    }
}

fn key_of(text: &str) -> Result<Vec<u8>, Error> {
    hex::decode(text.trim()).ok().filter(|key| key.len() == 32).ok_or(Error::BadKey)
}

impl Place {
    /// The version of the latest release, without a `v`.
    pub async fn latest(&self) -> Result<String, Error> {
        let url = format!("{}/latest/download/VERSION", self.url);
        let bytes = self.fetch(&url).await?.ok_or(Error::Fetch { url, why: "it is not there".into() })?;
        parse(&String::from_utf8_lossy(&bytes))
    }

    /// The checksums of a release, after their signature was verified.
    pub async fn checksums(&self, version: &str) -> Result<String, Error> {
        let key = self.key.as_ref().ok_or(Error::NoKey)?;
        let missing = || Error::NoRelease { version: format!("v{version}"), place: self.url.clone() };
        let sums = self.fetch(&self.file(version, "SHA256SUMS")).await?.ok_or_else(missing)?;
        let signature = self.fetch(&self.file(version, "SHA256SUMS.sig")).await?;
        let signature = signature.ok_or_else(|| Error::NotSigned(format!("v{version}")))?;
        verify(key, &sums, &signature).map_err(|()| Error::WrongSignature(format!("v{version}")))?;
        Ok(String::from_utf8_lossy(&sums).into_owned())
    }

    /// The address of a file of a release.
    pub fn file(&self, version: &str, name: &str) -> String {
        format!("{}/download/v{version}/{name}", self.url)
    }

    /// A small file; `None` if the server says that it is not there.
    async fn fetch(&self, url: &str) -> Result<Option<Vec<u8>>, Error> {
        let failed = |error: reqwest::Error| Error::Fetch { url: url.into(), why: chain(&error) };
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        response.error_for_status_ref().map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > LIMIT {
                return Err(Error::Fetch { url: url.into(), why: "it is far too large".into() });
            }
        }
        Ok(Some(bytes))
    }
}

/// The name of the archive for this machine. Releases are linked statically, and are named as `.ci/release` names them.
pub fn archive() -> String {
    format!("coracle-{}-unknown-linux-gnu.tar.gz", std::env::consts::ARCH)
}

/// A version without a `v`, if it is one.
pub fn parse(text: &str) -> Result<String, Error> {
    let version = text.trim().trim_start_matches('v');
    match self_update::version::cmp_versions(version, version) {
        Ok(_) => Ok(version.to_string()),
        Err(_) => Err(Error::NoVersion(text.trim().to_string())),
    }
}

/// How a version stands to this executable's.
pub fn against_own(version: &str) -> Ordering {
    // Both were parsed before, so there is an order.
    self_update::version::cmp_versions(version, OWN).unwrap_or(Ordering::Equal)
}

/// Whether `signature` is of `message` by the owner of `key`.
fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ()> {
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    #[test]
    fn only_the_owner_of_the_key_has_signed() {
        let [own, other] = [1, 2].map(|seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap());
        let key = own.public_key().as_ref();
        assert_eq!(verify(key, b"sums", own.sign(b"sums").as_ref()), Ok(()));
        assert_eq!(verify(key, b"sums", other.sign(b"sums").as_ref()), Err(()));
        assert_eq!(verify(key, b"changed", own.sign(b"sums").as_ref()), Err(()));
        assert_eq!(verify(key, b"sums", b"short"), Err(()));
    }

    #[test]
    fn versions_are_read_with_and_without_v_and_are_ordered_as_semver_has_it() {
        assert_eq!(parse("v1.2.3\n").unwrap(), "1.2.3");
        assert_eq!(parse("<html>").unwrap_err(), Error::NoVersion("<html>".into()));
        assert!(parse("").is_err() && parse("../evil").is_err());
        assert_eq!(against_own("999.0.0"), Ordering::Greater);
        assert_eq!(against_own("0.0.1"), Ordering::Less);
        assert_eq!(against_own(OWN), Ordering::Equal);
    }
}
