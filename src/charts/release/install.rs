//! `install`: the first revision of a release.
//!
//! Source: helm/helm `pkg/action/install.go`.

use super::apply::{self, Changes, Method};
use super::cluster::Item;
use super::error::Error;
use super::holder::Holder;
use super::options::{DryRun, Options, Request, Source};
use super::ownership;
use super::readiness::Until;
use super::record::{Info, Release, Status};
use super::storage::Held;
use super::time::Time;
use super::{Actions, check_name, manifest, wait};
use std::time::Duration;

/// How long new kinds may take until they are served.
const DEFINITIONS: Duration = Duration::from_secs(60);

impl Actions {
    /// Installs a chart as a release that does not exist yet.
    pub async fn install(&self, name: &str, source: &mut dyn Source, options: &Options) -> Result<Release, Error> {
        let checked = check_name(name).map_err(|error| error.during(format!("release name {name:?}")));
        checked.map_err(|error| error.during("release name check failed"))?;
        let is_real = options.dry_run == DryRun::None;
        let history = if is_real { self.past(name, options).await? } else { Vec::new() };
        if options.dry_run != DryRun::Client && !options.skip_crds {
            self.install_definitions(source, options).await?;
        }
        options.check_labels()?;
        let mut release = self.first_revision(name, source, options);
        self.observer.step(&format!("rendering {}", release.chart_label()));
        let request = Request {
            name: name.into(),
            namespace: self.cluster.namespace().into(),
            revision: 1,
            is_upgrade: false,
            cluster: (options.dry_run != DryRun::Client).then(|| self.cluster.clone()),
        };
        let rendered = source.render(request).await?;
        (release.manifest, release.hooks, release.info.notes) = (rendered.manifest, rendered.hooks, rendered.notes);
        release.set_status(Status::PendingInstall, "Initial install underway");
        if options.dry_run == DryRun::Client {
            release.info.description = "Dry run complete".into();
            return Ok(release);
        }
        let (items, adopted) = self.plan(name, &release.manifest, options.take_ownership).await?;
        if !is_real {
            release.info.description = "Dry run complete".into();
            return Ok(release);
        }
        if options.create_namespace {
            apply::namespace(&self.cluster, &release.namespace, method(options)).await?;
        }
        if options.replace {
            self.replace_last(&mut release, history).await?;
        }
        self.storage.create(&release, Some(&Holder::me())).await?;
        let key = release.key();
        self.holding(&key, self.perform_install(release, items, adopted, options)).await
    }

    /// The objects of a new release, and those of them that exist already and may be taken over.
    async fn plan(&self, name: &str, text: &str, take_ownership: bool) -> Result<(Vec<Item>, Vec<Item>), Error> {
        let namespace = self.cluster.namespace();
        let built = manifest::items(&self.cluster, text).await;
        let mut items =
            built.map_err(|error| error.during("unable to build kubernetes objects from release manifest"))?;
        ownership::claim(&mut items, name, namespace);
        let adopted = ownership::existing(&self.cluster, &items, (name, namespace), take_ownership).await;
        let adopted = adopted.map_err(|error| error.during("unable to continue with install"))?;
        Ok((items, adopted))
    }

    /// Whether the cluster knows all kinds of a manifest, and nothing that it names belongs to somebody else.
    pub async fn check_plan(&self, name: &str, text: &str, take_ownership: bool) -> Result<(), Error> {
        self.plan(name, text, take_ownership).await.map(drop)
    }

    /// Earlier revisions of the name, if they are no obstacle.
    async fn past(&self, name: &str, options: &Options) -> Result<Vec<Held>, Error> {
        let history = match self.storage.history(name).await {
            Err(Error::NotFound | Error::NoRevision(_)) => return Ok(Vec::new()),
            history => history?,
        };
        let last = history.last().map(|held| held.release.info.status);
        match last {
            Some(Status::Uninstalled | Status::Failed) if options.replace => Ok(history),
            None => Ok(history),
            Some(_) => Err(Error::text("cannot reuse a name that is still in use").during("release name check failed")),
        }
    }

    fn first_revision(&self, name: &str, source: &dyn Source, options: &Options) -> Release {
        let now = Time::now();
        Release {
            name: name.into(),
            namespace: self.cluster.namespace().into(),
            chart: Some(source.chart()),
            config: source.config(),
            info: Info { first_deployed: Some(now), last_deployed: Some(now), ..Info::default() },
            version: 1,
            labels: options.labels.clone(),
            apply_method: apply_method(options.server_side.unwrap_or(true)).into(),
            ..Release::default()
        }
    }

