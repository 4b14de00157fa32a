//! The one place that prints: data to stdout, talk to stderr, errors as a chain with a hint; events where they are asked for.

use super::events::{self, Plan};
use super::exit::Exit;
use super::klog::Log;
use super::words;
use crate::base::Hint;
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI16, Ordering};
use std::time::Duration;

/// Where words go.
pub struct Printer {
    quiet: bool,
    /// Talk and errors are events on stdout.
    json: AtomicBool,
    /// No line that changes, even on a terminal.
    plain: AtomicBool,
    /// Talk is what the command prints, so it goes to stdout.
    aloud: AtomicBool,
    /// Where all of it is written as well.
    log: Option<Arc<Log>>,
}

impl Printer {
    /// A printer that says nothing but data and errors when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let off = || AtomicBool::new(false);
        Self { quiet, json: off(), plain: off(), aloud: off(), log: None }
    }

    /// The same, with all that is said in a log as well.
    pub fn logging(self, log: Option<Log>) -> Self {
        Self { log: log.map(Arc::new), ..self }
    }

    fn log(&self, severity: char, text: &str) {
        if let Some(log) = &self.log {
            log.line(severity, text);
        }
    }

    /// From now on talk and errors are events.
    pub fn speak_json(&self) {
        self.json.store(true, Ordering::Relaxed);
    }

    /// From now on progress is a line per step.
    pub fn speak_plainly(&self) {
        self.plain.store(true, Ordering::Relaxed);
    }

    /// From now on talk goes to stdout; warnings and errors do not.
    pub fn speak_aloud(&self) {
        self.aloud.store(true, Ordering::Relaxed);
    }

    fn is_json(&self) -> bool {
        self.json.load(Ordering::Relaxed)
    }

    /// A line of data on stdout. A reader that went away is no error of ours.
    pub fn data(&self, text: impl AsRef<str>) {
        writeln!(std::io::stdout(), "{}", text.as_ref()).ok();
    }

    /// Text on stdout as it is.
    pub fn raw(&self, text: &str) {
        write!(std::io::stdout(), "{text}").ok();
    }

    /// A line of talk.
    pub fn say(&self, text: impl AsRef<str>) {
        self.log('I', text.as_ref());
        match (self.is_json(), self.quiet) {
            (true, _) => events::print(&events::told("info", text.as_ref())),
            (_, true) => {}
            _ => talk(text.as_ref(), self.aloud.load(Ordering::Relaxed)),
        }
    }

    /// Something that the user should know, and that is no error.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.log('W', text.as_ref());
        match self.is_json() {
            true => events::print(&events::told("warning", text.as_ref())),
            false => {
                writeln!(std::io::stderr(), "warning: {}", text.as_ref()).ok();
            }
        }
    }

    /// A line that shows what is going on: a spinner on a terminal, a line per step elsewhere.
    pub fn steps(&self) -> Steps {
        self.plan(&Plan { total: 0, stages: &[] })
    }

    /// The same for a command whose steps have names and numbers.
    pub fn plan(&self, plan: &Plan) -> Steps {
        let (json, plain) = (self.is_json(), self.plain.load(Ordering::Relaxed));
        let live = !self.quiet && !json && !plain && std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let plan = Plan { total: plan.total, stages: plan.stages };
        let aloud = self.aloud.load(Ordering::Relaxed);
        Steps { bar, quiet: self.quiet, json, aloud, plan, last: AtomicI16::new(-1), log: self.log.clone() }
    }

    /// An error, its causes, and what to do about it. What begins it is minikube's, for scripts that look for the reason; a part
    /// of this executable is heard by another part, which needs the words alone.
    pub fn error(&self, error: &(dyn Error + 'static), exit: Exit, is_part: bool) {
        let hint = error.downcast_ref::<Hint>().map(Hint::hint).unwrap_or_default();
        self.log('E', &crate::base::causes::chain(error));
        if self.is_json() {
            events::print(&events::failed(exit.code(), exit.id(), &error.to_string(), hint));
        }
        let mut out = std::io::stderr();
        match is_part {
            true => writeln!(out, "error: {error}").ok(),
            false => writeln!(out, "X Exiting due to {}: {error}", exit.id()).ok(),
        };
        let mut cause = error.source();
        while let Some(error) = cause {
            writeln!(out, "  caused by: {error}").ok();
            cause = error.source();
        }
        if !hint.is_empty() {
            writeln!(out, "\nhint: {hint}").ok();
        }
    }
}

/// A line of talk. A reader that went away is no error of ours.
fn talk(text: &str, aloud: bool) {
    let text = words::translated(text);
    match aloud {
        true => writeln!(std::io::stdout(), "{text}").ok(),
        false => writeln!(std::io::stderr(), "{text}").ok(),
    };
}

/// Says a line beside the output. That nobody listens any more is no error of ours.
pub fn aside(line: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Progress of one command.
pub struct Steps {
    bar: Option<ProgressBar>,
    quiet: bool,
    json: bool,
    aloud: bool,
    plan: Plan,
    /// The number of the last step that was printed as an event.
    last: AtomicI16,
    log: Option<Arc<Log>>,
}

impl Steps {
    /// The next step.
    pub fn step(&self, text: &str) {
        if let Some(log) = &self.log {
            log.line('I', text);
        }
        match &self.bar {
            _ if self.json => self.event(text),
            Some(bar) => bar.set_message(words::translated(text)),
            None if self.quiet => {}
            None => talk(text, self.aloud),
        }
    }

    /// A step that has a name is an event of its own, once; everything else only tells something.
    fn event(&self, text: &str) {
        let stage = self.plan.stage(text).filter(|stage| i16::from(stage.number) > self.last.load(Ordering::Relaxed));
        match stage {
            Some(stage) => {
                self.last.store(stage.number.into(), Ordering::Relaxed);
                events::print(&self.plan.event(stage, text));
            }
            None => events::print(&events::told("info", text)),
        }
    }

    /// A step that matters to those who read events only.
    pub fn note(&self, text: &str) {
        if self.json || self.bar.is_some() {
            self.step(text);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
