// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Waiting for a condition.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long anything that must happen may take. Long, for a busy machine: only a failing test
/// waits this long.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How many times as long it may take on a machine that is slow, as an emulated one is.
const FACTOR: &str = "STILE_TEST_PATIENCE";
const STEP: Duration = Duration::from_millis(10);

/// [`PATIENCE`], or so many times that as the environment says (`STILE_TEST_PATIENCE`).
#[must_use]
pub fn patience() -> Duration {
    static FOUND: OnceLock<Duration> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let factor = std::env::var(FACTOR).map_or(1, |factor| factor.parse().unwrap());
        PATIENCE * factor
    })
}

/// Waits until `found` gives something, and panics with `what` after [`patience`]. For what
/// sends no event; the test goes on at the first look that succeeds.
#[track_caller]
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain: {what}",
            patience().as_secs()
        );
        std::thread::sleep(STEP);
    }
}
