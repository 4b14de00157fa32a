//! Service-account tokens: JSON web tokens signed with the cluster's `sa.key` (ES256), with the claims of KEP-1205.

use super::{Error, file};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Who issues the tokens of every cluster, and their audience when none is asked for.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Who issues tokens that are kept in Secrets and never end.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// Bytes of an uncompressed point of P-256, the end of its public key: 4, x, y.
const POINT: usize = 65;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: Vec<String>,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
    /// Seconds since 1970.
    pub exp: i64,
    pub iat: i64,
    pub nbf: i64,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Bound,
}

/// What a token is bound to: it is worth nothing when one of these is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub namespace: String,
    pub serviceaccount: Named,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Named>,
}

/// An object by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub name: String,
    pub uid: String,
}

/// What a token that is kept in a Secret says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyClaims {
    pub iss: String,
    pub sub: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub account_uid: String,
}

impl LegacyClaims {
    /// The claims of a service account's token in a Secret.
    pub fn new(namespace: &str, account: &str, account_uid: &str, secret: &str) -> Self {
        Self {
            iss: LEGACY_ISSUER.into(),
            sub: format!("system:serviceaccount:{namespace}:{account}"),
            namespace: namespace.into(),
            secret: secret.into(),
            account: account.into(),
            account_uid: account_uid.into(),
        }
    }
}

/// Signs and verifies tokens.
pub struct Tokens {
    private: EncodingKey,
    public: DecodingKey,
    /// Names the key in the head of a token and in the key set: a digest of the public key.
    key_id: String,
    /// The public point's coordinates.
    x: String,
    y: String,
}

impl Tokens {
    /// The keys `sa.key` and `sa.pub` of `folder`.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(file(path))
        };
        let public = read("sa.pub")?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(&public)
            .map_err(|error| Error::Invalid(format!("sa.pub is no public key: {error}")))?;
        let point = pem.contents.len().checked_sub(POINT).map(|start| &pem.contents[start..]);
        let point =
            point.filter(|point| point[0] == 4).ok_or_else(|| Error::Invalid("sa.pub is no P-256 key".into()))?;
        Ok(Self {
            private: EncodingKey::from_ec_pem(&read("sa.key")?)?,
            public: DecodingKey::from_ec_pem(&public)?,
            key_id: URL_SAFE_NO_PAD.encode(Sha256::digest(&pem.contents)),
            x: URL_SAFE_NO_PAD.encode(&point[1..33]),
            y: URL_SAFE_NO_PAD.encode(&point[33..]),
        })
    }

    /// The signed token.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        Ok(jsonwebtoken::encode(&self.header(), claims, &self.private)?)
    }

    /// The signed token that a Secret keeps; it has no end.
    pub fn sign_legacy(&self, claims: &LegacyClaims) -> Result<String, Error> {
        Ok(jsonwebtoken::encode(&self.header(), claims, &self.private)?)
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.key_id.clone()), typ: None, ..Header::new(Algorithm::ES256) }
    }

    /// The public key as a JSON web key set (RFC 7517).
    pub fn key_set(&self) -> serde_json::Value {
        serde_json::json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": self.x, "y": self.y,
        }]})
    }

    /// What a token from a Secret says, if it is ours. Whether the Secret still holds it is for the caller to find out.
    pub fn verify_legacy(&self, token: &str) -> Result<LegacyClaims, Error> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[LEGACY_ISSUER]);
        validation.set_required_spec_claims(&["iss", "sub"]);
        validation.validate_exp = false;
        validation.validate_aud = false;
        Ok(jsonwebtoken::decode::<LegacyClaims>(token, &self.public, &validation)?.claims)
    }

    /// What a token says, if it is ours, in force and for one of `audiences`. Whether what it is bound to still exists is
    /// for the caller to find out. One that is from the future is in force: only this cluster signs, so the clock was set back
    /// since, and pods go on with what they hold.
    pub fn verify(&self, token: &str, audiences: &[&str]) -> Result<Claims, Error> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(audiences);
        Ok(jsonwebtoken::decode::<Claims>(token, &self.public, &validation)?.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{ClusterNames, ensure_cluster};

    fn tokens() -> (tempfile::TempDir, Tokens) {
        let folder = tempfile::tempdir().unwrap();
        let names = ClusterNames {
            node_name: "one".into(),
            node_addresses: Vec::new(),
            service_address: "10.96.0.1".parse().unwrap(),
            domain: "cluster.local".into(),
            extra: Vec::new(),
        };
        ensure_cluster(folder.path(), &names).unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        (folder, tokens)
    }

    fn claims(lives: i64) -> Claims {
        let now = jiff::Timestamp::now().as_second();
        Claims {
            iss: ISSUER.into(),
            aud: vec![ISSUER.into()],
            sub: "system:serviceaccount:default:default".into(),
            exp: now + lives,
            iat: now,
            nbf: now,
            jti: "1".into(),
            kubernetes: Bound { namespace: "default".into(), ..Bound::default() },
        }
    }

    #[test]
    fn a_token_outlives_a_clock_that_was_set_back_and_not_its_end() {
        let (_folder, tokens) = tokens();
        let now = claims(7200);
        let token = |claims: &Claims| tokens.sign(claims).unwrap();
        let early = Claims { nbf: now.nbf + 3600, iat: now.iat + 3600, ..now.clone() };
        assert_eq!(tokens.verify(&token(&early), &[ISSUER]).unwrap(), early);
        assert!(tokens.verify(&token(&claims(-120)), &[ISSUER]).is_err());
    }

    #[test]
    fn a_token_is_read_back_for_its_audience_only() {
        let (_folder, tokens) = tokens();
        let claims = claims(600);
        let token = tokens.sign(&claims).unwrap();
        assert_eq!(tokens.verify(&token, &[ISSUER]).unwrap(), claims);
        assert!(tokens.verify(&token, &["vault"]).is_err());
    }

    #[test]
    fn a_token_of_a_secret_has_no_end_and_is_no_other_token() {
        let (_folder, tokens) = tokens();
        let claims = LegacyClaims::new("default", "robot", "1", "robot-token");
        let token = tokens.sign_legacy(&claims).unwrap();
        assert_eq!(tokens.verify_legacy(&token).unwrap(), claims);
        assert!(tokens.verify(&token, &[ISSUER]).is_err());
    }

    #[test]
    fn the_key_set_names_the_key_of_the_tokens() {
        let (_folder, tokens) = tokens();
        let key = tokens.key_set()["keys"][0].clone();
        let header = jsonwebtoken::decode_header(&tokens.sign(&claims(600)).unwrap()).unwrap();
        assert_eq!(header.kid.as_deref(), key["kid"].as_str());
        let (x, y) = (key["x"].as_str().unwrap(), key["y"].as_str().unwrap());
        assert!(DecodingKey::from_ec_components(x, y).is_ok() && x.len() == 43 && y.len() == 43);
    }

    #[test]
    fn a_token_of_another_cluster_or_of_yesterday_is_refused() {
        let ((_one, ours), (_two, theirs)) = (tokens(), tokens());
        assert!(ours.verify(&theirs.sign(&claims(600)).unwrap(), &[ISSUER]).is_err());
        assert!(ours.verify(&ours.sign(&claims(-600)).unwrap(), &[ISSUER]).is_err());
    }
}
