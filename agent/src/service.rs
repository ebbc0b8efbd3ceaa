// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon answers to people: the requests that the bus passes to the pipeline, and
//! the views that it gets back. The command line prints the same views as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::ids::{ChallengeId, GrantId, Uid};

mod factors;
mod proofs;
mod reasons;
mod views;

pub use factors::{CodeTestView, FactorRequest, FactorView, Import, ImportedAll, Removed, Wish};
pub use proofs::{
    Admission, Emergency, EmergencyView, ProofFor, ProofRequest, ProofStep, Unanswered,
};
pub use reasons::ReasonView;
pub use views::{DecisionView, ElevationView, RealmView};

/// Who asks. Only the bus makes one, from the credentials that the bus daemon vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The caller's uid.
    pub uid: Uid,
    /// True if polkit has let them do what is an administrator's.
    pub authorized: bool,
}

impl Caller {
    /// A user, with no more rights than every user has.
    #[must_use]
    pub fn user(uid: Uid) -> Self {
        let authorized = false;
        Self { uid, authorized }
    }

    /// True where the caller may see and end what is another user's (promise S7).
    #[must_use]
    pub fn is_admin(self) -> bool {
        self.uid == Uid(0) || self.authorized
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
    /// Why the caller wants what a challenge of their own asks about.
    Explain(Caller, ChallengeId, String, Reply<()>),
    /// A one-time code for a challenge of the caller's own.
    Answer(Caller, ChallengeId, Zeroizing<String>, Reply<Answer>),
    /// The caller doesn't want this connection.
    Deny(Caller, ChallengeId, Reply<()>),
    /// The caller's live grants; all of them for root.
    Grants(Caller, Reply<Vec<GrantView>>),
    /// Ends one grant, or with `None` all that the caller sees. Replies with how many ended.
    Revoke(Caller, Option<GrantId>, Reply<u32>),
    /// The realms in which the caller may have to prove who they are.
    Realms(Caller, Reply<Vec<RealmView>>),
    /// A one-time code that is given before anything has connected.
    Elevate(Caller, Elevate, Zeroizing<String>, Reply<Answer>),
    /// Ends one grant of this user, or with `None` all of theirs. Only for administrators.
    RevokeOf(Caller, Uid, Option<GrantId>, Reply<u32>),
    /// Reads the policy anew, as SIGHUP does. Only for administrators.
    Reload(Caller, Reply<()>),
    /// Starts to enroll the caller (or, for root, any user) with a fresh TOTP secret.
    EnrollBegin(Caller, Uid, Reply<Enrollment>),
    /// Confirms it with a first code; only now the secret is kept.
    EnrollConfirm(Caller, Uid, Zeroizing<String>, Reply<Answer>),
    /// The last decisions about the caller, newest first; for root, about everybody.
    Recent(Caller, Reply<Vec<DecisionView>>),
    /// The caller's proofs that still count; everybody's for root.
    Elevations(Caller, Reply<Vec<ElevationView>>),
    /// Something about a proof that takes a conversation.
    Proofs(Caller, ProofRequest),
    /// Something about factors.
    Factors(Caller, FactorRequest),
}

/// For what a code is given before anything has connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elevate {
    /// In which realm.
    pub realm: String,
    /// For how many seconds at most; 0 for as long as the rules let it.
    pub seconds: u64,
    /// The caller's process, if the bus knows it.
    pub pid: Option<u32>,
    /// True if that process is going to connect itself.
    pub this_process: bool,
    /// Why, where rules of the realm ask for it.
    pub reason: Option<String>,
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
    /// Right, and the rule asks for another factor as well.
    More {
        /// Those that the user has for it.
        factors: Vec<String>,
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
    /// The realm in which an answer counts.
    pub realm: String,
    /// Path of the program that opened the first connection, escaped.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// The file name of the program that started it, escaped; empty if that can't be told.
    pub parent: String,
    /// Its terminal, as `pts/3`; empty if it has none.
    pub terminal: String,
    /// The address that the user's login session came from; empty if that is unknown, or if it
    /// began at this computer.
    pub from: String,
    /// logind's id of that session; empty if it is unknown.
    pub session: String,
    /// What is unusual, or could not be told: why the user is asked for so much.
    pub reasons: Vec<String>,
    /// Why the program is worth a second look, as `others than root can change this program`.
    pub warnings: Vec<String>,
    /// How many connections wait on it.
    pub waiting: u32,
    /// For which connections an answer counts: `user`, `unit`, `process` or `socket`.
    pub scope: String,
    /// For how many seconds it counts.
    pub ttl_seconds: u64,
    /// Further endpoints that connections wait for, which the same answer opens.
    pub also: Vec<String>,
    /// When the time to answer is over, in seconds since 1970.
    pub deadline: u64,
    /// Seconds left to answer.
    pub seconds_left: u64,
    /// The factors that the rule takes and the user has; empty if nothing is enrolled.
    pub factors: Vec<String>,
    /// Whether a reason is still to be given: `required`, `optional`, or empty if none is.
    pub reason: String,
    /// What the reason is called, as `ticket`; empty if it has no name.
    pub reason_name: String,
    /// The regular expression for the whole of it; empty if any text will do.
    pub reason_pattern: String,
}

impl ChallengeView {
    /// The reason that is still to be given.
    #[must_use]
    pub fn asked_reason(&self) -> ReasonView {
        ReasonView {
            demand: self.reason.clone(),
            name: self.reason_name.clone(),
            pattern: self.reason_pattern.clone(),
        }
    }

