//! Executing the templates of a chart, by two threads where there are two.
//!
//! Templates of one file see what those of another did only in maps that all of them were given. So two threads execute files, each
//! with maps of its own, until one of these is changed: what was printed before counts, and the rest is executed in its order.

use super::reading::Reading;
use super::scopes::{Given, Scope, Template, scopes, templates};
use super::{Error, execution_error, parse_error};
use crate::base::hand::lend;
use crate::base::memory;
use crate::charts::manifests::{Printed, Sheet};
use crate::charts::template::{Contents, Host, Offline, Shelved, Templates};
use crate::charts::yaml;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// What is to be executed, for all who do it.
pub struct Job {
    pub given: Given,
    contents: Arc<Contents>,
    /// Those that print something, in their order.
    printing: Vec<Template>,
    /// Which of them is executed next.
    next: AtomicUsize,
    /// Whether those behind it have to wait for those before.
    is_in_order: AtomicBool,
}

/// What one thread executes with.
struct Stage {
    scopes: Vec<Scope>,
    templates: Templates<'static>,
}

/// What came of one template.
struct Done {
    result: Result<Sheet, Error>,
    /// Whether others see the world otherwise after it.
    is_change: bool,
}

impl Done {
    /// Whether order matters from here on.
    fn is_end(&self) -> bool {
        self.is_change || self.result.is_err()
    }
}

/// The same of some, by their places.
type AllDone = BTreeMap<usize, Done>;

impl Job {
    /// Begins to read what is not read yet.
    pub fn new(given: Given, reading: Reading) -> Self {
        let templates = templates(&given.chart);
        let sources: Vec<_> = templates.iter().map(|one| one.source.clone()).collect();
        let is_partial = |path: &str| path.rsplit('/').next().unwrap_or(path).starts_with('_');
        let printing = templates.into_iter().filter(|one| !is_partial(&one.source.name)).collect();
        let contents = Arc::new(reading.go_on(&sources));
        Self { given, contents, printing, next: AtomicUsize::new(0), is_in_order: AtomicBool::new(false) }
    }

    /// What every template prints, executed one after the other when all are read.
    pub fn print_in_order(&self, host: &dyn Host) -> Result<Printed, Error> {
        let stage = self.stage();
        // What executions have to say is of no use where a text cannot be read.
        stage.check()?;
        self.finish(&stage, AllDone::new(), host)
    }

    /// What every template prints. Those that a cluster is asked for are executed by one thread, as only that one may ask.
    pub fn print(self: &Arc<Self>, host: &dyn Host) -> Result<Printed, Error> {
        let stage = self.stage();
        let printed = match host.is_offline() {
            true => self.print_by_two(&stage, host),
            false => self.finish(&stage, AllDone::new(), host),
        };
        stage.check()?;
        memory::leave(stage);
        printed
    }

    fn print_by_two(self: &Arc<Self>, stage: &Stage, host: &dyn Host) -> Result<Printed, Error> {
        let job = self.clone();
        let other = lend(move || job.work_apart());
        let own = self.work(stage, host);
        // Where all before its end is its own, nothing of the other one counts.
        let is_alone = own.last_key_value().is_some_and(|(at, last)| last.is_end() && own.len() == at + 1);
        let of_other = if is_alone { None } else { other.get() };
        self.join(stage, own, of_other.unwrap_or_default(), host)
    }

    /// Takes what two have done as far as order did not matter, and executes the rest.
    fn join(&self, stage: &Stage, own: AllDone, other: AllDone, host: &dyn Host) -> Result<Printed, Error> {
        let own_change = own.iter().find(|(_, one)| one.is_change).map(|(at, _)| *at);
        let mut done = own;
        done.extend(other);
        let until = (0..self.printing.len()).find(|at| done.get(at).is_none_or(|one| one.is_change));
        let until = until.unwrap_or(self.printing.len());
        // Its own change leaves this thread with what those behind it see; that of the other one does not.
        done.retain(|at, _| *at < until || own_change == Some(until) && *at == until);
        match own_change.is_some_and(|change| change > until) {
            true => self.finish(&self.stage(), done, host),
            false => self.finish(stage, done, host),
        }
    }

