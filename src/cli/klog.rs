//! Flags that minikube and its tests give to every command: those of its log, and a few that choose what is not to be chosen
//! here. They are taken and mean nothing, but for `--log_dir`: what a command says is written there as well.

use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Name, and whether it takes a value.
const FLAGS: &[(&str, bool)] = &[
    ("add_dir_header", false),
    ("alsologtostderr", false),
    ("bootstrapper", true),
    ("log_backtrace_at", true),
    ("log_dir", true),
    ("log_file", true),
    ("log_file_max_size", true),
    ("logtostderr", false),
    ("one_output", false),
    ("rootless", false),
    ("skip_headers", false),
    ("skip_log_headers", false),
    ("stderrthreshold", true),
    ("v", true),
    ("vmodule", true),
];

/// A file of a command's log that is longer is not written to again.
const LONGEST: u64 = 1 << 20;

/// The flags.
pub struct Klog {
    /// Where the command's log goes.
    pub folder: Option<PathBuf>,
}

impl clap::FromArgMatches for Klog {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let folder = matches.get_one::<String>("log_dir").map(PathBuf::from);
        Ok(Self { folder: folder.filter(|folder| !folder.as_os_str().is_empty()) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The log of one command.
pub struct Log(Mutex<File>);

impl Log {
    /// Goes on with the newest file `PROGRAM_COMMAND_N.log` of a folder, or begins the next one.
    pub fn open(folder: &Path, program: &str, command: &str) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let name = |number: usize| folder.join(format!("{program}_{command}_{number}.log"));
        let is_full = |path: &PathBuf| path.metadata().is_ok_and(|there| there.len() > LONGEST);
        let path = (0..).map(name).find(|path| !is_full(path)).unwrap_or_else(|| name(0));
        Ok(Self(Mutex::new(File::options().append(true).create(true).open(path)?)))
    }

    /// A line in klog's form: severity, month, day, time, process. A disk that is full keeps it out, not the command from its
    /// work.
    pub fn line(&self, severity: char, text: &str) {
        let now = jiff::Zoned::now().strftime("%m%d %H:%M:%S%.6f");
        let mut file = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        writeln!(file, "{severity}{now} {:>7} coracle] {text}", std::process::id()).ok();
    }
}

impl clap::Args for Klog {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (name, has_value)| {
            let flag = Arg::new(*name).long(*name).hide(true).global(true).action(ArgAction::Set);
            let flag = match *name {
                "v" => flag.short('v'),
                "bootstrapper" => flag.short('b'),
                _ => flag,
            };
            command.arg(match has_value {
                true => flag,
                // `--alsologtostderr` and `--alsologtostderr=false` are both said.
                false => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_until_it_is_long_and_then_in_another_file() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["one", "two"] {
            Log::open(folder.path(), "coracle", "start").unwrap().line('I', text);
        }
        let first = folder.path().join("coracle_start_0.log");
        let text = std::fs::read_to_string(&first).unwrap();
        assert!(text.lines().count() == 2 && text.starts_with('I') && text.ends_with("coracle] two\n"), "{text}");
        File::options().append(true).open(&first).unwrap().set_len(LONGEST + 1).unwrap();
        Log::open(folder.path(), "coracle", "start").unwrap().line('E', "three");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
