//! Releases on a real cluster: installed, upgraded, rolled back, taken away; hooks that fail, installs that are killed.

use super::harness::{self, Cluster, Said, until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const CHART: &str = "apiVersion: v2\nname: site\nversion: 1.2.3\nappVersion: '9'\n";
const VALUES: &str = "replicas: 1\nimage: coracle.local/hello\ntext: hello\nextra: true\n";
const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: hello, image: {{ .Values.image }}}]
"#;
const CONFIG: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-text}
data: {text: {{ .Values.text | quote }}, revision: {{ .Release.Revision | quote }}}
{{- if .Values.extra }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-extra}
{{- end }}
"#;

/// A chart in a folder of the test's own.
fn chart(cluster: &Cluster, name: &str, templates: &[(&str, &str)]) -> PathBuf {
    let folder = cluster.folder().join(name);
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), CHART).unwrap();
    std::fs::write(folder.join("values.yaml"), VALUES).unwrap();
    for (file, text) in templates {
        std::fs::write(folder.join("templates").join(file), text).unwrap();
    }
    folder
}

fn site(cluster: &Cluster) -> PathBuf {
    chart(
        cluster,
        "site",
        &[("deployment.yaml", DEPLOYMENT), ("config.yaml", CONFIG), ("NOTES.txt", "open {{ .Release.Name }}\n")],
    )
}

fn chart_command(cluster: &Cluster, words: &str) -> Said {
    cluster.coracle(&format!("chart {words}"))
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.ok()).unwrap()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_release_lives_from_install_to_uninstall() {
    let Some(cluster) = Cluster::started("releases") else { return };
    let site = shown(&site(&cluster));
    let installed =
        chart_command(&cluster, &format!("install web {site} --wait --timeout 120s -n sea --create-namespace")).ok();
    for line in [
        "NAME: web\n",
        "NAMESPACE: sea\n",
        "STATUS: deployed\n",
        "REVISION: 1\n",
        "DESCRIPTION: Install complete\n",
        "NOTES:\nopen web\n",
    ] {
        assert!(installed.contains(line), "{installed}");
    }
    assert_eq!(cluster.kubectl("get deployment web -n sea -o jsonpath={.status.readyReplicas}").ok(), "1");
    let labels = cluster.kubectl("get secret sh.helm.release.v1.web.v1 -n sea -o jsonpath={.type}/{.metadata.labels.status}/{.metadata.labels.owner}");
    assert_eq!(labels.ok(), "helm.sh/release.v1/deployed/helm");
    let owner = "get configmap web-text -n sea -o jsonpath={.metadata.labels.app\\.kubernetes\\.io/managed-by}/{.metadata.annotations.meta\\.helm\\.sh/release-name}";
    assert_eq!(cluster.kubectl(owner).ok(), "Helm/web");
    assert!(
        chart_command(&cluster, &format!("install web {site} -n sea"))
            .err
            .contains("cannot reuse a name that is still in use")
    );

    let upgraded = chart_command(&cluster, &format!("upgrade web {site} -n sea --set text=bye,extra=false")).ok();
    assert!(upgraded.starts_with("Release \"web\" has been upgraded. Happy Helming!\nNAME: web\n"), "{upgraded}");
    assert_eq!(cluster.kubectl("get configmap web-text -n sea -o jsonpath={.data.text}{.data.revision}").ok(), "bye2");
    assert_ne!(cluster.kubectl("get configmap web-extra -n sea").code, 0);
    let values = json(chart_command(&cluster, "get values web -n sea -o json"));
    assert_eq!(values, serde_json::json!({"text": "bye", "extra": false}));
    let history = json(chart_command(&cluster, "history web -n sea -o json"));
    let states: Vec<&str> = history.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["superseded", "deployed"]);

    assert_eq!(chart_command(&cluster, "rollback web 1 -n sea").ok(), "Rollback was a success! Happy Helming!\n");
    assert_eq!(
        cluster.kubectl("get configmap web-text -n sea -o jsonpath={.data.text}{.data.revision}").ok(),
        "hello1"
    );
    assert_eq!(cluster.kubectl("get configmap web-extra -n sea -o name").ok(), "configmap/web-extra\n");
    let list = json(chart_command(&cluster, "list -A -o json"));
    assert_eq!(
        (&list[0]["name"], &list[0]["revision"], &list[0]["chart"]),
        (&"web".into(), &"3".into(), &"site-1.2.3".into())
    );
    let status = chart_command(&cluster, "status web -n sea").ok();
    assert!(status.contains("DESCRIPTION: Rollback to 1\n") && status.contains("==> v1/ConfigMap\nNAME"), "{status}");

    let picture = chart_command(&cluster, "graph web -n sea").ok();
    assert!(picture.starts_with("<svg ") && picture.contains("<title>Deployment web"), "{picture}");
    assert!(picture.contains("web (site-1.2.3), revision 3: deployed"), "{picture}");
    assert!(picture.matches("stroke-width=\"2.5\"").count() >= 2, "Deployment, ReplicaSet and Pod are tied: {picture}");

    assert_eq!(chart_command(&cluster, "uninstall web -n sea").ok(), "release \"web\" uninstalled\n");
    assert_eq!(
        cluster
            .kubectl("get configmap,secret,deployment -n sea -o name --selector=app.kubernetes.io/managed-by=Helm")
            .ok(),
        ""
    );
    assert_eq!(cluster.kubectl("get secret -n sea -o name --selector=owner=helm").ok(), "");
    assert!(chart_command(&cluster, "status web -n sea").err.contains("release: not found"));
}

