// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks the kernel whether it has a system call, by calling it with arguments that it must
//! refuse.
#![expect(
    unsafe_code,
    reason = "neither bpf(2) nor io_uring_setup(2) has a safe wrapper"
)]

use std::io;

/// `BPF_LINK_CREATE` of bpf(2), from the kernel's include/uapi/linux/bpf.h.
const BPF_LINK_CREATE: libc::c_long = 28;

/// `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// Whether programs can be attached by links (since 5.7): no program is given, so none is
/// attached.
///
/// # Errors
/// `EPERM` if the caller may not ask.
pub fn has_bpf_links() -> io::Result<bool> {
    let mut attribute = LinkCreate {
        prog_fd: u32::MAX,
        target_fd: u32::MAX,
        ..LinkCreate::default()
    };
    // SAFETY: the attribute is as large as said, and the kernel only reads it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_CREATE,
            &raw mut attribute,
            size_of::<LinkCreate>(),
        )
    };
    answer(done, libc::EBADF)
}

/// Whether this process may make an io_uring: it asks for one at no address.
#[must_use]
pub fn has_io_uring() -> bool {
    // SAFETY: the kernel looks at the address only to refuse it (`io_uring_setup` in
    // io_uring/io_uring.c copies from it before anything is made).
    let done = unsafe {
        libc::syscall(
            libc::SYS_io_uring_setup,
            1_u32,
            std::ptr::null_mut::<libc::c_void>(),
        )
    };
    answer(done, libc::EFAULT).unwrap_or(false)
}

/// True if the call failed with the error that only a kernel which knows it gives.
fn answer(done: libc::c_long, known: libc::c_int) -> io::Result<bool> {
    if done >= 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(number) if number == known => Ok(true),
        Some(libc::EPERM | libc::EACCES) => Err(error),
        _ => Ok(false),
    }
}
