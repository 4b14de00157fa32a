//! One choice: which node a pod goes to, or why none takes it. Pure.

use super::filters::volumes::{self, Step};
use super::filters::{Question, Refusal};
use super::pod::PodInfo;
use super::world::{NodeInfo, World};
use super::{Happened, message, scores};
use std::collections::BTreeMap;

/// Where a pod goes, and what has to be done for its volumes before.
#[derive(Debug, PartialEq)]
pub struct Choice {
    pub node: String,
    pub steps: Vec<Step>,
}

/// No node takes the pod.
#[derive(Debug)]
pub struct NoNode {
    /// What users read.
    pub message: String,
    /// What can change that.
    pub helped_by: Happened,
    /// Each node and whether pushing out pods can help there; empty if something keeps the pod from every node.
    pub refusals: BTreeMap<String, Refusal>,
    /// How many nodes there are.
    pub total: usize,
}

/// Chooses a node.
pub fn choose(info: &PodInfo, world: &World) -> Result<Choice, NoNode> {
    let total = world.nodes.len();
    if total == 0 {
        let message = "no nodes available to schedule pods".into();
        return Err(NoNode { message, helped_by: Happened::NODE, refusals: BTreeMap::new(), total });
    }
    let question = Question::new(info, world);
    if let Err((filter, refusal)) = question.ask_at_all() {
        tracing::debug!(pod = %info.name(), filter = filter.name, "no node at all");
        let message = message::refused_everywhere(total, &refusal);
        let helped_by = filter.helped_by.or(Happened::POD_ITSELF);
        return Err(NoNode { message, helped_by, refusals: BTreeMap::new(), total });
    }
    let mut refusals = BTreeMap::new();
    let mut helped_by = Happened::NODE.or(Happened::POD_ITSELF);
    let mut fitting: Vec<&NodeInfo> = Vec::new();
    for node in world.nodes.values() {
        match ask_with_nominated(&question, node) {
            Ok(()) => fitting.push(node),
            Err((by, refusal)) => {
                helped_by = helped_by.or(by);
                refusals.insert(node.name().to_string(), refusal);
            }
        }
    }
    match best(&question, &fitting) {
        Some(node) => {
            // The filter found a way a moment ago in the same world.
            let steps = volumes::steps(info, world, node).unwrap_or_default();
            Ok(Choice { node: node.name().to_string(), steps })
        }
        None => Err(NoNode { message: message::refused(total, refusals.values()), helped_by, refusals, total }),
    }
}

/// Asks all filters; pods of at least the same priority that a node is kept for count as being on it.
fn ask_with_nominated(question: &Question<'_>, node: &NodeInfo) -> Result<(), (Happened, Refusal)> {
    let (info, world) = (question.info, question.world);
    let expected: Vec<_> = world
        .nominated
        .values()
        .filter(|(on, other)| on == node.name() && other.uid() != info.uid() && other.priority >= info.priority)
        .map(|(_, other)| other.clone())
        .collect();
    if !expected.is_empty() {
        let mut with = world.clone();
        expected.into_iter().for_each(|other| with.place(other, node.name()));
        let full = &with.nodes[node.name()];
        Question::new(info, &with).ask(full).map_err(|(filter, refusal)| (filter.helped_by, refusal))?;
    }
    // They may never come: the pod must find a place without them as well.
    question.ask(node).map_err(|(filter, refusal)| (filter.helped_by, refusal))
}

