// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An allocator that leaves nothing behind. Secrets pass through libraries that don't wipe: the
//! messages of the bus, JSON, texts that grow. So whatever is given back is wiped, whoever had it.
#![expect(
    unsafe_code,
    reason = "an allocator is made of promises that only its callers can keep"
)]

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which wipes what it is given back.
#[derive(Clone, Copy, Debug)]
pub struct Wiping;

// SAFETY: all memory comes from and goes back to `System`, with the layouts that the caller gave;
// in between nothing is done but writing into a block that its owner has just given up. `realloc`
// is the trait's own: a new block, a copy, and the old one through `dealloc`, so that growing in
// place or moving leaves no copy either.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives a block of this allocator with the layout that it was made
        // with, so its `layout.size()` bytes can be written, and nobody reads them any more.
        // `explicit_bzero` is a memset that compilers don't take out.
        unsafe { libc::explicit_bzero(block.cast(), layout.size()) };
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}
