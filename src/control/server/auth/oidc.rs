//! What others need to verify our service-account tokens: the issuer's description and its keys.
//!
//! Source: pkg/serviceaccount/openidmetadata.go.

use crate::control::server::Api;
use crate::control::server::answer::{self, Answer};
use crate::pki::token::ISSUER;
use http::{StatusCode, header};
use serde_json::json;

/// `/.well-known/openid-configuration`.
pub fn configuration(api: &Api) -> Answer {
    let address = std::net::SocketAddr::new(api.profile.network.node_address, api.profile.api_port);
    let value = json!({
        "issuer": ISSUER,
        "jwks_uri": format!("https://{address}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    cached(answer::value(StatusCode::OK, &value), "application/json")
}

/// `/openid/v1/jwks`.
pub fn keys(api: &Api) -> Answer {
    cached(answer::value(StatusCode::OK, &api.accounts.tokens.key_set()), "application/jwk-set+json")
}

fn cached(mut answer: Answer, media: &'static str) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("public, max-age=3600"));
    answer
}
