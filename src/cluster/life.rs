//! Start, stop and delete: lists of steps over one context, with undo in one place.

use super::{kubeconfig, neighbours, ready};
use crate::base::{Claim, Hint, disk};
use crate::config::{Home, NodePaths, Problem, Profile, Wanted};
use crate::drivers::native::process;
use crate::drivers::{self, Driver, Machine, MachineState, Say};
use crate::pki;
use base64::Engine;
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;

/// Why a step of a cluster's life failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for cannot be; every problem is in the text.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wanted(Vec<Problem>),
    /// There is no driver of that name.
    #[error("The driver '{name}' is not supported on {}/{}", std::env::consts::OS, architecture(), name = .0)]
    NoDriver(String),
    /// The driver cannot be used here.
    #[error("the driver `{driver}` cannot be used: {reason}")]
    Unusable { driver: String, id: &'static str, reason: String, fix: String },
    /// No driver can be used here; each says why, and what would make it usable.
    #[error("no driver can be used on this machine{}", .0.iter().map(|(name, health)| {
        format!("\n  {name}: {}\n    fix: {}", health.reason, health.fix)
    }).collect::<String>())]
    NoneUsable(Vec<(&'static str, drivers::Health)>),
    /// There is no profile of that name.
    #[error("there is no profile `{0}`")]
    NoProfile(String),
    /// There is one, and its file tells nothing: a power cut may have emptied it.
    #[error("cannot read the profile `{name}`")]
    Unreadable {
        name: String,
        #[source]
        source: io::Error,
    },
    /// Its profile has a layout that this executable does not know.
    #[error(
        "the profile was written by a newer coracle: it has layout {0}, and this coracle knows {known} at most",
        known = crate::config::profile::LAYOUT
    )]
    TooNew(u32),
    #[error(transparent)]
    Driver(#[from] drivers::Error),
    #[error("cannot make the cluster's certificates")]
    Pki(#[from] pki::Error),
    /// The node runs, but does not become ready.
    #[error("the cluster did not become ready: {0}")]
    NotReady(String),
    /// The node ran, and does no more.
    #[error("the node ended before the cluster was ready")]
    Ended,
    /// There is no room for what a cluster writes.
    #[error("the disk is full: {} MiB must be free at {}", super::status::LEAST_ROOM >> 20, .0.display())]
    Full(PathBuf),
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// The error with the one thing to do about it.
    pub fn with_hint(self, profile: &str) -> Hint {
        let hint = self.hint(profile, true);
        Hint::new(self, hint)
    }

    /// The one thing to do about it; `is_there` is whether the profile still is.
    pub fn hint(&self, profile: &str, is_there: bool) -> String {
        let text = crate::base::causes::chain(self).to_lowercase();
        let is_port_taken = ["address already in use", "address in use", "port is already allocated"];
        match self {
            _ if is_port_taken.iter().any(|words| text.contains(words)) => {
                format!("ss -tulnp tells who has that port; coracle start -p {profile} with another one")
            }
            Error::TooNew(_) => "coracle update".to_string(),
            Error::NoProfile(_) => format!("coracle start -p {profile}"),
            Error::Unreadable { name, source } if source.kind() != io::ErrorKind::PermissionDenied => {
                format!("coracle delete -p {name}")
            }
            Error::Driver(drivers::Error::NoEngine { fix, .. }) => fix.clone(),
            Error::Driver(drivers::Error::NotRunning) => format!("coracle start -p {profile}"),
            Error::NoDriver(_) => "coracle start --driver=native".to_string(),
            Error::Unusable { fix, .. } => fix.clone(),
            Error::NoneUsable(_) => "coracle doctor".to_string(),
            Error::Wanted(problems) if problems.iter().any(|one| one.what == "network") => {
                "coracle profile list".into()
            }
            Error::Wanted(problems) if problems.iter().any(|one| one.what.starts_with("snapshot")) => {
                format!("coracle snapshot save -p {profile} before-the-upgrade")
            }
            Error::Wanted(problems) if problems.iter().all(|problem| problem.needs_new_cluster) => {
                format!("coracle delete -p {profile}, and what is in it is gone; then coracle start -p {profile} again")
            }
            Error::Wanted(_) => "coracle start --help".to_string(),
            Error::Driver(drivers::Error::Taken { what, .. }) if what.starts_with("network") => {
                format!("ip address; then coracle start -p {profile} --subnet=NETWORK that nobody has")
            }
            Error::Driver(drivers::Error::Taken { .. }) => format!("coracle start -p {profile}-2"),
            Error::Full(_) => "make room there; coracle image ls and coracle delete of clusters may help".to_string(),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the disk is full: make room, and do it again".to_string()
            }
            _ if is_there => format!("coracle logs -p {profile}"),
            _ => format!("CORACLE_KEEP_FAILED=1 coracle start -p {profile} keeps it, for coracle logs -p {profile}"),
        }
    }
}

