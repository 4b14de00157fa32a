//! The dashboard in a real browser: Chromium, driven by WebDriver; and its proxy, asked as a foreign page would.

use super::browser::Browser;
use super::harness::{Cluster, until};
use super::tour::busybox_archive;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A `coracle dashboard` that is ended with its test.
struct Dashboard {
    process: Child,
    url: String,
}

impl Dashboard {
    /// Starts it and waits until it says where it is.
    fn open(cluster: &Cluster) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        command.args(["-p", cluster.name(), "dashboard", "--url"]).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut process = cluster.spawn(command);
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { process, url: url.trim().to_string() }
    }

    /// `http://127.0.0.1:PORT`.
    fn origin(&self) -> String {
        self.url.split("/api/").next().unwrap().into()
    }

    fn token(&self) -> &str {
        self.url.split("#token=").nth(1).unwrap()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Pods to look at; what is in them would do harm if it were taken for markup.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: shell
  labels: {app: shell}
  annotations: {note: "<img src=x onerror=document.title='hacked'>"}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: sh, image: "busybox:local", command: [sleep, "3600"]}
---
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: talk
    image: busybox:local
    command: [sh, -c, "i=0; while true; do i=$((i+1)); echo \"<script>document.title='hacked'</script> line $i\"; sleep 0.2; done"]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: slow}
"#;

fn cluster(name: &str) -> Option<Cluster> {
    let cluster = Cluster::started(name)?;
    let archive = busybox_archive(cluster.folder());
    cluster.coracle(&format!("image load {}", archive.display())).ok();
    cluster.kubectl_with("apply", PODS).ok();
    Some(cluster)
}

/// A cluster, its dashboard and a browser that shows it; nothing where one of them cannot be had.
fn shown(name: &str) -> Option<(Cluster, Dashboard, Browser)> {
    let browser = Browser::start()?;
    let cluster = cluster(name)?;
    let dashboard = Dashboard::open(&cluster);
    browser.open(&dashboard.url);
    browser.until("document.querySelector('h1')?.textContent === 'Overview'");
    Some((cluster, dashboard, browser))
}

#[test]
fn the_address_answers_everybody_and_the_api_whom_it_was_printed_for() {
    let Some(cluster) = Cluster::started("board-doors") else { return };
    let dashboard = Dashboard::open(&cluster);
    coracle::base::crypto::install();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |path: &str, headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(client.get(format!("{}{path}", dashboard.origin())), |request, (name, value)| {
                request.header(*name, *value)
            });
        runtime.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    };
    let page = dashboard.url.strip_prefix(&dashboard.origin()).unwrap().split('#').next().unwrap();
    let (code, text) = ask(page, &[]);
    assert!(code == 200 && text.contains("<title>Coracle</title>"), "{code} {text}");

    let bearer = format!("Bearer {}", dashboard.token());
    let pods = "/api/v1/namespaces/kube-system/pods";
    let (code, text) = ask(pods, &[]);
    assert_eq!(code, 401, "{text}");
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&status["kind"], &status["reason"]), (&json!("Status"), &json!("Unauthorized")));
    assert_eq!(ask(pods, &[("authorization", "Bearer wrong")]).0, 401);
    let (code, text) = ask(pods, &[("authorization", &bearer)]);
    assert!(code == 200 && text.contains("coredns"), "{code} {text}");
    assert_eq!(ask(pods, &[("authorization", &bearer), ("host", "evil.example")]).0, 403);
    assert_eq!(ask(pods, &[("authorization", &bearer), ("origin", "http://evil.example")]).0, 403);

    // The pod has the page alone: no rights, no token.
    cluster
        .kubectl("wait --for=condition=Available deployment/kubernetes-dashboard -n kubernetes-dashboard --timeout=60s")
        .ok();
    let service = "/api/v1/namespaces/kubernetes-dashboard/services/http:kubernetes-dashboard:/proxy/";
    assert!(cluster.kubectl(&format!("get --raw {service}")).ok().contains("<title>Coracle</title>"));
    let volumes = cluster.kubectl("get pods -n kubernetes-dashboard -o jsonpath={.items[0].spec.volumes}").ok();
    assert_eq!(volumes, "", "a service account's token would be a volume");
}

#[test]
fn the_addon_is_switched_on_a_running_and_on_a_stopped_cluster() {
    let Some(cluster) = Cluster::started("board-addon") else { return };
    cluster.coracle("addons enable dashboard").ok();
    let wait = "wait --for=condition=Available deployment/kubernetes-dashboard -n kubernetes-dashboard --timeout=60s";
    cluster.kubectl(wait).ok();
    cluster.coracle("addons disable dashboard").ok();
    cluster.kubectl("wait --for=delete namespace/kubernetes-dashboard --timeout=60s").ok();
    cluster.coracle("stop").ok();
    cluster.coracle("addons enable dashboard").ok();
    cluster.coracle("start").ok();
    cluster.kubectl(wait).ok();
    cluster.coracle("stop").ok();
    cluster.coracle("addons disable dashboard").ok();
    let listed = cluster.coracle("addons list -o json").ok();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["dashboard"]["Status"], "disabled");
    cluster.coracle("start").ok();
    cluster.kubectl("wait --for=delete namespace/kubernetes-dashboard --timeout=60s").ok();
}

