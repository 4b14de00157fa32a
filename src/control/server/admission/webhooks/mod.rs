//! Admission webhooks: servers that change or refuse objects, as MutatingWebhookConfigurations and
//! ValidatingWebhookConfigurations say.
//!
//! ```text
//! change ─▶ rules ▸ selectors ▸ conditions ─▶ mutating, one after the other ─▶ (again, if somebody changed it afterwards)
//!                                          └▶ validating, all at once
//! ```
//!
//! A cluster without any pays one look at a flag.
//!
//! Source of rules and wording: k8s.io/apiserver `pkg/admission/plugin/webhook/{mutating,validating,errors}`.

mod hook;
mod response;

use super::matching::Asked;
use super::review::{self, Shown};
use super::{Change, Plugin, Verb};
use crate::api::kinds::GroupVersion;
use crate::api::{Object, Reason, Status};
use crate::control::server::cached::Cached;
use crate::control::server::patch::bounded;
use crate::control::server::{Api, Identity};
use crate::control::store::Store;
use async_trait::async_trait;
use hook::{Failure, Hook};
use response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// The plugin.
pub struct Webhooks {
    mutating: Cached<Vec<Arc<Hook>>>,
    validating: Cached<Vec<Arc<Hook>>>,
}

/// What one change remembers of the webhooks that it went through, so that those are asked again who want to see the last
/// form of an object.
#[derive(Debug, Default)]
pub struct Round {
    is_repeat: bool,
    is_wanted: bool,
    last: Option<Object>,
    invoked: Vec<String>,
    again: Vec<String>,
}

impl Round {
    /// Whether the plugins are to be asked a second time, which begins with this question.
    pub fn is_to_be_repeated(&mut self) -> bool {
        self.is_repeat = std::mem::take(&mut self.is_wanted);
        self.is_repeat
    }

    fn changed(&mut self) {
        self.again.append(&mut self.invoked);
    }
}

/// What a hook is asked about one request.
struct Question<'a> {
    asked: &'a Asked<'a>,
    user: &'a Identity,
    is_dry_run: bool,
}

impl Webhooks {
    pub fn new(store: &Store) -> Self {
        const MUTATING: &[&str] = &["admissionregistration.k8s.io/mutatingwebhookconfigurations"];
        const VALIDATING: &[&str] = &["admissionregistration.k8s.io/validatingwebhookconfigurations"];
        let hooks = |all: &[Vec<Object>]| all.iter().flatten().flat_map(hook::hooks).map(Arc::new).collect();
        Self { mutating: Cached::new(store, MUTATING, hooks), validating: Cached::new(store, VALIDATING, hooks) }
    }

    /// Asks those who validate about a request that changes no object, to connect to a pod for example. Those who mutate are
    /// asked too, and cannot change anything.
    pub async fn connect(
        &self,
        api: &Api,
        asked: &Asked<'_>,
        user: &Identity,
        object: Value,
    ) -> Result<Vec<String>, Status> {
        let question = Question { asked, user, is_dry_run: false };
        let mut warnings = Vec::new();
        let (mutating, validating) = (self.mutating.now(), self.validating.now());
        for hook in mutating.iter().chain(validating.iter()) {
            let Some(version) = hook.matching.version(asked) else { continue };
            if hook.matching.selects(api, asked, [None, None])? {
                let shown = Shown { version, object: object.clone(), old: Value::Null };
                warnings.extend(ask(api, hook, &question, &shown).await?.into_iter().flat_map(|own| own.warnings));
            }
        }
        Ok(warnings)
    }
}

/// Those of the webhooks that may change an object.
pub struct Mutating(pub Arc<Webhooks>);

/// Those that may refuse it.
pub struct Validating(pub Arc<Webhooks>);

#[async_trait]
impl Plugin for Mutating {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let hooks = self.0.mutating.now();
        match hooks.is_empty() {
            true => Ok(()),
            // Large, and nearly always for nothing.
            false => Box::pin(mutate_by_all(api, change, &hooks)).await,
        }
    }
}

#[async_trait]
impl Plugin for Validating {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let hooks = self.0.validating.now();
        match hooks.is_empty() {
            true => Ok(()),
            false => Box::pin(validate_by_all(api, change, &hooks)).await,
        }
    }
}

/// One after the other: each sees what those before it made of the object.
async fn mutate_by_all(api: &Api, change: &mut Change<'_>, hooks: &[Arc<Hook>]) -> Result<(), Status> {
    if change.round.is_repeat && change.round.last.as_ref().is_some_and(|last| *last != *change.object) {
        change.round.changed();
    }
    for hook in hooks {
        if change.round.is_repeat && !change.round.again.contains(&hook.id) {
            continue;
        }
        mutate_by(api, change, hook).await?;
    }
    change.round.last = Some(change.object.clone());
    Ok(())
}

