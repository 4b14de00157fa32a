//! Flags of `minikube start` that mean nothing here: scripts may go on to give them, and are told why nothing comes of it.

use super::super::Context;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Why flags of other drivers mean nothing.
const OTHERS: &str = "it is of a driver that is not here";

/// Name, whether it takes a value, and why it means nothing.
const FLAGS: &[(&str, bool, &str)] = &[
    ("container-runtime", true, "the container runtime is part of this executable"),
    ("cri-socket", true, "the container runtime is part of this executable"),
    ("cni", true, "the pod network is part of this executable"),
    ("preload", true, "there is nothing to download"),
    ("cache-images", true, "there is nothing to download"),
    ("binary-mirror", true, "there is nothing to download"),
    ("base-image", true, "the node is made of this executable"),
    ("image-mirror-country", true, "no image is pulled to start"),
    ("image-repository", true, "no image is pulled to start"),
    ("iso-url", true, "there is no virtual machine"),
    ("disk-size", true, "the node uses this machine's disk"),
    ("wait", true, "start always waits until the cluster is ready"),
    ("wait-timeout", true, "start gives up by itself"),
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
    ("trace", true, "nothing is sent anywhere"),
    ("host-dns-resolver", true, OTHERS),
    ("dns-proxy", true, OTHERS),
    ("no-vtx-check", true, OTHERS),
    ("kvm-gpu", true, OTHERS),
    ("kvm-hidden", true, OTHERS),
    ("mdns", true, OTHERS),
    ("rosetta", true, OTHERS),
    ("vm", true, OTHERS),
    ("vmnet-offloading", true, OTHERS),
    ("hyperv-use-external-switch", true, OTHERS),
    ("host-only-cidr", true, OTHERS),
    ("host-only-nic-type", true, OTHERS),
    ("nat-nic-type", true, OTHERS),
    ("hyperkit-vpnkit-sock", true, OTHERS),
    ("hyperkit-vsock-ports", true, OTHERS),
    ("hyperv-external-adapter", true, OTHERS),
    ("hyperv-virtual-switch", true, OTHERS),
    ("kvm-network", true, OTHERS),
    ("kvm-numa-count", true, OTHERS),
    ("kvm-qemu-uri", true, OTHERS),
    ("nfs-share", true, OTHERS),
    ("nfs-shares-root", true, OTHERS),
    ("qemu-firmware-path", true, OTHERS),
    ("socket-vmnet-client-path", true, OTHERS),
    ("socket-vmnet-path", true, OTHERS),
    ("ssh-ip-address", true, OTHERS),
    ("ssh-key", true, OTHERS),
    ("ssh-port", true, OTHERS),
    ("ssh-user", true, OTHERS),
    ("uuid", true, OTHERS),
    ("extra-disks", true, OTHERS),
    ("dns-servers", true, OTHERS),
    ("feature-gates", true, "there are no gates: what is built in is on"),
    ("force-systemd", true, "there is no systemd in a node"),
    ("disable-coredns-log", true, "cluster DNS logs no queries"),
    ("docker-opt", true, "there is no Docker engine in a node"),
    ("preload-source", true, "there is nothing to download"),
    ("auto-pause-interval", true, "nothing is paused by itself"),
];

/// Values that minikube knows, of flags that are checked though they mean nothing.
const VALUES: &[(&str, &[&str])] = &[
    ("container-runtime", &["", "auto", "docker", "cri-o", "crio", "containerd"]),
    (
        "wait",
        &[
            "",
            "all",
            "none",
            "true",
            "false",
            "apiserver",
            "system_pods",
            "default_sa",
            "apps_running",
            "node_ready",
            "kubelet",
            "extra",
        ],
    ),
];
/// Flags of which several values may be given, with commas between.
const LISTS: &[&str] = &["wait"];

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
            let mut flag = Arg::new(*name).long(*name).hide(true);
            if let Some((_, values)) = VALUES.iter().find(|(known, _)| known == name) {
                // That nothing may be given helps nobody who reads what may be.
                let values = values.iter().map(|value| PossibleValue::new(*value).hide(value.is_empty()));
                flag = flag.value_parser(PossibleValuesParser::new(values));
            }
            if LISTS.contains(name) {
                flag = flag.value_delimiter(',');
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args;

    #[test]
    fn what_start_may_wait_for_is_checked_and_listed() {
        let parsed = |words: &[&str]| {
            Ignored::augment_args(Command::new("start")).try_get_matches_from([&["start"], words].concat())
        };
        for good in [
            &["--wait=all"][..],
            &["--wait=apiserver,system_pods"],
            &["--wait"],
            &["--wait=false"],
            &["--wait", "none"],
            &["--wait="],
            &["--preload=false"],
        ] {
            assert!(parsed(good).is_ok(), "{good:?}");
        }
        let refused = parsed(&["--wait=apiserver,foo"]).unwrap_err().to_string();
        assert!(refused.contains("'foo'") && refused.contains("[possible values: all, none, true,"), "{refused}");
    }
}
