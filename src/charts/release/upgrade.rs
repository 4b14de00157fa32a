//! `upgrade`: the next revision of a release, from a chart.
//!
//! Source: helm/helm `pkg/action/upgrade.go`. Beyond it: a revision that was left pending by a process that is gone is
//! marked as failed and gone on from.

use super::apply::{self, Method};
use super::cluster::Item;
use super::error::Error;
use super::holder::Holder;
use super::install::apply_method;
use super::options::{DryRun, Options, Request, Source};
use super::record::{Info, Release, Status};
use super::storage::Held;
use super::time::Time;
use super::{Actions, check_name, manifest, ownership};
use std::collections::BTreeMap;

/// Where an upgrade starts from.
struct Base {
    /// The newest revision, whatever became of it.
    last: Release,
    /// The revision whose objects are there.
    current: Release,
}

impl Actions {
    /// Upgrades a release to what `source` makes of it.
    pub async fn upgrade(&self, name: &str, source: &mut dyn Source, options: &Options) -> Result<Release, Error> {
        check_name(name).map_err(|_| Error::text(format!("release name is invalid: {name}")))?;
        let base = self.base(name, options).await?;
        source.reuse(&base.current, options.reuse)?;
        options.check_labels()?;
        let server_side = options.server_side.unwrap_or(base.last.is_server_side());
        let mut release = next_revision(&base, source, options, server_side);
        self.observer.step(&format!("rendering {}", release.chart_label()));
        let request = Request {
            name: name.into(),
            namespace: release.namespace.clone(),
            revision: release.version,
            is_upgrade: true,
            cluster: (options.dry_run != DryRun::Client).then(|| self.cluster.clone()),
        };
        let rendered = source.render(request).await?;
        (release.manifest, release.hooks, release.info.notes) = (rendered.manifest, rendered.hooks, rendered.notes);
        if options.dry_run == DryRun::Client {
            release.info.description = options.description_or("Dry run complete");
            return Ok(release);
        }
        self.perform_upgrade(base, release, server_side, options).await
    }

    /// The revisions to start from. A pending one that nobody works on any more is marked as failed first.
    async fn base(&self, name: &str, options: &Options) -> Result<Base, Error> {
        let history = match self.storage.history(name).await {
            Err(Error::NotFound) => return Err(Error::NoDeployed(name.into())),
            history => history?,
        };
        let history = self.settle(history, options.dry_run == DryRun::None).await?;
        base_of(name, &history)
    }

    /// A history in which nothing is pending.
    pub(super) async fn settle(&self, history: Vec<Held>, is_real: bool) -> Result<Vec<Release>, Error> {
        let mut releases = Vec::with_capacity(history.len());
        let newest = history.len().saturating_sub(1);
        for (place, held) in history.into_iter().enumerate() {
            let Held { mut release, holder } = held;
            if place == newest && release.info.status.is_pending() {
                if holder.is_none_or(|holder| Holder::is_at_work(&holder)) {
                    return Err(Error::Pending);
                }
                let what = release.info.status.word().trim_start_matches("pending-");
                release.set_status(Status::Failed, format!("Interrupted: the {what} was not finished"));
                if is_real {
                    self.record(&release).await?;
                }
            }
            releases.push(release);
        }
        Ok(releases)
    }

    async fn perform_upgrade(
        &self,
        base: Base,
        mut release: Release,
        server_side: bool,
        options: &Options,
    ) -> Result<Release, Error> {
        let current = manifest::items(&self.cluster, &base.current.manifest).await;
        let mut current = current
            .map_err(|error| error.during("unable to build kubernetes objects from current release manifest"))?;
        let target = manifest::items(&self.cluster, &release.manifest).await;
        let mut target =
            target.map_err(|error| error.during("unable to build kubernetes objects from new release manifest"))?;
        ownership::claim(&mut target, &release.name, &release.namespace);
        let is_new = |item: &&Item| !current.iter().any(|old| old.is_same(item) && old.kind == item.kind);
        let new: Vec<Item> = target.iter().filter(is_new).cloned().collect();
        let owner = (release.name.as_str(), release.namespace.as_str());
        let adopted = ownership::existing(&self.cluster, &new, owner, options.take_ownership).await;
        current.extend(adopted.map_err(|error| error.during("unable to continue with update"))?);
        if options.dry_run != DryRun::None {
            release.info.description = options.description_or("Dry run complete");
            return Ok(release);
        }
        let mut storage = self.storage.clone();
        storage.max_history = options.history_max;
        storage.create(&release, Some(&Holder::me())).await?;
        let key = release.key();
        self.holding(&key, self.bring_forward(base.current, release, current, target, server_side, options)).await
    }

    async fn bring_forward(
        &self,
        mut original: Release,
        mut release: Release,
        current: Vec<Item>,
        mut target: Vec<Item>,
        server_side: bool,
        options: &Options,
    ) -> Result<Release, Error> {
        let mut created = Vec::new();
        let moved = Move { current: &current, server_side, hand_over: server_side && !original.is_server_side() };
        let done = self.move_objects(&mut release, &mut target, &moved, &mut created, options).await;
        if let Err(error) = done {
            return Err(self.fail_upgrade(release, created, error, options).await);
        }
        original.info.status = Status::Superseded;
        self.record_anyway(&original).await;
        release.set_status(Status::Deployed, options.description_or("Upgrade complete"));
        self.record(&release).await?;
        Ok(release)
    }

