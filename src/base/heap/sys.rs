//! The blocks themselves, which Rust cannot check.

use super::{CLASSES, LARGEST, STEP, class, size};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// Address space that blocks come from. It is touched only as far as it is used.
const SPACE: usize = 4 << 30;
/// A huge page.
const HUGE: usize = 2 << 20;
/// What lies before the first huge page, in small ones. Who touches a huge page that is not cleared yet clears all of it first, which
/// takes as long as reading the command's words: until then a command has these.
const LEAD: usize = 1 << 20;
/// What of it is there from the beginning.
const FIRST: usize = 384 << 10;
/// What of it is cleared at a time: work that is lent does not wait long for it.
const PIECE: usize = 64 << 10;
/// How many pieces there are.
const PIECES: usize = (LEAD - FIRST) / PIECE;
/// Less is left when another huge page is cleared for a command that takes more than most.
const NEAR: usize = 512 << 10;
/// What a thread takes at a time for blocks that are shorter than a quarter of it.
const SPAN: usize = 64 << 10;

/// A block that is free.
struct Free {
    next: *mut Free,
}

thread_local! {
    /// What this thread has freed, by class. What it still has when it ends is lost.
    static BINS: [Cell<*mut Free>; CLASSES] = const { [const { Cell::new(null_mut()) }; CLASSES] };
    /// What is left of the span that it took last: where it begins, and how long it is.
    static REST: Cell<(*mut u8, usize)> = const { Cell::new((null_mut(), 0)) };
}

/// An allocator: the C library's until [`begin`](Heap::begin). Bins are the thread's: a thread has to do with one that began.
pub struct Heap {
    /// Where the space begins; null as long as there is none.
    start: AtomicPtr<u8>,
    /// How much of it threads have taken.
    taken: AtomicUsize,
    /// How many parts of it were cleared ahead.
    cleared: AtomicUsize,
}

impl Heap {
    /// One that has not begun.
    pub const fn idle() -> Self {
        Self { start: AtomicPtr::new(null_mut()), taken: AtomicUsize::new(0), cleared: AtomicUsize::new(0) }
    }