/// The machine's architecture as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What `start` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It ran already and nothing was changed.
    AlreadyRunning,
    /// It was there and stopped.
    Again,
    /// It is new.
    New,
}

/// One cluster of this machine, there or not.
pub struct Cluster {
    pub home: Home,
    pub profile: Profile,
    pub driver: &'static dyn Driver,
    /// Keeps the addresses of a new cluster from other starts, until it has them.
    _claim: Option<Claim>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster of a profile that exists.
    pub fn open(home: &Home, name: &str) -> Result<Self, Error> {
        let profile = load(home, name)?.ok_or_else(|| Error::NoProfile(name.into()))?;
        Self::new(home, profile)
    }

    /// Names the driver of a cluster that is new where nobody did (or said `auto`): the first that can be used here.
    pub async fn choose_driver(home: &Home, wanted: &Wanted) -> Result<Wanted, Error> {
        let mut wanted = wanted.clone();
        let named = wanted.settings.get("driver").and_then(|value| value.first());
        if named.is_some_and(|name| name != "auto") {
            return Ok(wanted);
        }
        wanted.settings.remove("driver");
        if load(home, &wanted.name)?.is_none() {
            let probes = drivers::probe_all().await;
            match probes.iter().find(|(_, health)| health.usable) {
                Some((name, _)) => wanted.set("driver", vec![name.to_string()]),
                None => return Err(Error::NoneUsable(probes)),
            }
        }
        Ok(wanted)
    }

    /// The cluster of a profile that exists, or a new one as wanted; `true` if it is new. A new profile is written at once,
    /// under a lock, so that two starts at the same time choose different addresses.
    pub fn open_or_new(home: &Home, wanted: &Wanted) -> Result<(Self, bool), Error> {
        let _lock = lock(home).map_err(Error::io("cannot lock the profiles"))?;
        match Self::open(home, &wanted.name) {
            Err(Error::NoProfile(_)) => {
                // One that cannot be read is nobody's hindrance; while it runs, its addresses are seen to be in use.
                let others = [readable_profiles(home), neighbours::profiles()].concat();
                let (profile, claim) = with_claim(&others, wanted)?;
                let cluster = Self { _claim: claim, ..Self::new(home, profile)? };
                cluster.home.save(&cluster.profile).map_err(Error::io("cannot write the profile"))?;
                cluster.announce();
                Ok((cluster, true))
            }
            opened => Ok((opened?, false)),
        }
    }

    fn new(home: &Home, profile: Profile) -> Result<Self, Error> {
        let driver = drivers::find(&profile.driver).ok_or_else(|| Error::NoDriver(profile.driver.clone()))?;
        Ok(Self { home: home.clone(), profile, driver, _claim: None })
    }

    /// The cluster that a profile would make; nothing is written.
    pub fn unsaved(home: &Home, profile: Profile) -> Result<Self, Error> {
        Self::new(home, profile)
    }

    /// Whether the node's processes are there; one that cannot be asked is not.
    pub async fn is_up(&self) -> bool {
        self.state().await.is_ok_and(MachineState::is_up)
    }

    /// Whether the node runs.
    pub async fn state(&self) -> Result<MachineState, Error> {
        Ok(self.driver.state(&self.machine()?).await)
    }

    /// Whether the node runs, so that a start has nothing to make and nothing to take back.
    pub async fn runs(&self) -> Result<bool, Error> {
        Ok(matches!(self.state().await?, MachineState::Running { .. }))
    }

