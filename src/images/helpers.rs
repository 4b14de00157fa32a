//! Credential helpers: programs that keep logins in place of a file (docker-credential-helpers).

use super::pull::Login;
use serde::Deserialize;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What one says that has no such login.
pub(super) const UNKNOWN: &str = "credentials not found in native keychain";

/// The helpers of a machine.
pub(super) struct Helpers {
    /// Where they are looked for, in the form of `PATH`.
    paths: OsString,
}

/// What `get` answers.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    username: String,
    secret: String,
}

impl Helpers {
    /// Those that this process finds.
    pub fn of_process() -> Self {
        Self { paths: std::env::var_os("PATH").unwrap_or_default() }
    }

    /// The one that Docker's own tools would take on a machine of this kind, if it is there.
    pub fn of_machine(&self) -> Option<&'static str> {
        let helper = if self.program("pass").is_some() { "pass" } else { "secretservice" };
        self.program(&program_of(helper)).map(|_| helper)
    }

    /// The login that a helper has under a name.
    pub fn get(&self, helper: &str, name: &str) -> Result<Option<Login>, String> {
        let told = self.tell(helper, "get", name);
        let failed = |why: String| format!("{} get: {why}", program_of(helper));
        if told.as_ref().is_err_and(|why| *why == failed(UNKNOWN.into())) {
            return Ok(None);
        }
        let answer: Answer =
            serde_json::from_slice(&told?).map_err(|error| failed(format!("its answer cannot be read: {error}")))?;
        let login = Login { username: answer.username, password: answer.secret };
        Ok((!login.username.is_empty() || !login.password.is_empty()).then_some(login))
    }

    /// Gives a helper an order; what it answers.
    pub fn tell(&self, helper: &str, order: &str, input: &str) -> Result<Vec<u8>, String> {
        let program = program_of(helper);
        let path = self.program(&program);
        let path = path.ok_or_else(|| format!("exec: {program:?}: executable file not found in $PATH"))?;
        let failed = |why: &dyn std::fmt::Display| format!("{program} {order}: {why}");
        let mut command = Command::new(path);
        command.arg(order).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let ended = child.wait_with_output().map_err(|error| failed(&error))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stdout);
            return Err(if said.trim().is_empty() { failed(&ended.status) } else { failed(&said.trim()) });
        }
        match written {
            // One that went well need not have read anything.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(failed(&error)),
            _ => Ok(ended.stdout),
        }
    }

    /// Where a program is that may be executed. A folder that is not named from the root on is wherever one happens to be.
    fn program(&self, name: &str) -> Option<PathBuf> {
        let folders = std::env::split_paths(&self.paths).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join(name)).find(|path| is_executable(path))
    }
}

fn program_of(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A machine with helpers of its own.
    pub struct Machine {
        folder: tempfile::TempDir,
        pub helpers: Helpers,
    }

    impl Machine {
        /// One with these programs, which are shell scripts.
        pub fn with(programs: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, script) in programs {
                let path = folder.path().join(name);
                // A file that this process had open for writing might not be started while another thread starts something.
                let write = r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#;
                let written = Command::new("sh").args(["-c", write, "sh"]).arg(&path).arg(script).status();
                assert!(written.unwrap().success());
            }
            let helpers = Helpers { paths: folder.path().into() };
            Self { folder, helpers }
        }

        /// What a script left in a file beside it, which it reaches by `${0%/*}`.
        pub fn left(&self, name: &str) -> String {
            std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
        }

        pub fn path(&self) -> &Path {
            self.folder.path()
        }
    }

    /// A script that answers `get` with this login.
    pub fn knows(username: &str, secret: &str) -> String {
        format!(r#"printf '{{"ServerURL": "x", "Username": "{username}", "Secret": "{secret}"}}'"#)
    }

    /// A script that fails, saying so.
    pub fn fails(why: &str) -> String {
        format!("printf '{why}\\n'; exit 1")
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Machine, fails, knows};
    use super::*;

    #[test]
    fn a_helper_is_asked_by_name_and_what_it_says_decides() {
        let echo =
            format!("read -r name || true; printf '%s' \"$name $1\" > \"${{0%/*}}/asked\"\n{}", knows("me", "s"));
        let machine = Machine::with(&[
            ("docker-credential-one", &echo),
            ("docker-credential-none", &fails(UNKNOWN)),
            ("docker-credential-empty", &knows("", "")),
            ("docker-credential-broken", &fails("no keychain here")),
            ("docker-credential-mute", "exit 3"),
            ("docker-credential-odd", "printf nonsense"),
            ("docker-credential-token", &knows("<token>", "t")),
        ]);
        let get = |helper: &str| machine.helpers.get(helper, "r.test").map(|login| login.map(|login| login.username));
        assert_eq!(get("one"), Ok(Some("me".into())));
        assert_eq!(machine.left("asked"), "r.test get");
        assert_eq!(get("none"), Ok(None));
        assert_eq!(get("empty"), Ok(None));
        let token = machine.helpers.get("token", "r.test").unwrap().unwrap();
        assert_eq!(token.identity_token(), Some("t"));
        for (helper, why) in [
            ("broken", "docker-credential-broken get: no keychain here"),
            ("mute", "docker-credential-mute get: exit status: 3"),
            ("odd", "docker-credential-odd get: its answer cannot be read"),
            ("missing", "exec: \"docker-credential-missing\": executable file not found in $PATH"),
        ] {
            assert!(get(helper).unwrap_err().contains(why), "{helper}: {:?}", get(helper));
        }
    }

    #[test]
    fn only_what_may_be_executed_is_a_helper() {
        let machine = Machine::with(&[]);
        assert_eq!(machine.helpers.of_machine(), None);
        std::fs::write(machine.path().join("docker-credential-secretservice"), "").unwrap();
        assert_eq!(machine.helpers.of_machine(), None);
        let machine = Machine::with(&[("docker-credential-secretservice", "")]);
        assert_eq!(machine.helpers.of_machine(), Some("secretservice"));
        std::fs::write(machine.path().join("pass"), "").unwrap();
        assert_eq!(machine.helpers.of_machine(), Some("secretservice"));
        let machine = Machine::with(&[("docker-credential-secretservice", ""), ("pass", "")]);
        assert_eq!(machine.helpers.of_machine(), None);
    }
}
