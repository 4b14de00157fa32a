//! What the controllers are given beyond objects: the cluster's authority and its keys, as functions.

use crate::base::{Jumps, Shutdown};
use crate::client::Client;
use crate::config::{NodePaths, Profile};
use crate::control::controllers::{self, ControllerConfig, SigningRequest, TokenRequest};
use crate::pki;
use crate::pki::authority::{Authority, Usages};
use crate::pki::token::{LegacyClaims, Tokens};
use std::sync::Arc;
use std::time::Duration;

/// How long a certificate is valid for which nobody said how long.
const A_YEAR: u64 = 365 * 86_400;

/// Runs every controller until shutdown.
pub async fn run(client: Client, profile: Profile, paths: NodePaths, shutdown: Shutdown) -> Result<(), pki::Error> {
    let authority = Authority::load(&paths.pki(), "ca")?;
    let tokens = Tokens::load(&paths.pki())?;
    let config = ControllerConfig {
        root_ca: authority.certificate().to_string(),
        volumes: paths.volumes(),
        load_balancer_cidr: profile.network.load_balancer_cidr,
        signer: Arc::new(move |request| sign(&authority, request)),
        tokens: Arc::new(move |request| token(&tokens, request)),
        jumps: Jumps::watch(),
    };
    controllers::run(client, config, shutdown).await;
    Ok(())
}

fn sign(authority: &Authority, request: &SigningRequest) -> Result<String, String> {
    let has = |usage: &str| request.usages.iter().any(|own| own == usage);
    let usages = Usages { server: has("server auth"), client: has("client auth") };
    let seconds = request.seconds.map_or(A_YEAR, |seconds| u64::from(seconds.unsigned_abs()).min(A_YEAR));
    let text = std::str::from_utf8(&request.request).map_err(|_| "the request is no PEM text".to_string())?;
    authority
        .sign_request(text, usages, Duration::from_secs(seconds))
        .map_err(|error| crate::base::causes::chain(&error))
}

fn token(tokens: &Tokens, request: &TokenRequest) -> Result<String, String> {
    let claims = LegacyClaims::new(&request.namespace, &request.account, &request.account_uid, &request.secret);
    tokens.sign_legacy(&claims).map_err(|error| crate::base::causes::chain(&error))
}
