//! A cluster of a test's own: started on demand, deleted when it goes out of scope.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A cluster that is deleted at the end, whatever happens.
pub struct Cluster {
    name: String,
    /// Of every command on it, beside what the process has.
    variables: Vec<(String, String)>,
    home: PathBuf,
    folder: tempfile::TempDir,
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// What it printed, if it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Most clusters of the tests are profiles of one home, as most users' are.
fn home() -> PathBuf {
    std::env::temp_dir().join(format!("coracle-tests-{}", std::process::id()))
}

impl Cluster {
    /// A cluster that is not started yet; nothing without root.
    pub fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: making a cluster needs root");
            return None;
        }
        Some(Self { name: name.into(), variables: Vec::new(), home: home(), folder: tempfile::tempdir().unwrap() })
    }

    /// The same, with an environment variable for every command on it.
    pub fn with_variable(mut self, name: &str, value: String) -> Self {
        self.variables.push((name.into(), value));
        self
    }

    /// The same, in a home of its own.
    pub fn at_home(mut self) -> Self {
        self.home = self.folder.path().join("home");
        self
    }

    /// A cluster that runs.
    pub fn started(name: &str) -> Option<Self> {
        let cluster = Self::new(name)?;
        cluster.coracle("start").ok();
        Some(cluster)
    }

    /// Runs `coracle` on this cluster, words split at blanks.
    pub fn coracle(&self, words: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        command.args(["-p", &self.name]).args(words.split_whitespace());
        self.run(&mut command)
    }

    /// Runs `coracle` on this cluster with variables of its own, words split at blanks.
    pub fn coracle_with(&self, variables: &[(&str, &str)], words: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        command.args(["-p", &self.name]).args(words.split_whitespace()).envs(variables.iter().copied());
        self.run(&mut command)
    }

    /// Runs a program in the surroundings of this cluster, words split at blanks.
    pub fn program(&self, program: &Path, words: &str) -> Said {
        self.run(Command::new(program).args(words.split_whitespace()))
    }

    /// The cluster's name, which is its context in the kubeconfig too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `kubectl` on this cluster, words split at blanks.
    pub fn kubectl(&self, words: &str) -> Said {
        self.kubectl_of(Path::new("kubectl"), words)
    }

    /// Runs one of several `kubectl` on this cluster, words split at blanks.
    pub fn kubectl_of(&self, program: &Path, words: &str) -> Said {
        let mut command = Command::new(program);
        // Clusters that follow each other have the same address, and kubectl remembers by it which kinds a server has.
        command.arg(format!("--cache-dir={}", self.folder.path().join("kubectl").display()));
        command.args(["--context", &self.name]).args(words.split_whitespace());
        self.run(&mut command)
    }

    /// Runs `kubectl` with a text as its standard input.
    pub fn kubectl_with(&self, words: &str, input: &str) -> Said {
        let file = self.folder.path().join("input.yaml");
        std::fs::write(&file, input).unwrap();
        self.kubectl(&format!("{words} -f {}", file.display()))
    }

    /// Runs `kubectl` with a script as its last word.
    pub fn kubectl_with_script(&self, words: &str, script: &str) -> Said {
        let mut command = Command::new("kubectl");
        command.args(["--context", &self.name]).args(words.split_whitespace()).arg(script);
        self.run(&mut command)
    }

    /// A folder of this test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig of this test.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Where the executable keeps this cluster.
    pub fn profile_folder(&self) -> PathBuf {
        self.home.join("profiles").join(&self.name)
    }

    /// PID 1 of the node as this machine numbers it.
    pub fn init(&self) -> i32 {
        let status: serde_json::Value = serde_json::from_str(&self.coracle("status -o json").out).unwrap();
        status["Pid"].as_i64().unwrap() as i32
    }

    /// Starts a command in the surroundings of this cluster; it is dropped once it runs, with its streams.
    pub fn spawn(&self, mut command: Command) -> std::process::Child {
        command.env("CORACLE_HOME", &self.home).env("KUBECONFIG", self.kubeconfig());
        command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Everything on this machine that carries this cluster's mark: links, packet rules, cgroups, mounts, processes.
    pub fn traces(&self) -> Vec<String> {
        let run = |program: &str, words: &[&str]| {
            let output = Command::new(program).args(words).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
        };
        let (rules, folder) = (format!("coracle-{}", self.mark()), format!("{}/", self.profile_folder().display()));
        let mut found: Vec<String> = Vec::new();
        let mentions = |text: String, word: &str| {
            text.lines().filter(|line| line.contains(word)).map(String::from).collect::<Vec<_>>()
        };
        found.extend(mentions(run("ip", &["-o", "link"]), &self.link()));
        found.extend(mentions(run("ip", &["route"]), &self.link()));
        found.extend(mentions(run("nft", &["list", "tables"]), &rules));
        found.extend(mentions(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), &folder));
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain(["/sys/fs/cgroup".into()]) {
            let folder = hierarchy.join(&rules);
            if folder.exists() {
                found.push(folder.display().to_string());
            }
        }
        found.extend(processes_in(&self.profile_folder()));
        found
    }

    /// Files of the deleted cluster and its words in the kubeconfig. Snapshots are kept, and are none of these.
    pub fn forgotten(&self) -> Vec<String> {
        let link = Path::new("/var/lib/coracle/profiles").join(self.mark());
        let folders = [self.profile_folder(), link];
        let mut found: Vec<String> =
            folders.iter().filter(|folder| folder.exists()).map(|folder| folder.display().to_string()).collect();
        let config = std::fs::read_to_string(self.kubeconfig()).unwrap_or_default();
        found.extend(config.lines().filter(|line| line.trim_end().ends_with(&self.name)).map(String::from));
        found
    }

    /// What the machine's link, packet rules and cgroups are called by.
    pub fn mark(&self) -> String {
        coracle::drivers::mark(&self.name, &self.profile_folder())
    }

    /// The host's end of the link to the node.
    pub fn link(&self) -> String {
        coracle::drivers::native::links::host_link(&self.mark())
    }

    fn run(&self, command: &mut Command) -> Said {
        command.envs(self.variables.iter().cloned());
        command.env("CORACLE_HOME", &self.home).env("KUBECONFIG", self.kubeconfig()).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.coracle("logs").out);
        }
        self.coracle("delete");
    }
}

