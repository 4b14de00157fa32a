//! What can go wrong with a release. The texts are Helm's, since scripts and other tools match on them.

use super::record::Broken;
use crate::base::causes::chain;

/// Why an operation on a release failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("release: not found")]
    NotFound,
    /// There are records of the name, none of which can be read.
    #[error("no revision for release {0:?}")]
    NoRevision(String),
    #[error("release: already exists")]
    Exists,
    #[error("\"{0}\" has no deployed releases")]
    NoDeployed(String),
    #[error("another operation (install/upgrade/rollback) is in progress")]
    Pending,
    /// The API server cannot be reached.
    #[error("kubernetes cluster unreachable: {0}")]
    Unreachable(String),
    /// The API server refused.
    #[error("{message}")]
    Api {
        message: String,
        /// In the word that clients match on, for example `NotFound`.
        reason: String,
        code: u16,
    },
    /// An error with what was being done.
    #[error("{what}: {inner}")]
    While { what: String, inner: Box<Error> },
    #[error("{0}")]
    Record(#[from] Broken),
    /// An error of another part, or a text of Helm's that has no case of its own.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// An error that is only a text.
    pub fn text(text: impl Into<String>) -> Self {
        Error::Other(text.into())
    }

    /// The error with what was being done before it.
    pub fn during(self, what: impl Into<String>) -> Self {
        Error::While { what: what.into(), inner: Box::new(self) }
    }

    /// The innermost error, without what was being done.
    pub fn cause(&self) -> &Error {
        match self {
            Error::While { inner, .. } => inner.cause(),
            other => other,
        }
    }

    /// Whether the server said that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause(), Error::NotFound) || matches!(self.cause(), Error::Api { code: 404, .. })
    }

    /// Whether the server said that there is such an object already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self.cause(), Error::Api { reason, .. } if reason == "AlreadyExists")
    }

    /// Whether somebody else changed the object, or owns a field.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause(), Error::Api { reason, .. } if reason == "Conflict")
    }

    /// Several errors as one, or nothing.
    pub fn joined(errors: Vec<Error>, between: &str) -> Option<Error> {
        let mut errors = errors;
        match errors.len() {
            0 => None,
            1 => errors.pop(),
            _ => {
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Some(Error::Other(texts.join(between)))
            }
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                Error::Api { message: status.message.clone(), reason: status.reason.clone(), code: status.code }
            }
            kube::Error::SerdeError(error) => Error::Other(format!("the server's answer is no object: {error}")),
            other => Error::Unreachable(chain(&other)),
        }
    }
}