const FAILING_HOOK: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-before
  annotations: {"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation"}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: one, image: coracle.local/hello, command: ["/no/such/program"]}]
"#;

#[test]
fn a_failed_hook_and_a_failed_upgrade_leave_what_helm_leaves() {
    let Some(cluster) = Cluster::started("chart-failures") else { return };
    let hooked = chart(&cluster, "hooked", &[("config.yaml", CONFIG), ("hook.yaml", FAILING_HOOK)]);
    let refused = chart_command(&cluster, &format!("install web {} --timeout 60s", shown(&hooked)));
    assert!(refused.err.contains("INSTALLATION FAILED: failed pre-install:"), "{}", refused.err);
    assert_ne!(cluster.kubectl("get configmap web-text").code, 0);
    let list = json(chart_command(&cluster, "list -o json"));
    assert_eq!(list[0]["status"], "failed");
    chart_command(&cluster, "uninstall web").ok();

    let site = shown(&site(&cluster));
    chart_command(&cluster, &format!("install web {site} --wait --timeout 120s")).ok();
    let broken =
        format!("upgrade web {site} --set image=coracle.local/none --set text=new --rollback-on-failure --timeout 15s");
    let refused = chart_command(&cluster, &broken);
    let wanted = "release web failed, and has been rolled back due to rollback-on-failure being set";
    assert!(refused.err.contains(wanted), "{}", refused.err);
    assert_eq!(cluster.kubectl("get configmap web-text -o jsonpath={.data.text}").ok(), "hello");
    let history = json(chart_command(&cluster, "history web -o json"));
    let states: Vec<&str> = history.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["superseded", "failed", "deployed"]);

    cluster.kubectl("create configmap other-text").ok();
    let refused = chart_command(&cluster, &format!("install other {site}"));
    let wanted = "unable to continue with install: ConfigMap \"other-text\" in namespace \"default\" exists and cannot be imported into \
                  the current release: invalid ownership metadata; label validation error: missing key \
                  \"app.kubernetes.io/managed-by\": must be set to \"Helm\"";
    assert!(refused.err.contains(wanted), "{}", refused.err);
    chart_command(&cluster, &format!("install other {site} --take-ownership")).ok();
}

#[test]
fn what_cannot_be_made_keeps_nothing_else_from_being_made() {
    let Some(cluster) = Cluster::started("chart-partly") else { return };
    let wrong = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: WRONG}}\n");
    let (map, secret) = (wrong("ConfigMap"), wrong("Secret"));
    let templates = [("a.yaml", map.as_str()), ("b.yaml", secret.as_str()), ("c.yaml", CONFIG), ("d.yaml", DEPLOYMENT)];
    let refused = chart_command(&cluster, &format!("install web {}", shown(&chart(&cluster, "site", &templates))));
    assert_eq!(refused.code, 1);
    for kind in ["ConfigMap", "Secret"] {
        assert!(refused.err.contains(&format!("{kind} \"WRONG\" is invalid")), "{}", refused.err);
    }
    cluster.kubectl("get configmap/web-text deployment/web").ok();
}

