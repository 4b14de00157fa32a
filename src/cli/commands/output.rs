//! `--output text|json`: one flag for every command that has these two forms.

use super::super::Context;

/// The flag.
#[derive(clap::Args, Clone, Debug)]
pub struct Output {
    /// Form of what is printed
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

impl Output {
    /// Whether data is to be JSON.
    pub fn is_json(&self) -> bool {
        self.output == "json"
    }

    /// For commands whose output is what they do: it goes to stdout, as text or as an event a line.
    pub fn tell(&self, context: &Context) {
        match self.is_json() {
            true => context.printer.speak_json(),
            false => context.printer.speak_aloud(),
        }
    }
}
