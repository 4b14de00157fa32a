//! From a container of the API to what the runtime is asked for.

use super::resources;
use super::start::Start;
use crate::node::border::Image;
use crate::runtime::{ContainerSpec, Security, User};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Search path of an image that names none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The specification, or why the container cannot be made, in words for its status.
pub async fn build(start: &Start, image: &Image) -> Result<ContainerSpec, String> {
    let container = &start.container;
    let mut env: Vec<(String, String)> = Vec::new();
    for pair in &image.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(&mut env, name, value);
    }
    if env.iter().all(|(name, _)| name != "PATH") {
        set(&mut env, "PATH", PATH);
    }
    for variable in container.env.iter().flatten() {
        set(&mut env, &variable.name, variable.value.as_deref().unwrap_or_default());
    }
    let argv = argv(start, image)?;
    Ok(ContainerSpec {
        name: container.name.clone(),
        attempt: start.attempt,
        image: image.id.clone(),
        image_reference: container.image.clone().unwrap_or_default(),
        argv,
        working_directory: working_directory(start, image),
        env,
        mounts: Vec::new(),
        devices: Vec::new(),
        user: User::default(),
        security: Security::default(),
        resources: resources::container(&start.pod, container, &start.node.machine),
        log_path: PathBuf::from(format!("{}/{}.log", container.name, start.attempt)),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        stop_signal: stop_signal(start, image),
        labels: BTreeMap::from([("io.kubernetes.pod.uid".to_string(), super::parts::uid(&start.pod).to_string())]),
        annotations: BTreeMap::new(),
    })
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    match env.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value.to_string(),
        None => env.push((name.to_string(), value.to_string())),
    }
}

fn argv(start: &Start, image: &Image) -> Result<Vec<String>, String> {
    let container = &start.container;
    let command = container.command.clone().unwrap_or_default();
    let args = container.args.clone().unwrap_or_default();
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
