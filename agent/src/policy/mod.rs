// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is protected, and who may reach it how: the policy of `/etc/stile/policy.d/`.
//!
//! [`load()`] reads it, all or nothing. [`compile()`] turns it into the kernel's tables, and
//! [`crate::decide`] asks it who may. Both match rules with the same code.

mod break_glass;
mod compile;
mod condition;
mod coverage;
mod endpoint;
mod evaluate;
mod factor;
mod facts;
mod host;
mod host_doubts;
mod host_name;
mod indexed;
mod learn;
mod load;
mod matching;
pub mod names;
mod nat64;
mod pattern;
mod program;
mod proof;
mod read;
mod realms;
mod reason;
mod risk;
mod rule;
mod schema;
mod service;
mod subordinate;
#[cfg(test)]
pub(crate) mod testing;
mod window;

use std::fmt;
use std::net::IpAddr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use break_glass::BreakGlass;
pub use compile::{CompileError, KernelTables, compile};
pub use condition::{AtLeast, Condition, SessionType, Test};
pub use endpoint::{Endpoint, EndpointName, Existing, HostName, NameRefused, PortSpan, Protocol};
pub use evaluate::{Doubt, Evaluation, Fit, Miss, RiskFound, Step, evaluate};
pub use factor::{Assurance, Factor, NoFactor, ServiceName};
pub use facts::{Fact, Facts, OnlyTime, ProgramFacts, SessionFacts, Unknown};
pub use host_doubts::{Host, Judge};
pub use host_name::HostNameError;
pub use indexed::{Endpoints, Rules};
pub use learn::{Learned, NotTaken};
pub use load::{Loaded, load, load_as, load_on, load_texts};
pub use names::{NameError, Names, Remembered, SystemNames};
pub use pattern::Pattern;
pub use program::ProgramSelector;
pub use proof::{Asks, Given, Levels, Proof};
pub use realms::{Realm, realms_of};
pub use reason::{MAX_REASON, ReasonAsked, ReasonPattern, ReasonRefused};
pub use risk::{MAX_POINTS, Response, Risk, Threshold};
pub use rule::{
    Action, DEFAULT_HOLD, DEFAULT_REALM_TTL, EndpointSelector, First, MAX_HOLD, OnExpiry, Rule,
    RuleName, Scope, Terms, UserSelector,
};

pub use schema::schema;
pub use service::{SERVICES, Service};
pub use subordinate::{SUBUID, gated_uids};
pub use window::{Days, HourSpan, Window};

pub(crate) use evaluate::evaluate_with;
pub(crate) use matching::Matcher;

use crate::ids::{EndpointId, Uid};

/// Endpoints and rules, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is protected. An address that two of them name belongs to the first.
    pub endpoints: Endpoints,
    /// Who may reach it. The first rule that matches counts; where none does, nobody may.
    pub rules: Rules,
    /// What is unusual about a connection.
    pub risks: Vec<Risk>,
    /// What comes of it.
    pub thresholds: Vec<Threshold>,
    /// Who may get through in an emergency, past the rules.
    pub break_glass: Vec<BreakGlass>,
    /// Whether it is enforced.
    pub mode: Mode,
    /// What stands behind these networks of 96 bits is an IPv4 address, by their last 32 bits; see
    /// [`Policy::add_nat64`].
    pub nat64: Vec<Ipv6Net>,
    /// How much factors are worth on this host. It is no part of the files, and empty until the
    /// daemon says it.
    pub levels: Levels,
    /// Which policy this is.
    pub version: PolicyVersion,
}

/// Whether a policy is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// Everybody gets through, and what would have happened is written down.
    Observe,
}

impl Policy {
    /// Takes all services of PAM that the rules name for set up, and for worth the most: where the
    /// settings of a host aren't known.
    pub fn assume_services(&mut self) {
        let rules = self.rules.iter().filter_map(|rule| match &rule.action {
            Action::StepUp { proof, .. } => Some(proof),
            _ => None,
        });
        let thresholds = self.thresholds.iter().filter_map(|it| match &it.response {
            Response::StepUp { proof, .. } => proof.as_ref(),
            Response::Deny => None,
        });
        let emergencies = self.break_glass.iter().map(|entry| &entry.proof);
        let some_service = "stile".parse().ok();
        let named = rules
            .chain(thresholds)
            .chain(emergencies)
            .flat_map(Proof::factors);
        let named = named.filter_map(|factor| match factor {
            Factor::Pam(service) => Some(service),
            Factor::Totp | Factor::Recovery => None,
        });
        let services: Vec<_> = named.chain(some_service).collect();
        let services = services.into_iter().map(|it| (it, Assurance::HIGH));
        self.levels = Levels::new(services);
    }

    /// The endpoint with this id.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.with(id)
    }

    /// The endpoint that a destination belongs to; `protocol` is IANA's number
    /// ([`stile_common::protocol`]).
    #[must_use]
    pub fn endpoint_at(&self, address: IpAddr, port: u16, protocol: u8) -> Option<&Endpoint> {
        let address = nat64::seen_through(&self.nat64, address);
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.contains(address, port, protocol))
    }

    /// What lets a user through to an endpoint in an emergency: the first entry that speaks of
    /// both. Nobody of whom that can't be told gets through.
    #[must_use]
    pub fn break_glass_for(
        &self,
        endpoint: EndpointId,
        uid: Uid,
        names: &dyn Names,
    ) -> Option<&BreakGlass> {
        let matcher = Matcher::new(names);
        self.break_glass
            .iter()
            .filter(|entry| entry.endpoints.contains(&endpoint))
            .find(|entry| matcher.means(&entry.users, &entry.except, uid) == Ok(true))
    }

    /// True if risk may make two connections of one user to the endpoint differ.
    pub(crate) fn risk_varies(&self, endpoint: EndpointId) -> bool {
        let risks = self.risks.iter();
        let mut risks = risks.filter(|risk| risk.endpoints.contains(endpoint));
        !self.thresholds.is_empty() && risks.any(|risk| condition::vary(&risk.when))
    }

    /// The rules that speak of an endpoint, in their order.
    pub fn rules_of(&self, endpoint: EndpointId) -> impl Iterator<Item = &Rule> {
        self.rules.of(endpoint)
    }
}

/// The first 16 hexadecimal digits of the SHA-256 over the contents of all files, in their
/// order. Without drop-in folders: `cat /etc/stile/policy.d/*.toml | sha256sum`, in the C locale.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyVersion(String);

impl PolicyVersion {
    /// The version of a policy of these files.
    #[must_use]
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(text);
        }
        Self(hex::encode(&hash.finalize()[..8]))
    }

    /// The 16 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
