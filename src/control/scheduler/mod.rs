//! The scheduler: gives pods to nodes, through the client only.
//!
//! ```text
//!  watch ─▶ World (nodes, who is on them, volumes)        assume ─▶ bind (a task per pod) ─▶ done
//!  watch ─▶ Queue ─▶ filters ─▶ scores ─▶ a node ────────┘              │ failed: forget, back off
//!             ▲          └─ none: preempt, say why, wait for an event that can help
//!             └──────────────────────────────────────────────────────────┘
//! ```
//!
//! One task owns world and queue, so a choice is made from a consistent view and no event falls between two looks. What
//! takes time (writing) is a task of its own per pod, and the world counts a chosen pod at once (it is *assumed*), so a burst
//! of pods does not wait for its own echo.

mod bind;
mod choose;
mod filters;
mod labels;
mod message;
mod pod;
mod preempt;
mod queue;
mod resources;
mod run;
mod scores;
mod world;

pub use run::run;

/// The scheduler's name in `spec.schedulerName` and in events.
pub const NAME: &str = "default-scheduler";

/// Something that happened and that can make room for a pod that found no node. A set, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened(u16);

impl Happened {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    /// A node came, or one changed what it offers: labels, taints, resources, whether it takes pods.
    pub const NODE: Self = Self(1);
    /// A pod left its node, or asks for less.
    pub const POD_GONE: Self = Self(1 << 1);
    /// A pod was given to a node, or one that is on a node changed its labels.
    pub const POD_PLACED: Self = Self(1 << 2);
    /// The waiting pod itself changed.
    pub const POD_ITSELF: Self = Self(1 << 3);
    /// A claim, a volume or a class came or changed.
    pub const STORAGE: Self = Self(1 << 4);
    /// A namespace changed its labels.
    pub const NAMESPACE: Self = Self(1 << 5);

    /// Both.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have something in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
