//! Apply, patch, edit, diff, explain: what kubectl does with schemas, patches and field managers.

use super::harness::{Cluster, kubectls};
use std::process::{Command, Stdio};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n";

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 0
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: example.com/web:1
        ports: [{containerPort: 80}]
      - name: side
        image: example.com/side:1
";

fn map(data: &str) -> String {
    format!("{MAP}data: {data}\n")
}

/// Runs a kubectl with an editor that replaces text, or any other program with the cluster's kubeconfig.
fn run(cluster: &Cluster, program: &str, words: &[&str], editor: &str) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(words).env("KUBECONFIG", cluster.kubeconfig()).env("KUBE_EDITOR", editor).stdin(Stdio::null());
    let output = command.output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
fn apply_by_the_client_adds_changes_removes_and_diffs() {
    let Some(cluster) = Cluster::started("apply") else { return };
    assert!(cluster.kubectl_with("apply", &map("{a: '1', b: '1'}")).ok().contains("created"));
    assert!(cluster.kubectl_with("apply", &map("{a: '1', b: '1'}")).ok().contains("unchanged"));
    let diff = cluster.kubectl_with("diff", &map("{a: '2', b: '1'}"));
    assert_eq!(diff.code, 1, "{}", diff.err);
    assert!(diff.out.contains("-  a: \"1\"") && diff.out.contains("+  a: \"2\""), "{}", diff.out);
    assert!(cluster.kubectl_with("apply", &map("{b: '2'}")).ok().contains("configured"));
    assert_eq!(cluster.kubectl("get configmap settings -o jsonpath={.data}").ok(), "{\"b\":\"2\"}");

    cluster.kubectl_with("apply", WEB).ok();
    cluster.kubectl("scale deployment web --replicas=1").ok();
    let without = WEB.replace("      - name: side\n        image: example.com/side:1\n", "").replace("web:1", "web:2");
    cluster.kubectl_with("apply", &without.replace("  replicas: 0\n", "")).ok();
    let images = "get deployment web -o jsonpath={.spec.template.spec.containers[*].image}";
    assert_eq!(cluster.kubectl(images).ok(), "example.com/web:2");
    let managers = cluster
        .kubectl("get deployment web --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}")
        .ok();
    assert!(managers.contains("kubectl-client-side-apply"), "{managers}");
}

#[test]
fn apply_by_the_server_knows_who_owns_what() {
    let Some(cluster) = Cluster::started("owners") else { return };
    let applied = cluster.kubectl_with("apply --server-side", &map("{a: '1'}")).ok();
    assert!(applied.contains("configmap/settings serverside-applied"), "{applied}");
    let other = cluster.kubectl_with("apply --server-side --field-manager=other", &map("{a: '2'}"));
    assert_ne!(other.code, 0);
    assert!(other.err.contains("Apply failed with 1 conflict: conflict with \"kubectl\": .data.a"), "{}", other.err);
    cluster.kubectl_with("apply --server-side --field-manager=other --force-conflicts", &map("{a: '2', b: '2'}")).ok();
    cluster.kubectl_with("apply --server-side --field-manager=other", &map("{a: '2'}")).ok();
    assert_eq!(cluster.kubectl("get configmap settings -o jsonpath={.data}").ok(), "{\"a\":\"2\"}");
    // What the client applied before goes over to the server without conflict.
    cluster.kubectl_with("apply", WEB).ok();
    let over = cluster.kubectl_with("apply --server-side", &WEB.replace("web:1", "web:2")).ok();
    assert!(over.contains("serverside-applied"), "{over}");
    let diff = cluster.kubectl_with("diff --server-side", &WEB.replace("web:1", "web:3"));
    assert_eq!(diff.code, 1, "{}", diff.err);
    assert!(diff.out.contains("web:3"), "{}", diff.out);
}

