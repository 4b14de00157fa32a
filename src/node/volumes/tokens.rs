//! Service account tokens of one pod: asked for when needed, and again when four fifths of their life are over.
//!
//! Source: kubelet `pkg/kubelet/token/token_manager.go`.

use crate::node::context::Node;
use crate::node::pod::parts;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::Api;
use kube::api::PostParams;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Life of a token that does not say, seconds.
const USUAL: i64 = 3600;
/// However long it lives.
const LONGEST: Duration = Duration::from_secs(86_400);
/// After a request that failed while the old token still serves.
const RETRY: Duration = Duration::from_secs(60);

struct Token {
    text: String,
    renew: Instant,
    ends: Instant,
}

/// By audience and seconds.
#[derive(Default)]
pub struct Tokens(BTreeMap<(String, i64), Token>);

impl Tokens {
    /// A token as the volume asks for it.
    pub async fn get(
        &mut self,
        node: &Node,
        pod: &Pod,
        wanted: &ServiceAccountTokenProjection,
    ) -> Result<String, String> {
        let seconds = wanted.expiration_seconds.unwrap_or(USUAL);
        let key = (wanted.audience.clone().unwrap_or_default(), seconds);
        let now = Instant::now();
        if let Some(token) = self.0.get(&key).filter(|token| token.renew > now) {
            return Ok(token.text.clone());
        }
        match request(node, pod, &key.0, seconds).await {
            Ok((text, seconds)) => {
                let life = Duration::from_secs(seconds.max(0) as u64);
                let token = Token { text: text.clone(), renew: now + (life * 4 / 5).min(LONGEST), ends: now + life };
                self.0.insert(key, token);
                Ok(text)
            }
            Err(why) => match self.0.get_mut(&key).filter(|token| token.ends > now) {
                Some(token) => {
                    tracing::warn!(why, pod = parts::title(pod), "token not renewed yet");
                    token.renew = now + RETRY;
                    Ok(token.text.clone())
                }
                None => Err(format!("failed to fetch token: {why}")),
            },
        }
    }

    /// The clock jumped, so the tokens' ends came nearer or went away: each is asked for anew, and serves until then.
    pub fn doubt(&mut self) {
        let now = Instant::now();
        self.0.values_mut().for_each(|token| token.renew = now);
    }

    /// When the next one is to be renewed.
    pub fn next_renewal(&self) -> Option<Instant> {
        self.0.values().map(|token| token.renew).min()
    }
}

/// The token, and how many seconds it lives.
async fn request(node: &Node, pod: &Pod, audience: &str, seconds: i64) -> Result<(String, i64), String> {
    let audiences = if audience.is_empty() { Vec::new() } else { vec![audience.to_string()] };
    let bound = BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let spec = TokenRequestSpec {
        audiences: Some(audiences),
        bound_object_ref: Some(bound),
        expiration_seconds: Some(seconds),
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(node.client.clone(), parts::namespace(pod));
    let account = parts::spec(pod).service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let answer = answer.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    })?;
    let seconds = answer.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(seconds);
    let token = answer.status.and_then(|status| status.token).ok_or("the answer has no token")?;
    Ok((token, seconds))
}
