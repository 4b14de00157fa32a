//! Charts made here: what must hold without Helm's outputs.

use super::{chart, helm, run};

const CHART: &str = "apiVersion: v2\nname: app\nversion: 1.2.3\n";

#[test]
fn values_conditions_aliases_and_imports_reach_the_templates() {
    let folder = tempfile::tempdir().unwrap();
    let dependencies = "dependencies:\n- {name: db, version: '>=1', condition: db.enabled}\n- {name: db, version: '1.x', alias: \
                        second, import-values: [data]}\n- {name: off, version: '1', tags: [extra]}\n";
    let sub = |name: &str| format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
    let print = "name: {{ .Chart.Name }}\nport: {{ .Values.port }}\nshared: {{ .Values.global.shared }}\n";
    chart(
        folder.path(),
        &[
            ("app/Chart.yaml", &format!("{CHART}{dependencies}")),
            ("app/values.yaml", "global: {shared: yes-it-is}\ntags: {extra: false}\nsecond: {port: 2}\n"),
            (
                "app/templates/own.yaml",
                "imported: {{ .Values.imported }}\nbig: {{ .Values.big }}\nset: {{ .Values.set }}\n",
            ),
            ("app/charts/db/Chart.yaml", &sub("db")),
            ("app/charts/db/values.yaml", "port: 1\nexports: {data: {imported: here}}\n"),
            ("app/charts/db/templates/x.yaml", print),
            ("app/charts/off/Chart.yaml", &sub("off")),
            ("app/charts/off/templates/x.yaml", "never: seen\n"),
            ("more.yaml", "big: 1000000\ndb: {port: null}\n"),
        ],
    );
    let ran = helm(folder.path(), folder.path(), "template app -f more.yaml --set set=1000000,db.enabled=true");
    assert!(ran.ok, "{}", ran.text);
    assert_eq!(
        ran.text,
        "---\n# Source: app/charts/db/templates/x.yaml\nname: db\nport: \nshared: yes-it-is\n\n---\n# Source: \
         app/charts/second/templates/x.yaml\nname: second\nport: 2\nshared: yes-it-is\n\n---\n# Source: \
         app/templates/own.yaml\nimported: here\nbig: 1e+06\nset: 1000000\n"
    );
    let dry = helm(folder.path(), folder.path(), "install web app --dry-run=client --set db.enabled=true");
    assert!(dry.ok && dry.text.contains("STATUS: pending-install") && dry.text.contains("port: 2"), "{}", dry.text);
    let ran = helm(folder.path(), folder.path(), "template app --set db.enabled=false");
    assert!(ran.ok && !ran.text.contains("charts/db/"), "{}", ran.text);
}

#[test]
fn what_is_wrong_is_told_in_helms_words() {
    let folder = tempfile::tempdir().unwrap();
    let schema = r#"{"required": ["a"], "properties": {"n": {"type": "integer", "minimum": 1}}}"#;
    chart(
        folder.path(),
        &[
            ("app/Chart.yaml", CHART),
            ("app/values.schema.json", schema),
            ("app/templates/a.yaml", "x: {{ required \"say what x is\" .Values.x }}\n"),
            ("needs/Chart.yaml", &format!("{CHART}dependencies: [{{name: gone, version: 1.0.0}}]\n")),
            ("old/Chart.yaml", &format!("{CHART}kubeVersion: '<1.10'\n")),
            ("broken/Chart.yaml", CHART),
            ("broken/templates/a.yaml", "x: {{ .Values.x }\n"),
        ],
    );
    for (words, wanted) in [
        (
            "template app --set n=0",
            "Error: values don't meet the specifications of the schema(s) in the following chart(s):\napp:\n- at '': missing \
             property 'a'\n- at '/n': minimum: got 0, want 1\n\n",
        ),
        (
            "template app --set a=1",
            "Error: execution error at (app/templates/a.yaml:1:6): say what x is\n\nUse --debug flag to render out invalid YAML\n",
        ),
        (
            "template needs",
            "Error: an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to \
             fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: gone\n",
        ),
        (
            "template old --kube-version 1.30",
            "Error: chart requires kubeVersion: <1.10 which is incompatible with Kubernetes v1.30\n\nUse --debug flag to render out invalid YAML\n",
        ),
        (
            "template broken",
            "Error: parse error at (app/templates/a.yaml:1): unexpected \"}\" in operand\n\nUse --debug flag to render out invalid YAML\n",
        ),
        ("template ./gone", "Error: path \"./gone\" not found\n"),
        ("template gone", "Error: non-absolute URLs should be in form of repo_name/path_to_chart, got: gone\n"),
        ("template some/chart", "Error: repo some not found\n"),
        ("template app -f gone.yaml", "Error: open gone.yaml: no such file or directory\n"),
        ("template app --bogus", "Error: unknown flag: --bogus\n"),
        ("template a b c", "Error: expected at most two arguments, unexpected arguments: c\n"),
        ("template app --kube-version x", "Error: invalid kube version 'x': could not parse \"x\" as version\n"),
        ("lint", "Error: \"helm lint\" requires at least 1 argument\n\nUsage:  helm lint PATH [flags]\n"),
        ("nonsense", "Error: unknown command \"nonsense\" for \"helm\"\nRun 'helm --help' for usage.\n"),
    ] {
        let ran = helm(folder.path(), folder.path(), words);
        assert!(!ran.ok, "{words}");
        assert_eq!(ran.text, wanted, "{words}");
    }
}