    /// What started the program, and where: `bash on pts/3`.
    #[must_use]
    pub fn origin(&self) -> String {
        match (self.parent.as_str(), self.terminal.as_str()) {
            ("", "") => "an unknown program".to_owned(),
            ("", terminal) => format!("an unknown program on {terminal}"),
            (parent, "") => parent.to_owned(),
            (parent, terminal) => format!("{parent} on {terminal}"),
        }
    }
}

/// What has just happened, for those who watch. It goes to its user, and to root.
#[derive(Clone, Debug)]
pub enum News {
    /// A challenge was raised.
    Raised(Box<ChallengeView>),
    /// A challenge is over.
    Ended {
        /// Which.
        id: ChallengeId,
        /// Whose.
        uid: Uid,
        /// How, as the audit log calls it: `approved`, `denied`, `timed-out`, `withdrawn`.
        outcome: &'static str,
    },
    /// A grant has begun.
    Granted(Box<GrantView>),
    /// A grant is over.
    GrantEnded {
        /// Which.
        id: GrantId,
        /// Whose.
        uid: Uid,
        /// Why: `expired` or `revoked`.
        why: &'static str,
    },
    /// Something of the status has changed. It goes to everybody.
    Status,
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

/// One prompter: a program in a user's session that shows challenges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrompterView {
    /// Its unique name on the bus.
    pub name: String,
    /// Whose it is.
    pub uid: Uid,
    /// logind's id of its session; empty if it has none.
    pub session: String,
    /// Where it can show something: `gnome`, `pinentry`, `tmux`, `notification`.
    pub places: Vec<String>,
    /// The language that it speaks, as `de`.
    pub language: String,
    /// How many challenges it shows right now.
    pub showing: u32,
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
    /// It was one of the caller's, and is over; how, in words.
    #[error("this challenge is over: {0}. The code was not used")]
    ChallengeOver(&'static str),
    /// No such grant, or it isn't the caller's.
    #[error("no such grant of yours; `stile grants` lists them")]
    NoSuchGrant,
    /// No rule that speaks of the caller has this realm.
    #[error("no rule asks you for proof in this realm; `stile realms` lists yours")]
    NoSuchRealm,
    /// Its rules ask each program or each connection.
    #[error(
        "the rules of this realm ask each program or connection by itself; \
         `stile run -- COMMAND` asks for one program"
    )]
    NotBeforehand,
    /// The user has no factor.
    #[error("you have no authenticator enrolled; run `stile enroll`")]
    NotEnrolled,
    /// The user has one already, and only root may replace it.
    #[error(
        "uid {0} is enrolled already; `stile factor add` adds a device, and an administrator \
         replaces a lost one with `stile enroll --user {0}`"
    )]
    AlreadyEnrolled(Uid),
    /// A change of factors needs a code of one that is there.
    #[error("this needs a code of a factor that you have")]
    NeedsCode,
    /// That code was wrong.
    #[error(
        "wrong code; {}",
        match .tries_left { 0 => "the next try has to wait".to_owned(), 1 => "1 try left".to_owned(), n => format!("{n} tries left") }
    )]
    WrongCode {
        /// Tries left before further ones have to wait.
        tries_left: u32,
    },
    /// It was not looked at.
    #[error("too many wrong codes; the next try is looked at in {retry_seconds} s")]
    Throttled {
        /// Seconds until then.
        retry_seconds: u64,
    },
    /// What was asked for can't be done with factors as they are.
    #[error("{0}")]
    BadFactor(String),
    /// This host, or the rule, has no such factor.
    #[error("{0} can't be used here; `stile pending --json` and `stile factor list` show what can")]
    NoSuchFactor(String),
    /// The rule asks for something else.
    #[error("{factor} doesn't help here: the rule asks for {proof}")]
    NotTaken {
        /// What was given.
        factor: String,
        /// What is asked for.
        proof: String,
    },
    /// The policy lets the caller reach no such endpoint in an emergency.
    #[error(
        "there is no such endpoint that you may reach in an emergency; `stile break-glass` lists yours"
    )]
    NoEmergency,
    /// The caller has had as many emergencies as the policy lets them have.
    #[error(
        "that is as often as you may in 24 hours ({per_day}); the next one is possible in {} s",
        .retry_seconds
    )]
    TooManyEmergencies {
        /// How many those are.
        per_day: u32,
        /// Seconds until the first of them no longer counts.
        retry_seconds: u64,
    },
    /// The reason that the rule asks for is missing, or doesn't do.
    #[error("{0}")]
    BadReason(String),
    /// A conversation is over, or was never the caller's.
    #[error("no such conversation of yours; begin again")]
    NoSuchConversation,
    /// PAM could not tell.
    #[error("{0}")]
    NotTold(String),
    /// The user has no recovery codes, or the rule takes none.
    #[error(
        "you have no recovery codes left that count here; `stile factor list` shows what you have"
    )]
    NoRecoveryCodes,
    /// Too many wrong codes, for good.
    #[error("you are locked out after too many wrong codes; ask an administrator")]
    Locked,
    /// The same, for who acts for another user.
    #[error(
        "{user} is locked out after too many wrong codes; `stile unlock {user}` ends that, once \
         you know who gave them"
    )]
    OtherLocked {
        /// What that user is called.
        user: String,
    },
    /// A confirmation without a beginning, or too late.
    #[error("no enrollment is waiting to be confirmed; run `stile enroll` again")]
    NoEnrollment,
    /// The user's name or the issuer's can't stand in an authenticator app.
    #[error("{0}; an administrator can set `issuer` in stile.toml")]
    CannotEnroll(String),
    /// Only root may do this.
    #[error("only an administrator may do this")]
    NotPermitted,
    /// A prompter that can't be taken.
    #[error("{0}")]
    NoPrompter(String),
    /// The policy has mistakes; the running one stays.
    #[error("the policy was not loaded, and the running one stays:\n{0}")]
    BadPolicy(String),
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

#[cfg(test)]
pub(crate) mod testing {
    use super::ChallengeView;
    use crate::ids::{ChallengeId, Uid};

    /// A challenge as any.
    pub(crate) fn challenge(id: ChallengeId, uid: Uid) -> ChallengeView {
        ChallengeView {
            id,
            uid,
            endpoint: "prod-db".into(),
            destination: "10.20.0.1:5432".into(),
            rule: "dba step-up".into(),
            realm: "prod".into(),
            program: "/usr/bin/psql".into(),
            pid: 4242,
            parent: "bash".into(),
            terminal: "pts/3".into(),
            from: String::new(),
            session: String::new(),
            reasons: Vec::new(),
            warnings: Vec::new(),
            waiting: 1,
            scope: "user".into(),
            ttl_seconds: 900,
            also: Vec::new(),
            deadline: 1_767_582_058,
            seconds_left: 58,
            factors: vec!["totp".into()],
            reason: String::new(),
            reason_name: String::new(),
            reason_pattern: String::new(),
        }
    }
}
