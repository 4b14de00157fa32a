//! Flags that minikube and its tests give to every command: those of its log, and a few that choose what is not to be chosen
//! here. They are taken and mean nothing; `coracle logs` shows what there is.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// Name, and whether it takes a value.
const FLAGS: &[(&str, bool)] = &[
    ("add_dir_header", false),
    ("alsologtostderr", false),
    ("bootstrapper", true),
    ("log_backtrace_at", true),
    ("log_dir", true),
    ("log_file", true),
    ("log_file_max_size", true),
    ("logtostderr", false),
    ("one_output", false),
    ("rootless", false),
    ("skip_headers", false),
    ("skip_log_headers", false),
    ("stderrthreshold", true),
    ("v", true),
    ("vmodule", true),
];

/// Takes the flags.
pub struct Klog;

impl clap::FromArgMatches for Klog {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Ok(())
    }
}

impl clap::Args for Klog {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (name, has_value)| {
            let flag = Arg::new(*name).long(*name).hide(true).global(true).action(ArgAction::Set);
            let flag = if *name == "v" { flag.short('v') } else { flag };
            command.arg(match has_value {
                true => flag,
                // `--alsologtostderr` and `--alsologtostderr=false` are both said.
                false => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