    /// What somebody did to the node's machine that its state does not tell.
    pub async fn trouble(&self) -> Result<Option<&'static str>, Error> {
        Ok(self.driver.trouble(&self.machine()?).await)
    }

    /// See [`Machine::mark`].
    pub(super) fn mark(&self) -> String {
        drivers::mark(&self.profile.name, &self.home.profile_folder(&self.profile.name))
    }

    /// What the driver is given.
    pub fn machine(&self) -> Result<Machine, Error> {
        Ok(Machine {
            profile: self.profile.clone(),
            root: self.home.node_root(&self.profile.name),
            folder: self.home.profile_folder(&self.profile.name),
            cache: self.home.root().join("cache"),
            files: self.home.files(),
            executable: std::env::current_exe().map_err(Error::io("cannot find this executable"))?,
        })
    }

    /// The node's folders as this machine sees them.
    pub fn paths(&self) -> NodePaths {
        NodePaths::new(self.home.node_root(&self.profile.name))
    }

    /// `https://ADDRESS:PORT` of the API server.
    pub fn server_url(&self) -> String {
        format!("https://{}:{}", self.profile.network.node_address, self.profile.api_port)
    }

    /// Starts the cluster; when it returns, the node is Ready, DNS answers and the default service account is there. One that
    /// fails, of a node that did not run, is to be taken back with [`Self::undo`], once nobody has to look at it.
    pub async fn start(&self, is_new: bool, say: Say<'_>) -> Result<Started, Error> {
        self.let_go().await?;
        if self.runs().await? {
            match self.heal(say).await {
                // It was about to end when it was looked at.
                Err(Error::Ended) => {}
                healed => return healed.map(|()| Started::AlreadyRunning),
            }
        }
        let mut result = self.start_steps(say).await;
        // What does not become ready on a disk that filled up meanwhile does not for that reason.
        if matches!(result, Err(Error::NotReady(_))) && !super::status::has_room(self) {
            result = Err(self.full());
        }
        result.map(|()| if is_new { Started::New } else { Started::Again })
    }

    /// Makes again what somebody took away beside a node that runs: its link, its routes, its forwarder,
    /// its words in the kubeconfig. A paused one goes on.
    async fn heal(&self, say: Say<'_>) -> Result<(), Error> {
        self.driver.start(&self.machine()?, say).await?;
        if self.unpause()? {
            say("letting go on what was paused");
        }
        self.refresh_surroundings(say).await?;
        // One that was made to run again by its engine, or just now, needs a moment.
        self.wait().await?;
        if !self.has_forwarder() {
            self.restart_forwarder().await?;
        }
        let is_known = kubeconfig::points_at(&kubeconfig::path(), &self.profile.name, &self.server_url());
        if self.profile.kubernetes && !matches!(is_known, Ok(Some(true))) {
            say("writing the cluster into the kubeconfig again");
            self.write_context()?;
        }
        Ok(())
    }

    fn full(&self) -> Error {
        Error::Full(self.home.profile_folder(&self.profile.name))
    }

    async fn start_steps(&self, say: Say<'_>) -> Result<(), Error> {
        self.check_driver().await?;
        if !super::status::has_room(self) {
            return Err(self.full());
        }
        self.announce();
        self.forget_pause();
        self.forget_mounts();
        say("preparing the node");
        if self.make_certificates()?.expired {
            say("certificates had expired and were made anew");
        }
        self.hand_over_trust(say)?;
        say("starting the node");
        // One of a node that ended has ports that an engine may publish itself now.
        self.end_forwarder();
        self.driver.start(&self.machine()?, say).await?;
        say("waiting for the cluster");
        self.wait().await?;
        for mount in &self.profile.mounts {
            self.mount_at_start(mount).await?;
        }
        self.restart_forwarder().await?;
        self.write_context()
    }

    /// Waits until everything is there that `start` promises, or the node has ended.
    async fn wait(&self) -> Result<(), Error> {
        let context = self.context()?;
        let state = self.state().await?;
        let ended = async {
            match state {
                MachineState::Stopped | MachineState::Killed | MachineState::Missing => {}
                there if process::Stat::of(there.pid()).is_some() => process::end_of(there.pid()).await,
                // Its number is that of another namespace: the engine's socket was given into a container.
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = ready::wait(&context, &self.profile) => ready,
            () = ended => Err(Error::Ended),
        }
    }

    /// An engine mounts into its containers itself.
    async fn mount_at_start(&self, mount: &crate::config::values::Mount) -> Result<(), Error> {
        if self.profile.driver == "native" { self.mount(mount).await } else { Ok(()) }
    }

    /// Takes back a start that did not end well; a cluster that was there before stays, stopped.
    pub async fn undo(&self, is_new: bool) {
        // What went wrong first is what is reported.
        self.end_forwarder();
        if let Ok(machine) = self.machine() {
            match is_new && std::env::var_os("CORACLE_KEEP_FAILED").is_none() {
                true => self.driver.delete(&machine).await.ok(),
                false => self.driver.stop(&machine).await.ok(),
            };
        }
        if is_new && std::env::var_os("CORACLE_KEEP_FAILED").is_none() {
            self.forget();
            // While the certificates are there that tell whose it is.
            self.remove_context().ok();
            disk::remove(&self.home.profile_folder(&self.profile.name)).ok();
        }
    }

    /// Takes this cluster out of the user's kubeconfig; one of another cluster of this name stays.
    fn remove_context(&self) -> Result<(), Error> {
        let path = kubeconfig::path();
        let authority = std::fs::read(self.paths().pki().join("ca.crt")).ok();
        let authority = authority.map(|text| base64::engine::general_purpose::STANDARD.encode(text));
        let own = kubeconfig::Own { server: self.server_url(), authority };
        let removed = kubeconfig::remove(&path, &self.profile.name, &own);
        removed.map_err(Error::io(format!("cannot write {}", path.display())))
    }

    /// Whether the driver can be used here; the error says why not.
    pub async fn check_driver(&self) -> Result<(), Error> {
        let health = self.driver.probe().await;
        if health.usable {
            return Ok(());
        }
        Err(Error::Unusable {
            driver: self.profile.driver.clone(),
            id: health.id,
            reason: health.reason,
            fix: health.fix,
        })
    }

    /// Makes certificates that are missing, old or for other names.
    pub(super) fn make_certificates(&self) -> Result<pki::Renewed, Error> {
        let names = pki::ClusterNames::of(&self.profile);
        Ok(pki::ensure_cluster_for(&self.paths().pki(), &names, pki::valid(&self.profile))?)
    }

    /// Makes the administrator's certificate anew when its end is near, and gives the user's kubeconfig that and the
    /// authority's that are in force, if it has this cluster. What is not there, or may not be read, is left.
    pub fn keep_admin(&self) {
        let (folder, names) = (self.paths().pki(), pki::ClusterNames::of(&self.profile));
        let path = kubeconfig::path();
        let read = |name: &str| std::fs::read(folder.join(name)).ok();
        let (Some(certificate), Some(authority)) = (read("admin.crt"), read("ca.crt")) else { return };
        let renewed = pki::ensure_admin(&folder, &names, pki::valid(&self.profile));
        let has = |text: &str, file| text.contains(&base64::engine::general_purpose::STANDARD.encode(file));
        let is_old = |text: String| !has(&text, &certificate) || !has(&text, &authority);
        if matches!(renewed, Ok(true)) || std::fs::read_to_string(&path).is_ok_and(is_old) {
            // A kubeconfig that cannot be written keeps the certificate that it has; `update-context` says why.
            self.context().ok().and_then(|context| kubeconfig::refresh(&path, &context).ok());
        }
    }

    /// What a kubeconfig says of this cluster.
    pub fn context(&self) -> Result<kubeconfig::Context, Error> {
        let encoded = |file: &str| {
            let path: PathBuf = self.paths().pki().join(file);
            let bytes = std::fs::read(&path).map_err(Error::io(format!("cannot read {}", path.display())))?;
            Ok::<_, Error>(base64::engine::general_purpose::STANDARD.encode(bytes))
        };
        Ok(kubeconfig::Context {
            name: self.profile.name.clone(),
            server: self.server_url(),
            authority: encoded("ca.crt")?,
            certificate: encoded("admin.crt")?,
            key: encoded("admin.key")?,
        })
    }

    /// A kubeconfig with this cluster alone, YAML.
    pub fn kubeconfig(&self) -> Result<String, Error> {
        kubeconfig::alone(&self.context()?).map_err(Error::io("cannot write a kubeconfig"))
    }

    /// Puts the context into the user's kubeconfig and makes it the current one. Without Kubernetes there is none.
    pub fn write_context(&self) -> Result<(), Error> {
        if !self.profile.kubernetes {
            return Ok(());
        }
        let path = kubeconfig::path();
        kubeconfig::merge(&path, &self.context()?).map_err(Error::io(format!("cannot write {}", path.display())))
    }

    /// Ends the node; objects, volumes and images stay. `false` if it did not run.
    pub async fn stop(&self) -> Result<bool, Error> {
        let ran = self.state().await?.is_up();
        self.end_beside().await?;
        self.driver.stop(&self.machine()?).await?;
        Ok(ran)
    }

    /// Ends what runs beside the node, and lets a paused one go on: only then can it end in order.
    async fn end_beside(&self) -> Result<(), Error> {
        self.let_go().await?;
        self.cancel_scheduled_stop();
        self.end_forwarder();
        self.forget_mounts();
        if self.unpause().is_err() {
            // Nothing of it runs any more, so nothing stands still.
            self.forget_pause();
        }
        Ok(())
    }

    /// Mounts that were made by hand end with the node.
    fn forget_mounts(&self) {
        // It is there only after a mount.
        std::fs::remove_file(self.home.profile_folder(&self.profile.name).join("mounts.json")).ok();
    }

    /// Ends the node and removes everything of it but its snapshots, which are there to outlive it. Where its engine is gone,
    /// what that one has of it may be left, and the error of the engine is returned beside success.
    pub async fn delete(&self) -> Result<Option<drivers::Error>, Error> {
        self.end_beside().await?;
        let left = match self.driver.delete(&self.machine()?).await {
            Ok(()) => None,
            Err(error) if is_gone(&error) => Some(error),
            Err(error) => return Err(error.into()),
        };
        self.forget();
        // While the certificates are there that tell whose it is.
        let forgotten = self.remove_context();
        let folder = self.home.profile_folder(&self.profile.name);
        disk::remove(&folder).map_err(Error::io(format!("cannot remove {}", folder.display())))?;
        forgotten?;
        let beside = self.home.failed_start(&self.profile.name);
        if beside.exists() {
            disk::remove(&beside).map_err(Error::io(format!("cannot remove {}", beside.display())))?;
        }
        if self.home.active() == self.profile.name {
            // Without the file the default profile is the active one.
            std::fs::remove_file(self.home.active_file()).ok();
        }
        Ok(left)
    }
}

