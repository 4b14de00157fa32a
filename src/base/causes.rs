//! An error with what caused it, on one line, for logs and messages.

use std::error::Error;

/// `what: why: why that`. A cause whose words are in the text already is not said twice: many errors print their source.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text += &format!(": {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("the disk is full")]
        Bottom,
        #[error("cannot write")]
        Silent(#[source] Box<Failure>),
        #[error("cannot save: {0}")]
        Telling(#[source] Box<Failure>),
    }

    #[test]
    fn every_cause_is_said_once() {
        let silent = Failure::Silent(Box::new(Failure::Bottom));
        assert_eq!(chain(&silent), "cannot write: the disk is full");
        assert_eq!(chain(&Failure::Telling(Box::new(silent))), "cannot save: cannot write: the disk is full");
    }
}
