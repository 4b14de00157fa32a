//! The process itself: its streams, who it is, what it may do, which program it is.

use super::files::Root;
use super::{Failed, words, write};
use crate::runtime::spec::User;
use crate::runtime::sys;
use rustix::fs::{Access, FileType, Gid, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// `/dev/pts` of any container (linux/magic.h: DEVPTS_SUPER_MAGIC).
const DEVPTS: u64 = 0x1cd1;
/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The descriptor that says to the parent what went wrong, while everything else is closed.
const STATUS: i32 = 3;

/// What to run and as whom.
#[derive(Clone, Debug)]
pub struct Process {
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub working_directory: String,
    pub user: User,
    pub capabilities: CapabilitySet,
    pub no_new_privileges: bool,
    pub filter: Option<Rc<Vec<libc::sock_filter>>>,
    /// As Kubernetes names them: empty, `unconfined`, `runtime/default`, `localhost/NAME`.
    pub apparmor_profile: String,
    pub oom_score_adj: i32,
    /// How many files it may open.
    pub files: Rlimit,
}

/// Where its streams lead.
pub enum Stdio {
    /// Nothing means `/dev/null`.
    Pipes { stdin: Option<OwnedFd>, stdout: Option<OwnedFd>, stderr: Option<OwnedFd> },
    /// A terminal of the container's own, of so many columns and rows.
    Terminal { size: Option<(u16, u16)> },
}

/// A terminal that was made inside the container.
pub struct Terminal {
    pub master: OwnedFd,
    /// Its other side.
    pub slave: OwnedFd,
}

impl Stdio {
    /// Makes them this process's standard streams; `null` is the node's, of which nothing is left open beside them.
    pub fn connect(&self, user: &User, null: OwnedFd) -> Result<Option<Terminal>, String> {
        // A session of its own: no signal of the supervisor's terminal, and a terminal of its own to control.
        rustix::process::setsid().ok();
        let failed = |error: io::Error| format!("cannot connect the streams: {}", words(&error));
        match self {
            Stdio::Pipes { stdin, stdout, stderr } => {
                for (end, number) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
                    if let Some(end) = end {
                        // Programs open /dev/stdout again by its path.
                        rustix::fs::fchown(end, Some(Uid::from_raw(user.uid)), None).ok();
                    }
                    sys::duplicate_to(end.as_ref().unwrap_or(&null), number).map_err(failed)?;
                }
                Ok(None)
            }
            Stdio::Terminal { size } => {
                let terminal =
                    open_terminal(user, *size).map_err(|error| format!("cannot make a terminal: {}", words(&error)))?;
                Ok(Some(terminal))
            }
        }
    }
}

fn open_terminal(user: &User, size: Option<(u16, u16)>) -> io::Result<Terminal> {
    let root = Root::open()?;
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = root.find(Path::new("/dev/pts/ptmx"), flags)?;
    // A container that put something else there gets none.
    if rustix::fs::fstatfs(&master)?.f_type as u64 != DEVPTS {
        return Err(io::Error::other("/dev/pts is not a file system of terminals"));
    }
    rustix::pty::unlockpt(&master)?;
    let slave =
        rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::fs::fchown(&slave, Some(Uid::from_raw(user.uid)), None)?;
    rustix::process::ioctl_tiocsctty(&slave)?;
    if let Some((columns, rows)) = size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size)?;
    }
    for number in 0..=2 {
        sys::duplicate_to(&slave, number)?;
    }
    Ok(Terminal { master, slave })
}

impl Process {
    /// Must be called while the node's `/proc` is there. Lowering the score needs a right that not every node has.
    pub fn adjust_oom_score(&self) -> Result<(), String> {
        let path = Path::new("/proc/self/oom_score_adj");
        let written = std::fs::write(path, self.oom_score_adj.to_string());
        match written {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            other => other.map_err(|error| format!("cannot set the oom score: {}", words(&error))),
        }
    }

