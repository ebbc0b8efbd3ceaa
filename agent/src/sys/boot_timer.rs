// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One alarm on `CLOCK_BOOTTIME` (`timerfd_create(2)`).
//!
//! tokio's own timers run on `CLOCK_MONOTONIC`, which stands still while the machine sleeps:
//! a hold or a grant would outlive its end by the length of the sleep. This alarm goes off
//! right after the machine wakes. Unarmed, it costs nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::read;
use tokio::io::unix::AsyncFd;

use super::watch;
use crate::clock::BootTime;

/// An alarm.
#[derive(Debug)]
pub struct BootTimer {
    timer: TimerFd,
    watched: AsyncFd<OwnedFd>,
}

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("can't {operation} the boot-time timer: {source}")]
pub struct TimerError {
    operation: &'static str,
    source: io::Error,
}

impl TimerError {
    fn new(operation: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        Self { operation, source }
    }
}

impl BootTimer {
    /// An alarm that isn't set.
    ///
    /// # Errors
    /// If the kernel has no descriptor left.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Result<Self, TimerError> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)
            .map_err(|error| TimerError::new("create", error))?;
        let watched = timer
            .as_fd()
            .try_clone_to_owned()
            .and_then(watch::readable)
            .map_err(|error| TimerError::new("watch", error))?;
        Ok(Self { timer, watched })
    }

    /// Sets the alarm to `at`, instead of what it was set to. A time that has passed makes it
    /// go off at once.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn arm(&mut self, at: BootTime) -> Result<(), TimerError> {
        // Zero would disarm it (timerfd_settime(2)).
        let at = TimeSpec::from_duration(Duration::from_nanos(at.0.max(1)));
        self.timer
            .set(
                Expiration::OneShot(at),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )
            .map_err(|error| TimerError::new("arm", error))
    }

    /// Unsets the alarm; also one that went off and was not waited for.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn disarm(&mut self) -> Result<(), TimerError> {
        self.timer
            .unset()
            .map_err(|error| TimerError::new("disarm", error))
    }

    /// Waits until the alarm goes off; for ever while it isn't set. May be dropped at any
    /// time: an alarm that went off stays so until this has returned once.
    ///
    /// # Errors
    /// If the timer can't be read.
    pub async fn expired(&mut self) -> Result<(), TimerError> {
        loop {
            let mut ready = self
                .watched
                .readable()
                .await
                .map_err(|error| TimerError::new("wait for", error))?;
            // The timer's count of expirations, 8 bytes.
            let taken = ready.try_io(|fd| match read(fd.get_ref(), &mut [0; 8]) {
                Ok(_) => Ok(()),
                Err(Errno::EINTR) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Err(error.into()),
            });
            match taken {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(TimerError::new("read", error)),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::clock::now;

    /// Lets the reactor look at its descriptors once, then says whether the alarm went off.
    async fn went_off(timer: &mut BootTimer) -> bool {
        tokio::task::yield_now().await;
        let mut expired = pin!(timer.expired());
        poll_fn(|context| Poll::Ready(expired.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn an_alarm_goes_off_no_earlier_than_it_was_set_to() {
        let mut timer = BootTimer::new().unwrap();
        let at = now().boot.after(Duration::from_millis(20));
        timer.arm(at).unwrap();
        timer.expired().await.unwrap();
        assert!(now().boot >= at);
    }

    #[tokio::test]
    async fn a_time_that_has_passed_goes_off_at_once_and_only_once() {
        let mut timer = BootTimer::new().unwrap();
        timer.arm(BootTime(0)).unwrap();
        timer.expired().await.unwrap();
        assert!(!went_off(&mut timer).await);
    }

    #[tokio::test]
    async fn a_later_setting_replaces_an_earlier_one() {
        let mut timer = BootTimer::new().unwrap();
        timer.arm(BootTime(1)).unwrap();
        timer.arm(BootTime(u64::MAX)).unwrap();
        assert!(!went_off(&mut timer).await);
        timer.arm(BootTime(1)).unwrap();
        timer.disarm().unwrap();
        assert!(!went_off(&mut timer).await);
        timer.arm(BootTime(1)).unwrap();
        timer.expired().await.unwrap();
    }
}
