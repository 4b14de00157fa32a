//! Who owns which field: sets of fields, managers, server-side apply.
//!
//! ```text
//! set      a trie of path elements, in the notation of `fieldsV1`
//! walk     values by their schema: what changed, what is there, merge, remove
//! managers metadata.managedFields <-> managers
//! owner    the rules: an update takes what it changes; an apply owns what it names and drops what it no longer names
//! ```
//!
//! Source of the rules: sigs.k8s.io/structured-merge-diff, k8s.io/apimachinery `pkg/util/managedfields`.

pub mod managers;
pub mod owner;
pub mod set;
pub mod walk;

pub use managers::{Manager, Operation};
pub use owner::{Conflict, Conflicts, Error, Writer};
pub use set::Set;
