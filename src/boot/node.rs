//! The node agent joined to its neighbours: the image store, the pods' links and the container runtime.

use crate::base::{Jumps, Shutdown};
use crate::client::Client;
use crate::config::{NodePaths, Profile};
use crate::images::{self, Reference, Store};
use crate::net::{self, PodLinks};
use crate::node::border::Failure;
use crate::node::{self, Credentials, Image, ImageConfig, ImageError, Images, Links, Setup};
use crate::runtime::{self, Runtime};
use async_trait::async_trait;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Where every node has this executable.
const EXECUTABLE: &str = "/coracle";

/// Why the node agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the image store cannot be used")]
    Images(#[from] images::Error),
    #[error("the pod network cannot be used")]
    Network(#[from] net::Error),
    #[error("the container runtime cannot be used")]
    Runtime(#[from] runtime::Error),
    #[error("the port of the node agent cannot be used")]
    Listen(#[source] std::io::Error),
    #[error("the node agent failed")]
    Agent(#[from] node::Error),
}

/// Runs the node agent until shutdown; `client` has the identity of the node, `parts` says who works in this process, and
/// `listener` is the agent's port where it was handed down.
pub async fn run(
    client: Client,
    listener: Option<TcpListener>,
    parts: watch::Receiver<Vec<String>>,
    profile: Profile,
    paths: NodePaths,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let listener = match listener {
        Some(listener) => listener,
        None => TcpListener::bind(("0.0.0.0", profile.agent_port)).map_err(Error::Listen)?,
    };
    let (store, links) = tokio::try_join!(image_store(&paths), async { Ok(PodLinks::new(&profile, &paths).await?) })?;
    let runtime = runtime::Supervised::new(paths.supervisor_socket());
    take_back(&links, &runtime).await;
    let setup = Setup {
        client,
        profile,
        paths,
        runtime: Arc::new(runtime),
        images: Arc::new(ImageStore(store)),
        links: Arc::new(PodNetwork(links)),
        jumps: Jumps::watch(),
        parts,
        listener: Some(listener),
    };
    Ok(node::run(setup, shutdown).await?)
}

/// Takes links and addresses back from sandboxes that ended while no server ran.
async fn take_back(links: &PodLinks, runtime: &impl Runtime) {
    let taken = async {
        let (sandboxes, _) = runtime.list().await?;
        let known: Vec<&str> = sandboxes.iter().map(|sandbox| sandbox.id.as_str()).collect();
        Ok::<_, Error>(links.retain(&known).await?)
    };
    if let Err(error) = taken.await {
        // They cost an address each until the next start; no pod is worse off.
        tracing::warn!(error = crate::base::causes::chain(&error), "what sandboxes left is still there");
    }
}

/// The store, with the images that every node has.
async fn image_store(paths: &NodePaths) -> Result<Store, Error> {
    let root = paths.images();
    let opened = blocking(move || {
        let store = Store::open(root)?;
        store.install_builtin(Path::new(EXECUTABLE), env!("CARGO_PKG_VERSION"))?;
        Ok(store)
    });
    Ok(opened.await?)
}

/// Files are read and locks are waited for beside the tasks that answer requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, images::Error> + Send + 'static,
) -> Result<T, images::Error> {
    // The work is never cancelled; a panic in it is a panic here.
    tokio::task::spawn_blocking(work).await.expect("work on images does not panic")
}

/// The image store as the agent sees it.
struct ImageStore(Store);

#[async_trait]
impl Images for ImageStore {
    async fn resolve(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let (store, reference) = (self.0.clone(), reference.to_string());
        let checked = reference.clone();
        let found = blocking(move || store.resolve(&reference)).await.map_err(|error| told(&error))?;
        if found.is_none() && !images::is_digest(&checked) {
            checked.parse::<Reference>().map_err(|error| told(&error))?;
        }
        Ok(found.map(image))
    }

    async fn pull(&self, reference: &str, credentials: &[Credentials]) -> Result<Image, ImageError> {
        let reference: Reference = reference.parse().map_err(|error| told(&error))?;
        let logins = logins(credentials);
        Ok(image(self.0.pull_for_pod(&reference, &logins).await.map_err(|error| told(&error))?))
    }

    async fn may_use(&self, reference: &str, credentials: &[Credentials]) -> Result<bool, ImageError> {
        let (store, reference, logins) = (self.0.clone(), reference.to_string(), logins(credentials));
        let found = blocking(move || Ok(store.resolve(&reference)?.map(|image| image.is_open(&reference, &logins))));
        Ok(found.await.map_err(|error| told(&error))?.unwrap_or(false))
    }

    async fn list(&self) -> Result<Vec<Image>, ImageError> {
        let store = self.0.clone();
        let all = blocking(move || store.list()).await.map_err(|error| told(&error))?;
        Ok(all.into_iter().map(image).collect())
    }

    async fn remove(&self, id: &str) -> Result<(), ImageError> {
        let (store, id) = (self.0.clone(), id.to_string());
        blocking(move || store.remove(&id)).await.map_err(|error| told(&error))
    }

    async fn read_file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let (store, id, path) = (self.0.clone(), id.to_string(), path.to_string());
        blocking(move || store.read_file(&id, &path)).await.map_err(|error| told(&error))
    }

    fn registry(&self, reference: &str) -> Result<String, ImageError> {
        let reference: Reference = reference.parse().map_err(|error| told(&error))?;
        Ok(reference.registry().to_string())
    }
}

fn logins(credentials: &[Credentials]) -> Vec<images::Login> {
    let login = |one: &Credentials| images::Login { username: one.username.clone(), password: one.password.clone() };
    credentials.iter().map(login).collect()
}

fn image(image: images::Image) -> Image {
    let config = image.config;
    Image {
        id: image.id,
        tags: image.repo_tags,
        digests: image.repo_digests,
        size: image.size,
        config: ImageConfig {
            entrypoint: config.entrypoint,
            command: config.cmd,
            env: config.env,
            user: config.user,
            working_directory: config.working_dir,
            stop_signal: config.stop_signal.unwrap_or_default(),
        },
    }
}

fn told(error: &images::Error) -> ImageError {
    match error {
        images::Error::Reference { problem, .. } => {
            ImageError::InvalidName(format!("couldn't parse image name: invalid reference format: {problem}"))
        }
        other => ImageError::Failed(crate::base::causes::chain(other)),
    }
}

/// The pod network as the agent sees it.
struct PodNetwork(PodLinks);

#[async_trait]
impl Links for PodNetwork {
    async fn attach(&self, sandbox: &str, namespace: &Path) -> Result<Vec<IpAddr>, Failure> {
        self.0.attach(sandbox, namespace).await.map_err(|error| crate::base::causes::chain(&error).into())
    }

    async fn detach(&self, sandbox: &str) -> Result<(), Failure> {
        self.0.detach(sandbox).await.map_err(|error| crate::base::causes::chain(&error).into())
    }
}
