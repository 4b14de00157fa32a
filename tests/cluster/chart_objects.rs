//! Charts that are objects: `HelmChart` and `HelmChartConfig`, as k3s users write them.

use super::harness::{Cluster, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const TEXT: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-text}
data: {text: {{ .Values.text | toJson }}, kind: {{ kindOf .Values.text }}}
"#;

/// A packed chart of one ConfigMap, as objects hold it.
fn content(cluster: &Cluster) -> String {
    let folder = cluster.folder().join("site");
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: site\nversion: 1.2.3\n").unwrap();
    std::fs::write(folder.join("values.yaml"), "text: hello\n").unwrap();
    std::fs::write(folder.join("templates/text.yaml"), TEXT).unwrap();
    let (chart, target) = (folder.display(), cluster.folder().display());
    cluster.coracle(&format!("chart package {chart} -d {target}")).ok();
    STANDARD.encode(std::fs::read(cluster.folder().join("site-1.2.3.tgz")).unwrap())
}

/// Applies a chart object; `spec` is more lines of it.
fn apply(cluster: &Cluster, name: &str, spec: &str) {
    let head =
        format!("apiVersion: helm.cattle.io/v1\nkind: HelmChart\nmetadata: {{name: {name}, namespace: kube-system}}");
    let common = "targetNamespace: sea\n  createNamespace: true";
    let text = format!("{head}\nspec:\n  {common}\n  chartContent: {}\n{spec}", content(cluster));
    cluster.kubectl_with("apply", &text).ok();
}

fn wait_for_text(cluster: &Cluster, name: &str, text: &str) {
    cluster
        .kubectl(&format!("wait --for=jsonpath={{.data.text}}={text} configmap/{name}-text -n sea --timeout=60s"))
        .ok();
}

/// Waits for an event, which is written after what it tells of.
fn until_told(cluster: &Cluster, name: &str, reason: &str) {
    let events = "get events -n kube-system -o jsonpath={.items[*].reason} --field-selector=involvedObject.name";
    until(&format!("an event of {name} says {reason}"), || {
        cluster.kubectl(&format!("{events}={name}")).ok().split(' ').any(|told| told == reason)
    });
}

#[test]
fn a_chart_object_becomes_a_release() {
    let Some(cluster) = Cluster::started("chart-objects") else { return };
    apply(&cluster, "web", "  valuesContent: |\n    text: one\n");
    cluster.kubectl("wait --for=condition=Ready helmchart/web -n kube-system --timeout=60s").ok();
    assert_eq!(cluster.kubectl("get configmap web-text -n sea -o jsonpath={.data.text}").ok(), "one");
    apply(&cluster, "web", "  valuesContent: |\n    text: two\n");
    wait_for_text(&cluster, "web", "two");
    let config = "apiVersion: helm.cattle.io/v1\nkind: HelmChartConfig\nmetadata: {name: web, namespace: kube-system}\nspec:\n  valuesContent: |\n    text: three\n";
    cluster.kubectl_with("apply", config).ok();
    wait_for_text(&cluster, "web", "three");
    cluster.kubectl("wait --for=jsonpath={.status.revision}=3 helmchart/web -n kube-system --timeout=60s").ok();
    until_told(&cluster, "web", "Applied");
    cluster.kubectl("delete hc web -n kube-system --timeout=60s").ok();
    assert_ne!(cluster.kubectl("get configmap web-text -n sea").code, 0);
    assert_eq!(cluster.kubectl("get secret -n sea -o name --selector=owner=helm").ok(), "");
}

