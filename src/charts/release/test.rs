//! `test`: runs the test hooks of a release.
//!
//! Source: helm/helm `pkg/action/release_testing.go`.

use super::cluster::Kind;
use super::error::Error;
use super::hooks::Leftover;
use super::options::Options;
use super::record::{Hook, Release};
use super::{Actions, check_name};

/// Which tests are run, by name.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub only: Vec<String>,
    pub not: Vec<String>,
}

impl Filter {
    fn takes(&self, hook: &Hook) -> bool {
        (self.only.is_empty() || self.only.contains(&hook.name)) && !self.not.contains(&hook.name)
    }
}

/// Tests that ran. Their objects are there until [`Actions::finish_tests`].
pub struct Tested {
    pub release: Release,
    pub result: Result<(), Error>,
    leftover: Leftover,
    filter: Filter,
}

impl Actions {
    /// Runs the tests of a release.
    pub async fn test(&self, name: &str, filter: Filter, options: &Options) -> Result<Tested, Error> {
        check_name(name).map_err(|_| Error::text(format!("releaseTest: Release name is invalid: {name}")))?;
        let mut release = self.storage.last(name).await?;
        let (run, skipped): (Vec<Hook>, Vec<Hook>) = release.hooks.into_iter().partition(|hook| filter.takes(hook));
        release.hooks = run;
        let server_side = release.is_server_side();
        let (leftover, result) = self.run_hooks_only(&mut release, "test", options, server_side).await;
        release.hooks.splice(0..0, skipped);
        let recorded = self.record(&release).await;
        Ok(Tested { release, result: result.and(recorded), leftover, filter })
    }

    /// The logs of the pods of tests, as `POD LOGS: ...` and text; errors are told after all others.
    pub async fn test_logs(&self, tested: &Tested) -> (String, Vec<Error>) {
        let (mut text, mut errors) = (String::new(), Vec::new());
        let mut hooks: Vec<&Hook> = tested.release.hooks.iter().collect();
        hooks.sort_by(|a, b| (a.weight, &a.name).cmp(&(b.weight, &b.name)));
        let is_test = |hook: &&&Hook| hook.kind == "Pod" && hook.events.iter().any(|event| event == "test");
        for hook in hooks.iter().filter(is_test).filter(|hook| tested.filter.takes(hook)) {
            let namespace = self.cluster.namespace();
            let read = async { self.cluster.get_json(&Kind::pods().object(namespace, &hook.name)?).await };
            let pod = match read.await {
                Ok(pod) => pod,
                Err(error) => {
                    errors.push(error.during(format!("unable to get pod {}", hook.name)));
                    return (text, errors);
                }
            };
            let lists = ["initContainers", "containers"];
            for container in lists.iter().flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten()) {
                let container = container["name"].as_str().unwrap_or_default();
                match self.log(namespace, &hook.name, container).await {
                    Ok(log) => text += &format!("POD LOGS: {} ({container})\n{log}\n", hook.name),
                    Err(error) => {
                        errors.push(
                            error.during(format!("unable to get logs for pod {}, container {container}", hook.name)),
                        );
                    }
                }
            }
        }
        (text, errors)
    }

    /// Deletes what is to be deleted of the tests.
    pub async fn finish_tests(&self, tested: Tested, options: &Options) -> Result<Result<(), Error>, Error> {
        self.finish_hooks(&tested.release, tested.leftover, options).await?;
        Ok(tested.result)
    }
}
