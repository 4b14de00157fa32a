//! Stand-ins for tests: a runtime whose containers are entries of a list, an API server that keeps objects in a map,
//! images and links.

use super::agent::{self, Setup};
use super::border::{Credentials, Failure, Image, ImageConfig, ImageError, Images, Links};
use super::context::Node;
use super::machine::Machine;
use crate::base::Jumps;
use crate::client::Client;
use crate::config::{NodePaths, Wanted};
use crate::runtime::*;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// A pod of the node `coracle` with this specification.
pub fn pod(mut spec: Value) -> Pod {
    spec["nodeName"] = json!("coracle");
    let value = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "uid": "u1", "generation": 1}, "spec": spec});
    serde_json::from_value(value).unwrap()
}

pub fn machine() -> Machine {
    let mut machine = Machine::look(Path::new("/"));
    machine.may_lower_oom_score = true;
    machine
}

pub fn running() -> State {
    State::Running { started_at: Timestamp::UNIX_EPOCH, pid: 1 }
}

pub fn exited(exit_code: i32) -> State {
    let (started_at, finished_at) = (Some(Timestamp::now()), Timestamp::now());
    State::Exited { started_at, finished_at, exit_code, signal: 0, oom_killed: false, message: String::new() }
}

pub fn sandbox(id: &str, attempt: u32) -> Sandbox {
    let spec = SandboxSpec {
        name: "p".into(),
        namespace: "default".into(),
        uid: "u1".into(),
        attempt,
        hostname: "p".into(),
        host_network: false,
        host_pid: false,
        host_ipc: false,
        share_pid: false,
        sysctls: BTreeMap::new(),
        cgroup: String::new(),
        resources: Resources::default(),
        log_directory: PathBuf::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
    };
    Sandbox {
        id: id.into(),
        spec,
        ready: true,
        created_at: Timestamp::UNIX_EPOCH,
        network_namespace: Some("/ns".into()),
    }
}

pub fn container(name: &str, attempt: u32, state: State) -> Container {
    let spec = ContainerSpec {
        name: name.into(),
        attempt,
        image: "sha256:1".into(),
        image_reference: "i".into(),
        argv: vec!["/bin/x".into()],
        working_directory: "/".into(),
        env: vec![],
        mounts: vec![],
        devices: vec![],
        user: User::default(),
        security: Security::default(),
        resources: Resources::default(),
        log_path: PathBuf::from("0.log"),
        stdin: false,
        stdin_once: false,
        target_container: None,
        tty: false,
        stop_signal: "SIGTERM".into(),
        labels: BTreeMap::from([("io.kubernetes.pod.uid".into(), "u1".into())]),
        annotations: BTreeMap::new(),
    };
    Container { id: format!("{name}{attempt}"), sandbox: "s0".into(), spec, state, created_at: Timestamp::UNIX_EPOCH }
}

#[derive(Default)]
struct Things {
    sandboxes: Vec<Sandbox>,
    containers: Vec<Container>,
    /// What was asked for, in order.
    calls: Vec<String>,
    made: usize,
}

/// A runtime whose containers run until a test ends them.
#[derive(Clone)]
pub struct FakeRuntime {
    things: Arc<Mutex<Things>>,
    events: broadcast::Sender<Event>,
    /// What every port of every sandbox leads to.
    ports: Option<SocketAddr>,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self { things: Arc::default(), events: broadcast::channel(1000).0, ports: None }
    }
}

impl FakeRuntime {
    /// A runtime whose sandboxes listen on every port.
    pub fn listening(address: SocketAddr) -> Self {
        Self { ports: Some(address), ..Self::default() }
    }

    /// What was asked for, in order.
    pub fn calls(&self) -> Vec<String> {
        self.things.lock().calls.clone()
    }

    /// The newest container of this name.
    pub fn newest(&self, name: &str) -> Option<Container> {
        self.things.lock().containers.iter().rev().find(|one| one.spec.name == name).cloned()
    }

    /// Ends the newest container of this name.
    pub fn exit(&self, name: &str, code: i32) {
        let id = self.newest(name).unwrap().id;
        self.set(&id, exited(code));
    }

