//! Tools with no domain: everything here could serve another program.

pub mod atomic;
pub mod causes;
pub mod claim;
pub mod clock;
pub mod component;
pub mod connection;
pub mod crypto;
pub mod disk;
pub mod folder_changes;
pub mod hand;
pub mod handed;
pub mod heap;
pub mod hint;
pub mod login;
pub mod memory;
pub mod prometheus;
pub mod regexp;
pub mod resolvers;
pub mod shutdown;
pub mod stack;
mod sys;

pub use claim::Claim;
pub use clock::Jumps;
pub use component::Component;
pub use folder_changes::FolderChanges;
pub use hint::Hint;
pub use shutdown::Shutdown;
