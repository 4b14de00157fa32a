//! What the runtime has of one pod: its sandboxes and every attempt of every container.

use crate::runtime::{Container, Sandbox, State};
use std::collections::BTreeMap;

/// Dead attempts of a container that are kept besides the newest, for `logs --previous`.
const KEPT: usize = 1;

/// Sandboxes and containers of one pod, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub sandboxes: Vec<Sandbox>,
    pub containers: BTreeMap<String, Vec<Container>>,
}

impl History {
    /// Takes what is known of a sandbox now.
    pub fn take_sandbox(&mut self, sandbox: Sandbox) {
        match self.sandboxes.iter_mut().find(|known| known.id == sandbox.id) {
            Some(known) => *known = sandbox,
            None => self.sandboxes.push(sandbox),
        }
        self.sandboxes.sort_by_key(|sandbox| sandbox.spec.attempt);
    }

    /// Takes what is known of a container now; news that are older than what is known are dropped.
    pub fn take(&mut self, container: Container) {
        let attempts = self.containers.entry(container.spec.name.clone()).or_default();
        match attempts.iter_mut().find(|known| known.id == container.id) {
            Some(known) if rank(&known.state) > rank(&container.state) => {}
            Some(known) => *known = container,
            None => attempts.push(container),
        }
        attempts.sort_by_key(|container| container.spec.attempt);
    }

    /// The newest sandbox, if its namespaces are there.
    pub fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.last().filter(|sandbox| sandbox.ready)
    }

    /// The sandbox lost its namespaces.
    pub fn sandbox_gone(&mut self, id: &str) {
        self.sandboxes.iter_mut().filter(|sandbox| sandbox.id == id).for_each(|sandbox| sandbox.ready = false);
    }

    /// Attempt of the next sandbox.
    pub fn next_sandbox_attempt(&self) -> u32 {
        self.sandboxes.last().map_or(0, |sandbox| sandbox.spec.attempt + 1)
    }

    /// The newest attempt of a container.
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.get(name)?.last()
    }

    /// The attempt before the newest.
    pub fn previous(&self, name: &str) -> Option<&Container> {
        let attempts = self.containers.get(name)?;
        attempts.get(attempts.len().checked_sub(2)?)
    }

    /// Every container, with all attempts.
    pub fn all(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().flatten()
    }

    /// The container with this id.
    pub fn by_id(&self, id: &str) -> Option<&Container> {
        self.all().find(|container| container.id == id)
    }

    /// Takes out the dead attempts that nobody needs any more.
    pub fn expire(&mut self) -> Vec<Container> {
        let mut expired = Vec::new();
        for attempts in self.containers.values_mut() {
            let keep_from = attempts.len().saturating_sub(KEPT + 1);
            let old: Vec<Container> = attempts.drain(..keep_from).collect();
            let (dead, alive): (Vec<_>, Vec<_>) = old.into_iter().partition(|container| !is_running(container));
            expired.extend(dead);
            attempts.splice(0..0, alive);
        }
        expired
    }

    /// Forgets a container.
    pub fn forget(&mut self, id: &str) {
        self.containers.values_mut().for_each(|attempts| attempts.retain(|container| container.id != id));
        self.containers.retain(|_, attempts| !attempts.is_empty());
    }
}

/// Whether the container runs.
pub fn is_running(container: &Container) -> bool {
    matches!(container.state, State::Running { .. })
}

/// States come in one order.
fn rank(state: &State) -> u8 {
    match state {
        State::Created => 0,
        State::Running { .. } => 1,
        State::Exited { .. } => 2,
    }
}
