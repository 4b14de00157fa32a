//! What `coracle chart` takes: rendering, process start included, and installing on the running cluster.
//!
//! Real charts are measured where they are: opentelemetry-collector of `../shared`, and every chart whose folder stands in
//! `CORACLE_BENCH_CHARTS`, separated by colons.

use super::harness::Cluster;
use super::{Figure, median_and_p99};
use rustix::pipe::fcntl_setpipe_size;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// As many as one or two seconds take: what else the machine does takes longer than a render.
const RENDERS: usize = 201;
const INSTALLS: usize = 5;
/// Values of opentelemetry-collector, which has none that would do.
const EXAMPLE: &str = "examples/daemonset-collector-logs/values.yaml";
/// Of each of its kinds the installed chart has so many objects.
const OF_A_KIND: usize = 10;
const KINDS: [(&str, &str); 3] = [
    ("ConfigMap", "data: {text: {{ .Values.text | quote }}}"),
    ("ServiceAccount", "automountServiceAccountToken: false"),
    ("Service", "spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}"),
];

/// Renders real charts, and installs one of thirty objects.
pub fn measure(cluster: &Cluster, _: &tokio::runtime::Runtime) -> Vec<Figure> {
    let collector =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/charts/opentelemetry/opentelemetry-collector");
    let named = std::env::var("CORACLE_BENCH_CHARTS").unwrap_or_default();
    let named = named.split(':').filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut figures = Vec::new();
    for (chart, goal) in std::iter::once((collector, "5 ms")).chain(named.map(|chart| (chart, "15 ms"))) {
        match chart.canonicalize() {
            Ok(chart) => figures.extend(rendered(&chart, goal)),
            Err(error) => eprintln!("skipped: {}: {error}", chart.display()),
        }
    }
    figures.push(installed(cluster));
    figures
}

fn template(chart: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(["chart", "template", "example"]).arg(chart).stdin(Stdio::null());
    let example = chart.join(EXAMPLE);
    if example.exists() {
        command.arg("-f").arg(example);
    }
    command
}

fn rendered(chart: &Path, goal: &'static str) -> Vec<Figure> {
    let mut times = Vec::new();
    for _ in 0..RENDERS {
        let begun = Instant::now();
        assert!(template(chart).stdout(Stdio::null()).status().unwrap().success());
        times.push(begun.elapsed());
    }
    let name = chart.file_name().unwrap_or_default().display();
    vec![
        Figure::time(format!("`chart template` of {name}, median of {RENDERS}"), median_and_p99(times).0, goal),
        Figure::new("its largest memory", format!("{:.1} MiB", largest_memory(chart)), "30 MiB"),
    ]
}

/// The most memory that a render had when it begins to print, in MiB: it is held up there, as its pipe is too short.
fn largest_memory(chart: &Path) -> f64 {
    let mut child = template(chart).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    fcntl_setpipe_size(&out, 4096).unwrap();
    out.read_exact(&mut [0]).unwrap();
    let peak = peak(&child);
    std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    peak
}

fn peak(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    let kilobytes: f64 = peak.unwrap();
    kilobytes / 1024.0
}

fn installed(cluster: &Cluster) -> Figure {
    let chart = cluster.folder().join("thirty");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: thirty\nversion: 1.0.0\n").unwrap();
    std::fs::write(chart.join("values.yaml"), "text: hello\n").unwrap();
    for (kind, rest) in KINDS {
        let object = |n: usize| {
            let name = format!("{{{{ .Release.Name }}}}-{n}");
            format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n{rest}\n---\n")
        };
        let text: String = (0..OF_A_KIND).map(object).collect();
        std::fs::write(chart.join("templates").join(format!("{kind}.yaml")), text).unwrap();
    }
    let times: Vec<Duration> = (0..INSTALLS)
        .map(|n| {
            let begun = Instant::now();
            cluster.coracle(&format!("chart install release-{n} {}", chart.display())).ok();
            begun.elapsed()
        })
        .collect();
    let what = format!("`chart install` of {} objects, median of {INSTALLS}", OF_A_KIND * KINDS.len());
    Figure::time(what, median_and_p99(times).0, "300 ms")
}
