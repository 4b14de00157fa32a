//! Helm and coracle on the same releases: each goes on with what the other made. Without a `helm` on the path, or in
//! `CORACLE_TEST_HELM`, what needs it is skipped.

use super::harness::{Cluster, Said};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const FILES: &[(&str, &str)] = &[
    ("Chart.yaml", "apiVersion: v2\nname: site\nversion: 1.2.3\nappVersion: '9'\n"),
    ("values.yaml", "text: hello\nextra: true\n"),
    (
        "templates/config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-text}\ndata:\n  text: {{ .Values.text | quote }}\n  \
         {{- if .Values.extra }}\n  extra: 'yes'\n  {{- end }}\n{{- if .Values.extra }}\n---\napiVersion: v1\nkind: \
         ConfigMap\nmetadata: {name: {{ .Release.Name }}-extra}\n{{- end }}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: \
         {{ .Release.Name }}}\nspec: {selector: {app: x}, ports: [{port: 80}]}\n",
    ),
    (
        "templates/hook.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-hook\n  annotations: {helm.sh/hook: \
         'post-install,post-upgrade,post-rollback', helm.sh/hook-weight: '-2', helm.sh/hook-delete-policy: \
         before-hook-creation}\ndata: {revision: {{ .Release.Revision | quote }}}\n",
    ),
    ("templates/NOTES.txt", "open {{ .Release.Name }}\n"),
];

/// A cluster with the chart, and Helm's own files apart from the user's.
fn cluster(name: &str) -> Option<(Cluster, String)> {
    let cluster = Cluster::new(name)?;
    let home = cluster.folder().to_path_buf();
    let mut cluster = cluster;
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        cluster = cluster.with_variable(variable, home.join(variable).display().to_string());
    }
    let site = home.join("site");
    for (file, text) in FILES {
        let path = site.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    cluster.coracle("start").ok();
    Some((cluster, site.display().to_string()))
}

fn helm() -> Option<PathBuf> {
    let named = std::env::var_os("CORACLE_TEST_HELM").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = named.into_iter().chain(std::env::split_paths(&paths).map(|folder| folder.join("helm")));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: there is no helm");
    }
    found
}

/// One of the two programs on a cluster.
#[derive(Clone, Copy)]
struct Program<'a> {
    cluster: &'a Cluster,
    helm: Option<&'a Path>,
}

impl Program<'_> {
    fn run(&self, words: &str) -> Said {
        match self.helm {
            Some(program) => self.cluster.program(program, &format!("--kube-context {} {words}", self.cluster.name())),
            None => self.cluster.coracle(&format!("chart {words}")),
        }
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{words} -o json")).ok()).unwrap()
    }
}

fn text(cluster: &Cluster) -> Value {
    let object: Value = serde_json::from_str(&cluster.kubectl("get configmap web-text -o json").ok()).unwrap();
    object["data"].clone()
}

/// Who manages the data of the release's ConfigMap, and how.
fn managers(cluster: &Cluster) -> Vec<(String, String)> {
    let object = cluster.kubectl("get configmap web-text -o json --show-managed-fields").ok();
    let object: Value = serde_json::from_str(&object).unwrap();
    let all = object["metadata"]["managedFields"].as_array().unwrap().iter();
    let own = all.filter(|one| one["fieldsV1"].get("f:data").is_some());
    let word = |one: &Value, field: &str| one[field].as_str().unwrap().to_string();
    own.map(|one| (word(one, "manager"), word(one, "operation"))).collect()
}

fn pair(manager: &str, operation: &str) -> Vec<(String, String)> {
    vec![(manager.to_string(), operation.to_string())]
}