    fn set(&self, id: &str, state: State) {
        let mut things = self.things.lock();
        let Some(container) = things.containers.iter_mut().find(|one| one.id == id) else { return };
        container.state = state;
        let event = Event::Container(container.clone());
        drop(things);
        self.events.send(event).ok();
    }

    fn call(&self, words: String) {
        self.things.lock().calls.push(words);
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn run_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox, Error> {
        let mut made = sandbox(&format!("s{}", spec.attempt), spec.attempt);
        made.spec = spec;
        self.call(format!("sandbox {}", made.id));
        self.things.lock().sandboxes.push(made.clone());
        Ok(made)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        self.call(format!("stop sandbox {id}"));
        self.things.lock().sandboxes.iter_mut().filter(|one| one.id == id).for_each(|one| one.ready = false);
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        self.call(format!("remove sandbox {id}"));
        let mut things = self.things.lock();
        things.sandboxes.retain(|one| one.id != id);
        things.containers.retain(|one| one.sandbox != id);
        Ok(())
    }

    async fn list(&self) -> Result<(Vec<Sandbox>, Vec<Container>), Error> {
        let things = self.things.lock();
        Ok((things.sandboxes.clone(), things.containers.clone()))
    }

    async fn create_container(&self, sandbox: &str, spec: ContainerSpec) -> Result<Container, Error> {
        let mut things = self.things.lock();
        things.made += 1;
        let made = Container {
            id: format!("c{}", things.made),
            sandbox: sandbox.into(),
            spec,
            state: State::Created,
            created_at: Timestamp::now(),
        };
        things.calls.push(format!("create {}/{}", made.spec.name, made.spec.attempt));
        things.containers.push(made.clone());
        Ok(made)
    }

    async fn start_container(&self, id: &str) -> Result<(), Error> {
        self.set(id, State::Running { started_at: Timestamp::now(), pid: 1 });
        Ok(())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error> {
        let name = self.container(id).await?.spec.name;
        self.call(format!("stop {name} {}s", grace.as_secs()));
        self.set(id, exited(143));
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<(), Error> {
        self.things.lock().containers.retain(|one| one.id != id);
        Ok(())
    }

    async fn container(&self, id: &str) -> Result<Container, Error> {
        let things = self.things.lock();
        things.containers.iter().find(|one| one.id == id).cloned().ok_or_else(|| Error::NotFound(id.into()))
    }

    async fn update_container(&self, id: &str, resources: Resources) -> Result<(), Error> {
        let mut things = self.things.lock();
        let found = things.containers.iter_mut().find(|one| one.id == id).ok_or_else(|| Error::NotFound(id.into()))?;
        found.spec.resources = resources;
        Ok(())
    }

    async fn update_sandbox(&self, _: &str, _: Resources) -> Result<(), Error> {
        Ok(())
    }

    async fn events(&self) -> Result<BoxStream<'static, Event>, Error> {
        let receiver = self.events.subscribe();
        let events = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await.ok()?, receiver)) });
        Ok(events.boxed())
    }

    async fn exec(&self, id: &str, _: ExecSpec) -> Result<Session, Error> {
        Err(Error::NotRunning(id.into()))
    }

    async fn exec_sync(&self, id: &str, argv: Vec<String>, _: Duration) -> Result<ExecOutput, Error> {
        let name = self.container(id).await?.spec.name;
        self.call(format!("exec {name} {}", argv.join(" ")));
        Ok(ExecOutput { exit_code: i32::from(argv == ["false"]), ..ExecOutput::default() })
    }

    async fn attach(&self, id: &str, _: ExecSpec) -> Result<Session, Error> {
        Err(Error::NotRunning(id.into()))
    }

    async fn connect(&self, sandbox: &str, _: u16) -> Result<tokio::net::TcpStream, Error> {
        let address = self.ports.ok_or_else(|| Error::NotFound(sandbox.into()))?;
        tokio::net::TcpStream::connect(address).await.map_err(|error| Error::Other(error.to_string()))
    }

    async fn reopen_log(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn stats(&self, _: &str) -> Result<Stats, Error> {
        Ok(Stats::default())
    }
}

