// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Waiting for a file descriptor in tokio.
#![expect(
    unsafe_code,
    reason = "tokio asks its caller to promise that the descriptor stays the same"
)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `fd` with the running tokio runtime, for reading.
///
/// # Errors
/// If the descriptor can't be polled.
///
/// # Panics
/// Outside a tokio runtime.
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and its number never changes until it is dropped, and the
    // `AsyncFd` owns it. Nothing but the `OwnedFd` closes that number.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        .map_err(|refused| refused.into_parts().1)
}

/// A descriptor of which one wants to know when it becomes readable.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Watches `source`, which must outlive the watch to be of any use.
    ///
    /// # Errors
    /// If the descriptor can't be polled.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(source: &impl AsFd) -> io::Result<Self> {
        Ok(Self(readable(source.as_fd().try_clone_to_owned()?)?))
    }

    /// Waits until there is something to read since the last time that this returned. Whoever
    /// waits reads everything there is afterwards. May be dropped at any time.
    ///
    /// # Errors
    /// If the descriptor can't be polled any longer.
    pub async fn ready(&mut self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
