//! What an operation tells while it runs: steps, the tree of what is waited for, logs of hooks.

use super::readiness::State;

/// One object of a release that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `Kind/name`.
    pub what: String,
    pub namespace: String,
    pub state: State,
    /// How far it is, for example `Available: 1/2`.
    pub message: String,
    /// Why it is no further: pods and their containers, one line each.
    pub reasons: Vec<Reason>,
}

/// One thing that keeps an object from being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// For example `pod web-1`.
    pub what: String,
    /// For example `container app: ImagePullBackOff: ...`.
    pub why: String,
}

/// Somebody who is told. Every method may be called often and must be quick.
pub trait Observer: Send + Sync {
    /// Something else is being done now.
    fn step(&self, _text: &str) {}
    /// What is waited for changed: all of it, in the order of the manifest.
    fn tree(&self, _nodes: &[Node]) {}
    /// What was done did not succeed, and something is done about that now: the last tree is the one that says why.
    fn failed(&self) {}
    /// A container of a hook said this.
    fn log(&self, _namespace: &str, _pod: &str, _container: &str, _text: &str) {}
    /// The API server warns of something that it was sent.
    fn server_warns(&self, _text: &str) {}
    /// Something that the user should know, although the operation goes on.
    fn warn(&self, _text: &str) {}
}

/// Nobody listens.
pub struct Silent;

impl Observer for Silent {}
