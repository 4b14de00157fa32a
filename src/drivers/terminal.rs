//! The terminal of the person who runs a command in a node.

use rustix::termios::{OptionalActions, Termios};
use std::io::{self, IsTerminal};

/// Whether a person sits in front of this process: both directions are a terminal.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The terminal handing on every key, until this is dropped.
pub struct Raw(Termios);

impl Raw {
    /// Nothing if stdin is no terminal.
    pub fn begin() -> Option<Self> {
        let before = rustix::termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that went away needs nothing.
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0).ok();
    }
}