    /// From now on small blocks come from a space of its own; without address space everything stays as it is. Call it once.
    pub fn begin(&self) {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping wherever the kernel likes.
        let mapped = unsafe { libc::mmap(null_mut(), SPACE + HUGE, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return;
        }
        let mapped = mapped.cast::<u8>();
        let skipped = mapped.wrapping_add(LEAD).align_offset(HUGE);
        // SAFETY: the mapping is longer than the space by as much as this can skip.
        let start = unsafe { mapped.add(skipped) };
        // SAFETY: asks for huge pages in the mapping; without them it works as well.
        unsafe { libc::madvise(start.add(LEAD).cast(), SPACE - LEAD, libc::MADV_HUGEPAGE) };
        // SAFETY: asks for small pages before them: some systems give huge ones unasked.
        unsafe { libc::madvise(start.cast(), LEAD, libc::MADV_NOHUGEPAGE) };
        // SAFETY: some small pages at once, as each is a fault otherwise. Older kernels refuse.
        unsafe { libc::madvise(start.cast(), FIRST, libc::MADV_POPULATE_WRITE) };
        self.start.store(start, Relaxed);
    }

    /// Has the kernel clear what comes next, for a thread that has nothing else to do while another works: that one would stand
    /// still for it. Whether there was need of it.
    pub fn clear_ahead(&self) -> bool {
        let start = self.start.load(Relaxed);
        let part = self.cleared.load(Relaxed);
        let (from, length) = match part {
            // What takes longest is begun with: nobody has lent work yet, and nobody needs it yet.
            0 => (LEAD, HUGE),
            1..=PIECES => (FIRST + (part - 1) * PIECE, PIECE),
            _ => (LEAD + (part - PIECES) * HUGE, HUGE),
        };
        let is_due = part <= PIECES || from < self.taken.load(Relaxed) + NEAR;
        let is_there = !start.is_null() && from + length <= SPACE;
        if is_due && is_there {
            // SAFETY: touches pages of the space, none of which it changes: what is there stays. Older kernels refuse.
            unsafe { libc::madvise(start.add(from).cast(), length, libc::MADV_POPULATE_WRITE) };
            self.cleared.store(part + 1, Relaxed);
        }
        is_due && is_there
    }

    /// Whether it is no longer the C library's.
    pub fn has_begun(&self) -> bool {
        !self.start.load(Relaxed).is_null()
    }

    /// A block that holds a layout; null if it has to come from the C library.
    fn block(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST || layout.align() > STEP || !self.has_begun() {
            return null_mut();
        }
        let class = class(layout.size());
        let block = BINS.with(|bins| take(&bins[class]));
        if block.is_null() { self.cut(size(class)) } else { block }
    }

    /// Whether a block is of the space.
    fn has(&self, block: *mut u8) -> bool {
        let start = self.start.load(Relaxed);
        !start.is_null() && block.addr().wrapping_sub(start.addr()) < SPACE
    }

    /// A block that was never used; null if the space is used up.
    fn cut(&self, size: usize) -> *mut u8 {
        if size >= SPAN / 4 {
            return self.span(size);
        }
        let (mut at, mut left) = REST.get();
        if left < size {
            (at, left) = (self.span(SPAN), SPAN);
        }
        if !at.is_null() {
            // SAFETY: at least as much is left of the span.
            REST.set((unsafe { at.add(size) }, left - size));
        }
        at
    }

    /// A part of the space for this thread alone; null if the space is used up.
    fn span(&self, length: usize) -> *mut u8 {
        let next = |taken: usize| taken.checked_add(length).filter(|taken| *taken <= SPACE);
        match self.taken.try_update(Relaxed, Relaxed, next) {
            // SAFETY: the space goes on for as long behind what was taken.
            Ok(taken) => unsafe { self.start.load(Relaxed).add(taken) },
            Err(_) => null_mut(),
        }
    }
}

/// The block that was put into a bin last; null if it is empty.
fn take(bin: &Cell<*mut Free>) -> *mut u8 {
    let block = bin.get();
    if !block.is_null() {
        // SAFETY: what is in a bin is a free block, into which `give` wrote the next one.
        bin.set(unsafe { (*block).next });
    }
    block.cast()
}

/// Puts a block of the space into the bin of its size.
fn give(block: *mut u8, size: usize) {
    let block = block.cast::<Free>();
    BINS.with(|bins| {
        let bin = &bins[class(size)];
        // SAFETY: the block is free, aligned to `STEP` and at least as long.
        unsafe { block.write(Free { next: bin.get() }) };
        bin.set(block);
    });
}

// SAFETY: a block is handed out once until it is freed: it is cut from a span that only this thread has, or comes from a bin of
// this thread, where only freed blocks are. It is as long as its class, which holds its size, and aligned to `STEP`. Whether a
// block is of the space its address tells; others are the C library's. Nothing is inlined: it would stand in every place of the
// executable that frees something, which made that megabytes longer.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.block(layout);
        if !block.is_null() {
            return block;
        }
        // SAFETY: the caller's layout is passed on.
        unsafe { System.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = self.block(layout);
        if block.is_null() {
            // SAFETY: the caller's layout is passed on.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: a block is at least as long as what was asked for.
        unsafe { block.write_bytes(0, layout.size()) };
        block
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.has(block) {
            return give(block, layout.size());
        }
        // SAFETY: all other blocks are the C library's.
        unsafe { System.dealloc(block, layout) };
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, wanted: usize) -> *mut u8 {
        if !self.has(block) {
            // SAFETY: all other blocks are the C library's.
            return unsafe { System.realloc(block, layout, wanted) };
        }
        if wanted <= LARGEST && class(wanted) == class(layout.size()) {
            return block;
        }
        // SAFETY: the caller's size, which with the alignment of the layout makes a layout.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(wanted, layout.align())) };
        if !new.is_null() {
            // SAFETY: these are different blocks, and both are at least that long.
            unsafe { block.copy_to_nonoverlapping(new, layout.size().min(wanted)) };
            give(block, layout.size());
        }
        new
    }
}

/// A block in a test, which frees it.
#[cfg(test)]
pub struct Block<'h> {
    heap: &'h Heap,
    bytes: *mut u8,
    layout: Layout,
}

// SAFETY: the block is its owner's alone.
#[cfg(test)]
unsafe impl Send for Block<'_> {}

#[cfg(test)]
impl<'h> Block<'h> {
    pub fn new(heap: &'h Heap, size: usize) -> Self {
        let layout = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: the size is not 0.
        Self { heap, bytes: unsafe { heap.alloc(layout) }, layout }
    }

    pub fn zeroed(heap: &'h Heap, size: usize) -> Self {
        let layout = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: the size is not 0.
        Self { heap, bytes: unsafe { heap.alloc_zeroed(layout) }, layout }
    }

    pub fn resize(&mut self, size: usize) {
        // SAFETY: the block has this layout, and the size is not 0.
        self.bytes = unsafe { self.heap.realloc(self.bytes, self.layout, size) };
        self.layout = Layout::from_size_align(size, 8).unwrap();
    }

    pub fn fill(&mut self, byte: u8) {
        // SAFETY: the block is that long.
        unsafe { self.bytes.write_bytes(byte, self.layout.size()) };
    }

    pub fn address(&self) -> usize {
        self.bytes.addr()
    }

    /// The first bytes, which were filled.
    pub fn bytes(&self, count: usize) -> &[u8] {
        assert!(count <= self.layout.size());
        // SAFETY: the block is at least that long, and was filled.
        unsafe { std::slice::from_raw_parts(self.bytes, count) }
    }
}

#[cfg(test)]
impl Drop for Block<'_> {
    fn drop(&mut self) {
        // SAFETY: the block has this layout and is nobody else's.
        unsafe { self.heap.dealloc(self.bytes, self.layout) };
    }
}
