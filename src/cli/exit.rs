//! Exit codes: minikube's scheme, where the tens say whose fault it is and the units what kind.
//!
//! Source: minikube `pkg/minikube/reason/exitcodes.go`.

use crate::cluster;
use crate::config::Problem;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success,
    Failure,
    /// A wrong word on the command line, or a wrong value.
    Usage,
    /// The driver could not make the machine.
    Driver,
    /// The driver cannot be used here, or does not exist.
    DriverUnsupported,
    /// The node did not become what it should.
    Guest,
    /// The node does not run.
    GuestNotRunning,
    /// There is no such profile.
    GuestNotFound,
    /// There is no such service.
    ServiceNotFound,
    /// A code handed on from a program that was run, or the bits of `status`.
    Code(u8),
    /// A code that several reasons have, and which of them it is.
    Named(u8, &'static str),
}

/// Names of reasons by code. Source: minikube `pkg/minikube/reason/reason.go`.
const IDS: &[(u8, &str)] = &[
    (2, "MK_INTERRUPTED"),
    (11, "MK_ADDON_ENABLE_PAUSED"),
    (14, "MK_USAGE"),
    (23, "RSRC_INSUFFICIENT_REQ_MEMORY"),
    (26, "RSRC_INSUFFICIENT_STORAGE"),
    (29, "RSRC_INSUFFICIENT_CORES"),
    (35, "HOST_PATH_MISSING"),
    (37, "HOST_HOME_PERMISSION"),
    (38, "HOST_CONFIG_LOAD"),
    (40, "INET_GET_VERSIONS"),
    (45, "INET_VERSION_UNAVAILABLE"),
    (50, "DRV_START"),
    (55, "DRV_NOT_HEALTHY"),
    (56, "DRV_UNSUPPORTED_OS"),
    (57, "DRV_NEEDS_ROOT"),
    (63, "PROVIDER_DOCKER_NOT_RUNNING"),
    (65, "PROVIDER_DOCKER_NOT_FOUND"),
    (69, "PROVIDER_UNAVAILABLE"),
    (80, "GUEST_START"),
    (83, "GUEST_NOT_RUNNING"),
    (85, "GUEST_NOT_FOUND"),
    (99, "ENV_DOCKER_UNAVAILABLE"),
    (110, "SVC_TUNNEL_START"),
    (112, "SVC_TIMEOUT"),
    (115, "SVC_NOT_FOUND"),
];

impl Exit {
    /// The code that goes with an error of a cluster.
    pub fn of(error: &cluster::Error) -> Self {
        match error {
            cluster::Error::Wanted(problems) => Exit::of_wanted(problems),
            cluster::Error::NoDriver(_) => Exit::DriverUnsupported,
            cluster::Error::Unusable { id, .. } => Exit::of_driver(id),
            cluster::Error::NoneUsable(_) => Exit::of_driver("DRV_NOT_HEALTHY"),
            cluster::Error::NoProfile(_) => Exit::GuestNotFound,
            cluster::Error::Unreadable { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => Exit::Code(37),
                _ => Exit::Code(38),
            },
            cluster::Error::Driver(crate::drivers::Error::NoEngine { id, .. }) => Exit::of_driver(id),
            cluster::Error::Driver(crate::drivers::Error::NotRunning) => Exit::GuestNotRunning,
            cluster::Error::Driver(_) => Exit::Driver,
            cluster::Error::Pki(_) | cluster::Error::NotReady(_) | cluster::Error::Ended => Exit::Guest,
            cluster::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Exit::Code(26),
            cluster::Error::Io { .. } => Exit::Failure,
            cluster::Error::Full(_) => Exit::Code(26),
            cluster::Error::TooNew(_) => Exit::Named(38, "HOST_CONFIG_LOAD"),
        }
    }

    /// The code that goes with what is wrong with a driver (see `drivers::Health`).
    fn of_driver(id: &'static str) -> Self {
        let code = match id {
            "DRV_NEEDS_ROOT" => 57,
            "DRV_NOT_HEALTHY" => 55,
            id if id.starts_with("PROVIDER_") && id.ends_with("_NOT_RUNNING") => 63,
            id if id.starts_with("PROVIDER_") && id.ends_with("_NOT_FOUND") => 65,
            id if id.starts_with("PROVIDER_") => 69,
            _ => 56,
        };
        Exit::Named(code, id)
    }

    /// Amounts that are too small have codes of their own.
    fn of_wanted(problems: &[Problem]) -> Self {
        match problems.first().map(|problem| problem.what.as_str()) {
            Some("memory") => Exit::Code(23),
            Some("cpus") => Exit::Code(29),
            Some("driver") if problems.iter().any(|problem| problem.needs_new_cluster) => {
                Exit::Named(81, "GUEST_DRIVER_MISMATCH")
            }
            _ => Exit::Usage,
        }
    }

    /// Minikube's name for the reason, which machines read.
    pub fn id(self) -> &'static str {
        let code = self.code();
        if let Exit::Named(_, id) = self {
            return id;
        }
        IDS.iter().find(|(number, _)| *number == code).map_or("MK_FAILURE", |(_, id)| id)
    }

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 14,
            Exit::Driver => 50,
            Exit::DriverUnsupported => 56,
            Exit::Guest => 80,
            Exit::GuestNotRunning => 83,
            Exit::GuestNotFound => 85,
            Exit::ServiceNotFound => 115,
            Exit::Code(code) | Exit::Named(code, _) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_driver_than_a_cluster_has_is_a_reason_of_its_own() {
        let there = crate::config::Wanted::named("one").resolve(&[]).unwrap();
        let mut wanted = crate::config::Wanted::named("one");
        wanted.set("driver", vec!["docker".into()]);
        let error = cluster::Error::Wanted(wanted.over(&there).unwrap_err());
        assert_eq!((Exit::of(&error).code(), Exit::of(&error).id()), (81, "GUEST_DRIVER_MISMATCH"));
        assert!(error.hint("one", true).starts_with("coracle delete -p one"));
    }

    #[test]
    fn a_driver_that_cannot_be_used_keeps_its_own_reason() {
        for (id, code) in [
            ("DRV_NEEDS_ROOT", 57),
            ("PROVIDER_DOCKER_NOT_RUNNING", 63),
            ("PROVIDER_PODMAN_NOT_FOUND", 65),
            ("PROVIDER_DOCKER_NEWGRP", 69),
            ("DRV_UNSUPPORTED_OS", 56),
        ] {
            let exit = Exit::of_driver(id);
            assert_eq!((exit.code(), exit.id()), (code, id));
        }
        assert_eq!(Exit::GuestNotFound.id(), "GUEST_NOT_FOUND");
    }
}
