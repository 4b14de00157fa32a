//! The Docker driver: the node is a container of an engine on this machine. Podman answers the same API.
//!
//! ```text
//! image (once per executable) ─▶ network ─▶ volume /var ─▶ container ─▶ files (certificates, profile) ─▶ start ─▶ routes
//!                                                             └ runs `coracle node-container`, which becomes `coracle init`
//! ```
//!
//! Container, network and volume are named after the profile and labelled. `start` looks at what is there and makes what is
//! missing or was made otherwise, so it heals whatever somebody stopped, killed or removed by hand.

mod capabilities;
mod container;
mod engine;
pub mod exec;
mod image;
pub mod inside;
mod leftovers;
mod network;

use super::native::{links, process};
use super::{Driver, Error, Health, Machine, MachineState, Say, etc};
use crate::base::{disk, resolvers};
use crate::config::NodePaths;
use crate::config::values::Port;
use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, VolumeCreateRequest};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, InspectContainerOptions, RemoveVolumeOptions, StartContainerOptions,
    StopContainerOptionsBuilder, UploadToContainerOptionsBuilder, WaitContainerOptions,
};
use container::Specification;
use engine::{Engine, Surroundings, found, gone, is_missing, is_ours, refused, relative};
use futures::TryStreamExt;
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use tokio::sync::Mutex;

/// The profile that a container, network, volume or image belongs to.
pub const LABEL_PROFILE: &str = "local.coracle.profile";
/// The mark of the machine that it belongs to: profiles of one name in several homes are told apart by it.
const LABEL_MARK: &str = "local.coracle.mark";
/// What a container is for: `node`, or `routes`.
pub const LABEL_ROLE: &str = "local.coracle.role";
/// The digest of the executable in an image.
pub const LABEL_DIGEST: &str = "local.coracle.digest";
/// The checksum of what a container was made from.
pub const LABEL_SPECIFICATION: &str = "local.coracle.specification";

/// The labels of what belongs to a machine, beside those of its own.
fn labels<const N: usize>(name: &str, mark: &str, own: [(&str, String); N]) -> HashMap<String, String> {
    [(LABEL_PROFILE, name.to_string()), (LABEL_MARK, mark.to_string())]
        .into_iter()
        .chain(own)
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}

/// How long an engine may take to see that a process ended.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(5);

/// The driver, over Docker's API.
pub struct Docker {
    /// Whether only podman will do.
    is_podman: bool,
}

impl Docker {
    /// The engine that the environment names, or the first that is there.
    pub const ANY: Self = Self { is_podman: false };
    /// Podman.
    pub const PODMAN: Self = Self { is_podman: true };

    async fn engine(&self) -> Result<Engine, engine::Trouble> {
        match self.is_podman {
            true => Engine::connect_podman().await,
            false => Engine::connect().await,
        }
    }
}

/// Has one piece of work on the engine at a time, so that the next one sees what the last one has made.
static TURN: LazyLock<Arc<Mutex<()>>> = LazyLock::new(Arc::default);

/// Does a piece of work to its end, also when nobody waits for it any more (a start that is interrupted): an engine goes on with
/// a request that was given up, and what it makes then would stay.
async fn to_its_end(work: impl Future<Output = Result<(), Error>> + Send + 'static) -> Result<(), Error> {
    let turn = TURN.clone().lock_owned().await;
    let working = tokio::spawn(async move {
        let _turn = turn;
        work.await
    });
    working.await.unwrap_or_else(|ended| Err(Error::Launch(ended.to_string())))
}

