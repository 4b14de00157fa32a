//! OCI images: references, registries, the content store and layers on disk.
//!
//! What the node agent and the command line rely on:
//! * [`Reference`]: `busybox` means `docker.io/library/busybox:latest`; tag and digest forms.
//! * `Store::open(paths.images())`, shared by processes through the file system (lock files), content by digest, every layer
//!   unpacked once.
//! * `Store::load(reader)`: `docker save` archives, OCI archives and layouts as streams; all or nothing.
//! * `Store::pull(reference, credentials, progress)`, `resolve(reference) -> Option<Image>`, `list`, `tag`, `remove`, `save`.
//! * The built-in images (`coracle.local/coracle:VERSION`, `coracle.local/hello`): one layer that is the running executable,
//!   not copied.
