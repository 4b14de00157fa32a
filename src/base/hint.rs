//! What a person can do about an error: one command to run.

use std::fmt;

/// An error with the one thing to do about it. The command line prints the chain of causes first, then the hint.
#[derive(Debug)]
pub struct Hint {
    source: Box<dyn std::error::Error + Send + Sync>,
    hint: String,
}

impl Hint {
    /// Wraps `source` with `hint`, an imperative sentence or a command.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>, hint: impl Into<String>) -> Self {
        Self { source: source.into(), hint: hint.into() }
    }

    /// The advice.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Hint {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
