//! The next step of a StatefulSet. Pure: pods in, one step out.
//!
//! Source of the rules: kubernetes `pkg/controller/statefulset/stateful_set_control.go`.

use super::identity::{ordinal, revision, start, wanted};
use crate::control::controllers::deployment::portion;
use crate::control::controllers::pods;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A set and its pods.
pub struct View<'a> {
    pub set: &'a StatefulSet,
    pub spec: &'a StatefulSetSpec,
    pub pods: Vec<Arc<Pod>>,
    /// The name of the newest revision.
    pub update: String,
    pub now: Timestamp,
}

/// What to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Ordinals to make.
    pub create: Vec<i32>,
    /// Pods to make anew: they ended.
    pub renew: Vec<Arc<Pod>>,
    /// Pods that are too many, and pods of an old revision.
    pub condemn: Vec<Arc<Pod>>,
    pub update: Vec<Arc<Pod>>,
    /// When to look again at pods that become available by mere time.
    pub later: Option<Duration>,
}

impl View<'_> {
    /// Whether one pod at a time is made and deleted.
    pub fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    /// The pods by ordinal.
    pub fn by_ordinal(&self) -> BTreeMap<i32, &Arc<Pod>> {
        self.pods.iter().filter_map(|pod| Some((ordinal(self.set, pod)?, pod))).collect()
    }

    /// Whether a pod runs and is ready.
    pub fn is_ready(pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && pods::is_ready(pod)
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    /// Whether a pod was ready long enough.
    pub fn is_available(&self, pod: &Pod) -> bool {
        Self::is_ready(pod) && pods::is_available(pod, self.min_ready(), self.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !pods::is_terminating(pod)
    }

    fn until_available(&self, pod: &Pod) -> Option<Duration> {
        let from = pods::available_from(pod, self.min_ready())?;
        Duration::try_from(from.duration_since(self.now)).ok()
    }

    /// The next step.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        let at = self.by_ordinal();
        let ordered = self.is_ordered();
        for ordinal in wanted(self.spec) {
            let goes_on = self.plan_one(ordinal, at.get(&ordinal).copied(), &mut plan);
            if ordered && !goes_on {
                return plan;
            }
        }
        if self.plan_surplus(&at, &mut plan) || !ordered {
            self.plan_update(&at, &mut plan);
        }
        plan
    }

    /// A wanted pod; whether the next one may follow.
    fn plan_one(&self, ordinal: i32, pod: Option<&Arc<Pod>>, plan: &mut Plan) -> bool {
        let Some(pod) = pod else {
            plan.create.push(ordinal);
            return false;
        };
        if pods::is_finished(pod) {
            if !pods::is_terminating(pod) {
                plan.renew.push(pod.clone());
            }
            return false;
        }
        if self.is_healthy(pod) {
            return true;
        }
        if Self::is_ready(pod) && !pods::is_terminating(pod) {
            plan.later = plan.later.into_iter().chain(self.until_available(pod)).min();
        }
        false
    }

    /// Pods beyond the wanted number, the last first; whether none is left.
    fn plan_surplus(&self, at: &BTreeMap<i32, &Arc<Pod>>, plan: &mut Plan) -> bool {
        let wanted = wanted(self.spec);
        let surplus: Vec<&Arc<Pod>> =
            at.iter().rev().filter(|(ordinal, _)| !wanted.contains(ordinal)).map(|(_, pod)| *pod).collect();
        let unhealthy = at.values().find(|pod| !self.is_healthy(pod)).and_then(|pod| pod.metadata.uid.clone());
        for pod in &surplus {
            let is_first_unhealthy = unhealthy.is_some() && pod.metadata.uid == unhealthy;
            if pods::is_terminating(pod) {
                if self.is_ordered() {
                    return false;
                }
                continue;
            }
            if self.is_ordered() && !self.is_available(pod) && !is_first_unhealthy {
                return false;
            }
            plan.condemn.push((*pod).clone());
            if self.is_ordered() {
                return false;
            }
        }
        surplus.is_empty()
    }

    fn plan_update(&self, at: &BTreeMap<i32, &Arc<Pod>>, plan: &mut Plan) {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
        let most = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let most = most.map_or(1, |most| portion(most, self.spec.replicas.unwrap_or(1), false).max(1));
        let lowest = start(self.spec) + partition;
        let ordinals = wanted(self.spec).rev().filter(|ordinal| *ordinal >= lowest);
        let pods: Vec<&Arc<Pod>> = ordinals.filter_map(|ordinal| at.get(&ordinal).copied()).collect();
        if wanted(self.spec).any(|ordinal| ordinal >= lowest && !at.contains_key(&ordinal)) && most == 1 {
            return;
        }
        let mut unavailable = 0;
        for pod in pods {
            if unavailable >= most {
                return;
            }
            if revision(pod) != self.update && !pods::is_terminating(pod) {
                plan.update.push(pod.clone());
                unavailable += 1;
            } else if !self.is_healthy(pod) {
                unavailable += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{member, set};
    use super::*;
    use serde_json::{Value, json};

    fn view(set: &StatefulSet, pods: Vec<Pod>) -> View<'_> {
        let pods = pods.into_iter().map(Arc::new).collect();
        let now = Timestamp::from_second(5000).unwrap();
        View { set, spec: set.spec.as_ref().unwrap(), pods, update: "new".into(), now }
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect()
    }

    fn three(more: Value) -> StatefulSet {
        let mut spec = json!({"replicas": 3});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        set(spec)
    }

    #[test]
    fn pods_come_one_after_the_other() {
        let set = three(json!({}));
        assert_eq!(view(&set, vec![]).plan().create, [0]);
        assert_eq!(view(&set, vec![member(0, false, "new")]).plan().create, Vec::<i32>::new());
        assert_eq!(view(&set, vec![member(0, true, "new")]).plan().create, [1]);
        let parallel = three(json!({"podManagementPolicy": "Parallel"}));
        assert_eq!(view(&parallel, vec![member(1, false, "new")]).plan().create, [0, 2]);
    }

    #[test]
    fn pods_go_from_the_last_on_and_only_when_the_others_are_well() {
        let set = set(json!({"replicas": 1}));
        let all = || vec![member(0, true, "new"), member(1, true, "new"), member(2, true, "new")];
        assert_eq!(names(&view(&set, all()).plan().condemn), ["web-2"]);
        let mut sick = all();
        sick[0] = member(0, false, "new");
        assert!(view(&set, sick).plan().condemn.is_empty());
    }

    #[test]
    fn an_update_goes_from_the_last_to_the_partition() {
        let set = three(json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}));
        let pods = |newest: [&str; 3]| (0..3).map(|i| member(i, true, newest[i as usize])).collect::<Vec<_>>();
        assert_eq!(names(&view(&set, pods(["old", "old", "old"])).plan().update), ["web-2"]);
        assert_eq!(names(&view(&set, pods(["old", "old", "new"])).plan().update), ["web-1"]);
        assert!(view(&set, pods(["old", "new", "new"])).plan().update.is_empty());
        let on_delete = three(json!({"updateStrategy": {"type": "OnDelete"}}));
        assert!(view(&on_delete, pods(["old", "old", "old"])).plan().update.is_empty());
    }

    #[test]
    fn ended_pods_are_made_anew_and_ordinals_may_start_elsewhere() {
        let set = set(json!({"replicas": 1, "ordinals": {"start": 5}}));
        let mut failed = member(5, false, "new");
        failed.status.as_mut().unwrap().phase = Some("Failed".into());
        assert_eq!(names(&view(&set, vec![failed]).plan().renew), ["web-5"]);
        assert_eq!(view(&set, vec![]).plan().create, [5]);
    }
}
