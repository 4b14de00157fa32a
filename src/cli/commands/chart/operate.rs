//! Flags that commands which change releases share, and how their words are read.

use super::Problem;
use crate::charts::release::{DryRun, Options, Strategy};
use std::collections::BTreeMap;
use std::time::Duration;

/// Flags of waiting.
#[derive(clap::Args, Clone, Debug)]
pub struct Waiting {
    /// Wait until resources are ready (up to --timeout): 'watcher' (also without a value), 'hookOnly' or 'legacy'
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "watcher", default_value = "hookOnly", hide_default_value = true)]
    pub wait: String,
    /// Time to wait for any individual Kubernetes operation (like Jobs for hooks)
    #[arg(long, default_value = "5m0s")]
    pub timeout: String,
}

impl Waiting {
    /// Puts what the flags say into `options`.
    pub fn apply(&self, options: &mut Options) -> Result<(), Problem> {
        options.wait = match self.wait.as_str() {
            "watcher" | "true" => Strategy::Watcher,
            "legacy" => Strategy::Legacy,
            "hookOnly" | "false" => Strategy::HookOnly,
            other => {
                let text = format!("invalid wait input {other:?}. Valid inputs are watcher, hookOnly, and legacy");
                return Err(Problem(format!("invalid argument {other:?} for \"--wait\" flag: {text}")));
            }
        };
        options.timeout = duration(&self.timeout, "timeout")?;
        Ok(())
    }
}

/// Flags of how objects are written.
#[derive(clap::Args, Clone, Debug)]
pub struct Writing {
    /// Force resource updates by replacement
    #[arg(long, alias = "force")]
    pub force_replace: bool,
    /// If set server-side apply will force changes against conflicts
    #[arg(long)]
    pub force_conflicts: bool,
    /// Must be "true", "false" or "auto": object updates run in the server instead of the client
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub server_side: Option<String>,
    /// Prevent hooks from running
    #[arg(long)]
    pub no_hooks: bool,
    /// If set and --wait enabled, will wait until all Jobs have been completed
    #[arg(long)]
    pub wait_for_jobs: bool,
    /// Simulates the operation: "none", "client" or "server"
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "unset", default_value = "none", hide_default_value = true)]
    pub dry_run: String,
    /// Add a custom description
    #[arg(long, default_value = "", hide_default_value = true)]
    pub description: String,
}

impl Writing {
    /// Puts what the flags say into `options`.
    pub fn apply(&self, options: &mut Options) -> Result<(), Problem> {
        if self.force_replace && self.force_conflicts {
            return Err(Problem(
                "if any flags in the group [force-replace force-conflicts] are set none of the others can be; [force-conflicts \
                 force-replace] were all set"
                    .into(),
            ));
        }
        options.force_replace = self.force_replace;
        options.force_conflicts = self.force_conflicts;
        options.server_side = match self.server_side.as_deref() {
            None | Some("auto") => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => return Err(Problem(format!("invalid/unknown release server-side apply method: {other}"))),
        };
        options.no_hooks = self.no_hooks;
        options.wait_for_jobs = self.wait_for_jobs;
        options.dry_run = dry_run(&self.dry_run)?;
        options.description = self.description.clone();
        Ok(())
    }
}

/// The word behind `--server-side` where it can only be a switch.
pub fn only_switch(word: Option<&str>) -> Result<Option<bool>, Problem> {
    let read = word.map(|word| {
        super::go_bool(word)
            .map_err(|why| Problem(format!("invalid argument {word:?} for \"--server-side\" flag: {why}")))
    });
    read.transpose()
}

/// The word behind `--dry-run`.
pub fn dry_run(word: &str) -> Result<DryRun, Problem> {
    Ok(match word {
        "none" => DryRun::None,
        "client" => DryRun::Client,
        "server" => DryRun::Server,
        "unset" => {
            super::aside(format_args!(
                "level=WARN msg=\"--dry-run is deprecated and should be replaced with '--dry-run=client'\""
            ));
            DryRun::Client
        }
        other => match super::go_bool(other) {
            Ok(is_on) => {
                let (word, run) = if is_on { ("client", DryRun::Client) } else { ("none", DryRun::None) };
                super::aside(format_args!(
                    "level=WARN msg=\"boolean '--dry-run={is_on}' flag is deprecated and must be replaced with \
                     '--dry-run={word}'\""
                ));
                run
            }
            Err(_) => {
                return Err(Problem(format!(
                    "invalid dry-run value ({other:?}). Must be \"none\", \"server\", or \"client\""
                )));
            }
        },
    })
}

/// Go's form of a duration: `1h2m3.5s`, `300ms`. A negative one is over at once.
pub fn duration(text: &str, flag: &str) -> Result<Duration, Problem> {
    let nanoseconds = crate::charts::template::time::parse_duration(text)
        .map_err(|why| Problem(format!("invalid argument {text:?} for \"--{flag}\" flag: {why}")))?;
    Ok(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default()))
}

/// `KEY=VALUE` pairs of `--labels`.
pub fn labels(pairs: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let pair = |pair: &String| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_string(), value.to_string())),
        None => Err(Problem(format!(
            "invalid argument {pair:?} for \"-l, --labels\" flag: {pair} must be formatted as key=value"
        ))),
    };
    pairs.iter().map(pair).collect()
}

/// `HELM_MAX_HISTORY`, or Helm's 10.
pub fn max_history() -> usize {
    std::env::var("HELM_MAX_HISTORY").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let cases = [
            ("5m0s", Some(300.0)),
            ("1h2m3.5s", Some(3723.5)),
            ("300ms", Some(0.3)),
            ("0", Some(0.0)),
            ("-5s", Some(0.0)),
            ("300", None),
            ("", None),
            ("x", None),
            ("5y", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(duration(text, "timeout").ok().map(|found| found.as_secs_f64()), wanted, "{text}");
        }
        let Problem(told) = duration("1x", "timeout").unwrap_err();
        assert_eq!(told, "invalid argument \"1x\" for \"--timeout\" flag: time: unknown unit \"x\" in duration \"1x\"");
    }

    #[test]
    fn an_install_knows_no_method_of_applying_from_before() {
        assert_eq!(only_switch(Some("F")).ok(), Some(Some(false)));
        let Problem(told) = only_switch(Some("auto")).unwrap_err();
        let why = "strconv.ParseBool: parsing \"auto\": invalid syntax";
        assert_eq!(told, format!("invalid argument \"auto\" for \"--server-side\" flag: {why}"));
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(labels(&["a=b".into(), "c=".into()]).unwrap().len(), 2);
        assert!(labels(&["a".into()]).is_err());
    }
}