#[test]
fn helm_and_coracle_go_on_with_each_others_releases() {
    let Some(program) = helm() else { return };
    let Some((cluster, site)) = cluster("helm") else { return };
    let theirs = Program { cluster: &cluster, helm: Some(&program) };
    let ours = Program { cluster: &cluster, helm: None };
    for (first, second) in [(theirs, ours), (ours, theirs)] {
        first.run(&format!("install web {site} -l team=a --timeout 60s")).ok();
        second.run(&format!("upgrade web {site} --set text=two,extra=false")).ok();
        assert_eq!(text(&cluster), json!({"text": "two"}));
        assert_eq!(managers(&cluster), pair("helm", "Apply"));
        first.run("rollback web 1").ok();
        assert_eq!(text(&cluster), json!({"text": "hello", "extra": "yes"}));
        second.run(&format!("upgrade web {site} --reuse-values --set text=four")).ok();
        assert_eq!(managers(&cluster), pair("helm", "Apply"));
        for words in ["list", "history web", "status web", "get values web -a", "get metadata web"] {
            assert_eq!(first.json(words), second.json(words), "{words}");
        }
        for words in [
            "list -l team=a",
            "history web",
            "get all web",
            "get all web --revision 1",
            "get manifest web",
            "get hooks web",
            "get notes web",
            "get metadata web",
            "list -A",
            "list -q",
        ] {
            assert_eq!(first.run(words).ok(), second.run(words).ok(), "{words}");
        }
        let states: Vec<String> = first
            .json("history web")
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{}: {}", one["status"].as_str().unwrap(), one["description"].as_str().unwrap()))
            .collect();
        assert_eq!(
            states,
            [
                "superseded: Install complete",
                "superseded: Upgrade complete",
                "superseded: Rollback to 1",
                "deployed: Upgrade complete"
            ]
        );
        second.run("uninstall web --keep-history").ok();
        assert_eq!(first.json("list --uninstalled"), second.json("list --uninstalled"));
        first.run("uninstall web").ok();
        let left = cluster.kubectl("get configmap,service,secret -o name -l app.kubernetes.io/managed-by=Helm").ok();
        assert_eq!(left, "");
        cluster.kubectl("delete configmap web-hook").ok();
    }
}

#[test]
fn helm_and_coracle_find_each_others_config_maps() {
    let Some(program) = helm() else { return };
    let Some((cluster, site)) = cluster("helm-driver") else { return };
    let cluster = cluster.with_variable("HELM_DRIVER", "configmap".into());
    let theirs = Program { cluster: &cluster, helm: Some(&program) };
    let ours = Program { cluster: &cluster, helm: None };
    theirs.run(&format!("install web {site}")).ok();
    ours.run(&format!("upgrade web {site} --set text=two")).ok();
    ours.run(&format!("install other {site}")).ok();
    assert_eq!(ours.json("list"), theirs.json("list"));
    assert_eq!(theirs.run("get values web -o json").ok(), "{\"text\":\"two\"}\n");
    assert_eq!(cluster.kubectl("get secret -o name -l owner=helm").ok(), "");
    theirs.run("uninstall web other").ok();
    assert_eq!(ours.run("list -q").ok(), "");
}

#[test]
fn records_are_kept_only_where_they_last() {
    let Some((cluster, site)) = cluster("helm-memory") else { return };
    for driver in ["memory", "sql", "pigeon"] {
        let cluster_words = format!("install web {site}");
        let told = cluster.coracle_with(&[("HELM_DRIVER", driver)], &format!("chart {cluster_words}"));
        assert!(
            told.code == 1 && told.err.contains(driver) && told.err.starts_with("Error: "),
            "{driver}: {}",
            told.err
        );
    }
    assert_ne!(cluster.kubectl("get configmap web-text").code, 0);
}