#[async_trait]
impl Driver for Docker {
    fn name(&self) -> &'static str {
        if self.is_podman { "podman" } else { "docker" }
    }

    async fn probe(&self) -> Health {
        let checked = match self.engine().await {
            Ok(engine) => engine.check().await.map(|()| engine.capabilities()),
            Err(trouble) => Err(trouble),
        };
        let lacking = match checked {
            Ok(bits) => capabilities::ask(bits).lacking,
            Err(trouble) => return trouble.health(),
        };
        if lacking.is_empty() {
            return Health::usable();
        }
        let reason = format!("the engine lacks the capabilities {}", lacking.join(", "));
        Health::unusable("PROVIDER_DOCKER_ERROR", reason, "run the engine with these capabilities")
    }

    async fn start(&self, machine: &Machine, say: Say<'_>) -> Result<(), Error> {
        let engine = self.engine().await?;
        let there = settled(&engine, machine).await?;
        let image = match &there {
            // A node that runs is not replaced because the executable was: that is for the next start.
            Some(there) if is_running(there) => used_image(there),
            _ => image::ensure(&engine, machine, say).await?,
        };
        match there {
            Some(there) if is_running(&there) => {
                thaw(&engine, machine, &there).await?;
                join(&engine, machine, &there).await?;
            }
            there => run(&engine, machine, there, &image, say).await?,
        }
        link_folders(&engine, machine).await?;
        if !links::has_routes(&machine.profile) {
            network::add_routes(&engine, machine, &image).await?;
        }
        Ok(())
    }

    async fn stop(&self, machine: &Machine) -> Result<(), Error> {
        let engine = self.engine().await?;
        drop(TURN.lock().await);
        if let Some(there) = settled(&engine, machine).await? {
            thaw(&engine, machine, &there).await?;
            let options = StopContainerOptionsBuilder::default().t(container::STOP_SECONDS).build();
            let stopped = engine.docker.stop_container(&machine.profile.name, Some(options)).await;
            gone(unless_unchanged(stopped), "cannot stop the node's container")?;
        }
        // Without a node behind them they lead nowhere; whoever may not remove them leaves them to the network's end.
        links::remove_routes(&machine.profile).await.ok();
        Ok(())
    }

    async fn delete(&self, machine: &Machine) -> Result<(), Error> {
        let engine = self.engine().await?;
        drop(TURN.lock().await);
        if inspect(&engine, machine).await?.is_some() {
            self.stop(machine).await?;
            network::remove_container(&engine, &machine.profile.name).await?;
        }
        remove_volume(&engine, machine).await?;
        network::remove(&engine, machine).await
    }

    async fn sweep(&self, machine: &Machine) -> Result<Vec<&'static str>, Error> {
        match self.engine().await {
            Ok(engine) => leftovers::remove(&engine, &machine.mark()).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn trouble(&self, machine: &Machine) -> Option<&'static str> {
        let engine = self.engine().await.ok()?;
        match inspect(&engine, machine).await.ok()? {
            Some(there) if !is_joined(&there, machine) => Some(APART),
            Some(_) => None,
            None => {
                let volume = engine.docker.inspect_volume(&machine.profile.name).await;
                // An engine that cannot say has not lost it.
                found(volume, "").is_ok_and(|volume| volume.is_none()).then_some(EMPTIED)
            }
        }
    }

    async fn state(&self, machine: &Machine) -> MachineState {
        let Ok(engine) = self.engine().await else { return MachineState::Unknown };
        match inspect(&engine, machine).await {
            Ok(Some(there)) => state_of(&there),
            Ok(None) if taken_back(machine).exists() => MachineState::Stopped,
            Ok(None) => MachineState::Missing,
            Err(_) => MachineState::Unknown,
        }
    }

    async fn adjust(&self, machine: &Machine) -> Result<(), Error> {
        container::limit(&self.engine().await?, &machine.profile).await
    }

    async fn hand_down(&self, machine: &Machine) -> Result<(), Error> {
        upload(&self.engine().await?, machine).await?;
        // An engine does not write the file that the node shows as its own. A node of an older coracle takes it at its start.
        let words = ["/coracle", "node-resolvers"].map(String::from);
        let mut taking = tokio::process::Command::from(self.enter(machine, &words)?);
        taking.stdin(Stdio::null()).output().await.map(drop).map_err(Error::io("cannot run a command in the node"))
    }

    async fn published(&self, machine: &Machine) -> Result<Vec<Port>, Error> {
        let there = inspect(&self.engine().await?, machine).await?;
        Ok(there.as_ref().map(container::published).unwrap_or_default())
    }

    async fn state_folder(&self, machine: &Machine) -> Result<PathBuf, Error> {
        let engine = self.engine().await?;
        let volume = engine.docker.inspect_volume(&machine.profile.name).await;
        let folder = PathBuf::from(volume.map_err(refused("cannot look for the node's volume"))?.mountpoint);
        std::fs::read_dir(&folder).map_err(Error::io("cannot look into the node's volume; only root may"))?;
        Ok(folder)
    }

    fn root(&self, _: &Machine) -> Option<PathBuf> {
        None
    }

    async fn log(&self, machine: &Machine) -> Result<String, Error> {
        container::log(&self.engine().await?, &machine.profile.name, "all").await
    }

    async fn read(&self, machine: &Machine, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let engine = self.engine().await?;
        let options = DownloadFromContainerOptionsBuilder::default().path(&path.display().to_string()).build();
        let pieces = engine.docker.download_from_container(&machine.profile.name, Some(options));
        let pieces: Result<Vec<_>, _> = pieces.try_collect().await;
        let Some(pieces) = found(pieces, "cannot read a file of the node")? else { return Ok(None) };
        first_file(&pieces.concat()).map_err(Error::io("cannot read a file of the node"))
    }

    fn enter(&self, machine: &Machine, argv: &[String]) -> Result<Command, Error> {
        let mut command = Command::new(&machine.executable);
        if let Some(socket) = self.is_podman.then(|| Surroundings::of_process().podman_socket().ok()).flatten() {
            command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        }
        command.args(["docker-enter", &machine.profile.name, "--"]).args(argv);
        Ok(command)
    }
}