/// Every image is there but those called `missing…`.
pub struct FakeImages;

#[async_trait]
impl Images for FakeImages {
    async fn resolve(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        if reference.contains(' ') {
            return Err(ImageError::InvalidName("invalid reference format".into()));
        }
        let config = ImageConfig { entrypoint: vec!["/entry".into()], ..ImageConfig::default() };
        let image = Image { id: "sha256:1".into(), tags: vec![reference.into()], config, ..Image::default() };
        Ok((!reference.starts_with("missing")).then_some(image))
    }

    async fn pull(&self, reference: &str, _: &[Credentials]) -> Result<Image, ImageError> {
        self.resolve(reference).await?.ok_or_else(|| ImageError::Failed("no such registry".into()))
    }

    /// Images whose names begin so are their holders'.
    async fn may_use(&self, reference: &str, credentials: &[Credentials]) -> Result<bool, ImageError> {
        Ok(!reference.starts_with("private") || !credentials.is_empty())
    }

    async fn list(&self) -> Result<Vec<Image>, ImageError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &str) -> Result<(), ImageError> {
        Ok(())
    }

    async fn read_file(&self, _: &str, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let text = match path {
            "/etc/passwd" => "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n",
            "/etc/group" => "root:x:0:\nweb:x:102:\nlogs:x:55:web\n",
            _ => return Ok(None),
        };
        Ok(Some(text.into()))
    }

    fn registry(&self, _: &str) -> Result<String, ImageError> {
        Ok("docker.io".into())
    }
}

/// Every sandbox has the address 10.244.0.7.
pub struct FakeLinks;

#[async_trait]
impl Links for FakeLinks {
    async fn attach(&self, _: &str, _: &Path) -> Result<Vec<IpAddr>, Failure> {
        Ok(vec!["10.244.0.7".parse()?])
    }

    async fn detach(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// A node in a temporary folder, which lives as long as the second value.
pub fn node(api: &FakeApi, runtime: &FakeRuntime) -> (Node, tempfile::TempDir) {
    let (setup, folder) = setup(api, runtime);
    (agent::node(setup), folder)
}

pub fn setup(api: &FakeApi, runtime: &FakeRuntime) -> (Setup, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        client: api.client(),
        profile: Wanted::named("coracle").resolve(&[]).unwrap(),
        paths: NodePaths::new(folder.path()),
        runtime: Arc::new(runtime.clone()),
        images: Arc::new(FakeImages),
        links: Arc::new(FakeLinks),
        jumps: Jumps::of(watch::channel(()).1),
        parts: watch::channel(Vec::new()).1,
        listener: None,
    };
    (setup, folder)
}

struct Kept {
    /// By path, for example `/api/v1/namespaces/default/pods/p`.
    objects: BTreeMap<String, Value>,
    /// Paths and watch events; the position plus one is the version.
    log: Vec<(String, Value)>,
    changed: watch::Sender<usize>,
    /// Watches do not tell of patches, as when they were ahead of the patches' answers.
    is_quiet: bool,
}

impl Kept {
    fn note(&mut self, path: &str, kind: &str, object: &mut Value) {
        object["metadata"]["resourceVersion"] = json!((self.log.len() + 1).to_string());
        self.log.push((path.into(), json!({"type": kind, "object": object})));
        self.changed.send_replace(self.log.len());
    }
}

/// An API server that keeps objects, lists and watches them by path and `metadata.name`, and merges patches.
#[derive(Clone)]
pub struct FakeApi(Arc<Mutex<Kept>>);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Default for FakeApi {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept {
            objects: BTreeMap::new(),
            log: Vec::new(),
            changed: watch::channel(0).0,
            is_quiet: false,
        })))
    }
}

