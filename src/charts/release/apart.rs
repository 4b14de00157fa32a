//! Rendering in a process of its own, for who has more to lose than the chart's author: the server. What templates take of
//! memory and time they take there, and no more than they are given.
//!
//! ```text
//! server  --Job-->                process        each a line of JSON
//!         <--Said::Look--  --Found-->            as often as templates look something up
//!         <--Said::Rendered or Said::Failed--
//! ```

use super::cluster::Cluster;
use super::error::Error;
use crate::charts::values::Map;
use crate::charts::{self, Capabilities, Chart, File, Hook, KubeVersion, Manifest, ReleaseOptions, template};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// The command that this executable is started with.
const PART: &str = "chart-render";
/// How much of what the process says is read: a release that is longer cannot be stored.
const LONGEST: u64 = 64 << 20;
/// How much of what it complains of is kept.
const COMPLAINT: u64 = 4 << 10;

/// The process, and what it may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// This executable.
    pub program: PathBuf,
    /// How long it may take.
    pub time: Duration,
    /// How much address space it may have, in bytes.
    pub memory: u64,
}

impl Default for Limits {
    /// Far more than any chart needs.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into(), time: Duration::from_secs(60), memory: 2 << 30 }
    }
}

/// What is to be rendered.
#[derive(Serialize, Deserialize)]
pub struct Job {
    files: Vec<File>,
    /// Instead of those in the chart's files.
    values: Map,
    given: Map,
    options: ReleaseOptions,
    kube_version: KubeVersion,
    api_versions: Vec<String>,
    enable_dns: bool,
}

/// What the process says.
#[derive(Serialize, Deserialize)]
enum Said {
    /// It wants to know what there is of an object.
    Look {
        api_version: String,
        kind: String,
        namespace: String,
        name: String,
    },
    Rendered(Box<Outcome>),
    Failed(String),
}

/// What it is told then.
type Found = Result<Value, String>;

/// What came of a job.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    pub manifests: Vec<Manifest>,
    pub hooks: Vec<Hook>,
    pub notes: String,
    pub warnings: Vec<String>,
}

impl Job {
    /// The job of rendering a chart.
    pub fn new(chart: &Chart, given: &Map, options: ReleaseOptions, has: Capabilities, enable_dns: bool) -> Self {
        let Capabilities { kube_version, api_versions } = has;
        let (files, values, given) = (chart.raw.clone(), chart.values.clone(), given.clone());
        Self { files, values, given, options, kube_version, api_versions, enable_dns }
    }

    fn render(self, host: &dyn charts::Host) -> Result<Outcome, String> {
        let mut chart = charts::chart::load_files(self.files).map_err(|error| error.to_string())?;
        chart.values = self.values;
        let has = Capabilities { kube_version: self.kube_version, api_versions: self.api_versions };
        let rendered = template::on_stack(|| charts::render(&mut chart, &self.given, &self.options, &has, host));
        let rendered = rendered.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let warnings = rendered.warnings.iter().map(ToString::to_string).collect();
        let charts::Rendered { manifests, hooks, notes, .. } = rendered;
        Ok(Outcome { manifests, hooks, notes, warnings })
    }
}

/// The process: does the job that stdin has.
pub fn main(memory: u64) -> io::Result<()> {
    let most = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: Some(memory), maximum: most })?;
    serve(io::stdin().lock(), io::stdout().lock())
}

fn serve(mut from: impl BufRead, to: impl Write) -> io::Result<()> {
    let job: Job = read(&mut from)?;
    let host = Asking { enable_dns: job.enable_dns, talk: RefCell::new((from, to)) };
    let said = job.render(&host).map_or_else(Said::Failed, |outcome| Said::Rendered(Box::new(outcome)));
    write(&mut host.talk.into_inner().1, &said)
}

fn read<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn write(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, what)?;
    to.write_all(b"\n")?;
    to.flush()
}

/// What templates reach: whoever gave the job is asked.
struct Asking<R, W> {
    enable_dns: bool,
    talk: RefCell<(R, W)>,
}

impl<R: BufRead, W: Write> charts::Host for Asking<R, W> {
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<template::Value, String> {
        let [api_version, kind, namespace, name] = [api_version, kind, namespace, name].map(String::from);
        let (from, to) = &mut *self.talk.borrow_mut();
        let found: io::Result<Found> =
            write(to, &Said::Look { api_version, kind, namespace, name }).and_then(|()| read(from));
        found.map_err(|error| error.to_string())?.map(|found| template::Value::from_json(&found))
    }

    fn resolve(&self, name: &str) -> String {
        if self.enable_dns { super::source::address(name) } else { String::new() }
    }
}

