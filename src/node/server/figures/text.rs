//! Prometheus' text format: families with their help and type, samples with labels.
//!
//! Source: the Prometheus text exposition format, version 0.0.4.

use crate::node::server::answer::{self, Answer};
use http::StatusCode;
use jiff::Timestamp;
use std::fmt::{Display, Write};

/// A document.
#[derive(Default)]
pub struct Text {
    text: String,
    family: &'static str,
}

impl Text {
    /// Begins a family; `kind` is `counter` or `gauge`.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a string cannot fail.
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
    }

    /// One value of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display, at: Option<Timestamp>) {
        self.text.push_str(self.family);
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

    /// The document as an answer.
    pub fn answer(self) -> Answer {
        answer::of_type(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.text.into())
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