/// All at once; the first that refuses, in their order, is the answer.
async fn validate_by_all(api: &Api, change: &mut Change<'_>, hooks: &[Arc<Hook>]) -> Result<(), Status> {
    let asked = Asked::of(change);
    let mut asking: Vec<(Arc<Hook>, Shown)> = Vec::new();
    for hook in hooks {
        if let Some(shown) = relevant(api, change, &asked, hook, asking.iter().map(|(_, shown)| shown)).await? {
            asking.push((hook.clone(), shown));
        }
    }
    let question = Question { asked: &asked, user: change.user, is_dry_run: change.is_dry_run };
    let answers = asking.iter().map(|(hook, shown)| ask(api, hook, &question, shown));
    for answer in futures::future::join_all(answers).await {
        change.warnings.extend(answer?.into_iter().flat_map(|own| own.warnings));
    }
    Ok(())
}

/// What a hook is shown of a change, if it wants to see it. What another one was shown in the same version is not made twice.
async fn relevant<'s>(
    api: &Api,
    change: &Change<'_>,
    asked: &Asked<'_>,
    hook: &Hook,
    mut others: impl Iterator<Item = &'s Shown>,
) -> Result<Option<Shown>, Status> {
    if asked.is_exempt() {
        return Ok(None);
    }
    let Some(version) = hook.matching.version(asked) else { return Ok(None) };
    let new = (change.verb != Verb::Delete).then_some(&*change.object);
    if !hook.matching.selects(api, asked, [new, change.old])? {
        return Ok(None);
    }
    let shown = match others.find(|shown| shown.version == version) {
        Some(other) => other.clone(),
        None => review::shown(api, change, &version).await?,
    };
    Ok(hook.wants(api, asked, &shown, change)?.then_some(shown))
}

async fn mutate_by(api: &Api, change: &mut Change<'_>, hook: &Hook) -> Result<(), Status> {
    let asked = Asked::of(change);
    let Some(shown) = relevant(api, change, &asked, hook, std::iter::empty()).await? else { return Ok(()) };
    let question = Question { asked: &asked, user: change.user, is_dry_run: change.is_dry_run };
    let answer = ask(api, hook, &question, &shown).await?;
    if let Some(Response { patch, warnings }) = answer {
        change.warnings.extend(warnings);
        if let Some(patch) = patch.filter(|_| change.verb != Verb::Delete) {
            apply(api, change, &shown.version, shown.object, &patch).await?;
        }
    }
    if hook.is_reinvocable {
        change.round.invoked.push(hook.id.clone());
    }
    Ok(())
}

async fn apply(
    api: &Api,
    change: &mut Change<'_>,
    version: &GroupVersion,
    mut value: Value,
    patch: &json_patch::Patch,
) -> Result<(), Status> {
    let before = change.object.clone();
    bounded::apply(&mut value, patch).map_err(Status::internal)?;
    review::take_over(api, change, version, value).await?;
    if *change.object != before {
        change.round.changed();
        change.round.is_wanted |= !change.round.is_repeat;
    }
    Ok(())
}

/// One question; nothing where a hook failed that may.
async fn ask(api: &Api, hook: &Hook, question: &Question<'_>, shown: &Shown) -> Result<Option<Response>, Status> {
    if question.is_dry_run && !hook.allows_dry_run {
        let name = &hook.name;
        return Err(Status::bad_request(format!("admission webhook {name:?} does not support dry run")));
    }
    let uid = uuid::Uuid::new_v4().to_string();
    let request = review::request(question.asked, shown, question.user, question.is_dry_run, &uid);
    match asked_of(api, hook, request, &uid).await {
        Ok(response) => Ok(Some(response)),
        Err(Failure::Denied(status)) => Err(*status),
        Err(Failure::NotCalled(why)) if hook.may_fail => {
            tracing::warn!(webhook = %hook.name, %why, "a webhook failed that may");
            Ok(None)
        }
        Err(Failure::NotCalled(why)) => {
            let message = format!("Internal error occurred: failed calling webhook {:?}: {why}", hook.name);
            Err(Status::new(Reason::InternalError, message))
        }
    }
}

async fn asked_of(api: &Api, hook: &Hook, request: Value, uid: &str) -> Result<Response, Failure> {
    let version = hook.review.ok_or_else(|| {
        Failure::NotCalled("webhook does not accept known AdmissionReview versions (v1, v1beta1)".into())
    })?;
    let target = hook.target.as_ref().map_err(|why| Failure::NotCalled(why.clone()))?;
    let review =
        json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request});
    let query = format!("timeout={}s", hook.limit.as_secs());
    let answer = api.remotes.post(target, &query, &review, hook.limit).await;
    let answer = answer.map_err(|why| Failure::NotCalled(format!("failed to call webhook: {why}")))?;
    response::read(&hook.name, version, uid, &answer)
}

#[cfg(test)]
mod tests;