    /// Makes the kinds of `crds/` that are not there yet, and waits until they are served.
    async fn install_definitions(&self, source: &dyn Source, options: &Options) -> Result<(), Error> {
        let files = source.crds();
        if files.is_empty() {
            return Ok(());
        }
        if options.dry_run != DryRun::None {
            self.observer
                .warn("This chart or one of its subcharts contains CRDs. Rendering may fail or contain inaccuracies.");
            return Ok(());
        }
        let mut made = Vec::new();
        for (file, text) in files {
            self.observer.step(&format!("installing kinds of {file}"));
            let while_doing = |error: Error| error.during(format!("failed to install CRD {file}"));
            let mut items = manifest::items(&self.cluster, &text).await.map_err(while_doing)?;
            if items.is_empty() {
                return Err(Error::text("resources are empty").during(format!("failed to install CRD {file}")));
            }
            // A definition that is there stays as it is: others may rely on it.
            let found = self.cluster.find_all(&items).await.map_err(while_doing)?;
            let mut there = found.into_iter();
            items.retain(|_| there.next().is_some_and(|live| live.is_none()));
            match apply::create(&self.cluster, &mut items, method(options)).await {
                Err(error) if error.is_already_exists() => continue,
                done => done.map_err(while_doing)?,
            }
            made.append(&mut items);
        }
        if !made.is_empty() {
            wait::wait(&self.cluster, &made, Until::Ready, DEFINITIONS, &*self.observer).await?;
            self.cluster.forget_kinds();
        }
        Ok(())
    }

    /// Goes on behind a release that was deleted or has failed.
    async fn replace_last(&self, release: &mut Release, mut history: Vec<Held>) -> Result<(), Error> {
        let Some(held) = history.pop() else { return Ok(()) };
        let mut last = held.release;
        release.version = last.version + 1;
        if last.info.status == Status::Failed {
            return Ok(());
        }
        last.set_status(Status::Superseded, "superseded by new release");
        self.record(&last).await
    }

    async fn perform_install(
        &self,
        mut release: Release,
        mut items: Vec<Item>,
        adopted: Vec<Item>,
        options: &Options,
    ) -> Result<Release, Error> {
        let done = self.make_objects(&mut release, &mut items, adopted, options).await;
        match done {
            Ok(()) => {
                release.set_status(Status::Deployed, options.description_or("Install complete"));
                self.record_anyway(&release).await;
                Ok(release)
            }
            Err(error) => Err(self.fail_install(release, error, options).await),
        }
    }

    async fn make_objects(
        &self,
        release: &mut Release,
        items: &mut [Item],
        adopted: Vec<Item>,
        options: &Options,
    ) -> Result<(), Error> {
        let server_side = options.server_side.unwrap_or(true);
        let hooks = self.run_hooks(release, "pre-install", options, server_side).await;
        hooks.map_err(|error| error.during("failed pre-install"))?;
        self.observer.step(&format!("making {} objects", items.len()));
        if adopted.is_empty() {
            apply::create(&self.cluster, items, method(options)).await?;
        } else {
            let method = Method { force_conflicts: options.force_conflicts, hand_over: true, ..method(options) };
            let (_, done): (Changes, _) = apply::update(&self.cluster, &adopted, items, method).await;
            done?;
        }
        self.wait_for(items, options).await?;
        let hooks = self.run_hooks(release, "post-install", options, server_side).await;
        hooks.map_err(|error| error.during("failed post-install"))
    }

    /// Waits for objects of a release if that was asked for.
    pub(super) async fn wait_for(&self, items: &[Item], options: &Options) -> Result<(), Error> {
        if !options.waits() {
            return Ok(());
        }
        self.observer.step("waiting until everything is ready");
        let until = if options.wait_for_jobs { Until::JobsDone } else { Until::Ready };
        wait::wait(&self.cluster, items, until, options.timeout, &*self.observer).await
    }

    async fn fail_install(&self, mut release: Release, error: Error, options: &Options) -> Error {
        let name = release.name.clone();
        release.set_status(Status::Failed, format!("Release {name:?} failed: {error}"));
        self.record_anyway(&release).await;
        if !options.rollback_on_failure {
            return error;
        }
        self.observer.failed();
        let options = Options { keep_history: false, ..options.clone() };
        match Box::pin(self.uninstall(&name, &options)).await {
            Ok(_) => error.during(format!(
                "release {name} failed, and has been uninstalled due to rollback-on-failure being set"
            )),
            Err(other) => Error::text(format!(
                "an error occurred while uninstalling the release. original install error: {error}: {other}"
            )),
        }
    }
}

/// How the objects of a first revision are written.
fn method(options: &Options) -> Method {
    Method {
        server_side: options.server_side.unwrap_or(true),
        force_replace: options.force_replace,
        lenient: options.no_validation,
        ..Method::default()
    }
}

/// The word that a record has for it.
pub(super) fn apply_method(server_side: bool) -> &'static str {
    if server_side { "ssa" } else { "csa" }
}
