//! The one place that prints: data to stdout, talk to stderr, errors as a chain with a hint.

use crate::base::Hint;
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Where words go.
pub struct Printer {
    quiet: bool,
}

impl Printer {
    /// A printer that says nothing but data and errors when `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A line of data on stdout. A reader that went away is no error of ours.
    pub fn data(&self, text: impl AsRef<str>) {
        writeln!(std::io::stdout(), "{}", text.as_ref()).ok();
    }

    /// Text on stdout as it is.
    pub fn raw(&self, text: &str) {
        write!(std::io::stdout(), "{text}").ok();
    }

    /// A line of talk on stderr.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            writeln!(std::io::stderr(), "{}", text.as_ref()).ok();
        }
    }

    /// A line that shows what is going on: a spinner on a terminal, a line per step elsewhere.
    pub fn steps(&self) -> Steps {
        let live = !self.quiet && std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Steps { bar, quiet: self.quiet }
    }

    /// An error, its causes, and what to do about it.
    pub fn error(&self, error: &(dyn Error + 'static)) {
        let mut out = std::io::stderr();
        writeln!(out, "error: {error}").ok();
        let mut cause = error.source();
        while let Some(error) = cause {
            writeln!(out, "  caused by: {error}").ok();
            cause = error.source();
        }
        if let Some(hint) = error.downcast_ref::<Hint>().filter(|hint| !hint.hint().is_empty()) {
            writeln!(out, "\nhint: {}", hint.hint()).ok();
        }
    }
}

/// Progress of one command.
pub struct Steps {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Steps {
    /// The next step.
    pub fn step(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_string()),
            None if self.quiet => {}
            None => {
                writeln!(std::io::stderr(), "{text}").ok();
            }
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
