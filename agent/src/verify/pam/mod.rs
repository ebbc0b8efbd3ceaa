// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PAM as a factor: fingerprint readers, security keys, Duo, whatever a host has a module for.
//!
//! Modules are foreign code that blocks for half a minute, forks, prints and crashes. So the
//! agent never links libpam: for each question [`PamRuns`] starts a `stile-pam`, passes on what
//! the modules ask, and ends it, with all that it has started, at the latest at a deadline.
//! Whatever goes wrong on the way is a [`PamFailure`]; only PAM's own yes makes a
//! [`PamPassed`]. `docs/factors.md` is for the administrator.

mod failure;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod message;
mod process;
mod protocol;
mod run;
mod runs;
mod service;

pub use failure::PamFailure;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz;
pub use run::{PamPassed, PamRun, PamStep, RespondError};
pub use runs::{HELPER, MAX_RUNS, PamRuns, SERVICES, StartError};
pub use service::{PamService, ServiceFileError, ServiceNameError};

#[cfg(test)]
mod tests;