#[test]
fn patches_edits_and_replacements_change_what_they_say() {
    let Some(cluster) = Cluster::started("patch") else { return };
    cluster.kubectl_with("create", WEB).ok();
    let image = |name: &str| {
        cluster
            .kubectl(&format!(
                "get deployment web -o jsonpath={{.spec.template.spec.containers[?(@.name==\"{name}\")].image}}"
            ))
            .ok()
    };
    let strategic = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"x:2"}]}}}}"#;
    cluster.kubectl(&format!("patch deployment web -p {strategic}")).ok();
    assert_eq!((image("web").as_str(), image("side").as_str()), ("x:2", "example.com/side:1"));
    cluster.kubectl("patch deployment web --type=merge -p {\"spec\":{\"paused\":true}}").ok();
    let json = r#"[{"op":"replace","path":"/spec/template/spec/containers/1/image","value":"y:2"}]"#;
    cluster.kubectl(&format!("patch deployment web --type=json -p {json}")).ok();
    assert_eq!(image("side"), "y:2");
    cluster.kubectl("set image deployment/web web=x:3").ok();
    assert_eq!(image("web"), "x:3");
    let (edited, said) =
        run(&cluster, "kubectl", &["--context", "patch", "edit", "deployment", "web"], "sed -i s/x:3/x:4/");
    assert!(edited, "{said}");
    assert_eq!(image("web"), "x:4");
    cluster.kubectl_with("replace", WEB).ok();
    assert_eq!(image("web"), "example.com/web:1");
    cluster.kubectl("annotate deployment web note=a").ok();
    cluster.kubectl("label deployment web tier=front").ok();
}

#[test]
fn what_is_unknown_is_warned_of_or_refused() {
    let Some(cluster) = Cluster::started("unknown") else { return };
    let odd = map("{a: '1'}") + "dat: {}\n";
    let strict = cluster.kubectl_with("create", &odd);
    assert_ne!(strict.code, 0, "kubectl asks for strict validation by itself");
    assert!(strict.err.contains("unknown field \"dat\""), "{}", strict.err);
    let warned = cluster.kubectl_with("create --validate=warn", &odd);
    assert!(warned.err.contains("Warning: unknown field \"dat\""), "{}", warned.err);
    warned.ok();
    cluster.kubectl_with("apply --validate=ignore", &odd).ok();
    let wrong = cluster.kubectl_with("create", &WEB.replace("replicas: 0", "replicas: many"));
    let wanted = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32";
    assert!(wrong.err.contains(wanted), "{}", wrong.err);
}

#[test]
fn every_field_is_explained() {
    let Some(cluster) = Cluster::started("explain") else { return };
    let field = cluster.kubectl("explain deployment.spec.template.spec.containers.ports.protocol").ok();
    assert!(field.contains("FIELD: protocol <string>") && field.contains("SCTP"), "{field}");
    let pod = cluster.kubectl("explain pod --recursive").ok();
    assert!(pod.contains("containerPort\t<integer> -required-"), "{pod}");
    let second = cluster.kubectl("explain pod.spec --output=plaintext").ok();
    assert!(second.contains("nodeSelector"), "{second}");
    let list = cluster.kubectl("get --raw /openapi/v3").ok();
    assert!(list.contains("apis/apps/v1"), "{list}");
}

#[test]
fn every_kubectl_makes_applies_explains_and_deletes() {
    let Some(cluster) = Cluster::started("versions") else { return };
    for program in kubectls() {
        let ok = |words: &str| cluster.kubectl_of(&program, words).ok();
        let with = |text: &str, words: &str| {
            let file = cluster.folder().join("web.yaml");
            std::fs::write(&file, text).unwrap();
            ok(&format!("{words} -f {}", file.display()))
        };
        with(WEB, "create");
        with(WEB, "delete");
        with(WEB, "apply");
        let changed = WEB.replace("web:1", "web:2");
        with(&changed, "apply");
        with(&changed, "apply --server-side --force-conflicts");
        let images = with(&changed, "get -o jsonpath={.spec.template.spec.containers[*].image}");
        assert_eq!(images, "example.com/web:2 example.com/side:1", "{}", program.display());
        assert!(ok("explain deployment.spec --recursive").contains("maxUnavailable"), "{}", program.display());
        with(&changed, "delete");
    }
}
