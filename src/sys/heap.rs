//! The heap, with a count of what is held: the part of the memory ceiling that depends on the configuration.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

static HELD: AtomicUsize = AtomicUsize::new(0);

/// A global allocator that counts. Requests do not allocate, so that the count costs them nothing.
pub struct Counted<A>(pub A);

/// Bytes held now; 0 in a program whose global allocator is no [`Counted`].
pub fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

// SAFETY: every call is passed on as it came; the count touches no memory of theirs.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    // SAFETY: the caller keeps the contract of GlobalAlloc, which is the inner one's too.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { self.0.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of GlobalAlloc, which is the inner one's too.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }

    // SAFETY: the caller keeps the contract of GlobalAlloc, which is the inner one's too.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { self.0.realloc(memory, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn what_is_taken_is_counted_until_it_is_given_back() {
        let heap = Counted(System);
        let layout = Layout::from_size_align(1000, 8).unwrap();
        assert_eq!(held(), 0, "no other in this program");
        // SAFETY: given back with the layout it was taken or grown to.
        unsafe {
            let memory = heap.alloc(layout);
            assert_eq!(held(), 1000);
            let memory = heap.realloc(memory, layout, 3000);
            assert_eq!(held(), 3000);
            heap.dealloc(memory, Layout::from_size_align(3000, 8).unwrap());
        }
        assert_eq!(held(), 0);
    }
}
