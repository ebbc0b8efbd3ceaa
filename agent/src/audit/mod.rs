// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit log: every challenge, decision, grant and end of one, before it takes effect in
//! the kernel (promise S6).
//!
//! The log is JSON, one record a line. Each line carries the hash of the line before it:
//!
//! ```text
//! {"seq":7,"prev":"<64 hex>","time":"…","boot_ns":…,"event":"grant",…,"hash":"<64 hex>"}
//! ```
//!
//! `hash` is the SHA-256 of all bytes of the line before `,"hash":"`. So [`verify()`] finds any
//! change, removal, insertion and reordering, with two exceptions that no chain can close by
//! itself: whole records cut off at the end, and a log that root has written anew. Both are
//! found by comparing with a hash that was kept elsewhere; ship the log off the host.

mod error;
mod escape;
mod event;
mod facts;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod line;
mod log;
mod open;
mod payload;
mod tail;
mod verify;

pub use error::AuditError;
pub use event::{Alarm, Event, FactorChange, Record};
pub use facts::{Destination, Flow, ProcessFacts, Subject, micros};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz;
pub use line::{Hash, MAX_LINE, Seq};
pub use log::AuditLog;
pub use open::Opened;
pub use payload::{
    Attempt, BreakGlass, Challenge, ChallengeEnd, ChallengeOutcome, CloseReason, Closed,
    Connection, Connections, Decision, DecisionOutcome, FactorFailure, FactorFault, FactorOutcome,
    FactorUse, Grant, GrantEnd, Kept, Passage,
};
pub use tail::{MAX_TAIL_BYTES, tail};
pub use verify::{Fault, VerifyError, VerifyReport, verify, verify_file};

/// The log's file below the audit directory.
pub const FILE_NAME: &str = "audit.jsonl";
/// The audit directory below the state directory.
pub const DIR_NAME: &str = "audit";

#[cfg(test)]
mod tests;
