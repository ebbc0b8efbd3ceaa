// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replaces the program of a pinned BPF link, which aya does for XDP only.
#![expect(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper for BPF_OBJ_GET and BPF_LINK_UPDATE"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Commands of bpf(2), from the kernel's include/uapi/linux/bpf.h.
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_LINK_UPDATE: libc::c_long = 29;

/// `union bpf_attr` for `BPF_OBJ_GET`.
#[repr(C)]
#[derive(Default)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// `union bpf_attr` for `BPF_LINK_UPDATE`.
#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// Lets the link that is pinned at `pin` run `program` from now on. There is no instant at
/// which neither program runs (`cgroup_bpf_replace` in the kernel's kernel/bpf/cgroup.c).
///
/// # Errors
/// Whatever bpf(2) says: `ENOENT` if nothing is pinned there.
pub fn replace_program(pin: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = ObjGet {
        pathname: path.as_ptr() as u64,
        ..ObjGet::default()
    };
    // SAFETY: the attribute is as large as said, and the path outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET,
            &raw mut get,
            size_of::<ObjGet>(),
        )
    };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor, and nothing else owns it.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut update = LinkUpdate {
        link_fd: link.as_raw_fd().unsigned_abs(),
        new_prog_fd: program.as_raw_fd().unsigned_abs(),
        ..LinkUpdate::default()
    };
    // SAFETY: the attribute is as large as said; both descriptors are open.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_UPDATE,
            &raw mut update,
            size_of::<LinkUpdate>(),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
