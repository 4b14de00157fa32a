//! The kernel and library calls of this room that Rust cannot check.

use rustix::io::FdFlags;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use tokio::io::unix::AsyncFd;

/// Tells when a descriptor can be read.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and answers the same descriptor until it is dropped, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// Takes a descriptor that the program which started this one left open for it, and keeps it from those that this one starts. To
/// be asked once for each. Fails if there is no such descriptor.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the descriptor is borrowed for one call, which fails where it is not open.
    rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as was just seen, and nobody else of this process knows of it: the caller asks once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Unmaps the pages from `start` to `end` of a file mapping of which no page was changed; touching them brings them back.
pub fn forget(start: usize, end: usize) {
    // SAFETY: the caller knows the range as a mapping of a file without changed pages, so every page that is touched again is
    // read from the file as it was. Failing leaves everything as it is.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
}

/// Does some work on a stack of its own of so many bytes, whole pages. Address space is taken for it, memory only as far as it is
/// used; a page that cannot be touched lies below it. Fails where there is no address space.
pub fn on_stack<R>(size: usize, work: impl FnOnce() -> R) -> io::Result<R> {
    let stack = Stack::new(size)?;
    let work = AssertUnwindSafe(work);
    // SAFETY: the stack is mapped for as long as the work takes, whole pages of which the lowest is a guard, and no panic leaves it.
    let result = unsafe { psm::on_stack(stack.bottom.cast(), stack.size, || catch_unwind(work)) };
    drop(stack);
    Ok(result.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// The mapping of a stack: its lowest page is a guard.
struct Stack {
    bottom: *mut libc::c_void,
    size: usize,
}

impl Stack {
    /// As much as a page is anywhere.
    const GUARD: usize = 64 << 10;

    fn new(size: usize) -> io::Result<Self> {
        let size = size + Self::GUARD;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new mapping wherever the kernel likes.
        let bottom =
            unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if bottom == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { bottom, size };
        // SAFETY: the lowest pages of the new mapping, which nobody has touched.
        match unsafe { libc::mprotect(bottom, Self::GUARD, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this stack's, on which nothing runs any more.
        unsafe { libc::munmap(self.bottom, self.size) };
    }
}

/// Has the kernel clear the next so many bytes of this thread's stack at once, which is a fault for each page otherwise. What of it
/// is no stack, and kernels that cannot, change nothing.
pub fn clear_stack(length: usize) {
    const PAGE: usize = 4 << 10;
    let here = std::ptr::from_ref(&length).addr() & !(PAGE - 1);
    // SAFETY: touches pages, none of which it changes: what is there stays.
    unsafe { libc::madvise((here - length) as *mut libc::c_void, length, libc::MADV_POPULATE_WRITE) };
}

/// Gives all threads one heap, which grows in big steps and keeps what is freed.
pub fn one_heap() {
    const STEP: libc::c_int = 4 << 20;
    const NEVER: libc::c_int = 1 << 30;
    // The most that the allocator takes.
    const LARGE: libc::c_int = 32 << 20;
    #[cfg(target_env = "gnu")]
    // SAFETY: sets how the allocator grows; it is called before there are threads.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, STEP);
        libc::mallopt(libc::M_TRIM_THRESHOLD, NEVER);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    };
}

/// Gives freed memory back to the kernel.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases only what the allocator holds free.
    unsafe {
        libc::malloc_trim(0)
    };
}
