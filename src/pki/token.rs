//! Service-account tokens: JSON web tokens signed with the cluster's `sa.key` (ES256), with the claims of KEP-1205.

use super::{Error, file};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Who issues the tokens of every cluster, and their audience when none is asked for.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

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

/// Signs and verifies tokens.
pub struct Tokens {
    private: EncodingKey,
    public: DecodingKey,
}

impl Tokens {
    /// The keys `sa.key` and `sa.pub` of `folder`.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(file(path))
        };
        Ok(Self {
            private: EncodingKey::from_ec_pem(&read("sa.key")?)?,
            public: DecodingKey::from_ec_pem(&read("sa.pub")?)?,
        })
    }

    /// The signed token.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &self.private)?)
    }

    /// What a token says, if it is ours, in force and for one of `audiences`. Whether what it is bound to still exists is
    /// for the caller to find out.
    pub fn verify(&self, token: &str, audiences: &[&str]) -> Result<Claims, Error> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(audiences);
        validation.validate_nbf = true;
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
    fn a_token_is_read_back_for_its_audience_only() {
        let (_folder, tokens) = tokens();
        let claims = claims(600);
        let token = tokens.sign(&claims).unwrap();
        assert_eq!(tokens.verify(&token, &[ISSUER]).unwrap(), claims);
        assert!(tokens.verify(&token, &["vault"]).is_err());
    }

    #[test]
    fn a_token_of_another_cluster_or_of_yesterday_is_refused() {
        let ((_one, ours), (_two, theirs)) = (tokens(), tokens());
        assert!(ours.verify(&theirs.sign(&claims(600)).unwrap(), &[ISSUER]).is_err());
        assert!(ours.verify(&ours.sign(&claims(-600)).unwrap(), &[ISSUER]).is_err());
    }
}