/// Whether an error tells that there is no engine. One that is there and may not be asked is no reason to forget a node that
/// runs in it.
fn is_gone(error: &drivers::Error) -> bool {
    matches!(error, drivers::Error::NoEngine { id, .. } if id.ends_with("_NOT_RUNNING") || id.ends_with("_NOT_FOUND"))
}

/// Reads a profile, if there is one of that name.
fn load(home: &Home, name: &str) -> Result<Option<Profile>, Error> {
    home.load(name).map_err(|source| Error::Unreadable { name: name.into(), source })
}

/// Removes what is left of a profile that is gone itself, or cannot be read: its node's processes, its objects in an engine,
/// its folder. Tells what there was.
pub async fn sweep(home: &Home, name: &str) -> Result<Vec<String>, Error> {
    // What cannot be a profile's name never was one.
    let Ok(profile) = Wanted::named(name).resolve(&[]) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for driver in drivers::DRIVERS {
        let profile = Profile { driver: driver.name().into(), ..profile.clone() };
        let cluster = Cluster { home: home.clone(), profile, driver: *driver, _claim: None };
        found.extend(driver.sweep(&cluster.machine()?).await?.into_iter().map(String::from));
    }
    let folder = home.profile_folder(name);
    if folder.exists() {
        let cluster = Cluster { home: home.clone(), profile, driver: drivers::DRIVERS[0], _claim: None };
        cluster.cancel_scheduled_stop();
        cluster.end_forwarder();
        cluster.forget();
        let forgotten = cluster.remove_context();
        disk::remove(&folder).map_err(Error::io(format!("cannot remove {}", folder.display())))?;
        forgotten?;
        found.push(folder.display().to_string());
    }
    Ok(found)
}

