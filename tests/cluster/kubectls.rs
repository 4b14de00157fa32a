//! Every kubectl that is on this machine, from the oldest on: each does the same round of everyday work on one cluster.

use super::harness::{Cluster, kubectls};

/// Objects as they were written before Kubernetes 1.16, 1.22 and 1.25.
const OLD: &str = r#"
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: old}
spec:
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: hello, image: coracle.local/hello}]}
---
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata: {name: old}
spec: {rules: [{http: {paths: [{path: /, backend: {serviceName: old, servicePort: 80}}]}}]}
---
apiVersion: batch/v1beta1
kind: CronJob
metadata: {name: old}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: coracle.local/hello}]}}}}
---
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {name: old}
spec: {minAvailable: 1, selector: {matchLabels: {app: old}}}
---
apiVersion: rbac.authorization.k8s.io/v1beta1
kind: Role
metadata: {name: old}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: apiextensions.k8s.io/v1beta1
kind: CustomResourceDefinition
metadata: {name: olds.example.com}
spec: {group: example.com, version: v1, scope: Namespaced, names: {plural: olds, kind: Old}}
"#;

#[test]
fn manifests_of_any_age_apply_and_say_what_to_write_today() {
    let Some(cluster) = Cluster::started("ages") else { return };
    let applied = cluster.kubectl_with("apply", OLD);
    for warning in [
        "extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment",
        "networking.k8s.io/v1beta1 Ingress is deprecated in v1.19+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress",
        "batch/v1beta1 CronJob is deprecated in v1.21+, unavailable in v1.25+; use batch/v1 CronJob",
    ] {
        assert!(applied.err.contains(warning), "{}", applied.err);
    }
    applied.ok();
    let again = cluster.kubectl_with("apply", OLD).ok();
    // kubectl compares paths and a budget's selector as a whole, and always sends them.
    let is_resent = |line: &str| line.starts_with("ingress") || line.starts_with("poddisruptionbudget");
    assert!(again.lines().all(|line| line.ends_with("unchanged") || is_resent(line)), "{again}");
    assert!(!again.contains("created"), "{again}");
    cluster.kubectl("rollout status deployment/old --timeout=60s").ok();
    cluster.kubectl("wait --for=condition=Established crd/olds.example.com --timeout=60s").ok();
    let backend = "jsonpath={.spec.rules[0].http.paths[0].backend.service.port.number}";
    assert_eq!(cluster.kubectl(&format!("get ingress old -o {backend}")).ok(), "80");
    let all = cluster.kubectl("get all -o name").ok();
    let deployments: Vec<&str> = all.lines().filter(|line| line.starts_with("deployment")).collect();
    assert_eq!(deployments, ["deployment.apps/old"], "each object is listed once");
    assert!(
        cluster.kubectl("explain ingress.spec.backend --api-version=extensions/v1beta1").ok().contains("serviceName")
    );
}

#[test]
fn every_kubectl_that_is_here_does_its_everyday_work() {
    let Some(cluster) = Cluster::started("kubectls") else { return };
    cluster.kubectl("create deployment web --image=coracle.local/hello --replicas=2").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    for kubectl in kubectls() {
        println!("{}", kubectl.display());
        let run = |words: &str| cluster.kubectl_of(&kubectl, words);
        let version = run("version -o json").ok();
        let version: serde_json::Value = serde_json::from_str(&version).unwrap();
        let server = &version["serverVersion"];
        assert_eq!(server["gitCommit"].as_str().unwrap().len(), 40, "{server}");
        assert!(server["buildDate"].as_str().unwrap().ends_with('Z'), "{server}");
        let parts = run("get componentstatuses").ok();
        assert_eq!(parts.matches("Healthy").count(), 3, "{parts}");
        run("create poddisruptionbudget p --selector=app=web --min-available=1").ok();
        run("create role r --verb=get --resource=pods").ok();
        run("create quota q --hard=pods=40").ok();
        run("autoscale deployment web --min=2 --max=3").ok();
        for kind in ["deployment/web", "hpa/web", "pdb/p", "role/r", "quota/q", "node", "endpointslices"] {
            let described = run(&format!("describe {}", kind.replace('/', " "))).ok();
            assert!(described.contains("Name:"), "{kind}: {described}");
        }
        assert!(run("get all,hpa,pdb,quota -o wide").ok().contains("deployment.apps/web"));
        assert!(run("explain pod.spec.containers --recursive").ok().contains("imagePullPolicy"));
        assert!(run("cluster-info").ok().contains("is running at"));
        run("label deployment web from=here --overwrite").ok();
        run("annotate deployment web from=here --overwrite").ok();
        run(r#"patch deployment web --type=json -p [{"op":"replace","path":"/spec/replicas","value":2}]"#).ok();
        run(r#"patch deployment web --type=merge -p {"spec":{"replicas":2}}"#).ok();
        assert!(run("exec deploy/web -- /coracle version").ok().starts_with("coracle version: v"));
        assert!(run("logs deploy/web --tail=1").ok().contains("listening"));
        let drained =
            run("drain -l kubernetes.io/os=linux --ignore-daemonsets --delete-emptydir-data --dry-run=server");
        assert!(drained.ok().contains("evicting pod"));
        run("delete pdb/p role/r quota/q hpa/web").ok();
    }
}
