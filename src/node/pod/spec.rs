//! From a container of the API to what the runtime is asked for.

use super::environment::{self, Environment};
use super::expand::expand;
use super::start::Start;
use super::{files, parts, resources, security, user};
use crate::node::border::Image;
use crate::node::volumes;
use crate::runtime::{ContainerSpec, Device, Mount};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The specification, or why the container cannot be made, in words for its status.
pub async fn build(start: &Start, image: &Image) -> Result<ContainerSpec, String> {
    let container = &start.container;
    let own = environment::of(start).await?;
    let (user, home) = user::of(start, image).await?;
    let argv = argv(start, image, &own)?;
    let (mounts, devices) = mounts(start, &own)?;
    let mut env = environment::over_image(start, image, own);
    if env.get("HOME").is_none() {
        env.set("HOME", home);
    }
    Ok(ContainerSpec {
        name: container.name.clone(),
        attempt: start.attempt,
        image: image.id.clone(),
        image_reference: container.image.clone().unwrap_or_default(),
        argv,
        working_directory: working_directory(start, image),
        env: env.into_pairs(),
        mounts,
        devices,
        user,
        security: security::of(start),
        resources: resources::container(&start.pod, container, &start.node.machine),
        log_path: PathBuf::from(format!("{}/{}.log", container.name, start.attempt)),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        stop_signal: stop_signal(start, image),
        target_container: target_container(start),
        labels: labels(start),
        annotations: BTreeMap::new(),
    })
}

fn labels(start: &Start) -> BTreeMap<String, String> {
    let labels = [
        ("io.kubernetes.container.name", start.container.name.as_str()),
        ("io.kubernetes.pod.name", parts::name(&start.pod)),
        ("io.kubernetes.pod.namespace", parts::namespace(&start.pod)),
        ("io.kubernetes.pod.uid", parts::uid(&start.pod)),
    ];
    labels.map(|(key, value)| (key.to_string(), value.to_string())).into()
}

/// Volumes and the node's files, outer ones first.
fn mounts(start: &Start, own: &Environment) -> Result<(Vec<Mount>, Vec<Device>), String> {
    let (mut mounts, devices) = volumes::mounts(start, |name| own.get(name).map(String::from))?;
    let taken: Vec<&str> = mounts.iter().map(|mount| mount.container_path.as_str()).collect();
    let files = files::mounts(start, &taken)?;
    mounts.extend(files);
    mounts.sort_by_key(|mount| mount.container_path.split('/').filter(|part| !part.is_empty()).count());
    Ok((mounts, devices))
}

/// The container whose processes an ephemeral one sees.
fn target_container(start: &Start) -> Option<String> {
    let mut ephemeral = parts::spec(&start.pod).ephemeral_containers.iter().flatten();
    let own = ephemeral.find(|one| one.name == start.container.name)?;
    own.target_container_name.clone().filter(|name| !name.is_empty())
}

fn argv(start: &Start, image: &Image, own: &Environment) -> Result<Vec<String>, String> {
    let expanded = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|text| expand(text, |name| own.get(name).map(String::from))).collect()
    };
    let command = expanded(&start.container.command);
    let args = expanded(&start.container.args);
    let argv: Vec<String> = match (command.is_empty(), args.is_empty()) {
        (false, _) => command.into_iter().chain(args).collect(),
        (true, false) => image.config.entrypoint.iter().cloned().chain(args).collect(),
        (true, true) => image.config.entrypoint.iter().chain(&image.config.command).cloned().collect(),
    };
    if argv.is_empty() { Err("no command specified".into()) } else { Ok(argv) }
}

fn working_directory(start: &Start, image: &Image) -> String {
    let own = start.container.working_dir.as_deref().filter(|path| !path.is_empty());
    let path = own.unwrap_or(&image.config.working_directory);
    if path.is_empty() { "/".into() } else { path.to_string() }
}

fn stop_signal(start: &Start, image: &Image) -> String {
    let own = start.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone());
    let signal = own.unwrap_or_else(|| image.config.stop_signal.clone());
    if signal.is_empty() { "SIGTERM".into() } else { signal }
}