#[test]
fn what_charts_of_others_say_is_taken() {
    let Some(cluster) = Cluster::started("chart-others") else { return };
    // A template may leave the ports of the node to its pods.
    let exporter = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: exporter}\nspec:\n  selector: {matchLabels: {app: x}}\n  \
                    template:\n    metadata: {labels: {app: x}}\n    spec:\n      hostNetwork: true\n      containers: [{name: a, \
                    image: coracle.local/hello, ports: [{containerPort: 9100}]}]\n";
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: proxies.sea.test}\nspec:\n  \
                      group: sea.test\n  names: {kind: Proxy, plural: proxies}\n  scope: Namespaced\n  versions: [{name: v1, served: \
                      true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {path: {type: string, pattern: \
                      '^[^()[\\]?]+$'}}}}}]\n";
    let templates = [("exporter.yaml", exporter), ("definition.yaml", definition)];
    chart_command(&cluster, &format!("install web {}", shown(&chart(&cluster, "site", &templates)))).ok();
    cluster.kubectl("rollout status daemonset/exporter --timeout=60s").ok();
    let ports = "get pods -l app=x -o jsonpath={.items[*].spec.containers[*].ports[*].hostPort}";
    assert_eq!(cluster.kubectl(ports).ok(), "9100");
    cluster.kubectl("wait --for=condition=Established crd/proxies.sea.test --timeout=60s").ok();
    let proxy = |path: &str| format!("apiVersion: sea.test/v1\nkind: Proxy\nmetadata: {{name: one}}\npath: '{path}'\n");
    cluster.kubectl_with("apply", &proxy("/a")).ok();
    let refused = cluster.kubectl_with("apply", &proxy("/a[0]"));
    assert!(refused.err.contains("should match '^[^()[\\]?]+$'"), "{}", refused.err);
}

