//! The global allocator of the test binary: the system's, with a count of what is asked of it on all threads.

#![expect(unsafe_code, reason = "a global allocator cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
static ARMED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// This thread is telling where an allocation came from: what that takes is not the server's.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

/// How often any thread has asked for memory, or for more of it.
pub fn count() -> u64 {
    COUNT.load(Ordering::SeqCst)
}

/// From now on the next allocation is told, with the way that led to it, on stderr. Or no longer.
pub fn arm(armed: bool) {
    ARMED.store(armed, Ordering::SeqCst);
}

fn counted(size: usize) {
    if TELLING.get() {
        return;
    }
    COUNT.fetch_add(1, Ordering::SeqCst);
    if ARMED.swap(false, Ordering::SeqCst) {
        TELLING.set(true);
        eprintln!("allocation of {size} bytes:\n{}", Backtrace::force_capture());
        TELLING.set(false);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counted(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        counted(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        counted(size);
        // SAFETY: as above; what `alloc` gave came from the system's allocator.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
