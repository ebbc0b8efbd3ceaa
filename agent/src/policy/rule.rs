// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may reach it, and how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::condition::{Condition, vary};
use super::endpoint::{MAX_NAME, NameRefused};
use super::program::ProgramSelector;
use super::proof::Proof;
use crate::ids::{EndpointId, Uid};

/// Longest that a rule may hold a connection. Beyond it most clients have given up.
pub const MAX_HOLD: Duration = Duration::from_secs(10 * 60);

/// How long a proof is good if neither the rule nor the defaults say.
pub const DEFAULT_REALM_TTL: Duration = Duration::from_secs(15 * 60);

/// How long a rule holds a connection if it doesn't say.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(60);

/// The name of a rule, a role, a risk or a realm: 1 to 64 printable characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName(Arc<str>);

impl RuleName {
    /// Takes a text for a name.
    ///
    /// # Errors
    /// If it is too long or short, or holds what a terminal may not show as it is.
    pub fn new(text: &str) -> Result<Self, NameRefused> {
        let sound = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ';
        let length = text.chars().count();
        if (1..=MAX_NAME).contains(&length) && text.chars().all(sound) && text.trim() == text {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NameRefused::Rule)
        }
    }

    /// What stands for a rule where an emergency lets somebody through.
    #[must_use]
    pub fn break_glass() -> Self {
        Self(Arc::from("break glass"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Whom a rule speaks of. Names stay names: who they are is looked up when it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UserSelector {
    /// Everybody: `*`.
    Everyone,
    /// The user of this name.
    User(String),
    /// The members of the group of this name: `%name`.
    Group(String),
    /// The user of this number.
    Uid(Uid),
    /// The users of these numbers, both ends included.
    Uids(Uid, Uid),
}

/// Which endpoints a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointSelector {
    /// All of the policy: `*`.
    All,
    /// These.
    These(Vec<EndpointId>),
}

impl EndpointSelector {
    /// True if the endpoint is one of them.
    #[must_use]
    pub fn contains(&self, endpoint: EndpointId) -> bool {
        match self {
            Self::All => true,
            Self::These(ids) => ids.contains(&endpoint),
        }
    }
}

/// How far one proof reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One connection.
    Socket,
    /// Every connection of the process to the endpoint.
    Process,
    /// Every connection of the systemd unit to the endpoint: of the login session, say.
    Unit,
    /// Every connection of the user to the endpoint.
    User,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "socket",
            Self::Process => "process",
            Self::Unit => "unit",
            Self::User => "user",
        })
    }
}

/// What becomes of live connections when their grant expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnExpiry {
    /// They are cut.
    Close,
    /// They go on.
    Keep,
}

/// What happens to a connection that nothing lets through yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum First {
    /// It waits. (What isn't TCP can't wait: it is rejected.)
    Hold {
        /// How long at most: 1 s to [`MAX_HOLD`].
        max_hold: Duration,
    },
    /// It is refused; a later one may pass.
    Reject,
}

/// What a rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// To which connections.
    pub scope: Scope,
    /// For how long, from the moment of the proof (or, of an allow rule, of the decision).
    pub ttl: Duration,
    /// What happens then.
    pub on_expiry: OnExpiry,
    /// How long before that the user is told, if at all.
    pub warn: Option<Duration>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets the user through.
    Allow {
        /// What it gives.
        terms: Terms,
        /// What happens until the daemon has written it down.
        first: First,
    },
    /// Lets the user through who proves who they are.
    StepUp {
        /// What it gives.
        terms: Terms,
        /// What happens until then.
        first: First,
        /// What it asks for.
        proof: Proof,
        /// In which realm the proof counts: for all rules that name it.
        realm: RuleName,
    },
    /// Lets everybody through, and writes down what the rules after this one would have done.
    Observe,
    /// Lets nobody through.
    Deny,
}

impl Action {
    /// What the rule gives, if it gives anything.
    #[must_use]
    pub fn terms(&self) -> Option<Terms> {
        match self {
            Self::Allow { terms, .. } | Self::StepUp { terms, .. } => Some(*terms),
            Self::Observe | Self::Deny => None,
        }
    }

    /// What happens to a first connection, if it has to wait for a decision.
    #[must_use]
    pub fn first(&self) -> Option<First> {
        match self {
            Self::Allow { first, .. } | Self::StepUp { first, .. } => Some(*first),
            Self::Observe | Self::Deny => None,
        }
    }
}

/// A rule: what happens when these users reach for these endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name. Only the rules that one `[[rule]]` with several roles makes have the same.
    pub name: RuleName,
    /// The role that it was made for, if any.
    pub role: Option<RuleName>,
    /// Of which endpoints it speaks.
    pub endpoints: EndpointSelector,
    /// Of whom it speaks; never empty.
    pub users: Vec<UserSelector>,
    /// Of whom it doesn't speak, though they are in `users`.
    pub except: Vec<UserSelector>,
    /// Of which programs it speaks; empty means any.
    pub programs: Vec<ProgramSelector>,
    /// When it counts; one of these is enough, and none means always.
    pub when: Vec<Condition>,
    /// What it does.
    pub action: Action,
}

impl Rule {
    /// True if it speaks of everybody, whatever they run and whenever they do.
    #[must_use]
    pub fn is_for_everyone(&self) -> bool {
        self.users.contains(&UserSelector::Everyone)
            && self.except.is_empty()
            && self.is_unconditional()
    }

    /// True if it asks for nothing but who somebody is.
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        self.programs.is_empty() && self.when.is_empty()
    }

    /// True if it may hold for one connection of a user to an endpoint, and not for another one
    /// at the same time.
    #[must_use]
    pub fn varies(&self) -> bool {
        !self.programs.is_empty() || vary(&self.when)
    }
}
