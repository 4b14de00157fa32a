//! Sandboxes, containers, cgroups, exec, logs, stats; knows no pod object.
//!
//! The trait [`Runtime`] has the shape of CRI (k8s.io/cri-api), so that a CRI socket can be a second implementation. The
//! first one talks to the supervisor (`coracle supervisor`), which outlives the server: containers are its children, it
//! holds their stdio, writes their logs, reaps them and answers over a unix socket ([`Supervised`] is the client).
//!
//! ```text
//! client ─wire─▶ supervisor ─fork─▶ child ─exec─▶ the container's program
//! ```
//!
//! Containers are made by this room itself, not by `libcontainer`: the supervisor has one thread, so it forks containers from
//! itself, with neither a helper process nor a bundle on disk, and a start is one fork and some forty mounts. `libcontainer`
//! wants a process of its own for every call (it changes the caller's oom score, folder and dumpability), applies no seccomp
//! filter without a C library, and hangs when a command is not reaped. Kernel 5.12 is needed (`mount_setattr`).
//!
//! What keeps a container in: namespaces, a root from which no path leads out (everything is mounted after the pivot, by
//! descriptor, following neither links out of the root nor links to open files), no device files but the harmless ones
//! (every mount is `nodev`, and the cgroup says no as well: [`devices`]), a bounding set of capabilities, a seccomp filter,
//! masked and read-only parts of `/proc` and `/sys`, and no inherited descriptor.

mod capabilities;
mod cgroups;
mod child;
mod client;
mod devices;
mod seccomp;
pub mod spec;
mod streams;
pub mod supervisor;
mod sys;
#[cfg(test)]
mod tests;
mod wire;

pub use client::Supervised;
pub use spec::*;