/// Held while a profile is made; the kernel lets go of it with the file.
fn lock(home: &Home) -> io::Result<std::fs::File> {
    std::fs::create_dir_all(home.root())?;
    let file = std::fs::File::create(home.lock_file())?;
    file.lock()?;
    Ok(file)
}

/// A new profile with addresses that nobody has: no profile of this or another home, nothing on this machine, and no start
/// of another home at this moment.
fn with_claim(others: &[Profile], wanted: &Wanted) -> Result<(Profile, Option<Claim>), Error> {
    let claims = RefCell::new(Vec::new());
    let is_used = |address| {
        if drivers::is_own_address(address) {
            return true;
        }
        match Claim::of(&format!("coracle {address}")) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return true,
            // Where there are no claims, nobody else has any.
            claim => claims.borrow_mut().extend(claim),
        }
        false
    };
    let profile = wanted.resolve_beside(others, is_used).map_err(Error::Wanted)?;
    Ok((profile, claims.into_inner().pop()))
}

/// The profiles that can be read: one that cannot is no hindrance to others.
pub fn readable_profiles(home: &Home) -> Vec<Profile> {
    // What cannot be listed or read is somebody else's.
    let names = home.names().unwrap_or_default();
    names.iter().filter_map(|name| home.load(name).ok().flatten()).collect()
}
