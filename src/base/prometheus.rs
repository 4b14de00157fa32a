//! Prometheus' text format: families with their help and type, samples with labels.
//!
//! Source: the Prometheus text exposition format, version 0.0.4.

use jiff::Timestamp;
use std::fmt::{Display, Write};

/// The media type of a document.
pub const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A document.
#[derive(Default)]
pub struct Text {
    text: String,
    family: &'static str,
}

impl Text {
    /// Begins a family; `kind` is `counter`, `gauge` or `histogram`.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a string cannot fail.
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
    }

    /// One value of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display, at: Option<Timestamp>) {
        self.part("", labels, value, at);
    }

    /// One value of a histogram, which has a name of its own: `_bucket`, `_sum`, `_count`.
    pub fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display, at: Option<Timestamp>) {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            let start = if index == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            // As above.
            write!(self.text, "{start}{name}=\"{value}\"").ok();
        }
        let end = if labels.is_empty() { "" } else { "}" };
        match at {
            // As above.
            Some(at) => writeln!(self.text, "{end} {value} {}", at.as_millisecond()).ok(),
            None => writeln!(self.text, "{end} {value}").ok(),
        };
    }

    /// Figures of this process, from `/proc/self`.
    pub fn process(&mut self) {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // After the name in parentheses: state, ppid, …; user and system time are the 12th and 13th, size and pages the 21st and 22nd.
        let fields: Vec<u64> = match stat.rsplit_once(") ") {
            Some((_, rest)) => rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect(),
            None => return,
        };
        let at = |index: usize| fields.get(index).copied().unwrap_or(0);
        let mut one = |name: &'static str, kind: &str, help: &str, value: f64| {
            self.family(name, kind, help);
            self.sample(&[], value, None);
        };
        one(
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            (at(11) + at(12)) as f64 / 100.0,
        );
        one("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", at(20) as f64);
        let pages = at(21) * rustix::param::page_size() as u64;
        one("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", pages as f64);
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        one("process_open_fds", "gauge", "Number of open file descriptors.", files as f64);
    }

    /// The document, which is of [`TYPE`].
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted_and_times_are_milliseconds() {
        let mut text = Text::default();
        text.family("a_total", "counter", "[STABLE] A.");
        text.sample(&[("x", "1\"2\\\n"), ("y", "")], 1.5, Some(Timestamp::from_second(7).unwrap()));
        text.sample(&[], 3, None);
        let expected = "# HELP a_total [STABLE] A.\n# TYPE a_total counter\na_total{x=\"1\\\"2\\\\\\n\",y=\"\"} 1.5 7000\na_total 3\n";
        assert_eq!(text.text, expected);
    }
}
