//! One probe: when it asks, what counts, and what is told.

use super::ask::{self, Answer};
use super::{Kind, Probed, Subject};
use crate::client::Level;
use crate::node::pod::parts;
use crate::runtime::State;
use k8s_openapi::api::core::v1::Probe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// The first pause before a probe that has never succeeded is asked out of turn; each further one is twice as long.
const EAGER: Duration = Duration::from_millis(10);
/// Attempts within one turn when the probe itself cannot be made.
const ATTEMPTS: u32 = 3;

/// The turns of one probe.
pub struct Cycle {
    subject: Arc<Subject>,
    kind: Kind,
    probe: Probe,
    results: mpsc::UnboundedSender<Probed>,
}

impl Cycle {
    pub fn new(subject: Arc<Subject>, kind: Kind, probe: Probe, results: mpsc::UnboundedSender<Probed>) -> Self {
        Self { subject, kind, probe, results }
    }

    /// Asks until there is nothing more to know: a startup probe ends with its success, and a container that is to be killed is
    /// not asked again. Returns whether the last result is a success.
    pub async fn run(&self) -> bool {
        let seconds = |value: Option<i32>, usual: i32| {
            Duration::from_secs(value.filter(|value| *value > 0).unwrap_or(usual) as u64)
        };
        let period = seconds(self.probe.period_seconds, 10);
        let timeout = seconds(self.probe.timeout_seconds, 1);
        tokio::time::sleep(self.initial_delay()).await;
        let mut timer = tokio::time::interval(period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = Count::new(self.kind, &self.probe);
        let mut eager = self.eager();
        loop {
            let asked = tokio::select! {
                _ = timer.tick() => self.turn(timeout).await,
                () = pause(eager) => self.out_of_turn(timeout).await,
            };
            eager = match asked {
                Some(true) => None,
                _ => eager.map(|pause| pause * 2).filter(|pause| *pause < period),
            };
            let Some(success) = asked else { continue };
            let Some(result) = count.add(success) else { continue };
            let probed = Probed { id: self.subject.container.id.clone(), kind: self.kind, success: result };
            // Without a worker there is nobody to ask for.
            if self.results.send(probed).is_err() {
                return result;
            }
            match (self.kind, result) {
                (Kind::Startup, _) | (Kind::Liveness, false) => return result,
                _ => {}
            }
        }
    }

    /// Counted from the start of the container, whenever this agent began to look at it.
    fn initial_delay(&self) -> Duration {
        let delay = Duration::from_secs(self.probe.initial_delay_seconds.unwrap_or(0).max(0) as u64);
        let age = match self.subject.container.state {
            State::Running { started_at, .. } => {
                jiff::Timestamp::now().duration_since(started_at).as_secs_f64().max(0.0)
            }
            _ => 0.0,
        };
        delay.saturating_sub(Duration::from_secs_f64(age))
    }

    /// A container is often ready a moment after its start, when the first turn has just failed. Until its first success a
    /// probe over the network is asked between its turns as well; commands are too dear for that.
    fn eager(&self) -> Option<Duration> {
        (self.kind != Kind::Liveness && self.probe.exec.is_none()).then_some(EAGER)
    }

    /// Only a success counts: thresholds are counted, and failures told, in turns.
    async fn out_of_turn(&self, timeout: Duration) -> Option<bool> {
        matches!(ask::ask(&self.subject, &self.probe, timeout).await, Ok(Answer::Success)).then_some(true)
    }

    /// Whether a person made the pod stand still: what it does not answer then says nothing about it.
    fn stands_still(&self) -> bool {
        self.subject.node.paths.paused_pods().join(parts::uid(&self.subject.pod)).exists()
    }

    /// Nothing when the probe could not be made at all.
    async fn turn(&self, timeout: Duration) -> Option<bool> {
        if self.stands_still() {
            return None;
        }
        let mut error = String::new();
        for _ in 0..ATTEMPTS {
            match ask::ask(&self.subject, &self.probe, timeout).await {
                Ok(Answer::Success) => return Some(true),
                Ok(Answer::Warning(why)) => {
                    self.tell("ProbeWarning", format!("{} probe warning: {why}", self.kind.word()));
                    return Some(true);
                }
                Ok(Answer::Failure(why)) => {
                    tracing::debug!(
                        why,
                        container = super::title(&self.subject),
                        kind = self.kind.word(),
                        "probe failed"
                    );
                    self.tell("Unhealthy", format!("{} probe failed: {why}", self.kind.word()));
                    return Some(false);
                }
                Err(why) => error = why,
            }
        }
        self.tell("Unhealthy", format!("{} probe errored and resulted in unknown state: {error}", self.kind.word()));
        None
    }

    fn tell(&self, reason: &str, message: String) {
        let subject = &self.subject;
        parts::tell(&subject.node, &subject.pod, Some(&subject.spec.name), Level::Warning, reason, message);
    }
}

/// Waits; for ever if there is nothing to wait for.
async fn pause(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}

/// Results in a row.
struct Count {
    success_threshold: i32,
    failure_threshold: i32,
    last: Option<bool>,
    run: i32,
    /// What was told.
    told: Option<bool>,
}

impl Count {
    fn new(kind: Kind, probe: &Probe) -> Self {
        // A container counts as alive and as not ready until a probe says otherwise.
        let told = match kind {
            Kind::Startup => None,
            Kind::Liveness => Some(true),
            Kind::Readiness => Some(false),
        };
        Self {
            success_threshold: probe.success_threshold.unwrap_or(1).max(1),
            failure_threshold: probe.failure_threshold.unwrap_or(3).max(1),
            last: None,
            run: 0,
            told,
        }
    }