#[test]
fn a_chart_is_made_checked_packed_shown_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        let ran = helm(folder.path(), folder.path(), words);
        assert!(ran.ok, "{words}: {}", ran.text);
        ran.text
    };
    assert_eq!(run("create web"), "Creating web\n");
    let linted = run("lint web");
    assert!(linted.ends_with("1 chart(s) linted, 0 chart(s) failed\n"), "{linted}");
    assert!(run("package web --version 2.0.0").contains("web-2.0.0.tgz"));
    assert!(run("show chart web-2.0.0.tgz").contains("version: 2.0.0\n"));
    assert_eq!(run("show values web --jsonpath '{.service.port}'"), "80");
    assert!(run("template x web-2.0.0.tgz --output-dir out").contains("wrote out/web/templates/deployment.yaml\n"));
    assert!(std::fs::read_to_string(folder.path().join("out/web/templates/service.yaml")).unwrap().contains("x-web"));
    assert!(run("graph web").starts_with("<svg "));
    assert!(run("env").contains("HELM_CACHE_HOME="));
    assert_eq!(run("version --template '{{.Version}}'"), coracle::charts::capabilities::HELM_VERSION);
}

#[test]
fn the_namespace_is_that_of_the_context_wherever_its_kubeconfig_is() {
    let folder = tempfile::tempdir().unwrap();
    let contexts = "apiVersion: v1\nkind: Config\ncontexts: [{name: two, context: {cluster: c, namespace: second}}]\n";
    chart(
        folder.path(),
        &[
            ("app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n"),
            ("app/templates/a.yaml", "in: {{ .Release.Namespace }}\n"),
            ("k1", "apiVersion: v1\nkind: Config\ncurrent-context: two\n"),
            ("k2", contexts),
        ],
    );
    for (files, words, wanted) in [
        ("k1:k2", "template app", "second"),
        ("k1:k2", "template app --kubeconfig ''", "second"),
        ("k1:k2", "template app --kubeconfig k1", "default"),
        ("k1", "template app", "default"),
        ("gone", "template app --kubeconfig k2 --kube-context two", "second"),
    ] {
        let program = format!("KUBECONFIG={files} exec \"$CORACLE\" chart");
        let ran = run(&program, folder.path(), folder.path(), words);
        assert!(ran.ok && ran.text.ends_with(&format!("in: {wanted}\n")), "{files} {words}: {}", ran.text);
    }
}

#[test]
fn a_repository_that_cannot_be_reached_in_time_is_told_without_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let ran = helm(folder.path(), folder.path(), &format!("repo add x http://me:hush@{address} --timeout 100ms"));
    let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    let what = "is not a valid chart repository or cannot be reached";
    let url = format!("http://me:***@{address}");
    assert_eq!(ran.text, format!("Error: looks like \"{url}\" {what}: Get \"{url}/index.yaml\": {why}\n"));
    let gone = "https://kubernetes-charts.storage.googleapis.com";
    let ran = helm(folder.path(), folder.path(), &format!("repo add stable {gone}"));
    let wanted =
        format!("Error: repo {gone:?} is no longer available; try \"https://charts.helm.sh/stable\" instead\n");
    assert!(!ran.ok && ran.text == wanted, "{}", ran.text);
    let ran = helm(folder.path(), folder.path(), "repo add x http://x.test --timeout soon");
    let why = "time: invalid duration \"soon\"";
    assert_eq!(ran.text, format!("Error: invalid argument \"soon\" for \"--timeout\" flag: {why}\n"));
}