/// The node's container, if there is one; an error if somebody else has its name.
async fn inspect(engine: &Engine, machine: &Machine) -> Result<Option<ContainerInspectResponse>, Error> {
    let name = &machine.profile.name;
    let there = engine.docker.inspect_container(name, None::<InspectContainerOptions>).await;
    let there = found(there, "cannot look for the node's container")?;
    let labels = there.as_ref().and_then(|there| there.config.as_ref()?.labels.as_ref());
    if there.is_some() && !is_ours(labels, machine) {
        return Err(Error::Taken { what: "container", name: name.clone() });
    }
    Ok(there)
}

/// The same, after the engine has seen the end of a first process that was killed.
async fn settled(engine: &Engine, machine: &Machine) -> Result<Option<ContainerInspectResponse>, Error> {
    let there = inspect(engine, machine).await?;
    let pid = there.as_ref().map_or(0, |there| state_of(there).pid());
    if !process::is_ending(pid) {
        return Ok(there);
    }
    process::ended(pid).await;
    let seen = engine.docker.wait_container(&machine.profile.name, None::<WaitContainerOptions>);
    // An end with an error is an end; one that does not come shows in what follows.
    tokio::time::timeout(SETTLE, seen.try_collect::<Vec<_>>()).await.ok();
    inspect(engine, machine).await
}

fn state_of(there: &ContainerInspectResponse) -> MachineState {
    let Some(state) = &there.state else { return MachineState::Unknown };
    let pid = state.pid.unwrap_or_default() as u32;
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => MachineState::Running { pid },
        Some(ContainerStateStatusEnum::PAUSED) => MachineState::Paused { pid },
        Some(ContainerStateStatusEnum::CREATED) => MachineState::Stopped,
        // PID 1 ends with 0 when it is asked to.
        _ if state.exit_code == Some(0) => MachineState::Stopped,
        _ => MachineState::Killed,
    }
}

fn is_running(there: &ContainerInspectResponse) -> bool {
    state_of(there).is_up()
}

fn used_image(there: &ContainerInspectResponse) -> String {
    there.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default()
}

/// Wakes a container whose processes somebody froze.
async fn thaw(engine: &Engine, machine: &Machine, there: &ContainerInspectResponse) -> Result<(), Error> {
    match state_of(there) {
        MachineState::Paused { .. } => {
            let woken = engine.docker.unpause_container(&machine.profile.name).await;
            woken.map_err(refused("cannot wake the node's container"))
        }
        _ => Ok(()),
    }
}

/// What is told of a container that is in no network of ours.
const APART: &str = "its container was taken out of its network by somebody else; `coracle start` joins it again";
/// What is told of a machine without a container and a volume.
const EMPTIED: &str = "its container and its volume were removed by somebody else, and all objects with them; `coracle start` \
    makes an empty cluster";

/// Whether a container is in the node's network.
fn is_joined(there: &ContainerInspectResponse, machine: &Machine) -> bool {
    let networks = there.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    networks.is_none_or(|networks| networks.contains_key(&machine.profile.name))
}

