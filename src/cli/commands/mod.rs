//! One file per command: its arguments, and what it does with them.

pub mod addons;
pub mod apply;
pub mod cache;
pub mod chart;
pub mod completion;
pub mod config;
pub mod cp;
pub mod dashboard;
pub mod delete;
pub mod docker_env;
pub mod doctor;
pub mod export;
pub mod forward;
pub mod forwarder;
mod ignored;
pub mod image;
pub mod ip;
pub mod kubectl;
pub mod license;
pub mod logs;
pub mod man;
pub mod mount;
pub mod node;
pub mod nodes;
pub mod options;
mod output;
pub mod pause;
pub mod podman_env;
pub mod profile;
pub mod scheduled_stop;
pub mod service;
pub mod snapshot;
pub mod ssh;
pub mod ssh_key;
pub mod start;
pub mod status;
pub mod stop;
pub mod tunnel;
pub mod unpause;
pub mod update;
pub mod update_check;
pub mod update_context;
pub mod version;

use super::{Context, Exit, Failure, cluster_failure};
use crate::cluster::{Cluster, Lock};

/// The cluster that the command line names.
fn open(context: &Context) -> Result<Cluster, Failure> {
    let cluster = Cluster::open(&context.home, &context.profile);
    let cluster = cluster.map_err(|error| cluster_failure(error, &context.profile))?;
    cluster.keep_admin();
    Ok(cluster)
}

/// Has a profile for this command alone until it is dropped; says so when another command has it. A profile that is neither
/// there nor being made needs nothing.
fn hold(context: &Context, name: &str) -> Result<Option<Lock>, Failure> {
    Lock::hold_known(&context.home, name, |holder| tell_of(context, name, holder))
        .map_err(|error| of_home(error, context))
}

/// The same for a profile that may be made.
fn hold_new(context: &Context, name: &str) -> Result<Lock, Failure> {
    Lock::hold(&context.home, name, |holder| tell_of(context, name, holder)).map_err(|error| of_home(error, context))
}

/// A home that is not this user's is told with what minikube advises.
fn of_home(error: std::io::Error, context: &Context) -> Failure {
    if error.kind() != std::io::ErrorKind::PermissionDenied {
        return error.into();
    }
    let home = context.home.root().display();
    let error = std::io::Error::new(error.kind(), format!("{home}: {error}"));
    let hint = format!("sudo chown -R $USER {home}; chmod -R u+wrx {home}; or CORACLE_HOME=FOLDER of your own");
    Failure { error: Box::new(crate::base::Hint::new(error, hint)), exit: Exit::Code(37) }
}

fn tell_of(context: &Context, name: &str, holder: &str) {
    let process = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
    context.printer.say(format!("waiting for another command that works on `{name}`{process}"));
}

/// Does something with each of several profiles, also when it fails with one of them: that is reported at the end.
async fn each(
    names: &[String],
    context: &Context,
    work: impl AsyncFn(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut first = None;
    for name in names {
        match work(name).await {
            Err(failure) if names.len() > 1 => {
                context.printer.warn(format!("`{name}`: {}", failure.error));
                first.get_or_insert(failure);
            }
            done => done?,
        }
    }
    first.map_or(Ok(()), Err)
}

/// The error where something is asked of a control plane that stands still, and would never answer.
fn refuse_paused(cluster: &Cluster) -> Result<(), Failure> {
    if !cluster.is_paused() {
        return Ok(());
    }
    let name = &cluster.profile.name;
    let error = crate::base::Hint::new(format!("`{name}` is paused"), format!("coracle unpause -p {name}"));
    Err(Failure { error: Box::new(error), exit: Exit::Named(101, "K8S_APISERVER_PAUSED") })
}

/// The cluster that the command line names, if it runs.
async fn open_up(context: &Context) -> Result<Cluster, Failure> {
    let cluster = open(context)?;
    if cluster.is_up().await {
        return Ok(cluster);
    }
    let hint = format!("coracle start -p {}", context.profile);
    let error = crate::base::Hint::new(format!("`{}` does not run", context.profile), hint);
    Err(Failure { error: Box::new(error), exit: Exit::GuestNotRunning })
}

/// ` -p NAME` for a command that is to be run next, where the profile is not the active one.
fn option(profile: &str, active: &str) -> String {
    if profile == active { String::new() } else { format!(" -p {profile}") }
}

/// Refuses a node that the cluster has not: it has one, which has its name.
fn check_node(cluster: &Cluster, node: Option<&str>) -> Result<(), Failure> {
    let own = &cluster.profile.name;
    match node {
        Some(other) if other != own && other != "control-plane" => {
            let error =
                crate::base::Hint::new(format!("there is no node `{other}`; there is `{own}`"), "coracle node list");
            Err(Failure { error: Box::new(error), exit: Exit::GuestNotFound })
        }
        _ => Ok(()),
    }
}

/// A client of the cluster that the command line names, with the administrator's rights.
pub async fn client(cluster: &Cluster) -> Result<crate::client::Client, Failure> {
    let name = &cluster.profile.name;
    if !cluster.profile.kubernetes {
        let hint = format!("coracle start -p {name} --no-kubernetes=false");
        let error = crate::base::Hint::new(format!("`{name}` runs without Kubernetes"), hint);
        return Err(Failure { error: Box::new(error), exit: Exit::GuestNotRunning });
    }
    refuse_paused(cluster)?;
    let context = cluster.context().map_err(|error| cluster_failure(error, name))?;
    crate::cluster::ready::client(&context).await.map_err(|error| cluster_failure(error, name))
}

/// No command at all prints the help.
pub fn help() -> Result<Exit, Failure> {
    super::whole().print_help()?;
    Ok(Exit::Success)
}
