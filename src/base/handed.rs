//! A listening socket that outlives the process which serves it: the one that starts that process keeps it and hands it down each
//! time, so that nobody else takes the port between two lives, and clients wait instead of failing.

use super::sys;
use rustix::io::FdFlags;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::{Child, Command};

/// Tells a program the number of the descriptor.
const VARIABLE: &str = "CORACLE_HANDED_SOCKET";

/// Starts a program that has the socket. Must be called where no other thread starts programs: they would have it, too.
pub fn spawn_with(socket: &TcpListener, command: &mut Command) -> io::Result<Child> {
    rustix::io::fcntl_setfd(socket, FdFlags::empty())?;
    let started = command.env(VARIABLE, socket.as_raw_fd().to_string()).spawn();
    rustix::io::fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    started
}

/// What was handed down to this process, if anything was; to be asked once.
pub fn inherited() -> io::Result<Option<TcpListener>> {
    let Ok(number) = std::env::var(VARIABLE) else { return Ok(None) };
    let descriptor = sys::inherited(number.parse().map_err(io::Error::other)?)?;
    if !rustix::net::sockopt::socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("what was handed down is no listening socket"));
    }
    Ok(Some(TcpListener::from(descriptor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_program_has_the_socket_and_the_next_one_has_not() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = socket.as_raw_fd();
        let look = || {
            let mut command = Command::new("readlink");
            command.arg(format!("/proc/self/fd/{number}")).stdout(Stdio::piped());
            command
        };
        let with = spawn_with(&socket, &mut look()).unwrap().wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&with.stdout).starts_with("socket:"));
        assert!(!look().output().unwrap().stdout.starts_with(b"socket:"));
    }
}
