//! HorizontalPodAutoscaler: as many replicas as the measured use of processors or memory asks for.
//!
//! ```text
//! scale of the target + metrics.k8s.io -> wanted -> limited by behavior -> scale written; again after a while
//! ```
//!
//! Source of the rules and wording: kubernetes `pkg/controller/podautoscaler/horizontal.go`.

mod arithmetic;
mod limits;

use super::runner::Next;
use super::watches::{changes, read};
use super::{Context, Controller, Error, Key, garbage, replica_set, write};
use crate::api::quantity::Quantity;
use crate::client::{Change, Level};
use arithmetic::{Measured, Outcome, Target};
use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use limits::Past;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const CONTROLLER: Controller = Controller {
    name: "horizontal-pod-autoscaler",
    watches: &[
        |context| {
            changes::<HorizontalPodAutoscaler>(context, |change| match &change {
                // What this controller writes itself must not bring the next look.
                Change::Applied { old: Some(old), new } if old.spec == new.spec => Vec::new(),
                other => vec![Key::of(&**other.object())],
            })
        },
        read::<Pod>,
    ],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// How often use is looked at (`--horizontal-pod-autoscaler-sync-period`): metrics cannot be watched.
const PERIOD: Duration = Duration::from_secs(15);

/// What happened to the targets of autoscalers lately.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<Key, Past>>);

/// The scale of a target.
struct Scale {
    door: Api<DynamicObject>,
    name: String,
    replicas: i32,
    selector: String,
}

/// An autoscaler while it is looked at.
struct Look<'a> {
    context: &'a Context,
    scaler: &'a HorizontalPodAutoscaler,
    key: &'a Key,
    status: HorizontalPodAutoscalerStatus,
    now: Timestamp,
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(scaler) = context.caches.of::<HorizontalPodAutoscaler>().get(&key.namespace, &key.name) else {
        context.autoscaled.0.lock().remove(&key);
        return Ok(Next::Wait);
    };
    if scaler.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let mut look = Look {
        context,
        scaler: &scaler,
        key: &key,
        status: scaler.status.clone().unwrap_or_default(),
        now: Timestamp::now(),
    };
    look.status.observed_generation = scaler.metadata.generation;
    look.run().await?;
    write::merge_status(context, &*scaler, &look.status).await?;
    Ok(Next::After(PERIOD))
}

