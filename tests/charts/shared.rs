//! Helm's own outputs, from `../shared/charts`; skipped, and said so, where it is not.

use coracle::charts::{
    Capabilities, Chart, KubeVersion, Offline, ReleaseOptions, push_document, render, template, values,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/charts").join(name);
    let found = path.canonicalize().ok();
    if found.is_none() {
        eprintln!("skipped: ../shared/charts/{name} is not here");
    }
    found
}

#[test]
fn every_case_prints_what_helm_prints() {
    let Some(folder) = shared("helm") else { return };
    let home = tempfile::tempdir().unwrap();
    let cases = std::fs::read_to_string(folder.join("cases.tsv")).unwrap();
    let cases: Vec<&str> = cases.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(cases.len(), 25);
    let mut wrong = Vec::new();
    for line in cases {
        let fields: Vec<&str> = line.split('\t').collect();
        let [command, case, words, golden, outcome] = fields[..] else { panic!("{line}") };
        // Helm's tests run with Kubernetes 1.20 and one folder further up.
        let version =
            if command == "template" && !words.contains("--kube-version") { " --kube-version 1.20.0" } else { "" };
        let words = if words == "template" { words.to_string() } else { format!("{words}{version}") };
        let ran = super::helm(&folder, home.path(), &words);
        let wanted =
            std::fs::read_to_string(folder.join(golden)).unwrap().replace("testdata/testcharts/", "testcharts/");
        if ran.text.trim_end() != wanted.trim_end() || ran.ok != (outcome == "ok") {
            wrong.push(format!("{case}: {words}\n--- wanted ({outcome})\n{wanted}\n--- got\n{}", ran.text));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Blank space before a `---` line and at the end is one newline.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("---") {
            out.truncate(out.trim_end().len());
            out.push_str(if out.is_empty() { "" } else { "\n" });
        }
        out.push_str(line.trim_end_matches('\r'));
        out.push('\n');
    }
    format!("{}\n", out.trim_end())
}

/// Lines that may differ, because the charts' versions moved on.
fn comparable(text: &str) -> Vec<&str> {
    let moved = |line: &&str| line.contains("checksum/config") || line.contains("helm.sh/chart");
    text.lines().filter(|line| !moved(line)).collect()
}

/// What a chart renders to, by file below `templates/`.
fn rendered(chart: &Path, given: &Path) -> BTreeMap<String, String> {
    let flags = values::ValueFlags { files: vec![given.display().to_string()], ..Default::default() };
    let read = |name: &str| std::fs::read(name).map_err(|error| error.to_string());
    let given = values::merge(&flags, &read).unwrap();
    let capabilities = Capabilities { kube_version: KubeVersion::parse("1.29").unwrap(), ..Default::default() };
    let options = ReleaseOptions { name: "example".into(), ..Default::default() };
    let work = || {
        let mut chart = Chart::load(chart).unwrap();
        render(&mut chart, &given, &options, &capabilities, &Offline).map_err(|error| error.to_string())
    };
    let made = template::on_stack(work).unwrap().unwrap_or_else(|error| panic!("{}: {error}", chart.display()));
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let manifests = made.manifests.iter().map(|one| (&one.source, &one.text));
    for (source, text) in manifests.chain(made.hooks.iter().map(|hook| (&hook.path, &hook.manifest))) {
        let name = source.split_once("/templates/").unwrap().1;
        push_document(files.entry(name.to_string()).or_default(), source, text);
    }
    files
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

#[test]
fn opentelemetrys_examples_render_as_with_helm() {
    let Some(folder) = shared("opentelemetry") else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for chart in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for example in std::fs::read_dir(chart.join("examples")).unwrap().map(|entry| entry.unwrap().path()) {
            if !example.join("rendered").is_dir() {
                continue;
            }
            let mut files = Vec::new();
            walk(&example, &mut files);
            let is_values = |path: &&PathBuf| {
                path.parent() == Some(&example) && path.display().to_string().ends_with("values.yaml")
            };
            // Several values files were rendered one over the other, in an order that is not known.
            let made: Vec<_> = files.iter().filter(is_values).map(|values| rendered(&chart, values)).collect();
            for golden in files.iter().filter(|path| path.starts_with(example.join("rendered"))) {
                count += 1;
                let name = golden.strip_prefix(example.join("rendered")).unwrap().display().to_string();
                let wanted = std::fs::read_to_string(golden).unwrap();
                let got: Vec<String> =
                    made.iter().filter_map(|made| made.get(&name)).map(|text| normal(text)).collect();
                if !got.iter().any(|got| comparable(got) == comparable(&wanted)) {
                    let got = got.first().map_or("(nothing)", String::as_str);
                    let differs =
                        comparable(got).into_iter().zip(comparable(&wanted)).find(|(got, wanted)| got != wanted);
                    wrong.push(format!("{}: {differs:?}", golden.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} files differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(count, 194);
}