    fn stage(&self) -> Stage {
        Stage { scopes: scopes(&self.given), templates: Templates::shelved(Shelved::new(self.contents.clone())) }
    }

    /// Executes as long as order does not matter.
    fn work(&self, stage: &Stage, host: &dyn Host) -> AllDone {
        let mut all = AllDone::new();
        while !self.is_in_order.load(Relaxed) {
            let at = self.next.fetch_add(1, Relaxed);
            let Some(template) = self.printing.get(at) else { break };
            let done = stage.execute(template, host);
            if done.is_end() {
                self.is_in_order.store(true, Relaxed);
            }
            all.insert(at, done);
        }
        all
    }

    /// The same by another thread, which has a small stack: what fails there is executed again.
    fn work_apart(&self) -> AllDone {
        if self.next.load(Relaxed) >= self.printing.len() {
            return AllDone::new();
        }
        let stage = self.stage();
        let mut done = self.work(&stage, &Offline);
        done.retain(|_, one| one.result.is_ok());
        memory::leave(stage);
        done
    }

    /// Executes what is not done.
    fn finish(&self, stage: &Stage, mut done: AllDone, host: &dyn Host) -> Result<Printed, Error> {
        let mut printed = Printed::default();
        for (at, template) in self.printing.iter().enumerate() {
            let sheet = done.remove(&at).unwrap_or_else(|| stage.execute(template, host)).result?;
            // Templates are read as texts: what was none in one of them is a sign that stands for it.
            let is_odd = memchr::memmem::find(sheet.text().as_bytes(), REPLACED.as_bytes()).is_some();
            let path = &template.source.name;
            printed.add(path, sheet);
            if is_odd && let Some(broken) = self.contents.broken() {
                printed.broken.insert(path.clone(), yaml::octets_problem(broken));
            }
        }
        Ok(printed)
    }
}

/// What stands for bytes that are no text.
const REPLACED: &str = "\u{fffd}";

impl Stage {
    fn execute(&self, template: &Template, host: &dyn Host) -> Done {
        let path = &template.source.name;
        let data = self.scopes[template.chart].of(path);
        let (result, is_change) = self.templates.execute_watching(path, &data, host);
        let result = result.map(|bytes| Sheet::new(path, bytes)).map_err(|error| execution_error(&error));
        Done { result, is_change }
    }

