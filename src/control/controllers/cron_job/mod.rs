//! CronJob: a Job at each time of a schedule.
//!
//! Source of the rules and wording: kubernetes `pkg/controller/cronjob/cronjob_controllerv2.go` and `utils.go`.

mod schedule;
#[cfg(test)]
mod whole;

use super::job::ended;
use super::runner::Next;
use super::watches::{controlled, controller_of, own};
use super::{Context, Controller, Error, Key, replica_set, write};
use crate::client::Level;
use futures::FutureExt;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::api::PropagationPolicy;
use schedule::Schedule;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "cronjob-controller",
    watches: &[own::<CronJob>, controlled::<Job, CronJob>],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// When a Job was due.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// How long after its time a timer may fire, so that it never fires before it.
const MARGIN: Duration = Duration::from_millis(100);
/// Missed times above which something must be wrong.
const TOO_MANY: usize = 100;

/// A CronJob while it is looked at.
struct Look<'a> {
    context: &'a Context,
    cron: &'a CronJob,
    spec: &'a CronJobSpec,
    status: CronJobStatus,
    now: Timestamp,
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(cron) = context.caches.of::<CronJob>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let spec = &cron.spec;
    let jobs = || -> Vec<Arc<Job>> {
        let mut all = context.caches.of::<Job>().list_in(&key.namespace);
        all.retain(|job| controller_of(&**job).is_some_and(|owner| Some(&owner.uid) == cron.metadata.uid.as_ref()));
        all
    };
    let status = cron.status.clone().unwrap_or_default();
    let mut look = Look { context, cron: &cron, spec, status, now: Timestamp::now() };
    look.take_in(&jobs());
    look.forget(&jobs()).await?;
    let next = if cron.metadata.deletion_timestamp.is_some() { Ok(Next::Wait) } else { look.run(&jobs()).await };
    let current = context.caches.of::<CronJob>().get(&key.namespace, &key.name);
    if let Some(current) = current.filter(|current| current.metadata.uid == cron.metadata.uid) {
        write::merge_status(context, &*current, &look.status).await?;
    }
    next
}

fn name(job: &Job) -> &str {
    job.metadata.name.as_deref().unwrap_or_default()
}

