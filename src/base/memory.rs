//! How a process keeps its memory: nothing that it needed to start and needs no more, which is pages of the executable and
//! memory that was freed.
//!
//! Starting runs through code and tables that idling never touches again, in every process of a node. The kernel keeps such
//! pages mapped until memory is short; here they are let go at once. They stay in the page cache and come back when touched.

use super::{hand, sys};
use std::time::Duration;

/// How long a process is given to settle.
const SETTLED: Duration = Duration::from_secs(5);

/// How much stack a command of some size uses.
const STACK: usize = 112 << 10;

/// For a process that is over soon: small blocks come from the [`heap`](super::heap) for such; there is one heap for large ones,
/// for which memory is taken in big steps and not given back. A second [`hand`] clears memory beside the work. Call it first of
/// all, on the stack that it will work on: mapping that would wait for the hand, which is at the same address space.
///
/// A heap of its own for every thread, as the C library has it, grows page by page, each a call of the kernel. A process that
/// stays keeps them: threads that share one heap wait for each other.
pub fn brief() {
    sys::one_heap();
    super::heap::HEAP.begin();
    sys::clear_stack(STACK);
    hand::begin(|| super::heap::HEAP.clear_ahead());
}

/// Is done with something. A process that is over soon does not take it apart.
pub fn leave<T>(value: T) {
    if super::heap::HEAP.has_begun() {
        std::mem::forget(value);
    }
}

/// Gives memory that was freed back to the kernel, after much of it was.
pub fn trim() {
    sys::trim();
}

/// Waits until this process has settled, then lets go of what only its start needed.
pub async fn settle() {
    tokio::time::sleep(SETTLED).await;
    // Without /proc nothing is let go, and nothing is missed.
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for (start, end) in clean(&maps) {
        sys::forget(start, end);
    }
    sys::trim();
}

/// Mappings of files that can be read only and of which no page was changed: forgetting them loses nothing.
fn clean(maps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in maps.lines() {
        if let Some(kilobytes) = line.strip_prefix("Anonymous:") {
            if kilobytes.trim() == "0 kB" {
                found.extend(candidate.take());
            }
        } else if let Some(mapping) = mapping(line) {
            candidate = mapping;
        }
    }
    found
}

/// The first line of a mapping; its range if it is a file that is not written to.
fn mapping(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let range = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let permissions = words.next()?;
    let is_clean_file = permissions.starts_with("r-") && words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some(is_clean_file.then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "1000-3000 r--p 00000000 fe:00 12 /coracle\nRss: 8 kB\nAnonymous:             0 kB\nVmFlags: rd\n\
                        3000-5000 r-xp 00002000 fe:00 12 /coracle\nAnonymous:             0 kB\n\
                        5000-6000 r--p 00004000 fe:00 12 /coracle\nAnonymous:             4 kB\n\
                        6000-7000 rw-p 00005000 fe:00 12 /coracle\nAnonymous:             0 kB\n\
                        7000-8000 r--p 00000000 00:00 0 [vvar]\nAnonymous:             0 kB\n";

    #[test]
    fn only_unchanged_files_are_let_go() {
        assert_eq!(clean(MAPS), [(0x1000, 0x3000), (0x3000, 0x5000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_goes_on_after_it_has_settled() {
        let before = String::from("kept");
        settle().await;
        assert_eq!(before, "kept");
        assert!("a regular expression".contains("regular"));
    }
}
