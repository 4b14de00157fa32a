//! `uninstall`: takes a release's objects and its records away.
//!
//! Source: helm/helm `pkg/action/uninstall.go`. Beyond it: an object whose kind is served no more does not stop the others.

use super::apply;
use super::cluster::Item;
use super::error::Error;
use super::manifest;
use super::options::{DryRun, Options, Strategy};
use super::readiness::Until;
use super::record::{Release, Status};
use super::time::Time;
use super::{Actions, check_name, ownership, wait};
use crate::charts::manifests::{UNINSTALL_ORDER, by_kind};
use serde_json::Value;

/// What became of a release.
#[derive(Clone, Debug, Default)]
pub struct Uninstalled {
    pub release: Release,
    /// What stayed and why; empty if nothing did.
    pub info: String,
}

/// A release's objects by what is to become of them.
#[derive(Default)]
struct Sorted {
    own: Vec<Item>,
    kept: Vec<Item>,
    foreign: Vec<Item>,
    unknown: Vec<(Item, Error)>,
}

impl Actions {
    /// Uninstalls a release; nothing if there is none and that is to be no error.
    pub async fn uninstall(&self, name: &str, options: &Options) -> Result<Option<Uninstalled>, Error> {
        check_name(name).map_err(|_| Error::text(format!("uninstall: Release name is invalid: {name}")))?;
        let history = match self.storage.history(name).await {
            Err(Error::NotFound) if options.ignore_not_found => return Ok(None),
            Err(Error::NoRevision(_)) => return Err(Error::text("no release provided")),
            history => history.map_err(|error| error.during(format!("uninstall: Release not loaded: {name}")))?,
        };
        let releases: Vec<Release> = history.into_iter().map(|held| held.release).collect();
        let versions: Vec<i64> = releases.iter().map(|release| release.version).collect();
        let release = releases.into_iter().next_back().ok_or(Error::NotFound)?;
        if options.dry_run != DryRun::None {
            let sorted = self.sort(&release).await?;
            return Ok(Some(Uninstalled { info: sorted.info(), release }));
        }
        if release.info.status == Status::Uninstalled {
            if options.keep_history {
                return Err(Error::text(format!("the release named {name:?} is already deleted")));
            }
            self.purge(name, &versions)
                .await
                .map_err(|error| error.during("uninstall: Failed to purge the release"))?;
            return Ok(Some(Uninstalled { release, info: String::new() }));
        }
        let key = release.key();
        self.holding(&key, self.perform_uninstall(release, versions, options)).await.map(Some)
    }

    async fn perform_uninstall(
        &self,
        mut release: Release,
        versions: Vec<i64>,
        options: &Options,
    ) -> Result<Uninstalled, Error> {
        release.set_status(Status::Uninstalling, "Deletion in progress (or silently failed)");
        release.info.deleted = Some(Time::now());
        self.run_hooks(&mut release, "pre-delete", options, true).await?;
        self.record_anyway(&release).await;
        let mut errors = Vec::new();
        let sorted = self.sort(&release).await;
        let sorted = sorted.map_err(|error| error.during(format!("failed to delete release: {}", release.name)))?;
        for item in &sorted.foreign {
            self.observer.warn(&format!("skipping delete of resource not owned by this release: {}", item.described()));
        }
        self.observer.step(&format!("deleting {} objects", sorted.own.len()));
        let failed = apply::delete(&self.cluster, &sorted.own, propagation(&options.cascade)).await;
        if let Some(error) = Error::joined(failed, "; ") {
            return Err(error.during(format!("failed to delete release: {}", release.name)));
        }
        if options.wait != Strategy::HookOnly {
            let gone = wait::wait(&self.cluster, &sorted.own, Until::Gone, options.timeout, &*self.observer).await;
            errors.extend(gone.err());
        }
        errors.extend(self.run_hooks(&mut release, "post-delete", options, true).await.err());
        release.set_status(Status::Uninstalled, options.description_or("Uninstallation complete"));
        if options.keep_history {
            self.record_anyway(&release).await;
            for mut deployed in self.storage.deployed(&release.name).await? {
                deployed.info.status = Status::Superseded;
                self.record_anyway(&deployed).await;
            }
        } else if let Err(error) = self.purge(&release.name, &versions).await {
            errors.push(error.during("uninstall: Failed to purge the release"));
        }
        let count = errors.len();
        match Error::joined(errors, "; ") {
            None => Ok(Uninstalled { info: sorted.info(), release }),
            Some(error) => Err(error.during(format!("uninstallation completed with {count} error(s)"))),
        }
    }

    async fn purge(&self, name: &str, versions: &[i64]) -> Result<(), Error> {
        for version in versions {
            match self.storage.delete(name, *version).await {
                Err(error) if error.is_not_found() => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Looks at the objects of a release: which are its own and go, which stay.
    async fn sort(&self, release: &Release) -> Result<Sorted, Error> {
        let build = |error: Error| error.during("unable to build kubernetes objects for delete");
        let objects = manifest::objects(&release.manifest).map_err(build)?;
        // Helm would leave the release half uninstalled for ever, with all its other objects.
        let (objects, unserved) = manifest::served(&self.cluster, objects).await.map_err(build)?;
        for object in &unserved {
            let (kind, name, version) = (object.kind(), object.name(), object.api_version());
            let why = format!("the cluster serves no {kind} of {version}");
            self.observer.warn(&format!("skipping delete of {kind} {name:?}: {why}"));
        }
        let mut items = manifest::place(&self.cluster, objects).await.map_err(build)?;
        by_kind(&mut items, UNINSTALL_ORDER, |item| &item.kind.kind);
        let mut sorted = Sorted::default();
        let (kept, others): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| ownership::is_kept(&Value::Object(item.object.0.clone())));
        sorted.kept = kept;
        for (item, live) in apply::live(&self.cluster, &others).await {
            match live {
                Ok(None) => {}
                Ok(Some(live)) => match ownership::check(&live, &release.name, &release.namespace) {
                    Ok(()) => sorted.own.push(item),
                    Err(_) => sorted.foreign.push(item),
                },
                Err(error) => sorted.unknown.push((item, error)),
            }
        }
        Ok(sorted)
    }
}

impl Sorted {
    /// What stays, in Helm's words.
    fn info(&self) -> String {
        let mut text = String::new();
        let line = |item: &Item| format!("[{}] {}\n", item.kind.kind, item.name);
        if !self.kept.is_empty() {
            text += "These resources were kept due to the resource policy:\n";
            self.kept.iter().for_each(|item| text += &line(item));
        }
        if !self.foreign.is_empty() {
            text += if text.is_empty() { "" } else { "\n" };
            let count = self.foreign.len();
            text += &format!("{count} resource(s) were not deleted because they are not owned by this release:\n");
            self.foreign.iter().for_each(|item| text += &line(item));
        }
        if !self.unknown.is_empty() {
            text += if text.is_empty() { "" } else { "\n" };
            let count = self.unknown.len();
            text += &format!("{count} resource(s) were not deleted because their ownership could not be verified:\n");
            self.unknown.iter().for_each(|(item, error)| {
                text += &format!("[{}] {}: {error}\n", item.kind.kind, item.name);
            });
        }
        text
    }
}

fn propagation(cascade: &str) -> &'static str {
    match cascade {
        "orphan" => "Orphan",
        "foreground" => "Foreground",
        _ => "Background",
    }
}