impl FakeApi {
    /// A client that talks to it.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.serve(request).await) }
        });
        Client::new(service, "default")
    }

    /// From now on watches do not tell of patches.
    pub fn be_quiet(&self) {
        self.0.lock().is_quiet = true;
    }

    /// The object at a path.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().objects.get(path).cloned()
    }

    /// Every object below a path.
    pub fn below(&self, path: &str) -> Vec<Value> {
        self.0.lock().objects.iter().filter(|(at, _)| at.starts_with(path)).map(|(_, one)| one.clone()).collect()
    }

    /// Makes or replaces an object.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut kept = self.0.lock();
        let kind = if kept.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        kept.note(path, kind, &mut object);
        kept.objects.insert(path.into(), object);
    }

    /// Takes an object away.
    pub fn delete(&self, path: &str) -> Option<Value> {
        let mut kept = self.0.lock();
        let mut object = kept.objects.remove(path)?;
        kept.note(path, "DELETED", &mut object);
        Some(object)
    }

    /// Waits until the object at a path is as wanted; nothing means that there is none.
    pub async fn until(&self, path: &str, mut is_met: impl FnMut(Option<&Value>) -> bool) {
        let mut changed = self.0.lock().changed.subscribe();
        let waiting = async {
            while !is_met(self.get(path).as_ref()) {
                changed.changed().await.unwrap();
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(1000), waiting).await;
        assert!(in_time.is_ok(), "{path} is {:#}", self.get(path).unwrap_or_default());
    }

    async fn serve(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default().to_string();
        let path = parts.uri.path().trim_end_matches("/status").to_string();
        let bytes = body.collect().await.unwrap().to_bytes();
        let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let name =
            query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D")).map(String::from);
        let of_list = move |at: &str, list: &str| {
            at.rsplit_once('/').is_some_and(|(parent, own)| {
                let same = match list.split_once("/api/v1/").filter(|(_, kind)| !kind.contains('/')) {
                    Some((_, kind)) => parent.ends_with(&format!("/{kind}")),
                    None => parent == list,
                };
                same && name.as_ref().is_none_or(|name| own == name)
            })
        };
        match parts.method.as_str() {
            "GET" if query.contains("watch=true") => {
                let since = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")?.parse().ok());
                let changed = self.0.lock().changed.subscribe();
                let first = (self.clone(), changed, since.unwrap_or(0usize));
                let lines = stream::unfold(first, move |(api, mut changed, mut position)| {
                    let (of_list, path) = (of_list.clone(), path.clone());
                    async move {
                        loop {
                            changed.wait_for(|length| *length > position).await.ok()?;
                            let (at, event) = api.0.lock().log[position].clone();
                            position += 1;
                            if of_list(&at, &path) {
                                let line = Bytes::from(format!("{event}\n"));
                                return Some((Ok(http_body::Frame::data(line)), (api, changed, position)));
                            }
                        }
                    }
                });
                Response::new(StreamBody::new(lines).boxed_unsync())
            }
            "GET" if query.contains("limit=") => {
                let kept = self.0.lock();
                let items: Vec<&Value> =
                    kept.objects.iter().filter(|(at, _)| of_list(at, &path)).map(|(_, one)| one).collect();
                whole(200, &json!({"metadata": {"resourceVersion": kept.log.len().to_string()}, "items": items}))
            }
            "GET" => self.get(&path).map_or_else(missing, |object| whole(200, &object)),
            "POST" => {
                let name = sent["metadata"]["name"].as_str().unwrap_or_default();
                let (path, mut made) = (format!("{path}/{name}"), sent.clone());
                made["metadata"]["uid"] = json!(format!("uid of {name}"));
                self.put(&path, made);
                whole(201, &self.get(&path).unwrap())
            }
            "PATCH" => {
                let Some(mut object) = self.get(&path) else { return missing() };
                json_patch::merge(&mut object, &sent);
                if self.0.lock().is_quiet {
                    let mut kept = self.0.lock();
                    kept.objects.insert(path.clone(), object);
                    kept.changed.send_modify(|_| ());
                } else {
                    self.put(&path, object);
                }
                whole(200, &self.get(&path).unwrap())
            }
            "DELETE" => self.delete(&path).map_or_else(missing, |object| whole(200, &object)),
            _ => missing(),
        }
    }
}

fn missing() -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not found", "reason": "NotFound", "code": 404});
    whole(404, &status)
}

fn whole(code: u16, body: &Value) -> Answer {
    let body = http_body_util::Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}
