// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Waiting for a condition.

use std::time::{Duration, Instant};

/// How long anything that must happen may take. Long, for a busy machine: only a failing test
/// waits this long.
pub const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(10);

/// Waits until `found` gives something, and panics with `what` after [`PATIENCE`]. For what
/// sends no event; the test goes on at the first look that succeeds.
#[track_caller]
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain: {what}",
            PATIENCE.as_secs()
        );
        std::thread::sleep(STEP);
    }
}