/// Has a job done by a process of its own.
pub async fn render(limits: &Limits, job: &Job, cluster: Option<&Cluster>) -> Result<Outcome, Error> {
    let mut command = Command::new(&limits.program);
    command.arg(PART).arg(format!("--memory={}", limits.memory)).env_clear().kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let broke = |why: String| Error::text(format!("rendering broke off: {why}"));
    let mut process = command.spawn().map_err(|error| broke(error.to_string()))?;
    let (Some(mut to), Some(from), Some(complaint)) =
        (process.stdin.take(), process.stdout.take(), process.stderr.take())
    else {
        return Err(broke("it has no pipes".into()));
    };
    let mut complained = String::new();
    let mut complaint = complaint.take(COMPLAINT);
    let work = async { tokio::join!(talk(job, cluster, &mut to, from), complaint.read_to_string(&mut complained)).0 };
    match tokio::time::timeout(limits.time, work).await {
        Err(_) => Err(broke(format!("it takes longer than {:?}", limits.time))),
        Ok(Err(Broken::Failed(text))) => Err(Error::text(text)),
        Ok(Err(Broken::Off(error))) => {
            // Rust's last line is about backtraces.
            let is_said = |line: &&str| !line.is_empty() && !line.starts_with("note: ");
            let last = complained.lines().map(str::trim).rfind(is_said);
            Err(broke(last.map_or_else(|| error.to_string(), String::from)))
        }
        Ok(Ok(outcome)) => Ok(outcome),
    }
}

/// Why there is no outcome.
enum Broken {
    /// The chart cannot be rendered.
    Failed(String),
    /// The process is gone, or said something else.
    Off(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Off(error)
    }
}

async fn talk(
    job: &Job,
    cluster: Option<&Cluster>,
    to: &mut (impl AsyncWrite + Unpin),
    from: impl AsyncRead + Unpin,
) -> Result<Outcome, Broken> {
    send(to, job).await?;
    let mut from = BufReader::new(from.take(LONGEST));
    let mut line = Vec::new();
    loop {
        line.clear();
        from.read_until(b'\n', &mut line).await?;
        match serde_json::from_slice(&line).map_err(io::Error::from)? {
            Said::Rendered(outcome) => return Ok(*outcome),
            Said::Failed(text) => return Err(Broken::Failed(text)),
            Said::Look { api_version, kind, namespace, name } => {
                let found: Found = match cluster {
                    None => Ok(Value::Null),
                    Some(cluster) => {
                        let found = cluster.lookup(&api_version, &kind, &namespace, &name).await;
                        found.map_err(|error| error.to_string())
                    }
                };
                send(to, &found.map(super::source::found)).await?;
            }
        }
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    fn job(template: &str) -> Job {
        let file = |name: &str, text: &str| File::new(name, text.as_bytes(), 0);
        let files = vec![
            file("Chart.yaml", "apiVersion: v2\nname: sea\nversion: 0.1.0\n"),
            file("values.yaml", "a: 1\nb: 2.5\n"),
            file("templates/one.yaml", template),
        ];
        let mut chart = charts::chart::load_files(files).unwrap();
        chart.values.insert("a".into(), json!(7));
        let given = Map::from_iter([("c".to_string(), json!("x"))]);
        Job::new(&chart, &given, ReleaseOptions::default(), Capabilities::default(), false)
    }

    /// What comes of a job in which nothing is looked up.
    fn said(template: &str) -> Said {
        let line = serde_json::to_vec(&job(template)).unwrap();
        let mut said = Vec::new();
        serve(&line[..], &mut said).unwrap();
        serde_json::from_slice(&said).unwrap()
    }

    #[test]
    fn a_job_is_rendered_with_the_values_that_it_has() {
        let template = "kind: A\nv: {{ .Values.a }} {{ .Values.b }} {{ .Values.c }} {{ .Release.Name }}\n";
        let Said::Rendered(outcome) = said(template) else { panic!() };
        assert_eq!(outcome.manifests[0].text, "kind: A\nv: 7 2.5 x release-name\n");
        let Said::Failed(told) = said("{{ fail \"no\" }}") else { panic!() };
        assert_eq!(told, "execution error at (sea/templates/one.yaml:1:3): no");
    }

    #[tokio::test]
    async fn what_templates_look_up_is_asked_of_who_gave_the_job() {
        let mock = Mock::default();
        mock.answer(200, json!({"data": {"depth": "9"}}));
        let cluster = Cluster::new(mock.client(), "one");
        let job = job("kind: A\nv: {{ (lookup \"v1\" \"ConfigMap\" \"one\" \"sea\").data.depth }}\n");
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let process = std::thread::spawn(move || serve(io::BufReader::new(there.try_clone().unwrap()), there));
        here.set_nonblocking(true).unwrap();
        let (from, mut to) = tokio::net::UnixStream::from_std(here).unwrap().into_split();
        let outcome = talk(&job, Some(&cluster), &mut to, from).await;
        process.join().unwrap().unwrap();
        let Ok(outcome) = outcome else { panic!() };
        assert_eq!(outcome.manifests[0].text, "kind: A\nv: 9\n");
    }

    async fn told_by(script: &str, time: Duration) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let limits = Limits { program, time, ..Limits::default() };
        render(&limits, &job("kind: A\n"), None).await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_process_that_ends_or_takes_too_long_is_an_error_that_says_so() {
        let long = Duration::from_secs(600);
        let gone = told_by("echo 'memory allocation of 9 bytes failed\nnote: run' >&2; exec kill -ABRT $$", long).await;
        assert_eq!(gone, "rendering broke off: memory allocation of 9 bytes failed");
        let endless = told_by("exec /bin/sleep 600", Duration::from_millis(50)).await;
        assert_eq!(endless, "rendering broke off: it takes longer than 50ms");
    }
}
