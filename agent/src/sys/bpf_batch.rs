// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes many elements of a BPF array by one call, which aya does one by one.
#![expect(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper for BPF_MAP_UPDATE_BATCH"
)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Command of bpf(2), from the kernel's include/uapi/linux/bpf.h.
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;

/// `union bpf_attr` for `BPF_MAP_UPDATE_BATCH`.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Writes these words to an array map of 8-byte elements, from the element `first` on.
///
/// # Errors
/// Whatever bpf(2) says; `InvalidInput` if the kernel took only a part of them.
pub fn write_words(map: BorrowedFd<'_>, first: u32, words: &[u64]) -> io::Result<()> {
    let partly = || io::Error::from(io::ErrorKind::InvalidInput);
    let count = u32::try_from(words.len()).map_err(|_| partly())?;
    let keys: Vec<u32> = (first..).take(words.len()).collect();
    let mut batch = Batch {
        keys: keys.as_ptr() as u64,
        values: words.as_ptr() as u64,
        count,
        map_fd: map.as_raw_fd().unsigned_abs(),
        ..Batch::default()
    };
    // SAFETY: the attribute is as large as said; the map's keys and values are as wide as those
    // that the kernel reads here, `count` of each, and both outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_UPDATE_BATCH,
            &raw mut batch,
            size_of::<Batch>(),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    if batch.count != count {
        return Err(partly());
    }
    Ok(())
}
