//! Keys and certificates.

use crate::charts::template::Function;

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[];
