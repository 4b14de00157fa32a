//! Two works at the same time.

use crate::base::memory;

/// How much stack work on a thread of its own gets. It is touched only as far as it is used. The C library keeps as much for
/// the next thread.
const STACK: usize = 32 << 20;

/// Does one work on a thread of its own and the other here; one after the other where there can be no thread.
pub fn beside<A: Send, B>(aside: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("charts".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, || memory::thread(&aside));
        let here = here();
        let aside = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => aside(),
        };
        (aside, here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_done_on_threads_of_their_own() {
        let id = || std::thread::current().id();
        let (aside, here) = beside(id, id);
        assert_ne!(aside, here);
        assert_eq!(here, id());
    }

    #[test]
    #[should_panic(expected = "broke")]
    fn a_panic_of_either_is_one_of_both() {
        beside(|| panic!("it broke"), || ());
    }
}