    /// Counts a result; says what is to be told now.
    fn add(&mut self, success: bool) -> Option<bool> {
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        if self.run < threshold || self.told == Some(success) {
            return None;
        }
        self.told = Some(success);
        Some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{self, FakeApi, FakeRuntime};
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn told(kind: Kind, probe: serde_json::Value, results: &[bool]) -> Vec<bool> {
        let mut count = Count::new(kind, &serde_json::from_value(probe).unwrap());
        results.iter().filter_map(|success| count.add(*success)).collect()
    }

    #[test]
    fn results_count_in_a_row() {
        let probe = json!({"failureThreshold": 2, "successThreshold": 2});
        assert_eq!(
            told(Kind::Readiness, probe.clone(), &[true, false, true, true, false, true, false, false]),
            [true, false]
        );
        assert_eq!(told(Kind::Liveness, json!({}), &[true, false, false, true, false, false, false]), [false]);
        assert_eq!(told(Kind::Startup, json!({"failureThreshold": 2}), &[false, true]), [true]);
        assert!(told(Kind::Readiness, probe, &[false, false, false]).is_empty());
    }

    /// Answers each connection with the next status, the last one again and again.
    async fn answering(statuses: &'static [&'static str]) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for n in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let status = statuses[n.min(statuses.len() - 1)];
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn a_probe_that_never_succeeded_is_asked_between_its_turns() {
        let (api, runtime) = (FakeApi::default(), FakeRuntime::default());
        let (node, _folder) = fake::node(&api, &runtime);
        let port = answering(&["503 Not Yet", "503 Not Yet", "200 OK"]).await;
        let probe =
            json!({"periodSeconds": 3600, "timeoutSeconds": 60, "httpGet": {"host": "127.0.0.1", "port": port}});
        let pod = fake::pod(json!({"containers": [{"name": "web", "image": "i", "readinessProbe": probe}]}));
        let subject = Subject {
            spec: pod.spec.clone().unwrap().containers.remove(0),
            container: fake::container("web", 0, fake::running()),
            node: Arc::new(node),
            pod: Arc::new(pod),
            address: None,
        };
        let (results, mut told) = mpsc::unbounded_channel();
        let cycle = Cycle::new(Arc::new(subject), Kind::Readiness, serde_json::from_value(probe).unwrap(), results);
        tokio::select! {
            _ = cycle.run() => unreachable!("a readiness probe does not end"),
            probed = told.recv() => assert!(probed.unwrap().success),
        }
    }
}
