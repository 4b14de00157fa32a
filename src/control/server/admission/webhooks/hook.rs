//! One webhook of a configuration, read once for all the requests that it is asked about.

use crate::api::{Object, Status};
use crate::control::server::Api;
use crate::control::server::admission::Change;
use crate::control::server::admission::expressions::{self, Conditions};
use crate::control::server::admission::matching::{Asked, Matching};
use crate::control::server::admission::review::Shown;
use crate::control::server::remote::Target;
use serde_json::Value;
use std::time::Duration;

/// Versions of reviews that are written here.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// Somebody who changes or refuses objects.
pub struct Hook {
    /// Unique among all.
    pub id: String,
    pub name: String,
    pub matching: Matching,
    /// Who is asked, or why nobody can be.
    pub target: Result<Target, String>,
    /// The version of review that both sides know.
    pub review: Option<&'static str>,
    /// Whether a request goes on when the webhook cannot be asked.
    pub may_fail: bool,
    /// Whether it may be asked about what will not be written.
    pub allows_dry_run: bool,
    /// Whether it wants to see an object again that somebody changed after it.
    pub is_reinvocable: bool,
    pub limit: Duration,
    /// What must hold of a request, beyond its rules.
    pub conditions: Conditions,
}

/// Why there is no answer that lets a request pass.
pub enum Failure {
    Denied(Box<Status>),
    NotCalled(String),
}

/// The webhooks of a configuration.
pub fn hooks(configuration: &Object) -> Vec<Hook> {
    let all = configuration.at(&["webhooks"]).and_then(Value::as_array);
    let read = |(index, hook): (usize, &Value)| Hook::read(configuration.name(), index, hook);
    all.into_iter().flatten().enumerate().map(read).collect()
}

impl Hook {
    fn read(configuration: &str, index: usize, hook: &Value) -> Self {
        let text = |field: &str| hook[field].as_str().unwrap_or_default();
        let known: Vec<&str> =
            hook["admissionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let matching = Matching::read(hook);
        let target = match &matching {
            // Selectors are checked when they are written; whoever wrote around that is told at the first request.
            Err(why) => Err(why.clone()),
            Ok(_) => Target::read(&hook["clientConfig"]),
        };
        Self {
            id: format!("{configuration}/{index}/{}", text("name")),
            name: text("name").into(),
            matching: matching.unwrap_or_default(),
            target,
            review: known.iter().find_map(|known| REVIEWS.into_iter().find(|own| own == known)),
            may_fail: text("failurePolicy") == "Ignore",
            allows_dry_run: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            is_reinvocable: text("reinvocationPolicy") == "IfNeeded",
            conditions: Conditions::of_webhook(&hook["matchConditions"]),
            limit: Duration::from_secs(hook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30)),
        }
    }

    /// Whether the conditions of the webhook hold.
    pub fn wants(&self, api: &Api, asked: &Asked, shown: &Shown, change: &Change<'_>) -> Result<bool, Status> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let scope = expressions::scope(api, asked, shown, change.user, change.is_dry_run);
        match self.conditions.hold(&scope) {
            Ok(holds) => Ok(holds),
            Err(why) if self.may_fail => {
                tracing::warn!(webhook = %self.name, %why, "a condition of a webhook failed that may");
                Ok(false)
            }
            Err(why) => Err(change.forbidden(why)),
        }
    }
}