#[test]
fn a_chart_object_takes_values_from_secrets_and_follows_them() {
    let Some(cluster) = Cluster::started("chart-secrets") else { return };
    let secret = |text: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: own, namespace: kube-system}}\nstringData:\n  values: 'text: {text}'\n"
        )
    };
    // Text that looks like a number stays text; a secret that does not exist is waited for, and said.
    apply(&cluster, "tag", "  driver: configmap\n  set: {text: \"16\"}\n");
    apply(&cluster, "web", "  valuesSecrets: [{name: own, keys: [values]}]\n");
    cluster.kubectl("wait --for=condition=Ready helmchart/tag -n kube-system --timeout=60s").ok();
    assert_eq!(
        cluster.kubectl("get configmap tag-text -n sea -o jsonpath={.data.text},{.data.kind}").ok(),
        "16,string"
    );
    let kept = cluster.kubectl("get configmap,secret -n sea -o name --selector=owner=helm").ok();
    assert_eq!(kept.trim(), "configmap/sh.helm.release.v1.tag.v1");
    cluster.kubectl("wait --for=condition=Failed helmchart/web -n kube-system --timeout=60s").ok();
    let why = cluster.kubectl("get helmchart web -n kube-system -o jsonpath={.status.conditions[0].message}").ok();
    assert_eq!(why, "spec.valuesSecrets names Secret `own`, which does not exist");
    cluster.kubectl_with("apply", &secret("one")).ok();
    wait_for_text(&cluster, "web", "one");
    cluster.kubectl_with("apply", &secret("two")).ok();
    wait_for_text(&cluster, "web", "two");
    cluster.kubectl("delete helmchart tag web -n kube-system --timeout=60s").ok();
    assert_eq!(cluster.kubectl("get configmap,secret -n sea -o name --selector=owner=helm").ok(), "");
}

#[test]
fn a_chart_object_that_fails_says_why_and_is_tried_by_its_policy() {
    let Some(cluster) = Cluster::started("chart-policies") else { return };
    let failed = |name: &str| {
        cluster.kubectl(&format!("wait --for=condition=Failed helmchart/{name} -n kube-system --timeout=60s")).ok();
    };
    let revisions = |name: &str| {
        let found = cluster.kubectl(&format!("get secret -n sea -o name --selector=owner=helm,name={name}")).ok();
        found.lines().count()
    };
    // A number is no text for a ConfigMap.
    let (good, bad) = ("  set: {text: fine}\n", "  set: {text: 7}\n");
    apply(&cluster, "kept", &format!("  failurePolicy: abort\n{good}"));
    apply(&cluster, "anew", good);
    for name in ["kept", "anew"] {
        cluster.kubectl(&format!("wait --for=condition=Ready helmchart/{name} -n kube-system --timeout=60s")).ok();
    }
    apply(&cluster, "kept", &format!("  failurePolicy: abort\n{bad}"));
    failed("kept");
    until_told(&cluster, "kept", "Failed");
    let abort =
        "the release's status is `failed` and the failure policy is `abort`: waiting for somebody to look at it";
    let path = "jsonpath={.status.conditions[0].message}";
    until("the policy holds the chart back", || {
        cluster.kubectl(&format!("get helmchart kept -n kube-system -o {path}")).ok() == abort
    });
    // What failed was tried once, and the objects of before are there.
    assert_eq!(revisions("kept"), 2);
    assert_eq!(cluster.kubectl("get configmap kept-text -n sea -o jsonpath={.data.text}").ok(), "fine");
    apply(&cluster, "anew", bad);
    failed("anew");
    apply(&cluster, "anew", "  set: {text: mended}\n");
    wait_for_text(&cluster, "anew", "mended");
    cluster.kubectl("wait --for=condition=Ready helmchart/anew -n kube-system --timeout=60s").ok();
    assert_eq!(revisions("anew"), 1, "it was installed anew");
}

#[test]
fn a_chart_object_whose_install_never_ends_can_be_taken_away() {
    let Some(cluster) = Cluster::started("chart-leaves") else { return };
    let hook = "apiVersion: v1\nkind: Pod\nmetadata: {name: never, annotations: {helm.sh/hook: pre-install}}\nspec: \
                {terminationGracePeriodSeconds: 0, containers: [{name: hello, image: coracle.local/hello}]}\n";
    let templates = cluster.folder().join("site/templates");
    std::fs::create_dir_all(&templates).unwrap();
    std::fs::write(templates.join("hook.yaml"), hook).unwrap();
    apply(&cluster, "web", "");
    until("the hook runs", || cluster.kubectl("get pod never -n sea -o jsonpath={.status.phase}").out == "Running");
    cluster.kubectl("delete helmchart web -n kube-system --timeout=60s").ok();
    assert_eq!(cluster.kubectl("get secret -n sea -o name --selector=owner=helm").ok(), "");
}