impl Look<'_> {
    fn tell(&self, level: Level, reason: &str, message: String) {
        self.context.record(CONTROLLER.name, self.cron, level, reason, message);
    }

    fn is_active(&self, job: &Job) -> bool {
        self.status.active.iter().flatten().any(|active| active.uid == job.metadata.uid)
    }

    fn drop_active(&mut self, uid: Option<&String>) {
        let active = self.status.active.get_or_insert_default();
        active.retain(|one| one.uid.as_ref() != uid);
        self.status.active.take_if(|active| active.is_empty());
    }

    /// Brings the list of active Jobs up to date.
    fn take_in(&mut self, jobs: &[Arc<Job>]) {
        for job in jobs {
            match (self.is_active(job), ended(job)) {
                (false, None) if job.metadata.deletion_timestamp.is_none() => {
                    let text = format!("Saw a job that the controller did not create or forgot: {}", name(job));
                    self.tell(Level::Warning, "UnexpectedJob", text);
                }
                (true, Some(condition)) => {
                    self.drop_active(job.metadata.uid.as_ref());
                    let text = format!("Saw completed job: {}, condition: {condition}", name(job));
                    self.tell(Level::Normal, "SawCompletedJob", text);
                }
                _ => {}
            }
            let done = job.status.as_ref().and_then(|status| status.completion_time.clone());
            if ended(job) == Some("Complete")
                && done.as_ref().map(|time| time.0) > self.status.last_successful_time.as_ref().map(|time| time.0)
            {
                self.status.last_successful_time = done;
            }
        }
        let missing: Vec<ObjectReference> = self.status.active.iter().flatten().cloned().collect();
        for active in missing.into_iter().filter(|active| !jobs.iter().any(|job| job.metadata.uid == active.uid)) {
            let text = format!("Active job went missing: {}", active.name.clone().unwrap_or_default());
            self.tell(Level::Normal, "MissingJob", text);
            self.drop_active(active.uid.as_ref());
        }
    }

    /// Deletes ended Jobs beyond the history that is kept.
    async fn forget(&mut self, jobs: &[Arc<Job>]) -> Result<(), Error> {
        let limits = [
            ("Complete", self.spec.successful_jobs_history_limit.unwrap_or(3)),
            ("Failed", self.spec.failed_jobs_history_limit.unwrap_or(1)),
        ];
        for (condition, limit) in limits {
            let is_meant = |job: &&Arc<Job>| ended(job) == Some(condition) && job.metadata.deletion_timestamp.is_none();
            let mut over: Vec<&Arc<Job>> = jobs.iter().filter(is_meant).collect();
            let surplus = over.len().saturating_sub(limit.max(0) as usize);
            over.sort_by_key(|job| {
                let began = job.status.as_ref().and_then(|status| status.start_time.as_ref());
                (began.or(job.metadata.creation_timestamp.as_ref()).map(|time| time.0), name(job).to_string())
            });
            for job in over.into_iter().take(surplus) {
                self.delete(job).await?;
            }
        }
        Ok(())
    }

    async fn delete(&mut self, job: &Job) -> Result<(), Error> {
        match write::delete_with(self.context, job, Some(PropagationPolicy::Background), None).await {
            Ok(_) => self.tell(Level::Normal, "SuccessfulDelete", format!("Deleted job {}", name(job))),
            Err(error) => {
                let text = format!("Deleted job: {}", replica_set::plain(&error));
                self.tell(Level::Warning, "FailedDelete", text);
                return Err(error);
            }
        }
        self.drop_active(job.metadata.uid.as_ref());
        Ok(())
    }

    /// Starts the Job that is due, if any, and says when the next one is.
    async fn run(&mut self, jobs: &[Arc<Job>]) -> Result<Next, Error> {
        let Some((schedule, zone)) = self.schedule() else { return Ok(Next::Wait) };
        if self.spec.suspend == Some(true) {
            return Ok(Next::Wait);
        }
        let next = match schedule.next(self.now, &zone) {
            Some(next) => Next::After(Duration::try_from(next.duration_since(self.now)).unwrap_or_default() + MARGIN),
            None => Next::Wait,
        };
        let (due, missed) = self.due(&schedule, &zone);
        if missed > TOO_MANY {
            let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.tell(Level::Warning, "TooManyMissedTimes", text.into());
        }
        let Some(due) = due else { return Ok(next) };
        let deadline = self.spec.starting_deadline_seconds.map(SignedDuration::from_secs);
        if deadline.is_some_and(|deadline| due.checked_add(deadline).is_ok_and(|last| last < self.now)) {
            let time = due.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S %z").to_string();
            self.tell(Level::Warning, "MissSchedule", format!("Missed scheduled time to start a job: {time}"));
            return Ok(next);
        }
        if self.status.last_schedule_time.as_ref().is_some_and(|last| last.0 == due) {
            return Ok(next);
        }
        let active = self.status.active.as_ref().map_or(0, Vec::len);
        match self.spec.concurrency_policy.as_deref() {
            Some("Forbid") if active > 0 => {
                let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.tell(Level::Normal, "JobAlreadyActive", text.into());
                return Ok(next);
            }
            Some("Replace") => {
                for job in jobs.iter().filter(|job| self.is_active(job)).cloned().collect::<Vec<_>>() {
                    self.delete(&job).await?;
                }
            }
            _ => {}
        }
        self.start(due, &zone).await?;
        Ok(next)
    }

    fn schedule(&self) -> Option<(Schedule, TimeZone)> {
        let (schedule, named) = match Schedule::parse(&self.spec.schedule) {
            Ok(parsed) => parsed,
            Err(why) => {
                let text = format!("unparseable schedule: {:?} : {why}", self.spec.schedule);
                self.tell(Level::Warning, "UnparseableSchedule", text);
                return None;
            }
        };
        let Some(zone) = &self.spec.time_zone else { return Some((schedule, named.unwrap_or(TimeZone::UTC))) };
        match TimeZone::get(zone) {
            Ok(zone) => Some((schedule, zone)),
            Err(error) => {
                self.tell(Level::Warning, "UnknownTimeZone", format!("invalid timeZone: {zone:?}: {error}"));
                None
            }
        }
    }

    /// The latest time that is due and not yet served, and how many were missed.
    fn due(&self, schedule: &Schedule, zone: &TimeZone) -> (Option<Timestamp>, usize) {
        let created = self.cron.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let served = self.status.last_schedule_time.as_ref().map(|time| time.0);
        let mut from = served.or(created).unwrap_or(self.now);
        if let Some(seconds) = self.spec.starting_deadline_seconds {
            let earliest = self.now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
            from = from.max(earliest);
        }
        let (mut latest, mut missed) = (None, 0);
        while let Some(time) = schedule.next(from, zone).filter(|time| *time <= self.now) {
            latest = Some(time);
            missed += 1;
            from = time;
            // After a year off, the rest is looked for from yesterday on instead of minute by minute.
            if missed == TOO_MANY + 1 {
                from = from.max(self.now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(from));
            }
        }
        (latest, missed)
    }

    async fn start(&mut self, due: Timestamp, zone: &TimeZone) -> Result<(), Error> {
        let job = self.job(due, zone);
        match write::create(self.context, &job).await {
            Ok(made) => {
                self.tell(Level::Normal, "SuccessfulCreate", format!("Created job {}", name(&made)));
                self.activate(&made);
            }
            Err(error) if replica_set::is_namespace_terminating(&error) => return Ok(()),
            // Made in a round of which the status got lost; or a stranger's, and then this time is lost as well.
            Err(error) if write::is_conflict(&error) => {
                let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
                let door = <Job as write::Door>::door(self.context, namespace);
                let found = door.get_opt(name(&job)).await?;
                let is_own = |found: &Job| {
                    controller_of(found).is_some_and(|owner| Some(&owner.uid) == self.cron.metadata.uid.as_ref())
                };
                match found.filter(|found| is_own(found)) {
                    Some(own) if ended(&own).is_none() && !self.is_active(&own) => self.activate(&own),
                    Some(_) => {}
                    None => self.tell(
                        Level::Warning,
                        "FailedCreate",
                        format!("Error creating job: {}", replica_set::plain(&error)),
                    ),
                }
            }
            Err(error) => {
                let text = format!("Error creating job: {}", replica_set::plain(&error));
                self.tell(Level::Warning, "FailedCreate", text);
                return Err(error);
            }
        }
        self.status.last_schedule_time = Some(Time(due));
        Ok(())
    }

    fn activate(&mut self, job: &Job) {
        let mut reference = job.object_ref(&());
        reference.resource_version = job.metadata.resource_version.clone();
        self.status.active.get_or_insert_default().push(reference);
    }

    fn job(&self, due: Timestamp, zone: &TimeZone) -> Job {
        let template = &self.spec.job_template;
        let meta = template.metadata.clone().unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        let time = due.to_zoned(zone.clone());
        let time = match zone == &TimeZone::UTC {
            true => crate::api::time::text(time.into()),
            false => time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        };
        annotations.insert(SCHEDULED.into(), time);
        let mut owner = self.cron.controller_owner_ref(&());
        if let Some(owner) = &mut owner {
            owner.block_owner_deletion = Some(true);
        }
        let own = self.cron.metadata.name.as_deref().unwrap_or_default();
        Job {
            metadata: ObjectMeta {
                name: Some(format!("{own}-{}", due.as_second() / 60)),
                namespace: self.cron.metadata.namespace.clone(),
                labels: meta.labels,
                annotations: Some(annotations),
                owner_references: owner.map(|owner| vec![owner]),
                ..Default::default()
            },
            spec: template.spec.clone(),
            status: None,
        }
    }
}