/// Brings a container back into the node's network that somebody took out of it.
async fn join(engine: &Engine, machine: &Machine, there: &ContainerInspectResponse) -> Result<(), Error> {
    if is_joined(there, machine) {
        return Ok(());
    }
    network::ensure(engine, machine).await?;
    network::join(engine, machine).await
}

/// Makes the container run, made again if it is not what is wanted now. Its state is in the volume, so nothing is lost.
async fn run(
    engine: &Engine,
    machine: &Machine,
    there: Option<ContainerInspectResponse>,
    image: &str,
    say: Say<'_>,
) -> Result<(), Error> {
    let name = &machine.profile.name;
    let specification = Specification::new(engine, machine, image)?;
    let labels = there.as_ref().and_then(|there| there.config.as_ref()?.labels.as_ref());
    let made_from = labels.and_then(|labels| labels.get(LABEL_SPECIFICATION));
    if made_from != Some(&specification.checksum()) {
        let (engine, machine) = (engine.clone(), machine.clone());
        let make = async move {
            network::remove_container(&engine, &machine.profile.name).await?;
            network::ensure(&engine, &machine).await?;
            ensure_volume(&engine, &machine).await?;
            container::create(&engine, specification).await
        };
        to_its_end(make).await?;
    } else if let Some(there) = &there {
        join(engine, machine, there).await?;
    }
    upload(engine, machine).await?;
    say("starting the node's container");
    let started = engine.docker.start_container(name, None::<StartContainerOptions>).await;
    if let Err(refusal) = started {
        // A container that never ran would be taken for one that stopped.
        network::remove_container(engine, name).await?;
        // Without the note it would be somebody else who removed it. It tells nothing that is worth another error.
        std::fs::write(taken_back(machine), "").ok();
        return Err(container::explain("cannot start the node's container")(refusal));
    }
    // It is there only after a start that failed.
    std::fs::remove_file(taken_back(machine)).ok();
    Ok(())
}

/// A note that a start which failed took the container back itself.
fn taken_back(machine: &Machine) -> PathBuf {
    machine.folder.join("container-taken-back")
}

async fn ensure_volume(engine: &Engine, machine: &Machine) -> Result<(), Error> {
    let name = &machine.profile.name;
    let there = found(engine.docker.inspect_volume(name).await, "cannot look for the node's volume")?;
    match there {
        Some(there) if is_ours(Some(&there.labels), machine) => Ok(()),
        Some(_) => Err(Error::Taken { what: "volume", name: name.clone() }),
        None => {
            let request = VolumeCreateRequest {
                name: Some(name.clone()),
                labels: Some(labels(name, &machine.mark(), [])),
                ..VolumeCreateRequest::default()
            };
            engine.docker.create_volume(request).await.map(drop).map_err(refused("cannot make the node's volume"))
        }
    }
}

/// Folders below `/var` that commands of this machine use in place, as the native driver's node has them.
const SHOWN: &[&str] = &["log", "lib/coracle/images", "lib/coracle/store", "lib/coracle/volumes"];

/// Leads this machine's view of the node to the volume. Only root may look there; others are told so by the kernel.
async fn link_folders(engine: &Engine, machine: &Machine) -> Result<(), Error> {
    let cannot = "cannot lead to the node's folders";
    let volume = found(engine.docker.inspect_volume(&machine.profile.name).await, "cannot look for the node's volume")?;
    let Some(volume) = volume else { return Ok(()) };
    for folder in SHOWN {
        let (target, link) = (Path::new(&volume.mountpoint).join(folder), machine.root.join("var").join(folder));
        if std::fs::read_link(&link).is_ok_and(|there| there == target) {
            continue;
        }
        std::fs::create_dir_all(link.parent().unwrap_or(&machine.root)).map_err(Error::io(cannot))?;
        match std::fs::symlink_metadata(&link) {
            Ok(there) if there.is_symlink() => std::fs::remove_file(&link).map_err(Error::io(cannot))?,
            // A folder with something in it is not ours to empty.
            Ok(_) if std::fs::remove_dir(&link).is_err() => continue,
            Ok(_) => {}
            Err(_) => {}
        }
        std::os::unix::fs::symlink(&target, &link).map_err(Error::io(cannot))?;
    }
    Ok(())
}