    async fn move_objects(
        &self,
        release: &mut Release,
        target: &mut [Item],
        moved: &Move<'_>,
        created: &mut Vec<Item>,
        options: &Options,
    ) -> Result<(), Error> {
        let hooks = self.run_hooks(release, "pre-upgrade", options, moved.server_side).await;
        hooks.map_err(|error| error.during("pre-upgrade hooks failed"))?;
        self.observer.step(&format!("changing {} objects", target.len()));
        let (changes, done) = apply::update(&self.cluster, moved.current, target, moved.method(options)).await;
        *created = changes.created;
        done?;
        self.wait_for(target, options).await?;
        let hooks = self.run_hooks(release, "post-upgrade", options, moved.server_side).await;
        hooks.map_err(|error| error.during("post-upgrade hooks failed"))
    }

    async fn fail_upgrade(&self, mut release: Release, created: Vec<Item>, error: Error, options: &Options) -> Error {
        let name = release.name.clone();
        release.set_status(Status::Failed, format!("Upgrade {name:?} failed: {error}"));
        self.record_anyway(&release).await;
        if options.cleanup_on_fail
            && let Some(other) = Error::joined(apply::delete(&self.cluster, &created, "Background").await, ", ")
        {
            return Error::text(format!(
                "an error occurred while cleaning up resources. original upgrade error: {error}: unable to cleanup resources: {other}"
            ));
        }
        if !options.rollback_on_failure {
            return error;
        }
        self.roll_back_failed(&name, error, options).await
    }

    async fn roll_back_failed(&self, name: &str, error: Error, options: &Options) -> Error {
        self.observer.failed();
        let history = match self.history(name).await {
            Ok(history) => history,
            Err(other) => {
                return Error::text(format!(
                    "an error occurred while finding last successful release. original upgrade error: {error}: {other}"
                ));
            }
        };
        let good = |release: &&Release| matches!(release.info.status, Status::Superseded | Status::Deployed);
        let Some(last_good) = history.iter().rev().find(good) else {
            let what =
                "unable to find a previously successful release when attempting to rollback. original upgrade error";
            return error.during(what);
        };
        let options = Options { description: String::new(), cleanup_on_fail: false, ..options.clone() };
        match self.rollback(name, last_good.version, &options).await {
            Ok(_) => error.during(format!(
                "release {name} failed, and has been rolled back due to rollback-on-failure being set"
            )),
            Err(other) => Error::text(format!(
                "an error occurred while rolling back the release. original upgrade error: {error}: {other}"
            )),
        }
    }
}

/// How objects get from one revision to the next.
pub(super) struct Move<'a> {
    pub current: &'a [Item],
    pub server_side: bool,
    /// Whether fields were written without server-side apply before.
    pub hand_over: bool,
}

impl Move<'_> {
    /// How they are written.
    pub fn method(&self, options: &Options) -> Method {
        Method {
            server_side: self.server_side,
            force_conflicts: options.force_conflicts,
            force_replace: options.force_replace,
            hand_over: self.hand_over,
            lenient: options.no_validation,
            dry_run: false,
        }
    }
}

/// The newest revision, and the one whose objects are there.
fn base_of(name: &str, history: &[Release]) -> Result<Base, Error> {
    let last = history.last().ok_or_else(|| Error::NoDeployed(name.into()))?.clone();
    let deployed = history.iter().rev().find(|release| release.info.status == Status::Deployed);
    let current = match (deployed, last.info.status) {
        (_, Status::Deployed) => last.clone(),
        (Some(deployed), _) => deployed.clone(),
        (None, Status::Failed | Status::Superseded) => last.clone(),
        (None, _) => return Err(Error::NoDeployed(name.into())),
    };
    Ok(Base { last, current })
}

fn next_revision(base: &Base, source: &dyn Source, options: &Options, server_side: bool) -> Release {
    let info = Info {
        first_deployed: base.current.info.first_deployed,
        last_deployed: Some(Time::now()),
        status: Status::PendingUpgrade,
        description: "Preparing upgrade".into(),
        ..Info::default()
    };
    Release {
        name: base.last.name.clone(),
        namespace: base.current.namespace.clone(),
        chart: Some(source.chart()),
        config: source.config(),
        info,
        version: base.last.version + 1,
        labels: merged_labels(&base.last.user_labels(), &options.labels),
        apply_method: apply_method(server_side).into(),
        ..Release::default()
    }
}

/// Labels of the last revision with the new ones over them; `null` takes one away.
fn merged_labels(last: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = last.clone();
    labels.extend(new.clone());
    labels.retain(|_, value| value != "null");
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(statuses: &[Status]) -> Vec<Release> {
        let release = |(place, status): (usize, &Status)| {
            let mut release = Release { name: "web".into(), version: place as i64 + 1, ..Release::default() };
            release.info.status = *status;
            release
        };
        statuses.iter().enumerate().map(release).collect()
    }

    #[test]
    fn an_upgrade_starts_from_what_is_deployed_or_else_from_what_failed() {
        use Status::{Deployed, Failed, Superseded, Uninstalled};
        let cases: &[(&[Status], Option<(i64, i64)>)] = &[
            (&[Superseded, Deployed], Some((2, 2))),
            (&[Superseded, Deployed, Failed], Some((3, 2))),
            (&[Failed], Some((1, 1))),
            (&[Superseded, Failed, Failed], Some((3, 3))),
            (&[Uninstalled], None),
            (&[], None),
        ];
        for (statuses, wanted) in cases {
            let base = base_of("web", &history(statuses));
            let found = base.as_ref().ok().map(|base| (base.last.version, base.current.version));
            assert_eq!(found, *wanted, "{statuses:?}");
            if let Err(error) = base {
                assert_eq!(error.to_string(), "\"web\" has no deployed releases");
            }
        }
    }

    #[test]
    fn labels_are_merged_and_null_takes_one_away() {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let merged = merged_labels(&map(&[("a", "1"), ("b", "1")]), &map(&[("b", "null"), ("c", "2")]));
        assert_eq!(merged, map(&[("a", "1"), ("c", "2")]));
    }
}
