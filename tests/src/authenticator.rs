// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An authenticator app.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use totp_rs::{Builder, Secret, Totp};

/// Seconds of a step (RFC 6238).
const STEP: u64 = 30;
/// How long a code may be under way: one that leaves the window sooner isn't given out.
const MARGIN: u64 = 4;

/// Makes a user's codes.
#[derive(Debug)]
pub struct Authenticator {
    totp: Totp,
    used: Cell<u64>,
}

impl Authenticator {
    /// An app that was given this secret in base 32.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let secret = Secret::try_from_base32(secret).unwrap();
        Self {
            totp: Builder::new().with_secret(secret).build().unwrap(),
            used: Cell::new(0),
        }
    }

    /// A code that was not given out yet and that the agent accepts now.
    ///
    /// The agent takes each step once, and only the current one and its neighbours; this gives
    /// the lowest that is left. Enrolling uses one, so that a test has **two** more; a third
    /// one has to wait for the next step, up to 30 s. Write tests that need two.
    #[must_use]
    pub fn fresh_code(&self) -> String {
        loop {
            let now = seconds();
            let lowest = (now + MARGIN) / STEP - 1;
            let step = lowest.max(self.used.get() + 1);
            let highest = now / STEP + 1;
            if step <= highest {
                self.used.set(step);
                return self.code_of(step);
            }
            std::thread::sleep(Duration::from_secs((step - 1) * STEP - now));
        }
    }

    /// The code of the step that lies so many steps from now. It isn't counted as given out.
    #[must_use]
    pub fn code_at(&self, steps_from_now: i64) -> String {
        self.code_of((seconds() / STEP).strict_add_signed(steps_from_now))
    }

    /// A code that is right at no time near now.
    #[must_use]
    pub fn wrong_code(&self) -> String {
        let near: Vec<String> = (-4..=4).map(|steps| self.code_at(steps)).collect();
        (0..)
            .map(|number: u32| format!("{number:06}"))
            .find(|code| !near.contains(code))
            .unwrap()
    }

    fn code_of(&self, step: u64) -> String {
        self.totp.generate(step * STEP).to_string()
    }
}

fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
