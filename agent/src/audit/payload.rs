// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the events of the way of data carry.

use serde::Serialize;

use super::{Destination, Flow, ProcessFacts, Subject};
use crate::clock::BootTime;
use crate::ids::{ChallengeId, ElevationId, GrantId, SocketCookie};
use crate::policy::Factor;

/// A connect that the kernel reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// What connects where.
    #[serde(flatten)]
    pub flow: Flow,
    /// When the kernel saw it.
    pub seen_boot_ns: BootTime,
    /// What the kernel did: `held`, `rejected`, `denied` or `granted`.
    pub disposition: String,
}

/// What the policy said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What connects where.
    #[serde(flatten)]
    pub flow: Flow,
    /// The answer.
    pub outcome: DecisionOutcome,
    /// The rule that gave it; none if no rule matched.
    pub rule: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// The elevation that it rests on, if it rests on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevation: Option<ElevationId>,
    /// What would have happened, if the policy only observes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<DecisionOutcome>,
    /// What is unusual: names of risks, and their points.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risk: Vec<(String, u32)>,
    /// Rules that could not be judged, and why: `rule: reason`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// An answer of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionOutcome {
    /// The policy lets it through to see what would have happened.
    Observe,
    /// A rule lets it through without proof.
    Allow,
    /// An earlier proof is good enough.
    Elevated,
    /// The user has to prove who they are.
    Challenge,
    /// No.
    Deny,
}

/// A request for proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Challenge {
    /// Its id.
    pub challenge: ChallengeId,
    /// The first connection that waits for it.
    #[serde(flatten)]
    pub flow: Flow,
    /// The rule that asks.
    pub rule: String,
    /// The realm that the proof will hold in.
    pub realm: String,
    /// The factors that the rule names; none if it names a level.
    pub factors: Vec<Factor>,
    /// What the rule asks for, in words.
    pub proof: String,
    /// How long it can be answered.
    pub hold_seconds: u64,
}

/// The end of a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChallengeEnd {
    /// Its id.
    pub challenge: ChallengeId,
    /// Who was asked.
    pub subject: Subject,
    /// The endpoint.
    pub endpoint: String,
    /// The rule that asked.
    pub rule: String,
    /// How it ended.
    pub outcome: ChallengeOutcome,
    /// How many connections waited for it.
    pub waiting: u32,
    /// Microseconds that it was open.
    pub latency_us: u64,
}

/// How a challenge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeOutcome {
    /// With proof.
    Approved,
    /// The user didn't want the connection.
    Denied,
    /// Nobody answered in time.
    TimedOut,
    /// All connections that waited were gone, or the policy changed.
    Withdrawn,
    /// With a fault of stile.
    Failed,
}

impl ChallengeOutcome {
    /// As the log calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::TimedOut => "timed-out",
            Self::Withdrawn => "withdrawn",
            Self::Failed => "failed",
        }
    }
}

/// A code that a user gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactorUse {
    /// The user.
    pub subject: Subject,
    /// The factor.
    pub factor: Factor,
    /// What became of it.
    pub outcome: FactorOutcome,
    /// The challenge that it answered; none when it confirmed an enrollment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeId>,
    /// The elevation that it earned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevation: Option<ElevationId>,
    /// The realm that it counts in; none if it earned nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The reason that the user gave with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorOutcome {
    /// Right.
    Accepted,
    /// Wrong.
    Wrong,
    /// Right once, and used before.
    Replayed,
    /// Right, and given only to test the device.
    Tested,
    /// Not looked at: too many wrong ones.
    Throttled,
    /// Not looked at: the user is locked out.
    Locked,
    /// The user has no such factor.
    NotEnrolled,
}

/// A factor that gave no answer, neither a yes nor a no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactorFailure {
    /// The user who was, or would have been, asked.
    pub subject: Subject,
    /// The factor.
    pub factor: Factor,
    /// The service of PAM.
    pub service: String,
    /// What failed.
    pub fault: FactorFault,
    /// Why, in words.
    pub why: String,
    /// The challenge that was to be answered; none if the proof was to be given beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeId>,
}

