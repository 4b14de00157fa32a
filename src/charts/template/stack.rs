//! The stack that rendering runs on: a large one, watched, so that a template that calls itself for ever ends in an
//! error and not in a crash.

use crate::base::stack;
use std::cell::Cell;

/// How much address space a render gets. It is touched only as far as it is used.
const SIZE: usize = 256 << 20;
/// What is left for the deepest function.
const RESERVE: usize = 2 << 20;
/// What an execution outside of [`run`] may use, as the size of such a stack is not known.
const SMALL: usize = 768 << 10;

thread_local! {
    /// The lowest address that may still be used; 0 when nobody is executing.
    static LOWEST: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread is on a stack of [`run`].
    static IS_DEEP: Cell<bool> = const { Cell::new(false) };
}

/// Runs something with a stack for deep recursion, one of its own if this thread is not on one.
pub fn run<R>(work: impl FnOnce() -> R) -> std::io::Result<R> {
    if is_deep() {
        return Ok(work());
    }
    stack::on(SIZE, || {
        let _deep = Deep::begin(here().saturating_sub(SIZE - RESERVE));
        work()
    })
}

/// That this thread is on a deep stack, for as long as this is there.
struct Deep {
    /// What was the lowest address before.
    before: usize,
}

impl Deep {
    fn begin(lowest: usize) -> Self {
        IS_DEEP.set(true);
        Self { before: LOWEST.replace(lowest) }
    }
}

impl Drop for Deep {
    fn drop(&mut self) {
        IS_DEEP.set(false);
        LOWEST.set(self.before);
    }
}

/// Whether this thread is on a stack of [`run`].
pub(super) fn is_deep() -> bool {
    IS_DEEP.get()
}

/// Whether the stack is used up as far as it may be.
pub(super) fn is_full() -> bool {
    here() < LOWEST.get()
}

/// Watches the stack of a thread outside of [`run`], for the time of one execution.
pub(super) fn watched<R>(work: impl FnOnce() -> R) -> R {
    if LOWEST.get() != 0 {
        return work();
    }
    LOWEST.set(here().saturating_sub(SMALL));
    let result = work();
    LOWEST.set(0);
    result
}

/// About where the stack is.
#[inline(never)]
fn here() -> usize {
    let marker = 0u8;
    std::hint::black_box(&marker) as *const u8 as usize
}
