//! Flags of `minikube start` that mean nothing here: scripts may go on to give them, and are told why nothing comes of it.

use super::super::Context;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Name, whether it takes a value, and why it means nothing.
const FLAGS: &[(&str, bool, &str)] = &[
    ("container-runtime", true, "the container runtime is part of this executable"),
    ("cri-socket", true, "the container runtime is part of this executable"),
    ("cni", true, "the pod network is part of this executable"),
    ("bootstrapper", true, "there is nothing to bootstrap"),
    ("preload", true, "there is nothing to download"),
    ("cache-images", true, "there is nothing to download"),
    ("download-only", false, "there is nothing to download"),
    ("binary-mirror", true, "there is nothing to download"),
    ("base-image", true, "the node is made of this executable"),
    ("image-mirror-country", true, "no image is pulled to start"),
    ("image-repository", true, "no image is pulled to start"),
    ("iso-url", true, "there is no virtual machine"),
    ("disk-size", true, "the node uses this machine's disk"),
    ("wait", true, "start always waits until the cluster is ready"),
    ("wait-timeout", true, "start gives up by itself"),
    ("force", false, "there is nothing to force"),
    ("interactive", true, "nothing is asked"),
    ("install-addons", true, "see coracle addons"),
    ("embed-certs", true, "certificates are always embedded"),
    ("auto-update-drivers", true, "drivers are part of this executable"),
    ("disable-metrics", true, "see coracle addons"),
    ("disable-optimizations", true, "there are none of that kind"),
    ("disable-driver-mounts", true, "nothing is mounted that was not asked for"),
    ("mount", true, "see --mount-string"),
    ("mount-type", true, "folders are bound"),
    ("mount-9p-version", true, "folders are bound"),
    ("mount-msize", true, "folders are bound"),
    ("mount-port", true, "folders are bound"),
    ("mount-ip", true, "folders are bound"),
    ("mount-uid", true, "owners are those of this machine"),
    ("mount-gid", true, "owners are those of this machine"),
    ("mount-options", true, "folders are bound"),
    ("native-ssh", true, "there is no ssh"),
    ("network-plugin", true, "the pod network is part of this executable"),
    ("rootless", true, "the driver decides"),
    ("trace", true, "nothing is sent anywhere"),
    ("log_dir", true, "see coracle logs"),
    ("alsologtostderr", false, "see coracle logs"),
    ("v", true, "see coracle logs"),
];

/// Those that were given.
#[derive(Clone, Debug, Default)]
pub struct Ignored(Vec<(&'static str, &'static str)>);

impl Ignored {
    /// Tells of each.
    pub fn warn(&self, context: &Context) {
        for (name, why) in &self.0 {
            context.printer.say(format!("--{name} has no effect: {why}"));
        }
    }
}

impl clap::FromArgMatches for Ignored {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
        Ok(Self(FLAGS.iter().filter(|(name, ..)| given(name)).map(|(name, _, why)| (*name, *why)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Ignored {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (name, has_value, _)| {
            let flag = Arg::new(*name).long(*name).hide(true);
            command.arg(match has_value {
                // `--preload` and `--preload=false` are both said.
                true => flag.num_args(0..=1).require_equals(false).default_missing_value("true").action(ArgAction::Set),
                false => flag.action(ArgAction::SetTrue),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