#[test]
fn pods_appear_as_they_are_made_and_go_as_they_are_deleted() {
    let Some((cluster, _dashboard, browser)) = shown("board-live") else { return };
    browser.go("#/list/core/pods");
    browser.until("document.querySelector('.live.watching')");
    cluster.kubectl("create deployment web --image=coracle.local/hello --replicas=3").ok();
    browser.until(
        "[...document.querySelectorAll('.table-row')].filter(row => row.textContent.startsWith('web-') && \
         row.textContent.includes('Running')).length === 3",
    );
    browser.go("#/object/apps/deployments/default/web");
    browser.until("document.querySelectorAll('.part-children .grid')[0]?.textContent.includes('web-')");
    browser.press("Scale");
    browser.until("document.querySelector('dialog input.number')");
    browser.run("document.querySelector('dialog input.number').value = 1");
    browser.press("Scale");
    cluster.kubectl("wait --for=jsonpath={.status.replicas}=1 deployment/web --timeout=60s").ok();
    browser.until("document.querySelector('.part-children')?.textContent.includes('Pods (1)')");
    cluster.kubectl("delete deployment web").ok();
    browser.until("document.querySelector('.object-title')?.textContent.includes('Deleted')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_log_follows_and_what_it_says_stays_text() {
    let Some((cluster, _dashboard, browser)) = shown("board-log") else { return };
    cluster.kubectl("wait --for=condition=Ready pod/talker --timeout=60s").ok();
    browser.go("#/object/core/pods/default/talker/logs");
    browser.until("document.querySelector('.log')?.textContent.includes('line 1')");
    let seen = browser.run("return document.querySelectorAll('.log-line').length").as_u64().unwrap();
    browser.until(&format!("document.querySelectorAll('.log-line').length > {}", seen + 3));
    let text = browser.run("return document.querySelector('.log-text').textContent");
    assert_eq!(text, "<script>document.title='hacked'</script> line 1");

    browser.go("#/object/core/pods/default/shell");
    browser.until("document.querySelector('.part-facts')?.textContent.includes('onerror')");
    assert_eq!(browser.run("return document.querySelectorAll('main img, main script').length"), 0);
    assert_ne!(browser.run("return document.title"), "hacked");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_terminal_runs_what_is_typed() {
    let Some((cluster, _dashboard, browser)) = shown("board-terminal") else { return };
    cluster.kubectl("wait --for=condition=Ready pod/shell --timeout=60s").ok();
    browser.go("#/object/core/pods/default/shell/terminal");
    let shows =
        |text: &str| browser.until(&format!("document.querySelector('.terminal')?.textContent.includes('{text}')"));
    shows("/ #");
    browser.keys("echo $((6*7)) of them\u{e007}");
    shows("42 of them");
    // Colours, a cursor that moves, and a screen that is cleared.
    browser.keys("printf '\\033[2J\\033[3;5H\\033[31mred\\033[0m\\n'\u{e007}");
    browser.until("[...document.querySelectorAll('.terminal-present .t-f1')].some(one => one.textContent === 'red')");
    browser
        .until("document.querySelectorAll('.terminal-present .terminal-line')[2]?.textContent.startsWith('    red')");
    browser.keys("exit\u{e007}");
    shows("The session has ended");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn yaml_is_saved_and_a_conflict_is_told() {
    let Some((cluster, _dashboard, browser)) = shown("board-yaml") else { return };
    let mode = || cluster.kubectl("get configmap settings -o jsonpath={.data.mode}").ok();
    browser.go("#/object/core/configmaps/default/settings/yaml");
    let holds =
        |text: &str| browser.until(&format!("document.querySelector('.editor-text')?.value.includes('{text}')"));
    let replace = |from: &str, to: &str| {
        browser.run(&format!(
            "const area = document.querySelector('.editor-text'); area.value = area.value.replace('{from}', '{to}'); \
             area.dispatchEvent(new Event('input'))"
        ));
    };
    holds("mode: slow");
    assert_eq!(browser.run("return document.querySelector('.editor-text').value.includes('managedFields')"), false);
    replace("mode: slow", "mode: fast");
    browser.press("Save");
    until("the object is changed", || mode() == "fast");
    browser.until("document.querySelector('.toast')?.textContent.includes('saved')");

    // Somebody else is faster.
    holds("mode: fast");
    replace("mode: fast", "mode: mine");
    cluster.kubectl("patch configmap settings --type=merge -p {\"data\":{\"mode\":\"theirs\"}}").ok();
    browser.press("Save");
    browser.until("document.querySelector('.conflict')?.textContent.includes('theirs')");
    assert_eq!(mode(), "theirs", "nothing was written over");
    browser.press("Write mine over theirs");
    until("mine is written", || mode() == "mine");

    // What is no object is refused in words.
    holds("mode: mine");
    replace("kind: ConfigMap", "kind: Boat");
    browser.press("Save");
    browser.until("document.querySelector('.trouble')");
    assert_eq!(browser.complaints_but("status of 409|status of 400"), Vec::<String>::new());
}

/// Documents as people write them.
const DOCUMENTS: &str = r#"# first
---
apiVersion: v1
kind: Pod
metadata:
  labels:
    name: wrong
  name: 'one' # it
  namespace: "two"
--- 
{"kind": "Node", "metadata": {"name": "three"}}
---
kind: Boat
metadata: {name: four, namespace: sea}
"#;

#[test]
fn what_the_page_writes_as_yaml_is_what_the_server_reads() {
    let Some((_cluster, dashboard, browser)) = shown("board-values") else { return };
    let words = json!([
        "",
        " ",
        "yes",
        "No",
        "null",
        "~",
        "1",
        "0x1f",
        "1e3",
        "1.5",
        "-",
        "- a",
        "a: b",
        "a:b",
        "#c",
        "a #c",
        "|",
        ">",
        "!!x",
        "&a",
        "*a",
        "{}",
        "[a]",
        "'",
        "\"",
        "\\",
        "\ttab",
        " lead",
        "trail ",
        "one\ntwo",
        "one\ntwo\n",
        "one\n\n",
        "\n",
        "  deep\n x",
        "é ü 船",
        "2026-11-26",
        "12:30:45",
        "@at",
        "%x",
        "?",
        "? a",
        "line\r\n",
        "<b>",
        "\u{1}end",
        "a\u{85}b",
    ]);
    let script = format!(
        "const words = {words}; const data = Object.fromEntries(words.map((word, at) => [`key-${{at}}`, word])); \
         return import('./lib/yaml.js').then(async ({{ write }}) => {{ \
           const body = write({{ apiVersion: 'v1', kind: 'ConfigMap', metadata: {{ name: 'x' }}, data }}); \
           const answer = await fetch('/api/v1/namespaces/default/configmaps?dryRun=All', {{ method: 'POST', body, \
             headers: {{ 'Content-Type': 'application/yaml', Authorization: 'Bearer {}' }} }}); \
           const made = await answer.json(); if (!made.data) return [made.message, body]; \
           return words.filter((word, at) => made.data[`key-${{at}}`] !== word); }})",
        dashboard.token()
    );
    assert_eq!(browser.run(&script), json!([]));
    let script = format!(
        "return import('./lib/yaml.js').then(({{ documents, identity }}) => documents({}).map(identity) \
         .map(one => [one.kind, one.name, one.namespace ?? null]))",
        json!(DOCUMENTS)
    );
    let found = browser.run(&script);
    assert_eq!(found, json!([["Pod", "one", "two"], ["Node", "three", null], ["Boat", "four", "sea"]]));
}

#[test]
fn a_page_without_rights_says_how_to_have_some() {
    let Some((_cluster, dashboard, browser)) = shown("board-entrance") else { return };
    browser.run("sessionStorage.clear()");
    browser.open("about:blank");
    browser.open(dashboard.url.split('#').next().unwrap());
    browser.until("document.querySelector('.entrance')?.textContent.includes('coracle dashboard')");
}

#[test]
fn five_thousand_objects_are_a_table_that_scrolls() {
    let Some((cluster, _dashboard, browser)) = shown("board-many") else { return };
    cluster.kubectl("create namespace crowd").ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use futures::{StreamExt, stream};
        let client = super::harness::client(&cluster).await;
        let api: kube::Api<ConfigMap> = kube::Api::namespaced(client, "crowd");
        let made = stream::iter(0..5000).map(|number| {
            let metadata = kube::api::ObjectMeta { name: Some(format!("many-{number:04}")), ..Default::default() };
            let (api, map) = (api.clone(), ConfigMap { metadata, ..Default::default() });
            async move { api.create(&Default::default(), &map).await.map(drop) }
        });
        made.buffer_unordered(16).for_each(|one| async { one.unwrap() }).await;
    });
    browser.run("localStorage.setItem('coracle.namespace', 'crowd')");
    browser.go("#/list/core/configmaps");
    browser.until("document.querySelector('.amount')?.textContent === '5,001' || document.querySelector('.amount')?.textContent === '5,000'");
    assert!(browser.run("return document.querySelectorAll('.table-row').length").as_u64().unwrap() < 100);
    browser.run("document.querySelector('.table').scrollTop = 1e9");
    browser.until("[...document.querySelectorAll('.table-row')].some(row => row.textContent.startsWith('many-4999'))");
    browser
        .run("const f = document.querySelector('.filter'); f.value = 'many-2500'; f.dispatchEvent(new Event('input'))");
    browser.until("document.querySelector('.amount')?.textContent.startsWith('1 of')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
