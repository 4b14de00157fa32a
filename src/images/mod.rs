//! OCI images: references, registries, the content store and layers on disk.
//!
//! What the node agent and the command line rely on:
//! * [`Reference`]: `busybox` means `docker.io/library/busybox:latest`; tag and digest forms.
//! * [`Store::open`], shared by processes through the file system (lock files), content by digest, every layer unpacked once.
//! * [`Store::load`]: `docker save` archives, OCI archives and layouts as streams; all or nothing.
//! * `Store::{resolve, list, tag, remove, save, pull}`.
//! * The built-in images (`coracle.local/coracle:VERSION`, `coracle.local/hello`): one layer that is the running executable,
//!   not copied ([`Store::install_builtin`]).
//!
//! ```text
//! images/
//!   index.json            every image: names, config, layers          (written last, atomically)
//!   blobs/sha256/HEX      configs, manifests and layers as they came
//!   layers/HEX            unpacked layers, by the first digits of the digest of the uncompressed layer
//!   staging/…             what is being loaded; a lock file in each tells whether its process lives
//!   lock                  held while index.json is changed
//!   content.lock          shared while content is added, exclusive while unused content is removed
//!   holds/HEX             shared by those who run an image; it cannot be removed meanwhile
//! ```

mod archive;
pub mod artifact;
mod builtin;
mod collect;
mod compression;
mod helpers;
mod ingest;
pub mod logins;
mod pull;
mod read;
mod record;
mod reference;
mod registry;
pub mod remembered;
mod save;
mod staging;
mod store;
mod unpack;

pub use builtin::REGISTRY as BUILT_IN;
pub use pull::Login;
pub use record::{Access, Empty, Image, ImageConfig};
pub use reference::{Reference, is_digest};
pub use store::{Hold, Store};

#[cfg(test)]
mod tests;

use std::io;

/// Why something could not be done with images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no image name.
    #[error("`{text}` is not an image name: {problem}")]
    Reference { text: String, problem: &'static str },
    /// No image has this name or id.
    #[error("image `{0}` is not present")]
    NotFound(String),
    /// A container uses it.
    #[error("image `{0}` is used by a container")]
    InUse(String),
    /// A built-in image has no layer of its own that could be written.
    #[error("image `{0}` is built into the executable and cannot be saved")]
    BuiltIn(String),
    /// An archive that is broken; the entry is the one to look at.
    #[error("the archive's entry `{entry}` {problem}")]
    Archive { entry: String, problem: String },
    /// An archive that has no image in it.
    #[error(
        "the archive has neither `manifest.json` (docker save) nor `index.json` (OCI): it is no image or is cut short"
    )]
    NotAnImage,
    /// Reading the archive failed.
    #[error("the archive cannot be read after its entry `{after}`")]
    Read { after: String, source: io::Error },
    /// The registry refused, or its answer was unusable.
    #[error("cannot pull `{reference}`: {problem}")]
    Pull { reference: String, problem: String },
    /// The store's own files.
    #[error("the image store cannot {what}")]
    Store { what: String, source: io::Error },
}

impl Error {
    /// A broken entry of an archive.
    fn entry(entry: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Archive { entry: clean(&entry.into()), problem: clean(&problem.into()) }
    }

    /// What went wrong with a registry.
    fn pull(reference: &Reference, problem: impl Into<String>) -> Self {
        Self::Pull { reference: reference.to_string(), problem: clean(&problem.into()) }
    }

    /// An error of the store's own files: what was being done.
    fn store(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Store { what, source }
    }
}

/// Words of strangers in ours: on one line, and without what a terminal would take for an order.
fn clean(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut kept, one| {
        match one.is_control() {
            true => kept.extend(one.escape_default()),
            false => kept.push(one),
        }
        kept
    })
}