    /// The error of the first template that cannot be read.
    fn check(&self) -> Result<(), Error> {
        self.templates.problem().map_or(Ok(()), |(path, error)| Err(parse_error(path, error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hand;
    use crate::charts::capabilities::Capabilities;
    use crate::charts::render::ReleaseOptions;
    use crate::charts::template::on_stack;
    use crate::charts::{File, chart::load_files};

    const COUNT: usize = 6;

    /// A job of templates, which are executed in their order.
    fn job(texts: &[String]) -> Arc<Job> {
        let mut files = vec![File::new("Chart.yaml", b"apiVersion: v2\nname: app\nversion: 1.0.0\n", 0)];
        let name = |at: usize| format!("templates/{:03}.yaml", texts.len() - at);
        files.extend(texts.iter().enumerate().map(|(at, text)| File::new(name(at), text.as_bytes(), 0)));
        let chart = Arc::new(load_files(files).unwrap());
        let values = serde_json::json!({"n": 0, "list": [{"n": 0}]});
        let reading = Reading::begin(chart.name(), chart.templates.iter());
        let (options, capabilities) = (ReleaseOptions::default(), Arc::new(Capabilities::default()));
        Arc::new(Job::new(Given { chart, values: Arc::new(values), options, capabilities }, reading))
    }

    /// Templates that print what those before them made of a number; some of them change it.
    fn texts(is_changing: impl Fn(usize) -> bool, change: &str) -> Vec<String> {
        let see = "n: {{ .Values.n }} {{ (index .Values.list 0).n }} {{ .Template.Name }}";
        (0..COUNT)
            .map(|at| if is_changing(at) { format!("{{{{ $_ := {change} }}}}{see}") } else { see.into() })
            .collect()
    }

    fn told(printed: Result<Printed, Error>) -> String {
        printed.map_or_else(|error| error.to_string(), |printed| format!("{:?}", printed.files))
    }

    /// What one of two does who gets to these, as long as nothing changes for it.
    fn done(job: &Job, stage: &Stage, places: impl Iterator<Item = usize>) -> AllDone {
        let mut all = AllDone::new();
        for at in places {
            let done = stage.execute(&job.printing[at], &Offline);
            let is_end = done.is_end();
            all.insert(at, done);
            if is_end {
                break;
            }
        }
        all
    }

    /// However two share the work, the outcome is that of one.
    fn agree(texts: &[String]) {
        let wanted = told(job(texts).print_in_order(&Offline));
        for shares in 0..1 << COUNT {
            for reached in 0..=COUNT {
                let job = job(texts);
                let (stage, others) = (job.stage(), job.stage());
                let is_own = |at: &usize| shares & 1 << at == 0;
                let own = done(&job, &stage, (0..COUNT).filter(is_own));
                let mut other = done(&job, &others, (0..reached).filter(|at| !is_own(at)));
                other.retain(|_, one| one.result.is_ok());
                assert_eq!(told(job.join(&stage, own, other, &Offline)), wanted, "{shares:b} {reached} {texts:?}");
            }
        }
    }

    #[test]
    fn what_two_execute_is_what_one_would_have_printed() {
        let changes = [
            "set .Values \"n\" (add1 .Values.n)",
            "set (index .Values.list 0) \"n\" (add1 (index .Values.list 0).n)",
            "mergeOverwrite .Values (dict \"n\" (add1 .Values.n))",
        ];
        for change in changes {
            agree(&texts(|_| false, change));
            agree(&texts(|at| at == 2, change));
            agree(&texts(|at| at % 3 == 0, change));
            agree(&texts(|_| true, change));
        }
    }

    #[test]
    fn of_two_templates_that_fail_the_first_is_told() {
        let change = "set .Values \"n\" (add1 .Values.n)";
        for change_at in [0, 3, COUNT] {
            let mut texts = texts(|at| at == change_at, change);
            texts[2] += "{{ fail \"the first\" }}";
            texts[4] += "{{ fail \"the second\" }}";
            agree(&texts);
            assert!(told(job(&texts).print(&Offline)).ends_with("the first"));
        }
    }

    #[test]
    fn what_is_changed_in_a_copy_changes_nothing() {
        for change in ["set (deepCopy .Values) \"n\" 7", "set (dict \"n\" 1) \"n\" 7", "merge (dict) .Values"] {
            let job = job(&texts(|at| at == 0, change));
            let all = job.work(&job.stage(), &Offline);
            assert!(all.len() == COUNT && all.values().all(|one| !one.is_change), "{change}");
        }
        let job = job(&texts(|at| at == 1, "unset .Values \"n\""));
        assert_eq!(
            job.work(&job.stage(), &Offline).values().map(|one| one.is_change).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn what_needs_a_deep_stack_is_executed_where_there_is_one() {
        hand::begin(|| false);
        let define = "{{ define \"t\" }}{{ if . }}{{ template \"t\" (sub . 1) }}{{ end }}{{ end }}";
        let texts: Vec<_> = (0..40).map(|at| format!("{define}{{{{ template \"t\" 5000 }}}}n: {at}")).collect();
        let printed = on_stack(|| job(&texts).print(&Offline)).unwrap().unwrap();
        assert_eq!(printed.files.len(), 40);
        assert!(printed.files.values().all(|text| text.starts_with("n: ")));
    }
}
