//! `coracle export logs`: everything that tells what happened in a cluster, in a folder, for a CI job to keep.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::api::KINDS;
use crate::boot::copy;
use crate::cluster::{Cluster, status};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Write what a cluster has to tell to a folder
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Logs of the node, of pods, and the objects that explain them
    Logs { folder: PathBuf },
    /// The kubeconfig of the cluster alone
    Kubeconfig,
}

/// Kinds whose objects are nobody's to read in a CI job's artefacts.
const HIDDEN: &[&str] = &["secrets"];

/// Does what was said.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    match arguments.command {
        Command::Logs { folder } => logs(&cluster, &folder, context).await?,
        Command::Kubeconfig => {
            let text = cluster.kubeconfig().map_err(|error| cluster_failure(error, &context.profile))?;
            context.printer.raw(&text);
        }
    }
    Ok(Exit::Success)
}

/// Collects what there is; what cannot be had is told in the folder, because a broken cluster is what this is for.
async fn logs(cluster: &Cluster, folder: &Path, context: &Context) -> Result<(), Failure> {
    let steps = context.printer.steps();
    steps.step("collecting logs and objects");
    collect(cluster, folder).await?;
    drop(steps);
    context.printer.say(format!("{} has what `{}` tells", folder.display(), context.profile));
    Ok(())
}

/// Writes it to a folder, which is made.
pub async fn collect(cluster: &Cluster, folder: &Path) -> Result<(), Failure> {
    let failure = |error| cluster_failure(error, &cluster.profile.name);
    std::fs::create_dir_all(folder)?;
    let mut missing = Vec::new();
    let node = cluster.driver.log(&cluster.machine().map_err(failure)?).await;
    std::fs::write(folder.join("node.log"), node.map_err(|error| failure(error.into()))?)?;
    std::fs::write(folder.join("profile.json"), serde_json::to_vec_pretty(&cluster.profile.told())?)?;
    if let Err(failure) = var_log(cluster, folder).await {
        missing.push(format!("logs of the server and of pods: {}", failure.error));
    }
    // After what is there in any case: it asks, and an answer may be long in coming.
    let state = status::of(cluster).await.map_err(failure)?;
    std::fs::write(folder.join("status.json"), state.layout(status::has_room(cluster)).to_string())?;
    if cluster.is_up().await && !cluster.is_paused() {
        missing.extend(objects(cluster, &folder.join("objects")).await?);
    }
    if !missing.is_empty() {
        std::fs::write(folder.join("missing.txt"), missing.join("\n") + "\n")?;
    }
    Ok(())
}

/// `/var/log` of the node: from its folder on this machine, or through the node.
async fn var_log(cluster: &Cluster, folder: &Path) -> Result<(), Failure> {
    let failure = |error| cluster_failure(error, &cluster.profile.name);
    let target = folder.join("var-log");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    if let Some(root) = cluster.driver.root(&cluster.machine().map_err(failure)?) {
        let mut stream = tempfile::tempfile()?;
        copy::pack(&root.join("var/log"), &mut stream)?;
        std::io::Seek::rewind(&mut stream)?;
        return Ok(copy::unpack(stream, &target, "log")?);
    }
    let mut command = cluster.part(&["node-pack", "/var/log"]).map_err(failure)?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let unpacked = child.stdout.take().map(|output| copy::unpack(output, &target, "log"));
    child.wait()?;
    unpacked.transpose()?;
    Ok(())
}

/// Writes the objects of every kind that has some, the cluster's own kinds and those of definitions; returns what was missed.
async fn objects(cluster: &Cluster, folder: &Path) -> Result<Vec<String>, Failure> {
    std::fs::create_dir_all(folder)?;
    let client = super::client(cluster).await?;
    let own = KINDS.iter().filter(|kind| kind.verbs.contains(&"list") && !HIDDEN.contains(&&*kind.plural));
    let mut left: Vec<(String, String)> =
        own.map(|kind| (kind.plural.to_string(), path(kind.group(), &kind.stored.version, &kind.plural))).collect();
    let mut missing = Vec::new();
    while let Some((name, path)) = left.pop() {
        let request = http::Request::get(path).body(Vec::new())?;
        let text = match client.request_text(request).await {
            Ok(text) => text,
            Err(error) => {
                missing.push(format!("{name}: {error}"));
                continue;
            }
        };
        let list: Value = serde_json::from_str(&text)?;
        if name == DEFINITIONS {
            left.extend(items(&list).filter_map(custom));
        }
        if items(&list).next().is_some() {
            std::fs::write(folder.join(format!("{name}.json")), text)?;
        }
    }
    Ok(missing)
}

/// The kind of definitions, whose objects are kinds.
const DEFINITIONS: &str = "customresourcedefinitions";

/// File name and path of the objects of a definition.
fn custom(definition: &Value) -> Option<(String, String)> {
    let text = |pointer: &str| definition.pointer(pointer)?.as_str();
    let versions = definition.pointer("/spec/versions")?.as_array()?;
    let served = versions.iter().find(|version| version["served"] == true)?["name"].as_str()?;
    Some((text("/metadata/name")?.to_string(), path(text("/spec/group")?, served, text("/spec/names/plural")?)))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

/// The path of all objects of a kind.
fn path(group: &str, version: &str, plural: &str) -> String {
    if group.is_empty() { format!("/api/{version}/{plural}") } else { format!("/apis/{group}/{version}/{plural}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn definitions_say_where_their_objects_are() {
        let definition = json!({
            "metadata": {"name": "ships.sea.example"},
            "spec": {
                "group": "sea.example",
                "names": {"plural": "ships"},
                "versions": [{"name": "v1alpha1", "served": false}, {"name": "v1", "served": true}],
            },
        });
        let wanted = ("ships.sea.example".to_string(), "/apis/sea.example/v1/ships".to_string());
        assert_eq!(custom(&definition), Some(wanted));
        assert_eq!(custom(&json!({})), None);
        assert_eq!(path("", "v1", "pods"), "/api/v1/pods");
    }
}
