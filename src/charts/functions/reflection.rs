//! What type and kind a value is.

use super::{deep_equal, fixed};
use crate::charts::template::Function;
use crate::charts::template::Type::{Any, Str};

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("typeOf", &[Any], |call| Ok(call.any(0).type_name().as_ref().into())),
    fixed("typeIs", &[Str, Any], |call| Ok((call.str(0) == call.any(1).type_name()).into())),
    fixed("typeIsLike", &[Str, Any], |call| {
        let (target, name) = (call.str(0), call.any(1).type_name());
        Ok((target == name || name.strip_prefix('*') == Some(&*target)).into())
    }),
    fixed("kindOf", &[Any], |call| Ok(call.any(0).kind().into())),
    fixed("kindIs", &[Str, Any], |call| Ok((call.str(0) == call.any(1).kind()).into())),
    fixed("deepEqual", &[Any, Any], |call| Ok(deep_equal(call.any(0), call.any(1)).into())),
];
