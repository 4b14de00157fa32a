//! Flags that commands which change releases share, and how their words are read.

use super::Problem;
use crate::charts::release::{DryRun, Options, Reuse, Strategy};
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
    /// Prevent hooks from running
    #[arg(long)]
    pub no_hooks: bool,
    /// If set and --wait enabled, will wait until all Jobs have been completed
    #[arg(long)]
    pub wait_for_jobs: bool,
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
        options.no_hooks = self.no_hooks;
        options.wait_for_jobs = self.wait_for_jobs;
        options.description = self.description.clone();
        Ok(())
    }
}

/// Who puts a change into an object that is there.
#[derive(clap::Args, Clone, Debug)]
pub struct Method {
    /// Must be "true", "false" or "auto": object updates run in the server instead of the client
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    server_side: Option<String>,
}

impl Method {
    /// Whether the server does; nothing is how the revision before was made.
    pub fn server_side(&self) -> Result<Option<bool>, Problem> {
        match self.server_side.as_deref() {
            None | Some("auto") => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Problem(format!("invalid/unknown release server-side apply method: {other}"))),
        }
    }
}

/// Whether anything is done at all.
#[derive(clap::Args, Clone, Debug)]
pub struct Trying {
    /// Simulates the operation: "none", "client" or "server"
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "unset", default_value = "none", hide_default_value = true)]
    dry_run: String,
}

impl Trying {
    /// What is only tried.
    pub fn dry_run(&self) -> Result<DryRun, Problem> {
        dry_run(&self.dry_run)
    }
}

/// Which values of the last revision an upgrade goes on with.
#[derive(clap::Args, Clone, Debug)]
pub struct Reusing {
    /// When upgrading, reset the values to the ones built into the chart
    #[arg(long)]
    reset_values: bool,
    /// When upgrading, reuse the last release's values and merge in any overrides from the command line
    #[arg(long)]
    reuse_values: bool,
    /// When upgrading, reset the values to the ones built into the chart, apply the last release's values and merge in any overrides
    #[arg(long)]
    reset_then_reuse_values: bool,
}

impl Reusing {
    /// The first of the flags counts.
    pub fn reuse(&self) -> Reuse {
        match (self.reset_values, self.reuse_values, self.reset_then_reuse_values) {
            (true, ..) => Reuse::Reset,
            (false, true, _) => Reuse::Reuse,
            (false, false, true) => Reuse::ResetThenReuse,
            (false, false, false) => Reuse::IfNoneGiven,
        }
    }
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
            ("1.5s", Some(1.5)),
            ("0", Some(0.0)),
            ("-5s", Some(0.0)),
            ("300", None),
            ("", None),
            ("x", None),
            ("5y", None),
            ("1e9h", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(duration(text, "timeout").ok().map(|found| found.as_secs_f64()), wanted, "{text}");
        }
        let Problem(told) = duration("1x", "timeout").unwrap_err();
        assert_eq!(told, "invalid argument \"1x\" for \"--timeout\" flag: time: unknown unit \"x\" in duration \"1x\"");
    }

    #[test]
    fn the_values_of_before_are_dropped_rather_than_kept() {
        let reuse = |reset_values, reuse_values, reset_then_reuse_values| {
            Reusing { reset_values, reuse_values, reset_then_reuse_values }.reuse()
        };
        assert_eq!(reuse(true, true, true), Reuse::Reset);
        assert_eq!(reuse(false, true, true), Reuse::Reuse);
        assert_eq!(reuse(false, false, true), Reuse::ResetThenReuse);
        assert_eq!(reuse(false, false, false), Reuse::IfNoneGiven);
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(labels(&["a=b".into(), "c=".into()]).unwrap().len(), 2);
        assert!(labels(&["a".into()]).is_err());
    }
}
