//! `rollback`: the next revision of a release, from an earlier one.
//!
//! Source: helm/helm `pkg/action/rollback.go`.

use super::apply;
use super::cluster::Item;
use super::error::Error;
use super::holder::Holder;
use super::install::apply_method;
use super::options::{DryRun, Options};
use super::record::{Info, Release, Status};
use super::time::Time;
use super::upgrade::Move;
use super::{Actions, check_name, manifest, ownership};

/// What a description may have, in characters.
const LONGEST_DESCRIPTION: usize = 256;

impl Actions {
    /// Rolls a release back to `revision`, or to the one before the newest if that is 0.
    pub async fn rollback(&self, name: &str, revision: i64, options: &Options) -> Result<Release, Error> {
        let length = options.description.chars().count();
        if length > LONGEST_DESCRIPTION {
            return Err(Error::text(format!(
                "description must be {LONGEST_DESCRIPTION} characters or less, got {length}"
            )));
        }
        check_name(name).map_err(|_| Error::text(format!("prepareRollback: Release name is invalid: {name}")))?;
        if revision < 0 {
            return Err(Error::text("invalid release revision"));
        }
        let mut history = self.history(name).await?;
        let current = history.pop().ok_or(Error::NotFound)?;
        let wanted = if revision == 0 { current.version - 1 } else { revision };
        let earlier = history.iter().chain([&current]).find(|release| release.version == wanted);
        let earlier = earlier.ok_or_else(|| Error::text(format!("release has no {wanted} version")))?;
        let server_side = options.server_side.unwrap_or(earlier.is_server_side());
        let target = target_of(&current, earlier, options, server_side);
        if options.dry_run != DryRun::None {
            return Ok(target);
        }
        let mut storage = self.storage.clone();
        storage.max_history = options.history_max;
        storage.create(&target, Some(&Holder::me())).await?;
        let key = target.key();
        self.holding(&key, self.perform_rollback(current, target, server_side, options)).await
    }

    async fn perform_rollback(
        &self,
        mut current: Release,
        mut target: Release,
        server_side: bool,
        options: &Options,
    ) -> Result<Release, Error> {
        let mut created = Vec::new();
        match self.move_back(&current, &mut target, server_side, &mut created, options).await {
            Ok(()) => {}
            Err((stage, error)) => {
                let what = if stage == Stage::Waiting { "Release" } else { "Rollback" };
                target.set_status(Status::Failed, format!("{what} {:?} failed: {error}", target.name));
                if stage == Stage::Changing {
                    current.info.status = Status::Superseded;
                    self.record_anyway(&current).await;
                }
                self.record_anyway(&target).await;
                if stage == Stage::Changing
                    && options.cleanup_on_fail
                    && let Some(other) = Error::joined(apply::delete(&self.cluster, &created, "Background").await, ", ")
                {
                    let what = "an error occurred while cleaning up resources. original rollback error: unable to cleanup resources";
                    return Err(other.during(what));
                }
                let waited = stage == Stage::Waiting;
                return Err(if waited { error.during(format!("release {} failed", target.name)) } else { error });
            }
        }
        for mut deployed in self.storage.deployed(&target.name).await? {
            deployed.info.status = Status::Superseded;
            self.record_anyway(&deployed).await;
        }
        target.info.status = Status::Deployed;
        self.record(&target).await?;
        Ok(target)
    }

    async fn move_back(
        &self,
        current: &Release,
        target: &mut Release,
        server_side: bool,
        created: &mut Vec<Item>,
        options: &Options,
    ) -> Result<(), (Stage, Error)> {
        let other = |error: Error| (Stage::Other, error);
        let what = "unable to build kubernetes objects from current release manifest";
        let from =
            manifest::items(&self.cluster, &current.manifest).await.map_err(|error| other(error.during(what)))?;
        let what = "unable to build kubernetes objects from new release manifest";
        let mut to =
            manifest::items(&self.cluster, &target.manifest).await.map_err(|error| other(error.during(what)))?;
        self.run_hooks(target, "pre-rollback", options, server_side).await.map_err(other)?;
        ownership::claim(&mut to, &target.name, &target.namespace);
        self.observer.step(&format!("changing {} objects", to.len()));
        let moved = Move { current: &from, server_side, hand_over: true };
        let (changes, done) = apply::update(&self.cluster, &from, &mut to, moved.method(options)).await;
        *created = changes.created;
        done.map_err(|error| (Stage::Changing, error))?;
        self.wait_for(&to, options).await.map_err(|error| (Stage::Waiting, error))?;
        self.run_hooks(target, "post-rollback", options, server_side).await.map_err(other)
    }
}

/// Where a rollback failed: Helm says it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Changing,
    Waiting,
    Other,
}

fn target_of(current: &Release, earlier: &Release, options: &Options, server_side: bool) -> Release {
    Release {
        name: current.name.clone(),
        namespace: current.namespace.clone(),
        chart: earlier.chart.clone(),
        config: earlier.config.clone(),
        info: Info {
            first_deployed: current.info.first_deployed,
            last_deployed: Some(Time::now()),
            status: Status::PendingRollback,
            notes: earlier.info.notes.clone(),
            rollback_revision: earlier.version,
            description: options.description_or(&format!("Rollback to {}", earlier.version)),
            ..Info::default()
        },
        version: current.version + 1,
        labels: earlier.user_labels(),
        manifest: earlier.manifest.clone(),
        hooks: earlier.hooks.clone(),
        apply_method: apply_method(server_side).into(),
    }
}