/// The server below PID 1 of a node, if it runs at this moment.
pub fn server(init: i32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap_or_default();
    let is_server = |pid: &i32| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split('\0').nth(1) == Some("server")
    };
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_server)
}

/// Kills the server below PID 1 of a node; `false` if none runs at this moment.
pub fn kill_server(init: i32) -> bool {
    let Some(pid) = server(init).and_then(rustix::process::Pid::from_raw) else { return false };
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
}

/// A client with the administrator's rights.
pub async fn client(cluster: &Cluster) -> kube::Client {
    coracle::base::crypto::install();
    let config = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions { context: Some(cluster.name.clone()), ..Default::default() };
    kube::Client::try_from(kube::Config::from_custom_kubeconfig(config, &options).await.unwrap()).unwrap()
}

/// Every kubectl: the one on the path, those that stand beside it under names with a version, and those that
/// `CORACLE_TEST_KUBECTLS` names with a colon between.
pub fn kubectls() -> BTreeSet<PathBuf> {
    let listed = |name: &str| -> Vec<PathBuf> {
        std::env::var_os(name).iter().flat_map(std::env::split_paths).filter(|path| path.exists()).collect()
    };
    let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().starts_with("kubectl.");
    let mut all: BTreeSet<PathBuf> = listed("CORACLE_TEST_KUBECTLS").into_iter().collect();
    let found = listed("PATH").into_iter().map(|folder| folder.join("kubectl"));
    for file in found.filter_map(|file| file.canonicalize().ok()) {
        let beside = std::fs::read_dir(file.parent().unwrap()).unwrap().flatten().map(|entry| entry.path());
        all.extend(beside.filter(|path| named(path)));
        all.insert(file);
    }
    all
}

/// Waits for something that the world outside the API shows: packet rules, names, addresses, the kernel's processes. Nothing
/// tells a client when these change, so they are asked again, less often the longer it takes. What the API shows is waited for
/// by `kubectl wait` or a watch. Long, for machines that are busy.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let mut pause = std::time::Duration::from_millis(5);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it did not come about that {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(std::time::Duration::from_millis(500));
    }
}

/// Asks `ADDRESS:PORT` over plain HTTP until the answer holds a text.
#[track_caller]
pub fn get(address: &str, text: &str) {
    get_named(address, "test", text);
}

/// The same for a host name; returns the answer.
#[track_caller]
pub fn get_named(address: &str, host: &str, text: &str) -> String {
    use std::io::{Read, Write};
    let ask = || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let mut last = String::new();
    until(&format!("{address} answers {host} with {text}"), || {
        last = ask().unwrap_or_default();
        last.contains(text)
    });
    last
}

/// Waits until a file is written anew or gets its name, or a folder gets one; `seen` says whether it is there already.
#[track_caller]
pub fn until_changed(folder: &Path, what: &str, mut seen: impl FnMut() -> bool) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify;
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&changes, folder, events).unwrap();
    while !seen() {
        let patience = Timespec { tv_sec: 120, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&patience)).unwrap();
        assert!(ready > 0, "it did not come about that {what}");
        rustix::io::read(&changes, &mut [0u8; 4096]).unwrap();
    }
}

/// Kills a process. It may be there for a while: one whose children stand still is.
pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Processes whose command line names a folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let word = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&word)).collect()
}
