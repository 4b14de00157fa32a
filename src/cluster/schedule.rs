//! A stop that was scheduled: a process of this machine that waits and then stops the cluster.

use super::life::{Cluster, Error};
use super::process::{self, Record};
use crate::base::atomic;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What is noted of a scheduled stop.
#[derive(Debug, Serialize, Deserialize)]
struct Scheduled {
    process: Record,
    /// Seconds after 1970.
    at: i64,
}

impl Cluster {
    /// Stops the cluster after a while, whatever becomes of this process; what was scheduled before is forgotten.
    pub fn schedule_stop(&self, after: Duration) -> Result<(), Error> {
        self.cancel_scheduled_stop();
        let failed = || Error::io("cannot schedule the stop");
        let mut command = Command::new(self.machine()?.executable);
        command.args(["-p", &self.profile.name, "--skip-audit", "scheduled-stop", &after.as_secs().to_string()]);
        command.env("CORACLE_HOME", self.home.root());
        let log = std::fs::File::create(self.home.profile_folder(&self.profile.name).join("scheduled-stop.log"));
        let log = log.map_err(failed())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
        let record = process::spawn_apart(&mut command).map_err(failed())?;
        let at = jiff::Timestamp::now().as_second() + after.as_secs() as i64;
        let note = serde_json::to_vec(&Scheduled { process: record.clone(), at }).map_err(|e| failed()(e.into()))?;
        // Alone in a file of minikube's name as well, for scripts that look after the process.
        atomic::write(&self.schedule_pid_file(), record.pid.to_string().as_bytes(), 0o600).map_err(failed())?;
        atomic::write(&self.schedule_file(), &note, 0o600).map_err(failed())
    }

    /// Forgets a scheduled stop; `false` if there was none.
    pub fn cancel_scheduled_stop(&self) -> bool {
        let found = self.scheduled();
        if let Some(scheduled) = &found {
            process::end(&scheduled.process);
        }
        // It is there only when a stop was scheduled.
        std::fs::remove_file(self.schedule_file()).ok();
        std::fs::remove_file(self.schedule_pid_file()).ok();
        found.is_some()
    }

    /// How long it takes until the cluster is stopped, if that was scheduled.
    pub fn time_to_stop(&self) -> Option<Duration> {
        let left = self.scheduled()?.at - jiff::Timestamp::now().as_second();
        Some(Duration::from_secs(left.max(0) as u64))
    }

    /// What is noted, if its process lives.
    fn scheduled(&self) -> Option<Scheduled> {
        let scheduled: Scheduled = serde_json::from_slice(&std::fs::read(self.schedule_file()).ok()?).ok()?;
        process::lives(&scheduled.process).then_some(scheduled)
    }

    fn schedule_pid_file(&self) -> PathBuf {
        self.home.profile_folder(&self.profile.name).join("pid")
    }

    fn schedule_file(&self) -> PathBuf {
        self.home.profile_folder(&self.profile.name).join("scheduled-stop.json")
    }
}
