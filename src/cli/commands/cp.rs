//! `coracle cp`: files and folders between this machine and the node, or within the node.

use super::super::{Context, Exit, Failure};
use crate::boot::copy;
use crate::cluster::Cluster;
use std::path::Path;
use std::process::{Child, Stdio};

/// Copy a file or folder to or from the node
#[derive(clap::Args)]
pub struct Arguments {
    /// [NODE:]PATH
    source: String,
    /// [NODE:]PATH; without any NODE it is the node's
    target: String,
}

/// One side of a copy.
struct Side<'a> {
    is_node: bool,
    path: &'a str,
}

/// Streams from one side to the other.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open_up(context).await?;
    let (source, mut target) = (side(&arguments.source, &cluster)?, side(&arguments.target, &cluster)?);
    target.is_node |= !source.is_node && !arguments.target.contains(':');
    if !source.is_node && std::fs::symlink_metadata(source.path).is_err() {
        let what = format!("there is no file {}", source.path);
        return Err(Failure { error: what.into(), exit: Exit::Code(35) });
    }
    if target.is_node && !target.path.starts_with('/') {
        let what = format!("`{}` is relative; a path in the node must be absolute", target.path);
        return Err(Failure { error: what.into(), exit: Exit::Usage });
    }
    let name = Path::new(source.path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match (source.is_node, target.is_node) {
        (false, false) => copy_here(&source, &target, &name)?,
        (false, true) => {
            let mut child = part(&cluster, &["node-unpack", target.path, &name], Stdio::piped(), Stdio::null())?;
            let sent = child.stdin.take().map(|input| copy::pack(Path::new(source.path), input));
            finish(child, sent.transpose())?;
        }
        (true, false) => {
            let mut child = part(&cluster, &["node-pack", source.path], Stdio::null(), Stdio::piped())?;
            let read = child.stdout.take().map(|output| copy::unpack(output, Path::new(target.path), &name));
            finish(child, read.transpose())?;
        }
        (true, true) => {
            let mut from = part(&cluster, &["node-pack", source.path], Stdio::null(), Stdio::piped())?;
            let output = from.stdout.take().map_or_else(Stdio::null, Stdio::from);
            let to = part(&cluster, &["node-unpack", target.path, &name], output, Stdio::null())?;
            finish(from, Ok(None))?;
            finish(to, Ok(None))?;
        }
    }
    Ok(Exit::Success)
}

/// A path with the node's name before it, or one of this machine.
fn side<'a>(text: &'a str, cluster: &Cluster) -> Result<Side<'a>, Failure> {
    match text.split_once(':') {
        Some((node, path)) if node == cluster.profile.name => Ok(Side { is_node: true, path }),
        Some((node, _)) if !node.contains('/') => {
            Err(Failure { error: format!("there is no node `{node}`").into(), exit: Exit::GuestNotFound })
        }
        _ => Ok(Side { is_node: false, path: text }),
    }
}

fn copy_here(source: &Side, target: &Side, name: &str) -> Result<(), Failure> {
    let mut stream = tempfile::tempfile()?;
    copy::pack(Path::new(source.path), &mut stream)?;
    std::io::Seek::rewind(&mut stream)?;
    Ok(copy::unpack(stream, Path::new(target.path), name)?)
}

fn part(cluster: &Cluster, words: &[&str], input: Stdio, output: Stdio) -> Result<Child, Failure> {
    let mut command = cluster.part(words).map_err(|error| super::cluster_failure(error, &cluster.profile.name))?;
    Ok(command.stdin(input).stdout(output).stderr(Stdio::piped()).spawn()?)
}

/// Waits for the other half; what it says is the better reason when both failed.
fn finish(child: Child, own: std::io::Result<Option<()>>) -> Result<(), Failure> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("the other half of the copy failed").trim_start_matches("error: ");
        return Err(said.to_string().into());
    }
    own.map(drop).map_err(Failure::from)
}
