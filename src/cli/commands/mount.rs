//! `coracle mount`: a folder of this machine in the node that runs. It stays until `--kill` or the node ends.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::base::Hint;
use crate::config::values::Mount;

/// Show a folder of this machine in the running node
#[derive(clap::Args)]
pub struct Arguments {
    /// SOURCE:TARGET[:ro]; lists those there are when left out
    mount: Option<Mount>,
    /// Take it away again; all of them when none is named
    #[arg(long)]
    kill: bool,
    /// Show it whenever the cluster starts
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    ignored: Ignored,
}

/// Given for minikube's sake: folders are bound, so nothing of this is needed.
#[derive(clap::Args)]
struct Ignored {
    #[arg(long, hide = true)]
    uid: Option<String>,
    #[arg(long, hide = true)]
    gid: Option<String>,
    #[arg(long, hide = true)]
    port: Option<u16>,
    #[arg(long, hide = true)]
    ip: Option<String>,
    #[arg(long, hide = true)]
    msize: Option<u32>,
    #[arg(long = "type", hide = true)]
    kind: Option<String>,
    #[arg(long = "9p-version", hide = true)]
    version: Option<String>,
    #[arg(long, hide = true)]
    options: Vec<String>,
}

/// Binds it into the node's mount namespace, or takes it away.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let failure = |error| cluster_failure(error, &context.profile);
    let _held = super::hold(context, &context.profile)?;
    let mut cluster = super::open_up(context).await?;
    let file = context.home.profile_folder(&context.profile).join("mounts.json");
    let Arguments { mount, kill, keep, .. } = arguments;
    let mut now: Vec<Mount> = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Vec::new(),
    };
    match (mount, kill) {
        (Some(mount), false) => {
            let source = std::fs::canonicalize(&mount.source).map_err(|error| {
                let what = format!("cannot find directory {} for mount: {error}", mount.source.display());
                Failure { error: what.into(), exit: Exit::Code(35) }
            })?;
            if !source.is_dir() {
                let what = format!("{} is no folder, and only folders are shown in the node", source.display());
                let hint = format!("coracle cp {} {}:PATH copies a file", source.display(), context.profile);
                return Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Usage });
            }
            let mount = Mount { source, ..mount };
            cluster.mount(&mount).await.map_err(failure)?;
            context.printer.say(format!("{} is at {} of the node", mount.source.display(), mount.target.display()));
            now.retain(|other| other.target != mount.target);
            now.push(mount.clone());
            if keep {
                cluster.profile.mounts.retain(|other| other.target != mount.target);
                cluster.profile.mounts.push(mount);
                cluster.save().map_err(failure)?;
            }
        }
        (named, true) => {
            let is_meant = |one: &Mount| named.as_ref().is_none_or(|named| named.target == one.target);
            for one in now.iter().chain(&cluster.profile.mounts).filter(|one| is_meant(one)) {
                cluster.unmount(&one.target).await.map_err(failure)?;
                context.printer.say(format!("{} of the node is as it was", one.target.display()));
            }
            now.retain(|one| !is_meant(one));
            cluster.profile.mounts.retain(|one| !is_meant(one));
            cluster.save().map_err(failure)?;
        }
        (None, false) => now.iter().for_each(|one| context.printer.data(one.to_string())),
    }
    crate::base::atomic::write(&file, &serde_json::to_vec(&now)?, 0o600)?;
    Ok(Exit::Success)
}
