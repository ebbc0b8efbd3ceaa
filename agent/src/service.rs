// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon answers to people: the requests that the bus passes to the pipeline, and
//! the views that it gets back. The command line prints the same views as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::ids::{ChallengeId, GrantId, Uid};

/// Who asks. Only the bus makes one, from the credentials that the bus daemon vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The caller's uid.
    pub uid: Uid,
}

impl Caller {
    /// True where the caller may see and end what is another user's (promise S7).
    #[must_use]
    pub fn is_admin(self) -> bool {
        self.uid == Uid(0)
    }
}

/// Where the answer to a request goes.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// A request to the pipeline.
#[derive(Debug)]
pub enum Request {
    /// How the agent stands. Everybody may ask.
    Status(Caller, Reply<StatusView>),
    /// The caller's challenges; all of them for root.
    Pending(Caller, Reply<Vec<ChallengeView>>),
    /// A one-time code for a challenge of the caller's own.
    Answer(Caller, ChallengeId, Zeroizing<String>, Reply<Answer>),
    /// The caller doesn't want this connection.
    Deny(Caller, ChallengeId, Reply<()>),
    /// The caller's live grants; all of them for root.
    Grants(Caller, Reply<Vec<GrantView>>),
    /// Ends one grant, or with `None` all that the caller sees. Replies with how many ended.
    Revoke(Caller, Option<GrantId>, Reply<u32>),
    /// Starts to enroll the caller (or, for root, any user) with a fresh TOTP secret.
    EnrollBegin(Caller, Uid, Reply<Enrollment>),
    /// Confirms it with a first code; only now the secret is kept.
    EnrollConfirm(Caller, Uid, Zeroizing<String>, Reply<Answer>),
}

/// What became of a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Answer {
    /// The code was right and is used up. `until_seconds` is how long access lasts from now.
    Accepted {
        /// Seconds until the grant ends.
        until_seconds: u64,
        /// Connections that were waiting and go on.
        released: u32,
    },
    /// The code was wrong, or was used before.
    Wrong {
        /// Tries left before further ones have to wait.
        tries_left: u32,
    },
    /// Not looked at: too many wrong codes.
    Throttled {
        /// Seconds until the next try.
        retry_seconds: u64,
    },
}

/// A fresh secret, for the user's eyes only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Enrollment {
    /// `otpauth://` address for the authenticator app.
    pub url: Zeroizing<String>,
    /// The same secret in base 32, to be typed.
    pub secret: Zeroizing<String>,
    /// Seconds within which it must be confirmed.
    pub confirm_seconds: u64,
}

impl std::fmt::Debug for Enrollment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrollment(REDACTED)")
    }
}

/// One pending challenge. Text from a process is already escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeView {
    /// Its id.
    pub id: ChallengeId,
    /// Who is asked.
    pub uid: Uid,
    /// The endpoint's name.
    pub endpoint: String,
    /// `address:port`.
    pub destination: String,
    /// The rule's name.
    pub rule: String,
    /// Path of the program that opened the first connection, escaped.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// The program that started it and where, as `bash on pts/3`; escaped.
    pub parent: String,
    /// What is unusual, or could not be told: why the user is asked for so much.
    pub reasons: Vec<String>,
    /// How many connections wait on it.
    pub waiting: u32,
    /// What an answer grants: `this connection` or `prod-db for 15m`.
    pub grants: String,
    /// Seconds left to answer.
    pub seconds_left: u64,
}

/// One live grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// Whose it is.
    pub uid: Uid,
    /// The endpoint's name.
    pub endpoint: String,
    /// The rule's name.
    pub rule: String,
    /// `user` or `socket`.
    pub scope: String,
    /// How it was earned: `totp`, or `rule` where a rule says `allow`.
    pub factor: String,
    /// Seconds until it ends.
    pub seconds_left: u64,
    /// Live connections known under it.
    pub connections: u32,
}

/// How the agent stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The daemon's version.
    pub version: String,
    /// `enforcing`; `observing` if the policy only wants to know what would happen; or what keeps
    /// it from that.
    pub state: String,
    /// Where the hooks are attached.
    pub cgroup: String,
    /// First 16 hex digits of the policy's SHA-256.
    pub policy: String,
    /// When it was loaded: RFC 3339 in UTC.
    pub policy_loaded: String,
    /// How many endpoints are protected.
    pub endpoints: u32,
    /// How many rules there are.
    pub rules: u32,
    /// Pending challenges of everybody.
    pub pending: u32,
    /// Live grants of everybody.
    pub grants: u32,
    /// True if the caller has an enrolled factor.
    pub enrolled: bool,
    /// What is broken, in words; empty if nothing is.
    pub problems: Vec<String>,
    /// Faults of the kernel program by name, those that are not zero.
    pub faults: Vec<(String, u64)>,
}

/// Why a request was refused. The text is for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such challenge, or it isn't the caller's: the two are not told apart (S7).
    #[error("no such challenge of yours; `stile pending` lists them")]
    NoSuchChallenge,
    /// No such grant, or it isn't the caller's.
    #[error("no such grant of yours; `stile grants` lists them")]
    NoSuchGrant,
    /// The user has no factor.
    #[error("you have no authenticator enrolled; run `stile enroll`")]
    NotEnrolled,
    /// The user has one already, and only root may replace it.
    #[error("uid {0} is enrolled already; ask an administrator to run `stile enroll --user {0}`")]
    AlreadyEnrolled(Uid),
    /// Too many wrong codes, for good.
    #[error("you are locked out after too many wrong codes; ask an administrator")]
    Locked,
    /// A confirmation without a beginning, or too late.
    #[error("no enrollment is waiting to be confirmed; run `stile enroll` again")]
    NoEnrollment,
    /// The user's name or the issuer's can't stand in an authenticator app.
    #[error("{0}; an administrator can set `issuer` in stile.toml")]
    CannotEnroll(String),
    /// Only root may do this.
    #[error("only root may do this")]
    NotPermitted,
    /// Too much is pending.
    #[error("too many requests at once; try again in a moment")]
    Busy,
    /// The ledger or the audit log can't be written, so nothing is granted (S4).
    #[error("nothing can be granted now: {0}")]
    Storage(String),
    /// The kernel refused.
    #[error("the kernel refused: {0}")]
    Kernel(String),
}

/// Seconds of a duration, rounded up, so that "0 s left" means over.
#[must_use]
pub fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
