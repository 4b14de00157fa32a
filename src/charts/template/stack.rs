//! The stack that rendering runs on: a large one, watched, so that a template that calls itself for ever ends in an
//! error and not in a crash.

use crate::base::memory;
use std::cell::Cell;

/// How much address space a rendering thread gets. It is touched only as far as it is used.
const SIZE: usize = 256 << 20;
/// What is left for the deepest function.
const RESERVE: usize = 2 << 20;
/// What an execution outside of [`run`] may use, as the size of such a thread is not known.
const SMALL: usize = 768 << 10;

thread_local! {
    /// The lowest address that may still be used; 0 when nobody is executing.
    static LOWEST: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread was started by [`run`].
    static IS_DEEP: Cell<bool> = const { Cell::new(false) };
}

/// Runs something with a stack for deep recursion, on a thread of its own if this one has none, and waits for it.
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> std::io::Result<R> {
    if IS_DEEP.get() {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("charts".into()).stack_size(SIZE).spawn_scoped(scope, || {
            LOWEST.set(here().saturating_sub(SIZE - RESERVE));
            IS_DEEP.set(true);
            work()
        })?;
        memory::help(|| thread.is_finished());
        thread.join().map_err(|_| std::io::Error::other("rendering broke off"))
    })
}

/// Whether this thread was started by [`run`].
pub(super) fn is_deep() -> bool {
    IS_DEEP.get()
}

/// Whether the stack is used up as far as it may be.
pub(super) fn is_full() -> bool {
    here() < LOWEST.get()
}

/// Watches the stack of a thread that [`run`] did not start, for the time of one execution.
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