/// Starts an install that waits for what never comes, for some seconds.
fn stuck(cluster: &Cluster, site: &str, seconds: u32) -> Child {
    let words = format!("chart install web {site} --wait --timeout {seconds}s --set image=coracle.local/none");
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(words.split_whitespace()).env("KUBECONFIG", cluster.kubeconfig());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn an_install_that_was_killed_is_continued() {
    let Some(cluster) = Cluster::started("chart-killed") else { return };
    let site = shown(&site(&cluster));
    let mut install = stuck(&cluster, &site, 600);
    cluster.kubectl("wait --for=create deployment/web --timeout=60s").ok();
    let meanwhile = chart_command(&cluster, &format!("upgrade web {site}"));
    assert!(meanwhile.err.contains("another operation (install/upgrade/rollback) is in progress"), "{}", meanwhile.err);
    install.kill().unwrap();
    install.wait().unwrap();
    let list = json(chart_command(&cluster, "list -o json"));
    assert_eq!(list[0]["status"], "pending-install");
    chart_command(
        &cluster,
        &format!("upgrade --install web {site} --set image=coracle.local/hello --wait --timeout 120s"),
    )
    .ok();
    let history = json(chart_command(&cluster, "history web -o json"));
    let states: Vec<&str> = history.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(states[1..], ["deployed"]);
    chart_command(&cluster, "uninstall web").ok();
    assert_ne!(cluster.kubectl("get deployment web").code, 0);
}

/// Asks a process to end, as Ctrl-C does, and returns what it said.
fn interrupted(process: Child) -> Said {
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    process.wait_with_output().unwrap().into()
}

#[test]
fn an_install_that_is_broken_off_says_so_and_leaves_what_others_do() {
    let Some(cluster) = Cluster::started("chart-broken-off") else { return };
    let states = || json(chart_command(&cluster, "history web -o json"))[0]["status"].as_str().unwrap().to_string();
    let folder = site(&cluster);
    let site = shown(&folder);
    // The other one works on it: a dry run of the same release that is broken off does not end that.
    let install = stuck(&cluster, &site, 600);
    cluster.kubectl("wait --for=create deployment/web --timeout=60s").ok();
    // A rendering without an end is not waited for, and nobody has to read what is said.
    std::fs::write(folder.join("templates/endless.yaml"), "{{ range 9223372036854775807 }}{{ end }}").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(["chart", "install", "web", &site, "--dry-run=client"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut endless = cluster.spawn(command);
    drop(endless.stdout.take());
    until("it renders", || has_taken(endless.id(), 50));
    let said = interrupted(endless);
    assert!(said.code == 1 && said.err.contains("context canceled"), "{}: {}", said.code, said.err);
    assert_eq!(states(), "pending-install");

    let said = interrupted(install);
    assert!(said.code == 1 && said.err.contains("context canceled"), "{}: {}", said.code, said.err);
    assert_eq!(states(), "failed");
}

/// Whether a process has had the processor for so many hundredths of a second.
fn has_taken(pid: u32, hundredths: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.split(' ').nth(13).unwrap().parse::<u64>().unwrap() >= hundredths
}

#[test]
fn an_install_whose_cluster_goes_away_says_so_and_is_continued() {
    let Some(cluster) = Cluster::started("chart-gone") else { return };
    let site = shown(&site(&cluster));
    let install = stuck(&cluster, &site, 15);
    cluster.kubectl("wait --for=create deployment/web --timeout=60s").ok();
    cluster.coracle("stop").ok();
    let said = install.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && text.contains("INSTALLATION FAILED"), "{text}");
    cluster.coracle("start").ok();
    let list = json(chart_command(&cluster, "list -o json"));
    assert_eq!(list[0]["status"], "pending-install");
    chart_command(&cluster, &format!("upgrade web {site} --set image=coracle.local/hello --wait --timeout 120s")).ok();
    let list = json(chart_command(&cluster, "list -o json"));
    assert_eq!((&list[0]["status"], &list[0]["revision"]), (&"deployed".into(), &"2".into()));
    chart_command(&cluster, "uninstall web").ok();
}

#[test]
fn an_uninstall_takes_dependents_along_or_leaves_them_and_waits_as_it_is_told() {
    let Some(cluster) = Cluster::started("chart-cascade") else { return };
    let site = shown(&site(&cluster));
    chart_command(&cluster, &format!("install web {site} --wait=legacy --timeout 120s")).ok();
    assert_eq!(cluster.kubectl("get deployment web -o jsonpath={.status.readyReplicas}").ok(), "1");
    chart_command(&cluster, "uninstall web --cascade orphan --wait --timeout 60s").ok();
    assert_ne!(cluster.kubectl("get deployment web").code, 0);
    assert_eq!(cluster.kubectl("get replicasets -l app=web -o jsonpath={.items[*].status.replicas}").ok(), "1");
    cluster.kubectl("delete replicasets -l app=web --timeout=60s").ok();

    // Without being told to wait only hooks are waited for.
    let never = "--set image=coracle.local/none --timeout 600s";
    chart_command(&cluster, &format!("install web {site} --wait=hookOnly {never}")).ok();
    let refused = chart_command(&cluster, &format!("upgrade web {site} --wait=soon"));
    assert!(refused.err.contains("invalid wait input \"soon\". Valid inputs are watcher, hookOnly, and legacy"));
    chart_command(&cluster, "uninstall web --cascade foreground --wait --timeout 60s").ok();
    assert_eq!(cluster.kubectl("get deployments,replicasets,pods -l app=web -o name").ok(), "");
    let refused = chart_command(&cluster, "uninstall web --cascade sideways");
    assert!(refused.err.contains("invalid cascade value (sideways)"), "{}", refused.err);
}

/// A packed chart as chart objects have it.
fn content(cluster: &Cluster, templates: &[(&str, &str)]) -> String {
    use base64::Engine;
    let site = shown(&chart(cluster, "site", templates));
    chart_command(cluster, &format!("package {site} -d {}", shown(cluster.folder()))).ok();
    let packed = std::fs::read(cluster.folder().join("site-1.2.3.tgz")).unwrap();
    base64::engine::general_purpose::STANDARD.encode(packed)
}

#[test]
fn a_chart_that_takes_all_memory_takes_none_of_the_servers() {
    let Some(cluster) = Cluster::started("greedy") else { return };
    let greedy = "{{ $all := list 1 }}{{ range until 60 }}{{ $all = concat $all $all }}{{ end }}";
    let content = content(&cluster, &[("greedy.yaml", greedy)]);
    let object = format!(
        "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nmetadata: {{name: greedy, namespace: kube-system}}\nspec:\n  \
         chartContent: {content}\n"
    );
    let server = harness::server(cluster.init());
    assert!(server.is_some());
    cluster.kubectl_with("apply", &object).ok();
    cluster.kubectl("wait --for=condition=Failed helmchart/greedy -n kube-system --timeout=120s").ok();
    let why = cluster.kubectl("get helmchart greedy -n kube-system -o jsonpath={.status.conditions[*].message}").ok();
    assert!(why.contains("rendering broke off: memory allocation of"), "{why}");
    assert_eq!(harness::server(cluster.init()), server, "the server is the one that it was");
    cluster.kubectl("delete helmchart greedy -n kube-system --timeout=60s").ok();
}

#[test]
fn a_hook_without_a_name_deletes_nothing() {
    let Some(cluster) = Cluster::started("nameless") else { return };
    let hook = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: hook-\n  annotations: {helm.sh/hook: pre-install}\n";
    let site = shown(&chart(&cluster, "site", &[("hook.yaml", hook), ("config.yaml", CONFIG)]));
    cluster.kubectl("create configmap precious").ok();
    let told = chart_command(&cluster, &format!("install web {site}"));
    assert!(told.err.contains("failed pre-install: resource name may not be empty"), "{}", told.err);
    cluster.kubectl("get configmap precious").ok();
}

const GADGET: &str = r#"apiVersion: sea.test/v1
kind: Gadget
metadata: {name: {{ .Release.Name }}}
"#;
const GADGETS: &str = r#"apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.sea.test}
spec:
  group: sea.test
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"#;

#[test]
fn a_release_goes_also_when_the_kind_of_one_of_its_objects_went_before() {
    let Some(cluster) = Cluster::started("chart-unserved") else { return };
    let folder = chart(&cluster, "site", &[("config.yaml", CONFIG), ("gadget.yaml", GADGET)]);
    std::fs::create_dir_all(folder.join("crds")).unwrap();
    std::fs::write(folder.join("crds/gadgets.yaml"), GADGETS).unwrap();
    chart_command(&cluster, &format!("install web {}", shown(&folder))).ok();
    cluster.kubectl("delete crd gadgets.sea.test --timeout=60s").ok();
    let said = chart_command(&cluster, "uninstall web");
    assert!(said.err.contains("the cluster serves no Gadget of sea.test/v1"), "{}", said.err);
    assert_eq!(said.ok(), "release \"web\" uninstalled\n");
    assert_eq!(cluster.kubectl("get configmaps,secrets -l app.kubernetes.io/managed-by=Helm -o name").ok(), "");
    assert_eq!(cluster.kubectl("get secrets -l owner=helm -o name").ok(), "");
}

#[test]
fn what_cannot_even_begin_says_why_also_when_it_is_rolled_back() {
    let Some(cluster) = Cluster::started("chart-reasons") else { return };
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: claim}\nspec: {storageClassName: none, \
                 accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n";
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: none}\nspec: {hard: {pods: '0'}}\n";
    cluster.kubectl_with("apply", quota).ok();
    let site = shown(&chart(&cluster, "site", &[("deployment.yaml", DEPLOYMENT), ("claim.yaml", claim)]));
    let said = chart_command(&cluster, &format!("install web {site} --rollback-on-failure --timeout 8s"));
    assert_eq!(said.code, 1);
    for why in [
        "Deployment/web  Replicas: 0/1\n      FailedCreate: pods \"web-",
        "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0",
        "PersistentVolumeClaim/claim  PVC is not Bound. phase: Pending\n      ProvisioningFailed: storageclass.storage.k8s.io \"none\" not found",
        "release web failed, and has been uninstalled due to rollback-on-failure being set",
    ] {
        assert!(said.err.contains(why), "{why} is not in\n{}", said.err);
    }
}
