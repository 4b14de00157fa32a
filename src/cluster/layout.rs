//! Profiles that an older coracle wrote: brought up to date step by step, with a snapshot of what was before. One that a newer
//! coracle wrote is refused.

use super::life::{Cluster, Error};
use crate::config::profile::LAYOUT;
use std::io;
use std::path::Path;

/// What leads from one layout to the next.
struct Step {
    /// The layout that it begins with; it ends with the next number.
    from: u32,
    /// Changes files below a profile's folder. Called again after a failure, so it may find half of its work done.
    make: fn(&Path) -> io::Result<()>,
}

/// Every step, oldest first.
static STEPS: &[Step] = &[
    // Before there was a number, files lay as with the first.
    Step { from: 0, make: |_| Ok(()) },
];

/// Takes the steps from a layout on, and tells of each that was done.
fn climb(steps: &[Step], from: u32, folder: &Path, mut done: impl FnMut(u32)) -> io::Result<()> {
    for step in steps.iter().filter(|step| step.from >= from) {
        (step.make)(folder)?;
        done(step.from + 1);
    }
    Ok(())
}

impl Cluster {
    /// Brings a profile of an older layout up to date, with a snapshot of what was before; the name of that, if there was need.
    /// A node that runs is stopped for it.
    pub async fn upgrade(&mut self) -> Result<Option<String>, Error> {
        match self.profile.layout {
            LAYOUT => return Ok(None),
            newer if newer > LAYOUT => return Err(Error::TooNew(newer)),
            _ => {}
        }
        let before = self.profile.layout;
        self.stop().await?;
        let name = format!("before-layout-{LAYOUT}-from-{before}");
        if self.paths().store().exists() {
            self.save_snapshot(&name).await?;
        }
        let folder = self.home.profile_folder(&self.profile.name);
        let mut reached = before;
        let climbed = climb(STEPS, before, &folder, |layout| reached = layout);
        // What was reached holds, so that the next try goes on from there.
        self.profile.layout = reached;
        self.save()?;
        climbed.map_err(Error::io(format!("cannot bring the profile from layout {reached} to {LAYOUT}")))?;
        Ok(Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static MOVES: &[Step] = &[
        Step { from: 0, make: |folder| std::fs::rename(folder.join("keys"), folder.join("pki")) },
        Step { from: 1, make: |folder| std::fs::write(folder.join("pki/mark"), "2") },
        Step { from: 2, make: |_| Err(io::Error::other("no room")) },
    ];

    #[test]
    fn steps_are_taken_in_order_from_the_layout_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        let mut reached = 0;
        climb(&MOVES[..2], 0, folder.path(), |layout| reached = layout).unwrap();
        assert_eq!(reached, 2);
        assert_eq!(std::fs::read_to_string(folder.path().join("pki/mark")).unwrap(), "2");
        // Nothing is done twice.
        climb(&MOVES[..2], 2, folder.path(), |_| panic!("there is no step left")).unwrap();
    }

    #[test]
    fn a_step_that_fails_leaves_what_was_reached() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pki")).unwrap();
        let mut reached = 1;
        let failed = climb(MOVES, 1, folder.path(), |layout| reached = layout).unwrap_err();
        assert_eq!((reached, failed.to_string().as_str()), (2, "no room"));
    }

    #[test]
    fn there_is_a_step_for_every_layout_before_the_present_one() {
        let from: Vec<u32> = STEPS.iter().map(|step| step.from).collect();
        assert_eq!(from, (0..LAYOUT).collect::<Vec<_>>());
    }
}
