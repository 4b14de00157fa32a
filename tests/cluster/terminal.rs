//! `coracle ssh` with a person in front of it: the test holds the other side of its terminal.

use super::harness::{Cluster, until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::os::fd::OwnedFd;
use std::process::Command;

/// Seconds that a shell may take to answer.
const PATIENCE: i64 = 60;

/// A person's terminal.
struct Terminal {
    side: OwnedFd,
    seen: String,
}

impl Terminal {
    fn write(&self, text: &str) {
        assert_eq!(rustix::io::write(&self.side, text.as_bytes()).unwrap(), text.len());
    }

    /// Reads until a text was seen; what was before it is forgotten.
    fn wait(&mut self, wanted: &str) {
        loop {
            if let Some(at) = self.seen.find(wanted) {
                self.seen.drain(..at + wanted.len());
                return;
            }
            let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.side, PollFlags::IN)], Some(&patience)).unwrap();
            assert!(ready > 0, "`{wanted}` did not come after: {}", self.seen);
            let mut bytes = [0; 4096];
            let length = rustix::io::read(&self.side, &mut bytes);
            let length = length.unwrap_or_else(|error| panic!("{error}: no `{wanted}` in: {}", self.seen));
            self.seen += &String::from_utf8_lossy(&bytes[..length]);
        }
    }

    fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.side, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }
}

/// Whether a process of this machine has this command line.
fn runs(line: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok()).any(|own| own == line.as_bytes())
}

#[test]
fn a_shell_has_a_terminal_of_the_node_that_follows_ours() {
    let Some(cluster) = Cluster::started("terminal") else { return };
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let mut terminal = Terminal { side: openpt(flags).unwrap(), seen: String::new() };
    unlockpt(&terminal.side).unwrap();
    terminal.resize(33, 77);
    let slave = ioctl_tiocgptpeer(&terminal.side, flags).unwrap();
    // In a session of its own, so that the terminal is its controlling one and tells of resizing.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]);
    // Who runs the tests in the background has interrupts ignored, and everything below with it.
    command.args(["env", "--default-signal=INT", env!("CARGO_BIN_EXE_coracle"), "-p", "terminal", "ssh"]);
    command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
    let mut shell = cluster.spawn(command);
    // What is typed is echoed, so answers are written otherwise than they are asked for.
    terminal.write("PS1=; stty size; tty; echo rea''dy\r");
    terminal.wait("33 77");
    terminal.wait("/dev/pts/");
    terminal.wait("ready");

    terminal.write("until stty size | grep -q '40 100'; do sleep 0.1; done; echo resi''zed\r");
    terminal.resize(40, 100);
    terminal.wait("resized");

    terminal.write("sleep 98765; echo an''swer\r");
    // Before it is itself, a program is a copy of the shell, which may not hear what the terminal tells.
    until("the program runs", || runs("sleep\098765\0"));
    terminal.write("\u{3}");
    terminal.write("echo still he''re\r");
    terminal.wait("still here");
    terminal.write("exit 7\r");
    assert_eq!(shell.wait().unwrap().code(), Some(7));
}
