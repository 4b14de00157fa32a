//! Hooks: objects made at a moment of a release's life, waited for, and deleted as their policies say.
//!
//! Source: helm/helm `pkg/action/hooks.go`.

use super::apply::{self, Method};
use super::cluster::{Item, Kind, query};
use super::error::Error;
use super::manifest;
use super::options::Options;
use super::readiness::Until;
use super::record::{Hook, Release};
use super::time::Time;
use super::{Actions, wait};

const BEFORE_CREATION: &str = "before-hook-creation";
const SUCCEEDED: &str = "hook-succeeded";
const FAILED: &str = "hook-failed";

/// What is left to do with hooks after somebody had a look at them.
#[derive(Debug, Default)]
pub struct Leftover {
    /// Hooks whose logs are to be told and that are to be deleted, with the policy to ask for.
    hooks: Vec<(Hook, &'static str)>,
}

/// Places of the hooks of an event, in their order: by weight, then by name; the sort by kind before stays.
fn order(hooks: &[Hook], event: &str) -> Vec<usize> {
    let mut places: Vec<usize> =
        (0..hooks.len()).filter(|place| hooks[*place].events.iter().any(|own| own == event)).collect();
    places.sort_by(|a, b| (hooks[*a].weight, &hooks[*a].name).cmp(&(hooks[*b].weight, &hooks[*b].name)));
    places
}

impl Actions {
    /// Runs the hooks of an event and deletes those that are to be deleted.
    pub(super) async fn run_hooks(
        &self,
        release: &mut Release,
        event: &str,
        options: &Options,
        server_side: bool,
    ) -> Result<(), Error> {
        if options.no_hooks {
            return Ok(());
        }
        let (leftover, result) = self.run_hooks_only(release, event, options, server_side).await;
        let ended = self.finish_hooks(release, leftover, options).await;
        result.and(ended)
    }

    /// Runs the hooks of an event; deleting them is left to [`Actions::finish_hooks`].
    pub(super) async fn run_hooks_only(
        &self,
        release: &mut Release,
        event: &str,
        options: &Options,
        server_side: bool,
    ) -> (Leftover, Result<(), Error>) {
        let places = order(&release.hooks, event);
        let mut leftover = Leftover::default();
        for place in places {
            let hook = &mut release.hooks[place];
            if hook.delete_policies.is_empty() {
                hook.delete_policies = vec![BEFORE_CREATION.into()];
            }
            self.observer.step(&format!("{event} hook {}/{}", hook.kind, hook.name));
            let result = self.run_hook(release, place, event, options, server_side).await;
            let hook = release.hooks[place].clone();
            if let Err(error) = result {
                let succeeded = leftover.hooks.into_iter().map(|(hook, _)| (hook, SUCCEEDED));
                leftover.hooks = std::iter::once((hook, FAILED)).chain(succeeded).collect();
                return (leftover, Err(error));
            }
            leftover.hooks.push((hook, SUCCEEDED));
        }
        leftover.hooks.reverse();
        (leftover, Ok(()))
    }

    async fn run_hook(
        &self,
        release: &mut Release,
        place: usize,
        event: &str,
        options: &Options,
        server_side: bool,
    ) -> Result<(), Error> {
        let hook = release.hooks[place].clone();
        self.delete_hook(&hook, BEFORE_CREATION, options).await?;
        let built = manifest::items(&self.cluster, &hook.manifest).await;
        let mut items = built.map_err(|error| {
            error.during(format!("unable to build kubernetes object for {event} hook {}", hook.path))
        })?;
        let run = &mut release.hooks[place].last_run;
        (run.started_at, run.completed_at, run.phase) = (Some(Time::now()), None, "Running".into());
        self.record_anyway(release).await;
        let method = Method { server_side, lenient: options.no_validation, ..Method::default() };
        let made = apply::create(&self.cluster, &mut items, method).await;
        let ended = match made {
            Err(error) => Err(error.during(format!("warning: Hook {event} {} failed", hook.path))),
            Ok(()) => wait::wait(&self.cluster, &items, Until::Completed, options.timeout, &*self.observer).await,
        };
        let run = &mut release.hooks[place].last_run;
        run.completed_at = Some(Time::now());
        run.phase = if ended.is_ok() { "Succeeded".into() } else { "Failed".into() };
        ended
    }