/// Removes the volume. Somebody else's stays.
async fn remove_volume(engine: &Engine, machine: &Machine) -> Result<(), Error> {
    let name = &machine.profile.name;
    match found(engine.docker.inspect_volume(name).await, "cannot look for the node's volume")? {
        Some(there) if is_ours(Some(&there.labels), machine) => {
            let removed = engine.docker.remove_volume(name, None::<RemoveVolumeOptions>).await;
            gone(removed, "cannot remove the node's volume")
        }
        _ => Ok(()),
    }
}

/// Puts into the container what the command line made for the node: certificates, the profile and the resolvers.
async fn upload(engine: &Engine, machine: &Machine) -> Result<(), Error> {
    let archive = files(machine).map_err(Error::io("cannot gather the node's files"))?;
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    let body = bollard::body_full(archive.into());
    let sent = engine.docker.upload_to_container(&machine.profile.name, Some(options), body).await;
    sent.map_err(refused("cannot copy the node's files into its container"))
}

fn files(machine: &Machine) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &Path, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(0);
        builder.append_data(&mut header, relative(path), content)
    };
    let inside = NodePaths::default();
    add(&inside.profile(), &serde_json::to_vec_pretty(&machine.profile)?)?;
    add(Path::new(inside::RESOLVERS), resolvers::of_this_machine().as_bytes())?;
    for entry in std::fs::read_dir(NodePaths::new(&machine.root).pki())? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            add(&inside.pki().join(entry.file_name()), &std::fs::read(entry.path())?)?;
        }
    }
    let trust = NodePaths::new(&machine.root).trust();
    if trust.exists() {
        builder.append_dir_all(relative(&inside.trust()), trust)?;
    }
    builder.follow_symlinks(false);
    for entry in disk::entries(&machine.files)? {
        add_files(&mut builder, &entry.path(), Path::new(&entry.file_name()))?;
    }
    builder.into_inner()
}

/// Adds a file or folder of the user's, but for what the machine's own folders stand over in the node: those are read-only, and
/// certificates among it come another way.
fn add_files(builder: &mut tar::Builder<Vec<u8>>, from: &Path, to: &Path) -> io::Result<()> {
    if etc::is_hidden(to) {
        return Ok(());
    }
    if !std::fs::symlink_metadata(from)?.is_dir() {
        return builder.append_path_with_name(from, to);
    }
    builder.append_dir(to, from)?;
    for entry in disk::entries(from)? {
        add_files(builder, &entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The first file of an archive.
fn first_file(archive: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(Some(content));
        }
    }
    Ok(None)
}

/// "It does so already" (304) is no refusal.
fn unless_unchanged(answer: Result<(), bollard::errors::Error>) -> Result<(), bollard::errors::Error> {
    match answer {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}

/// Removes the images that this driver made and no container uses.
pub async fn remove_images() {
    // Where no engine answers there is none to remove.
    if let Ok(engine) = Engine::connect().await {
        image::remove_all(&engine).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ContainerState;

    fn container(status: ContainerStateStatusEnum, code: i64) -> ContainerInspectResponse {
        let state =
            ContainerState { status: Some(status), exit_code: Some(code), pid: Some(7), ..ContainerState::default() };
        ContainerInspectResponse { state: Some(state), ..ContainerInspectResponse::default() }
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_done_before_the_next() {
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (done, mut is_done) = tokio::sync::oneshot::channel();
        let work = to_its_end(async move {
            gone.await.ok();
            done.send(()).ok();
            Ok(())
        });
        let mut work = Box::pin(work);
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        go.send(()).unwrap();
        drop(TURN.lock().await);
        assert!(is_done.try_recv().is_ok());
    }

    #[test]
    fn a_container_that_was_stopped_killed_or_frozen_is_told_apart() {
        let state = |status, code| state_of(&container(status, code));
        assert_eq!(state(ContainerStateStatusEnum::RUNNING, 0), MachineState::Running { pid: 7 });
        assert_eq!(state(ContainerStateStatusEnum::PAUSED, 0), MachineState::Paused { pid: 7 });
        assert_eq!(state(ContainerStateStatusEnum::EXITED, 0), MachineState::Stopped);
        assert_eq!(state(ContainerStateStatusEnum::EXITED, 137), MachineState::Killed);
    }
}
