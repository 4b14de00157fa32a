//! What goes wrong in a template, in Go's words, with the errors below it.

use std::borrow::Cow;
use std::fmt;

/// An error with the one that it wraps, whose text follows its own. Each keeps only its own part of the text: templates
/// that call each other a thousand times would keep a thousand copies of it.
#[derive(Debug, Clone)]
pub struct Error {
    own: String,
    execution: bool,
    is_bottomless: bool,
    cause: Option<Box<Error>>,
}

impl Error {
    /// An error of its own.
    pub fn new(message: impl Into<String>) -> Self {
        Error { own: message.into(), execution: false, is_bottomless: false, cause: None }
    }

    /// An error around another one: what stands before the other one's text.
    pub fn wrapping(before: impl Into<String>, cause: Error) -> Self {
        Error { is_bottomless: cause.is_bottomless, cause: Some(Box::new(cause)), ..Error::new(before) }
    }

    /// The error of an execution (Go's `ExecError`).
    pub(super) fn execution(message: String, cause: Option<Error>) -> Self {
        let error = match cause {
            Some(cause) => Error::wrapping(message, cause),
            None => Error::new(message),
        };
        Error { execution: true, ..error }
    }

    /// The error of a text that `tpl` executes in itself without end.
    pub(super) fn bottomless(message: impl Into<String>) -> Self {
        Error { is_bottomless: true, ..Error::new(message) }
    }

    /// Whether all the levels of `tpl` on the way say the same, so that the outermost is enough.
    pub(super) fn is_bottomless(&self) -> bool {
        self.is_bottomless
    }

    /// Whether a template was being executed when it happened, here or below.
    pub fn is_execution(&self) -> bool {
        self.chain().any(|error| error.execution)
    }

    /// The text as far as it is about this error: where that of a template's own error follows, its first word is the
    /// end.
    pub fn head(&self) -> Cow<'_, str> {
        const TEMPLATE: &str = "template:";
        match &self.cause {
            None => Cow::Borrowed(&self.own),
            Some(cause) if cause.own.starts_with(TEMPLATE) => Cow::Owned(format!("{}{TEMPLATE}", self.own)),
            Some(_) => Cow::Owned(self.to_string()),
        }
    }

    /// This error and those that it wraps, outermost first (Go's `errors.Unwrap`).
    pub fn chain(&self) -> impl Iterator<Item = &Error> {
        std::iter::successors(Some(self), |error| error.cause.as_deref())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chain().try_for_each(|error| formatter.write_str(&error.own))
    }
}

impl std::error::Error for Error {}