    /// Tells the logs of hooks, and deletes them, as their policies say.
    pub(super) async fn finish_hooks(
        &self,
        release: &Release,
        leftover: Leftover,
        options: &Options,
    ) -> Result<(), Error> {
        for (hook, policy) in leftover.hooks {
            if hook.output_log_policies.iter().any(|own| own == policy)
                && let Err(error) = self.tell_logs(release, &hook).await
            {
                self.observer.warn(&format!("error outputting logs for hook failure: {error}"));
            }
            match self.delete_hook(&hook, policy, options).await {
                Err(error) if policy == FAILED => {
                    self.observer.warn(&format!("error deleting the hook resource on hook failure: {error}"));
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Deletes the object of a hook if its policy says so, and waits until it is gone.
    async fn delete_hook(&self, hook: &Hook, policy: &str, options: &Options) -> Result<(), Error> {
        // A definition takes every object of its kind along.
        if hook.kind == "CustomResourceDefinition" || !hook.delete_policies.iter().any(|own| own == policy) {
            return Ok(());
        }
        let built = manifest::items(&self.cluster, &hook.manifest).await;
        let items: Vec<Item> = built.map_err(|error| {
            error.during(format!("unable to build kubernetes object for deleting hook {}", hook.path))
        })?;
        let found = self.cluster.find_all(&items).await?;
        let there: Vec<Item> =
            items.into_iter().zip(found).filter(|(_, live)| live.is_some()).map(|(item, _)| item).collect();
        if there.is_empty() {
            return Ok(());
        }
        if let Some(error) = Error::joined(apply::delete(&self.cluster, &there, "Background").await, "; ") {
            return Err(error);
        }
        wait::wait(&self.cluster, &there, Until::Gone, options.timeout, &*self.observer).await
    }

    async fn tell_logs(&self, release: &Release, hook: &Hook) -> Result<(), Error> {
        let own = manifest::objects(&hook.manifest)?.first().map(|object| object.namespace().to_string());
        let namespace = own.filter(|own| !own.is_empty()).unwrap_or_else(|| release.namespace.clone());
        let selector = match hook.kind.as_str() {
            "Job" => ("labelSelector", format!("job-name={}", hook.name)),
            "Pod" => ("fieldSelector", format!("metadata.name={}", hook.name)),
            _ => return Ok(()),
        };
        let path = format!("{}?{}", Kind::pods().all(&namespace)?, query(&[(selector.0, &selector.1)]));
        let list = self.cluster.get_json(&path).await?;
        for pod in list["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                let container = container["name"].as_str().unwrap_or_default();
                let text = self.log(&namespace, name, container).await?;
                self.observer.log(&namespace, name, container, &text);
            }
        }
        Ok(())
    }

    /// The whole log of a container.
    pub(super) async fn log(&self, namespace: &str, pod: &str, container: &str) -> Result<String, Error> {
        let pod = Kind::pods().object(namespace, pod)?;
        let path = format!("{pod}/log?{}", query(&[("container", container)]));
        self.cluster.text(&path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_go_by_weight_then_by_name() {
        let hook = |name: &str, weight: i64, event: &str| Hook {
            name: name.into(),
            weight,
            events: vec![event.into()],
            ..Hook::default()
        };
        let hooks = [
            hook("c", 0, "test"),
            hook("b", 5, "test"),
            hook("a", 5, "test"),
            hook("z", -1, "test"),
            hook("x", 0, "pre-install"),
        ];
        let names: Vec<&str> = order(&hooks, "test").into_iter().map(|place| hooks[place].name.as_str()).collect();
        assert_eq!(names, ["z", "c", "a", "b"]);
    }
}
