//! What goes wrong in a template, in Go's words, with the errors below it.

use std::fmt;

/// An error with the one that it wraps. The text of the wrapped one is already part of the text.
#[derive(Debug, Clone)]
pub struct Error {
    message: String,
    execution: bool,
    cause: Option<Box<Error>>,
}

impl Error {
    /// An error of its own.
    pub fn new(message: impl Into<String>) -> Self {
        Error { message: message.into(), execution: false, cause: None }
    }

    /// An error around another one, whose text the message already holds.
    pub fn wrapping(message: impl Into<String>, cause: Error) -> Self {
        Error { message: message.into(), execution: false, cause: Some(Box::new(cause)) }
    }

    /// The error of an execution (Go's `ExecError`).
    pub(super) fn execution(message: String, cause: Option<Error>) -> Self {
        Error { message, execution: true, cause: cause.map(Box::new) }
    }

    /// Whether a template was being executed when it happened, here or below.
    pub fn is_execution(&self) -> bool {
        self.chain().any(|error| error.execution)
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// This error and those that it wraps, outermost first (Go's `errors.Unwrap`).
    pub fn chain(&self) -> impl Iterator<Item = &Error> {
        std::iter::successors(Some(self), |error| error.cause.as_deref())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
