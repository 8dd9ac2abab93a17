//! An allocator that counts, for tests of what the core allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counting.
///
/// Its counts are those of the whole process: a test that reads them has its process to itself.
#[derive(Debug)]
pub struct Counting {
    allocated: AtomicUsize,
    freed: AtomicUsize,
}

impl Counting {
    /// Nothing was counted yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "made in a static")]
    pub const fn new() -> Self {
        Self {
            allocated: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
        }
    }

    /// Bytes that were ever asked for; growing a piece of memory counts its new size.
    pub fn allocated(&self) -> usize {
        self.allocated.load(Relaxed)
    }

    /// Bytes that are in use.
    pub fn live(&self) -> usize {
        self.allocated().saturating_sub(self.freed.load(Relaxed))
    }
}

#[expect(
    unsafe_code,
    reason = "the trait is unsafe; every call is the system's own"
)]
// SAFETY: each method passes its arguments on to `System` unchanged and gives back what it gave.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocated.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.freed.fetch_add(layout.size(), Relaxed);
        // SAFETY: as above; the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.allocated.fetch_add(size, Relaxed);
        self.freed.fetch_add(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