/// The best of the nodes that fit: the one that room was made on, else by score; the first by name among equals.
fn best<'a>(question: &Question<'_>, fitting: &[&'a NodeInfo]) -> Option<&'a NodeInfo> {
    let nominated = fitting.iter().find(|node| node.name() == question.info.nominated());
    if let Some(node) = nominated.or(if fitting.len() == 1 { fitting.first() } else { None }) {
        return Some(node);
    }
    let ratings = scores::rate(question, fitting);
    let mut best: Option<(i64, &NodeInfo)> = None;
    for (rating, node) in ratings.into_iter().zip(fitting) {
        if best.is_none_or(|(highest, _)| rating > highest) {
            best = Some((rating, node));
        }
    }
    best.map(|(_, node)| node)
}

#[cfg(test)]
mod tests {
    use super::super::preempt;
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn world(nodes: Value, pods: Value) -> World {
        let mut world = World::default();
        for node in nodes.as_array().unwrap() {
            let mut node = node.clone();
            let offered = json!({"cpu": "4", "memory": "8Gi", "pods": "10"});
            if node["status"].is_null() {
                node["status"] = json!({"allocatable": offered});
            }
            world.take_node(Arc::new(serde_json::from_value(node).unwrap()));
        }
        for pod in pods.as_array().unwrap() {
            world.take_placed(Arc::new(serde_json::from_value(whole(pod)).unwrap()));
        }
        world
    }

    fn whole(pod: &Value) -> Value {
        let mut pod = pod.clone();
        let name = pod["metadata"]["name"].as_str().unwrap_or("new").to_string();
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["uid"] = json!(name);
        pod["metadata"]["namespace"] = json!("one");
        if pod["spec"]["containers"].is_null() {
            pod["spec"]["containers"] = json!([{"name": "c"}]);
        }
        pod
    }

    fn info(pod: Value) -> PodInfo {
        PodInfo::new(Arc::new(serde_json::from_value(whole(&pod)).unwrap()))
    }

    fn cpu(amount: &str) -> Value {
        json!([{"name": "c", "resources": {"requests": {"cpu": amount}}}])
    }

    fn node(name: &str, zone: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"zone": zone, "kubernetes.io/hostname": name}}})
    }

    fn placed(name: &str, on: &str, labels: Value, mut spec: Value) -> Value {
        spec["nodeName"] = json!(on);
        json!({"metadata": {"name": name, "labels": labels}, "spec": spec})
    }

    #[test]
    fn what_a_node_refuses_is_said_in_upstreams_words() {
        let mut closed = node("n", "a");
        closed["spec"] = json!({"unschedulable": true});
        let mut tainted = node("n", "a");
        tainted["spec"] = json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
        let mut small = node("n", "a");
        small["status"] = json!({"allocatable": {"cpu": "1", "pods": "0"}});
        let port = json!([{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]);
        let near = |kind: &str| {
            json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}]}})
        };
        let db = |spec: Value| json!([placed("db", "n", json!({"app": "db"}), spec)]);
        let spread = json!([{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {}}]);
        let mut agent = node("n", "a");
        agent["status"] = json!({"allocatable": {"cpu": "1", "pods": "9"},
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 80}}});
        let cases = [
            (
                agent,
                json!([]),
                json!({"containers": port}),
                "1 node(s) didn't have free ports for the requested pod ports",
            ),
            (closed, json!([]), json!({}), "1 node(s) were unschedulable"),
            (tainted, json!([]), json!({}), "1 node(s) had untolerated taint {k: v}"),
            (small, json!([]), json!({"containers": cpu("2")}), "1 Insufficient cpu, 1 Too many pods"),
            (node("n", "a"), json!([]), json!({"nodeName": "other"}), "1 node(s) didn't match the requested node name"),
            (
                node("n", "a"),
                json!([]),
                json!({"nodeSelector": {"zone": "b"}}),
                "1 node(s) didn't match Pod's node affinity/selector",
            ),
            (
                node("n", "a"),
                db(json!({"containers": port})),
                json!({"containers": port}),
                "1 node(s) didn't have free ports for the requested pod ports",
            ),
            (
                node("n", "a"),
                json!([]),
                json!({"affinity": near("podAffinity")}),
                "1 node(s) didn't match pod affinity rules",
            ),
            (
                node("n", "a"),
                db(json!({})),
                json!({"affinity": near("podAntiAffinity")}),
                "1 node(s) didn't match pod anti-affinity rules",
            ),
            (
                node("n", "a"),
                json!([]),
                json!({"topologySpreadConstraints": spread}),
                "1 node(s) didn't match pod topology spread constraints (missing required label)",
            ),
        ];
        for (node, pods, spec, wanted) in cases {
            let world = world(json!([node]), pods);
            let none = choose(&info(json!({"spec": spec})), &world).unwrap_err();
            assert_eq!(none.message, format!("0/1 nodes are available: {wanted}."), "{spec}");
        }
    }

    #[test]
    fn a_missing_claim_keeps_a_pod_from_every_node() {
        let spec = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
        let none = choose(&info(json!({"spec": spec})), &world(json!([node("n", "a")]), json!([]))).unwrap_err();
        assert_eq!(none.message, "0/1 nodes are available: persistentvolumeclaim \"data\" not found.");
        assert!(none.helped_by.meets(Happened::STORAGE) && !none.helped_by.meets(Happened::POD_GONE));
        let spec = json!({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]});
        let none = choose(&info(json!({"spec": spec})), &world(json!([node("n", "a")]), json!([]))).unwrap_err();
        let words = "waiting for ephemeral volume controller to create the persistentvolumeclaim";
        assert!(none.message.contains(words), "{}", none.message);
    }

    #[test]
    fn the_emptier_node_is_better_and_spread_is_kept() {
        let nodes = json!([node("a", "1"), node("b", "2")]);
        let pods = json!([placed("x", "a", json!({"app": "web"}), json!({"containers": cpu("1")}))]);
        let world = world(nodes, pods);
        assert_eq!(choose(&info(json!({"spec": {}})), &world).unwrap().node, "b");
        let spread = json!({"nodeSelector": {}, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
        let pod = json!({"metadata": {"labels": {"app": "web"}}, "spec": spread});
        assert_eq!(choose(&info(pod), &world).unwrap().node, "b");
    }

    #[test]
    fn the_first_of_a_group_that_wants_its_own_kind_near_is_placed() {
        let affinity = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]}});
        let pod = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"affinity": affinity}});
        assert!(choose(&info(pod), &world(json!([node("a", "1")]), json!([]))).is_ok());
    }

    #[test]
    fn a_claim_that_waits_gets_a_volume_that_is_there_or_one_that_is_made() {
        let mut world = world(json!([node("n", "a")]), json!([]));
        let claim = json!({"metadata": {"name": "data", "namespace": "one"}, "spec": {"storageClassName": "local",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        world.claims.insert(("one".into(), "data".into()), Arc::new(serde_json::from_value(claim).unwrap()));
        let class =
            json!({"metadata": {"name": "local"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer"});
        world.classes.insert("local".into(), Arc::new(serde_json::from_value(class).unwrap()));
        let pod = info(json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}}));
        let place = ("one".to_string(), "data".to_string());
        assert_eq!(choose(&pod, &world).unwrap().steps, [Step::Make { claim: place.clone() }]);
        let volume = json!({"metadata": {"name": "disk"}, "spec": {"storageClassName": "local",
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}});
        world.volumes.insert("disk".into(), Arc::new(serde_json::from_value(volume).unwrap()));
        assert_eq!(choose(&pod, &world).unwrap().steps, [Step::Give { claim: place, volume: "disk".into() }]);
    }

    #[test]
    fn the_least_important_pods_are_pushed_out_and_budgets_count() {
        let pod = |name: &str, priority: i32| {
            placed(name, "n", json!({"app": name}), json!({"priority": priority, "containers": cpu("2")}))
        };
        let mut world = world(json!([node("n", "a")]), json!([pod("low", 1), pod("lower", 0)]));
        let new = info(json!({"spec": {"priority": 9, "containers": cpu("2")}}));
        let none = choose(&new, &world).unwrap_err();
        let names = |plan: preempt::Plan| plan.victims.iter().map(|victim| victim.name()).collect::<Vec<_>>();
        assert_eq!(names(preempt::plan(&new, &world, &none).unwrap()), ["lower"]);
        let budget = json!({"metadata": {"name": "b", "namespace": "one"},
            "spec": {"selector": {"matchLabels": {"app": "lower"}}}, "status": {"disruptionsAllowed": 0}});
        world.budgets.insert(("one".into(), "b".into()), Arc::new(serde_json::from_value(budget).unwrap()));
        assert_eq!(names(preempt::plan(&new, &world, &none).unwrap()), ["low"]);
    }

    #[test]
    fn why_nobody_is_pushed_out_is_said() {
        let full =
            world(json!([node("n", "a")]), json!([placed("x", "n", json!({}), json!({"containers": cpu("3")}))]));
        let cases = [
            (
                json!({"containers": cpu("2")}),
                "0/1 nodes are available: 1 No preemption victims found for incoming pod.",
            ),
            (json!({"containers": cpu("5")}), "0/1 nodes are available: 1 Preemption is not helpful for scheduling."),
            (
                json!({"preemptionPolicy": "Never", "containers": cpu("2")}),
                "not eligible due to preemptionPolicy=Never.",
            ),
        ];
        for (spec, wanted) in cases {
            let new = info(json!({"spec": spec}));
            let none = choose(&new, &full).unwrap_err();
            assert_eq!(preempt::plan(&new, &full, &none).unwrap_err(), wanted);
        }
    }
}
