// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An authenticator app.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use totp_rs::{Algorithm, Builder, Secret, Totp};

/// Seconds of a step where nothing else is said (RFC 6238).
const STEP: u64 = 30;
/// How long a code may be under way: one that leaves the window sooner isn't given out.
const MARGIN: u64 = 4;

/// Makes a user's codes.
#[derive(Debug)]
pub struct Authenticator {
    totp: Totp,
    secret: String,
    step: u64,
    used: Cell<u64>,
}

impl Authenticator {
    /// An app that was given this secret in base 32.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self::token(secret, "sha1", 6, STEP)
    }

    /// A token with this secret in base 32, which makes its codes in another way: `sha1`,
    /// `sha256` or `sha512`, so many digits, a new one after so many seconds.
    ///
    /// # Panics
    /// If there is no such token.
    #[must_use]
    pub fn token(secret: &str, algorithm: &str, digits: u8, step: u64) -> Self {
        let algorithm = match algorithm {
            "sha1" => Algorithm::SHA1,
            "sha256" => Algorithm::SHA256,
            "sha512" => Algorithm::SHA512,
            other => panic!("no algorithm: {other}"),
        };
        let totp = Builder::new()
            .with_algorithm(algorithm)
            .with_digits(digits)
            .with_step_duration(step)
            .with_secret(Secret::try_from_base32(secret).unwrap())
            .build();
        Self {
            totp: totp.unwrap(),
            secret: secret.to_owned(),
            step,
            used: Cell::new(0),
        }
    }

    /// Its secret in base 32.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The bytes of its secret.
    #[must_use]
    pub fn secret_bytes(&self) -> Vec<u8> {
        let secret = Secret::try_from_base32(&self.secret).unwrap();
        secret.as_bytes().to_vec()
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
            let lowest = (now + MARGIN) / self.step - 1;
            let step = lowest.max(self.used.get() + 1);
            let highest = now / self.step + 1;
            if step <= highest {
                self.used.set(step);
                return self.code_of(step);
            }
            std::thread::sleep(Duration::from_secs((step - 1) * self.step - now));
        }
    }

    /// The code of the step that lies so many steps from now. It isn't counted as given out.
    #[must_use]
    pub fn code_at(&self, steps_from_now: i64) -> String {
        self.code_of((seconds() / self.step).strict_add_signed(steps_from_now))
    }

    /// The same, once this step has some seconds left: for what must not count from another one.
    #[must_use]
    pub fn code_far_away(&self, steps_from_now: i64) -> String {
        let left = self.step - seconds() % self.step;
        if left <= MARGIN {
            std::thread::sleep(Duration::from_secs(left));
        }
        self.code_at(steps_from_now)
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

    /// The code of a step of the clock since 1970. It isn't counted as given out.
    #[must_use]
    pub fn code_of(&self, step: u64) -> String {
        self.totp.generate(step * self.step).to_string()
    }
}

fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