/// Turns a record into one of Helm 3: nothing in it says how objects were written.
fn like_helm_3(cluster: &Cluster, name: &str) {
    let record: Value = serde_json::from_str(&cluster.kubectl(&format!("get secret {name} -o json")).ok()).unwrap();
    let decoded = |text: &[u8]| STANDARD.decode(text).unwrap();
    let packed = decoded(&decoded(record["data"]["release"].as_str().unwrap().as_bytes()));
    let mut release = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut release).unwrap();
    let mut release: Value = serde_json::from_str(&release).unwrap();
    assert_eq!(release.as_object_mut().unwrap().remove("apply_method"), Some("csa".into()));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(release.to_string().as_bytes()).unwrap();
    let mut record = record;
    record["data"]["release"] = STANDARD.encode(STANDARD.encode(packed.finish().unwrap())).into();
    cluster.kubectl_with("replace", &record.to_string()).ok();
}

#[test]
fn a_release_of_helm_3_is_merged_until_the_server_is_to_do_it() {
    let Some((cluster, site)) = cluster("helm-3") else { return };
    let program = helm();
    let theirs = Program { cluster: &cluster, helm: program.as_deref() };
    let ours = Program { cluster: &cluster, helm: None };
    theirs.run(&format!("install web {site} --server-side=false")).ok();
    like_helm_3(&cluster, "sh.helm.release.v1.web.v1");
    assert_eq!(managers(&cluster), pair("helm", "Update"));
    cluster
        .kubectl_with(
            "apply --server-side --field-manager=other",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web-text}\ndata: {other: '9'}\n",
        )
        .ok();

    ours.run(&format!("upgrade web {site} --set text=two,extra=false")).ok();
    assert_eq!(text(&cluster), json!({"text": "two", "other": "9"}), "what left goes, what others wrote stays");
    assert_eq!(ours.json("get metadata web")["applyMethod"], "csa");
    ours.run("rollback web 1").ok();
    assert_eq!(text(&cluster), json!({"text": "hello", "extra": "yes", "other": "9"}));

    ours.run(&format!("upgrade web {site} --set text=four --server-side=true")).ok();
    let both = [pair("helm", "Apply"), pair("other", "Apply")].concat();
    let mut found = managers(&cluster);
    found.sort();
    assert_eq!(found, both);
    ours.run(&format!("upgrade web {site} --set text=five,extra=false")).ok();
    assert_eq!(text(&cluster), json!({"text": "five", "other": "9"}), "the server knows what was Helm's");

    theirs.run("rollback web 1 --server-side=false").ok();
    ours.run(&format!("upgrade web {site} --force-replace --set text=six,extra=false")).ok();
    assert_eq!(text(&cluster), json!({"text": "six"}), "a replacement leaves nothing");
    let refused = ours.run(&format!("upgrade web {site} --force-replace --server-side=true"));
    assert!(refused.err.contains("cannot use server-side apply and force replace together"), "{}", refused.err);
}

#[test]
fn fields_of_others_are_taken_over_only_by_force() {
    let Some((cluster, site)) = cluster("helm-conflicts") else { return };
    let ours = Program { cluster: &cluster, helm: None };
    ours.run(&format!("install web {site}")).ok();
    cluster
        .kubectl_with(
            "apply --server-side --field-manager=other --force-conflicts",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web-text}\ndata: {text: theirs}\n",
        )
        .ok();
    let refused = ours.run(&format!("upgrade web {site} --set text=two"));
    assert!(refused.err.contains("conflict occurred while applying object default/web-text"), "{}", refused.err);
    assert!(refused.err.contains("conflict with \"other\""), "{}", refused.err);
    assert_eq!(text(&cluster)["text"], "theirs");
    ours.run(&format!("upgrade web {site} --set text=two --force-conflicts")).ok();
    assert_eq!(text(&cluster)["text"], "two");
    assert_eq!(ours.json("history web")[1]["status"], "failed");
    for _ in 0..3 {
        ours.run(&format!("upgrade web {site} --history-max 3")).ok();
    }
    let revisions: Vec<i64> =
        ours.json("history web").as_array().unwrap().iter().map(|one| one["revision"].as_i64().unwrap()).collect();
    assert_eq!(revisions, [4, 5, 6]);
}