impl Look<'_> {
    fn tell(&self, level: Level, reason: &str, text: String) {
        self.context.record(CONTROLLER.name, self.scaler, level, reason, text);
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let conditions = self.status.conditions.get_or_insert_default();
        let before = conditions.iter().find(|one| one.type_ == kind && one.status == status);
        let since = before.map_or(Some(Time(self.now)), |one| one.last_transition_time.clone());
        let new = HorizontalPodAutoscalerCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: since,
        };
        match conditions.iter_mut().find(|one| one.type_ == kind) {
            Some(own) => *own = new,
            None => conditions.push(new),
        }
    }

    async fn run(&mut self) -> Result<(), Error> {
        let scale = match self.scale().await {
            Ok(scale) => scale,
            Err(error) => {
                let why = replica_set::plain(&error);
                self.tell(Level::Warning, "FailedGetScale", why.clone());
                let text = format!("the HPA controller was unable to get the target's current scale: {why}");
                self.set("AbleToScale", "False", "FailedGetScale", text);
                return Ok(());
            }
        };
        let text = "the HPA controller was able to get the target's current scale";
        self.set("AbleToScale", "True", "SucceededGetScale", text.into());
        self.status.current_replicas = Some(scale.replicas);
        // What there was before this was looked at counts as wanted until then: nothing shrinks at once.
        self.context
            .autoscaled
            .0
            .lock()
            .entry(self.key.clone())
            .or_insert_with(|| Past::of(Instant::now(), scale.replicas));
        let spec = &self.scaler.spec;
        let least = spec.min_replicas.unwrap_or(1);
        if scale.replicas == 0 && least != 0 {
            let text = "scaling is disabled since the replica count of the target is zero";
            self.set("ScalingActive", "False", "ScalingDisabled", text.into());
            self.status.desired_replicas = 0;
            return Ok(());
        }
        if scale.replicas > spec.max_replicas {
            let text = "Current number of replicas above Spec.MaxReplicas";
            return self.rescale(&scale, spec.max_replicas, text).await;
        }
        if scale.replicas < least {
            return self.rescale(&scale, least, "Current number of replicas below Spec.MinReplicas").await;
        }
        let Some((wanted, reason)) = self.measure(&scale).await else {
            self.status.desired_replicas = scale.replicas;
            return Ok(());
        };
        let now = Instant::now();
        let (limited, why) = {
            let mut all = self.context.autoscaled.0.lock();
            let past = all.entry(self.key.clone()).or_default();
            let limited = limits::limited(spec, scale.replicas, wanted, past, now);
            past.note(now, wanted);
            limited
        };
        self.say_limited(why);
        let reason = if limited > scale.replicas { reason } else { "All metrics below target".into() };
        self.rescale(&scale, limited, &reason).await
    }

    fn say_limited(&mut self, why: &str) {
        let (status, text) = match why {
            "TooManyReplicas" => ("True", "the desired replica count is more than the maximum replica count"),
            "TooFewReplicas" => ("True", "the desired replica count is less than the minimum replica count"),
            "ScaleUpLimit" => ("True", "the desired replica count is increasing faster than the maximum scale rate"),
            "ScaleDownLimit" => ("True", "the desired replica count is decreasing faster than the maximum scale rate"),
            _ => ("False", "the desired count is within the acceptable range"),
        };
        if why == "ScaleDownStabilized" {
            let text =
                "recent recommendations were higher than current one, applying the highest recent recommendation";
            self.set("AbleToScale", "True", why, text.into());
            self.set(
                "ScalingLimited",
                "False",
                "DesiredWithinRange",
                "the desired count is within the acceptable range".into(),
            );
            return;
        }
        self.set("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size".into());
        self.set("ScalingLimited", status, why, text.into());
    }

    async fn scale(&self) -> Result<Scale, Error> {
        let target = &self.scaler.spec.scale_target_ref;
        let reference = OwnerReference {
            api_version: target.api_version.clone().unwrap_or_else(|| "v1".into()),
            kind: target.kind.clone(),
            name: target.name.clone(),
            ..Default::default()
        };
        let kind = garbage::kind_of(self.context, &reference).await?;
        let door: Api<DynamicObject> =
            Api::namespaced_with(self.context.client.clone(), &self.key.namespace, &kind.resource);
        let scale = door.get_subresource("scale", &target.name).await?;
        let replicas = scale.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0) as i32;
        let selector = scale.data.pointer("/status/selector").and_then(Value::as_str).unwrap_or_default().to_string();
        Ok(Scale { door, name: target.name.clone(), replicas, selector })
    }

    async fn rescale(&mut self, scale: &Scale, wanted: i32, reason: &str) -> Result<(), Error> {
        self.status.desired_replicas = wanted;
        if wanted == scale.replicas {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"spec": {"replicas": wanted}}));
        match scale.door.patch_subresource("scale", &scale.name, &PatchParams::default(), &patch).await {
            Ok(_) => {
                self.tell(Level::Normal, "SuccessfulRescale", format!("New size: {wanted}; reason: {reason}"));
                let text = format!("the HPA controller was able to update the target scale to {wanted}");
                self.set("AbleToScale", "True", "SucceededRescale", text);
                self.status.last_scale_time = Some(Time(self.now));
                let change = (Instant::now(), wanted - scale.replicas);
                self.context.autoscaled.0.lock().entry(self.key.clone()).or_default().changes.push(change);
                Ok(())
            }
            Err(error) => {
                let why = error.to_string();
                let text = format!("New size: {wanted}; reason: {reason}; error: {why}");
                self.tell(Level::Warning, "FailedRescale", text);
                let text = format!("the HPA controller was unable to update the target scale: {why}");
                self.set("AbleToScale", "False", "FailedUpdateScale", text);
                Err(error.into())
            }
        }
    }

    /// The largest number that any metric asks for, and which one.
    async fn measure(&mut self, scale: &Scale) -> Option<(i32, String)> {
        let metrics = self.scaler.spec.metrics.clone().unwrap_or_default();
        let (mut best, mut statuses, mut failures) = (None::<(i32, String)>, Vec::new(), Vec::new());
        for metric in &metrics {
            match self.one(scale, metric).await {
                Ok((outcome, status, reason)) => {
                    statuses.push(status);
                    if best.as_ref().is_none_or(|(most, _)| outcome.replicas > *most) {
                        best = Some((outcome.replicas, reason));
                    }
                }
                Err((reason, why)) => failures.push((reason, why)),
            }
        }
        self.status.current_metrics = Some(statuses).filter(|all| !all.is_empty());
        // With a metric missing, growing is safe and shrinking is not.
        let shrinks = best.as_ref().is_none_or(|(most, _)| *most < scale.replicas);
        if let Some((reason, why)) = failures.first().filter(|_| shrinks) {
            let text =
                format!("invalid metrics ({} invalid out of {}), first error is: {why}", failures.len(), metrics.len());
            self.tell(Level::Warning, reason, why.clone());
            self.tell(Level::Warning, "FailedComputeMetricsReplicas", text);
            let text = format!("the HPA was unable to compute the replica count: {why}");
            self.set("ScalingActive", "False", reason, text);
            return None;
        }
        let (wanted, name) = best?;
        let text = format!("the HPA was able to successfully calculate a replica count from {name}");
        self.set("ScalingActive", "True", "ValidMetricFound", text);
        Some((wanted, format!("{} above target", name.split(" (").next().unwrap_or_default())))
    }

    /// What one metric asks for; a failure comes with its reason.
    async fn one(
        &self,
        scale: &Scale,
        metric: &MetricSpec,
    ) -> Result<(Outcome, MetricStatus, String), (&'static str, String)> {
        let (reason, resource, container, target) = match (&metric.resource, &metric.container_resource) {
            (Some(one), _) => ("FailedGetResourceMetric", &one.name, None, &one.target),
            (None, Some(one)) => {
                ("FailedGetContainerResourceMetric", &one.name, Some(one.container.as_str()), &one.target)
            }
            (None, None) => {
                let text = format!("no metrics API serves metrics of type {:?} in this cluster", metric.type_);
                return Err(("InvalidMetricSourceType", text));
            }
        };
        let aim = aim(target).ok_or((reason, format!("invalid resource metric source: no target for {resource}")))?;
        let what =
            if matches!(aim, Target::Utilization(_)) { format!("{resource} utilization") } else { resource.clone() };
        let failed = |why: String| (reason, format!("failed to get {what}: {why}"));
        let usage = self
            .usage(scale, resource, container)
            .await
            .map_err(|why| failed(format!("unable to get metrics for resource {resource}: {why}")))?;
        let pods = self.pods(&scale.selector);
        let measured =
            Measured { pods: &pods, usage: &usage, resource, container, current: scale.replicas, now: self.now };
        let outcome = measured.replicas(aim).map_err(failed)?;
        let current = MetricValueStatus {
            average_utilization: outcome.utilization,
            average_value: Some(Text(amount(outcome.average))),
            value: None,
        };
        let status = match container {
            None => MetricStatus {
                type_: "Resource".into(),
                resource: Some(ResourceMetricStatus { name: resource.clone(), current }),
                ..Default::default()
            },
            Some(container) => MetricStatus {
                type_: "ContainerResource".into(),
                container_resource: Some(ContainerResourceMetricStatus {
                    name: resource.clone(),
                    container: container.into(),
                    current,
                }),
                ..Default::default()
            },
        };
        let suffix = match aim {
            Target::Utilization(_) => " utilization (percentage of request)",
            Target::Average(_) => "",
        };
        Ok((outcome, status, format!("{resource} resource{suffix}")))
    }

    fn pods(&self, selector: &str) -> Vec<Arc<Pod>> {
        let Ok(selector) = crate::api::selector::Selector::parse_labels(selector) else { return Vec::new() };
        let mut all = self.context.caches.of::<Pod>().list_in(&self.key.namespace);
        all.retain(|pod| {
            let labels = pod.metadata.labels.as_ref();
            selector.matches(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
        });
        all
    }

    /// Thousandths that each pod uses, by name.
    async fn usage(
        &self,
        scale: &Scale,
        resource: &str,
        container: Option<&str>,
    ) -> Result<HashMap<String, i64>, String> {
        let query: String =
            form_urlencoded::Serializer::new(String::new()).append_pair("labelSelector", &scale.selector).finish();
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?{query}", self.key.namespace);
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let answer: Value = self.context.client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) => {
                format!("unable to fetch metrics from resource metrics API: {}", status.message)
            }
            other => other.to_string(),
        })?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        if items.is_empty() {
            return Err("no metrics returned from resource metrics API".into());
        }
        let used = |pod: &Value| {
            let containers = pod["containers"].as_array().into_iter().flatten();
            let meant = containers.filter(|one| container.is_none_or(|wanted| one["name"] == wanted));
            meant.filter_map(|one| one["usage"][resource].as_str()?.parse::<Quantity>().ok()).map(Quantity::milli).sum()
        };
        Ok(items
            .iter()
            .map(|pod| (pod["metadata"]["name"].as_str().unwrap_or_default().to_string(), used(pod)))
            .collect())
    }
}

fn aim(target: &MetricTarget) -> Option<Target> {
    if let Some(percent) = target.average_utilization {
        return Some(Target::Utilization(percent));
    }
    let text = target.average_value.as_ref()?;
    text.0.parse::<Quantity>().ok().map(|amount| Target::Average(amount.milli()))
}

/// Thousandths as a quantity.
fn amount(milli: i64) -> String {
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}