    /// Becomes the program. Everything but the standard streams is closed.
    pub fn run(&self, status: &UnixStream) -> Result<std::convert::Infallible, Failed> {
        let root = Root::open().map_err(|error| format!("cannot open the root: {}", words(&error)))?;
        let env = self.environment(&root)?;
        drop(root);
        sys::duplicate_to(status, STATUS).map_err(|error| words(&error))?;
        sys::close_from(STATUS as u32 + 1);
        let status = UnixStream::from(sys::own(STATUS));
        let Err(why) = self.replace(&env);
        Err(Failed { why, status: Some(status) })
    }

    fn replace(&self, env: &[String]) -> Result<std::convert::Infallible, String> {
        sys::reset_signals();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        rustix::process::setrlimit(Resource::Nofile, self.files)
            .map_err(|error| format!("cannot limit open files: {}", words(&error.into())))?;
        self.confine()?;
        // As root first: the folder may be one that only root can enter, and a user's own may be closed to root.
        let entered = self.enter_working_directory();
        let refused = |what: &'static str| move |error: io::Error| format!("cannot {what}: {}", words(&error));
        if !self.no_new_privileges {
            // Without it, a filter takes a right that is about to be given up.
            self.install_filter()?;
        }
        self.change_user().map_err(refused("change the user"))?;
        if entered.is_err() {
            self.enter_working_directory()?;
        }
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(|error| refused("forbid new privileges")(error.into()))?;
            self.install_filter()?;
        }
        let program = self.program(env)?;
        let argv = strings(self.argv.iter().map(String::as_str))?;
        let path = CString::new(program.as_os_str().as_encoded_bytes()).map_err(|_| "the path has a NUL byte")?;
        let error = sys::exec(&path, &argv, &strings(env.iter().map(String::as_str))?);
        Err(format!("exec {}: {}", program.display(), words(&error)))
    }

    /// `NAME=value`, with the user's home when the image does not say.
    fn environment(&self, root: &Root) -> Result<Vec<String>, String> {
        let mut env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if self.env.iter().all(|(name, _)| name != "HOME") {
            let text = root.find(Path::new("/etc/passwd"), OFlags::RDONLY | OFlags::NONBLOCK).map(std::fs::File::from);
            // An image without users has no homes.
            let text = text.ok().and_then(|file| io::read_to_string(io::Read::take(file, 1 << 20)).ok());
            env.push(format!("HOME={}", home(&text.unwrap_or_default(), self.user.uid)));
        }
        Ok(env)
    }

    fn confine(&self) -> Result<(), String> {
        let Some(profile) = self.apparmor_profile.strip_prefix("localhost/") else { return Ok(()) };
        let attribute = ["/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"];
        let path = attribute.iter().map(Path::new).find(|path| path.exists()).unwrap_or(Path::new(attribute[1]));
        let refused = |why: String| format!("cannot apply AppArmor profile {profile}: {why}");
        // What a container has there must be the kernel's.
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty());
        match file.map_err(io::Error::from).and_then(super::files::is_of_proc) {
            Ok(true) => write(path, &format!("exec {profile}")).map_err(refused),
            Ok(false) => Err(refused("/proc is not the kernel's".into())),
            Err(error) => Err(refused(words(&error))),
        }
    }

    fn enter_working_directory(&self) -> Result<(), String> {
        let entered = Root::open().and_then(|root| {
            let folder = root.find(Path::new(&self.working_directory), OFlags::PATH | OFlags::DIRECTORY)?;
            Ok(rustix::process::fchdir(folder)?)
        });
        entered.map_err(|error| format!("chdir to cwd (\"{}\") failed: {}", self.working_directory, words(&error)))
    }

    fn install_filter(&self) -> Result<(), String> {
        let Some(filter) = &self.filter else { return Ok(()) };
        sys::install_filter(filter).map_err(|error| format!("cannot install the seccomp filter: {}", words(&error)))
    }

    /// Groups, user and capabilities; what is not in the set can never be gained again.
    fn change_user(&self) -> io::Result<()> {
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if !self.capabilities.contains(one) {
                match rustix::thread::remove_capability_from_bounding_set(one) {
                    // The kernel's last one has been passed.
                    Err(Errno::INVAL) => break,
                    other => other?,
                }
            }
        }
        let (uid, gid) = (Uid::from_raw(self.user.uid), Gid::from_raw(self.user.gid));
        let groups: Vec<Gid> = self.user.additional_gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
        rustix::thread::set_keep_capabilities(true)?;
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        rustix::thread::set_keep_capabilities(false)?;
        let known = rustix::thread::capabilities(None)?.permitted & self.capabilities;
        let sets = CapabilitySets { effective: known, permitted: known, inheritable: CapabilitySet::empty() };
        Ok(rustix::thread::set_capabilities(None, sets)?)
    }

    /// The file of `argv[0]`, looked for like a shell does and refused in the words that users know from Go's `os/exec`.
    fn program(&self, env: &[String]) -> Result<PathBuf, String> {
        let name = self.argv.first().map(String::as_str).unwrap_or_default();
        if name.contains('/') {
            let problem = executable(Path::new(name));
            return match problem {
                Ok(()) => Ok(PathBuf::from(name)),
                Err(why) if why == "no such file or directory" => Err(format!("exec: \"{name}\": stat {name}: {why}")),
                Err(why) => Err(format!("exec: \"{name}\": {why}")),
            };
        }
        let folders = env.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(PATH);
        let mut found = folders.split(':').map(|folder| if folder.is_empty() { "." } else { folder });
        let found = found.find_map(|folder| {
            let path = Path::new(folder).join(name);
            (!name.is_empty() && executable(&path).is_ok()).then_some(path)
        });
        found.ok_or_else(|| format!("exec: \"{name}\": executable file not found in $PATH"))
    }
}