/// What failed where a factor gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorFault {
    /// The service file is missing, or can't be trusted.
    ServiceFile,
    /// `stile-pam` could not be started.
    NotStarted,
    /// Nothing was said within the time for it: by a module, or by whoever was asked.
    TimedOut,
    /// A module crashed, or ended the process.
    Crashed,
    /// The account is closed, or isn't allowed to.
    Account,
    /// A reader, key or server can't be reached.
    Unavailable,
    /// A module, the service file or `stile-pam` is broken.
    Broken,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Its id.
    pub grant: GrantId,
    /// Whose it is.
    pub subject: Subject,
    /// The endpoint that it opens.
    pub endpoint: String,
    /// The rule behind it.
    pub rule: String,
    /// `user` or `socket`.
    pub scope: String,
    /// The socket, if that is its scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<SocketCookie>,
    /// The factor that earned it; none if the rule asks for none.
    pub factor: Option<Factor>,
    /// The elevation that it rests on; none if the rule asks for none.
    pub elevation: Option<ElevationId>,
    /// When it ends.
    pub expires_boot_ns: BootTime,
    /// How long it lasts.
    pub ttl_seconds: u64,
}

/// An emergency: a user reaches an endpoint past the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakGlass {
    /// Who.
    pub subject: Subject,
    /// The endpoint.
    pub endpoint: String,
    /// Why.
    pub reason: String,
    /// The factor that it was proven with.
    pub factor: Factor,
    /// The elevation behind it.
    pub elevation: ElevationId,
    /// The grant that opens the endpoint.
    pub grant: GrantId,
    /// For how long it is open.
    pub ttl_seconds: u64,
    /// How many emergencies of the user that makes within 24 hours.
    pub number: u32,
    /// How many the policy lets them have.
    pub per_day: u32,
}

/// The end of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantEnd {
    /// Its id.
    pub grant: GrantId,
    /// Whose it was.
    pub subject: Subject,
    /// The endpoint that it opened.
    pub endpoint: String,
    /// The rule behind it.
    pub rule: String,
    /// Live connections that end with it.
    pub connections: u32,
}

/// A connection under a live grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// What connects where.
    #[serde(flatten)]
    pub flow: Flow,
    /// The grant.
    pub grant: GrantId,
    /// The rule behind the grant.
    pub rule: String,
    /// The factor that earned the grant; none if the rule asks for none.
    pub factor: Option<Factor>,
    /// How it got through.
    pub passage: Passage,
    /// Microseconds between the attempt and its release; none if it was not held.
    pub latency_us: Option<u64>,
}

/// Connections that passed under one live grant to one endpoint, too many for a record each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// The grant.
    pub grant: GrantId,
    /// Whose it is.
    pub subject: Subject,
    /// The endpoint.
    pub endpoint: String,
    /// The rule behind the grant.
    pub rule: Option<String>,
    /// How many they are: exactly.
    pub count: u64,
    /// When the kernel saw the first of them.
    pub first_boot_ns: BootTime,
    /// When it saw the last.
    pub last_boot_ns: BootTime,
}

/// How a connection got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passage {
    /// It was held, and then let go on.
    Released,
    /// The grant was there before it.
    Passed,
}

/// A connection that is older than the protection of its endpoint, and goes on because the
/// policy says so (`existing = "keep"`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The socket.
    pub socket: SocketCookie,
    /// The endpoint.
    pub endpoint: String,
    /// Whose it is; none if nobody knows whose session it is.
    pub subject: Option<Subject>,
    /// Where it goes.
    pub destination: Destination,
}

/// A connection that stile ended. What opened it is unknown if an earlier daemon let it through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// The socket.
    pub socket: SocketCookie,
    /// The endpoint.
    pub endpoint: String,
    /// Why.
    pub reason: CloseReason,
    /// Who was asked.
    pub subject: Option<Subject>,
    /// What opened it.
    pub process: Option<ProcessFacts>,
    /// Where it went.
    pub destination: Option<Destination>,
    /// The grant that it had.
    pub grant: Option<GrantId>,
    /// The rule behind the grant, or the one that refused it.
    pub rule: Option<String>,
    /// Microseconds since the attempt.
    pub latency_us: Option<u64>,
}

/// Why stile ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseReason {
    /// The user or the policy said no.
    Denied,
    /// Nobody answered in time.
    TimedOut,
    /// Its grant expired.
    Expired,
    /// Its grant was revoked.
    Revoked,
    /// Its process ended while it waited.
    Withdrawn,
    /// It was older than the protection of its endpoint.
    Existing,
    /// stile had a fault.
    Fault,
}
