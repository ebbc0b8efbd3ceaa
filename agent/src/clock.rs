// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only module that reads clocks. Everything else is told the time.

use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`). Expiry is judged by it: no
/// one can set it, and it runs on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

impl BootTime {
    /// The time that lies `by` later; the end of time if that can't be counted.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The time that lies `by` earlier; the boot if that lies before it.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero if it isn't.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds since 1970 in UTC (`CLOCK_REALTIME`). For people, and for TOTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

impl WallTime {
    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

impl From<WallTime> for jiff::Timestamp {
    /// The latest one that can be counted, if that is exceeded.
    fn from(time: WallTime) -> Self {
        Self::from_nanosecond(i128::from(time.0)).unwrap_or(Self::MAX)
    }
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC, with nanoseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time:.9}"),
            Err(_) => write!(f, "@{}ns", self.0),
        }
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Since boot.
    pub boot: BootTime,
    /// Since 1970.
    pub wall: WallTime,
}

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    Now {
        boot: BootTime(read(ClockId::CLOCK_BOOTTIME)),
        wall: WallTime(read(ClockId::CLOCK_REALTIME)),
    }
}

/// Nanoseconds since boot, suspend left out (`CLOCK_MONOTONIC`): never ahead of
/// [`BootTime`] unless a clock is broken.
#[must_use]
pub fn running() -> BootTime {
    BootTime(read(ClockId::CLOCK_MONOTONIC))
}

/// The random id of this boot, from `/proc/sys/kernel/random/boot_id` (proc(5)).
///
/// # Errors
/// If /proc isn't mounted.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

fn read(clock: ClockId) -> u64 {
    // Both clocks exist since Linux 2.6.39, and then clock_gettime cannot fail. A clock that
    // could not be read would be read as the end of time, at which every grant is over.
    clock_gettime(clock).map_or(u64::MAX, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_too_far_away_is_the_end_of_time() {
        assert_eq!(BootTime(5).after(Duration::MAX), BootTime(u64::MAX));
    }

    #[test]
    fn wall_time_reads_as_rfc_3339() {
        assert_eq!(
            WallTime(1_000_000_007).to_string(),
            "1970-01-01T00:00:01.000000007Z"
        );
    }
}