/// Whether this process may run a file, or why not.
fn executable(path: &Path) -> Result<(), String> {
    let word = |error: Errno| words(&error.into());
    let stat = rustix::fs::stat(path).map_err(word)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err("is a directory".into());
    }
    rustix::fs::access(path, Access::EXEC_OK).map_err(word)
}

/// The home of a user in the text of `/etc/passwd`.
fn home(passwd: &str, uid: u32) -> &str {
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_user = fields.next()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| is_user && !home.is_empty())
    });
    found.unwrap_or("/")
}

fn strings<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<CString>, String> {
    let strings = texts.map(|text| CString::new(text).map_err(|_| format!("{text:?} has a NUL byte")));
    strings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(argv: &[&str]) -> Process {
        Process {
            argv: argv.iter().map(|word| word.to_string()).collect(),
            env: Vec::new(),
            working_directory: "/".into(),
            user: User::default(),
            capabilities: CapabilitySet::empty(),
            no_new_privileges: false,
            filter: None,
            apparmor_profile: String::new(),
            oom_score_adj: 0,
            files: rustix::process::getrlimit(Resource::Nofile),
        }
    }

    #[test]
    fn programs_are_found_or_refused_in_known_words() {
        let env = ["PATH=/nowhere:/bin".to_string()];
        let look = |name: &str| process(&[name]).program(&env);
        assert_eq!(look("sh"), Ok("/bin/sh".into()));
        assert_eq!(look("/bin/sh"), Ok("/bin/sh".into()));
        assert_eq!(look("foo"), Err("exec: \"foo\": executable file not found in $PATH".into()));
        assert_eq!(look("/foo"), Err("exec: \"/foo\": stat /foo: no such file or directory".into()));
        assert_eq!(look("/etc"), Err("exec: \"/etc\": is a directory".into()));
        assert_eq!(look("/etc/passwd"), Err("exec: \"/etc/passwd\": permission denied".into()));
        assert_eq!(look(""), Err("exec: \"\": executable file not found in $PATH".into()));
    }

    #[test]
    fn homes_come_from_the_images_users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\nbroken\n";
        assert_eq!([home(passwd, 0), home(passwd, 101), home(passwd, 5)], ["/root", "/srv", "/"]);
    }
}
