// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns what the stages know into what the log says.

use std::os::unix::ffi::OsStrExt as _;

use stile_common::{GrantKey, GrantValue, scope};

use super::Pipeline;
use crate::audit;
use crate::classify::{Classified, Disposition, Program, Protocol, escape};
use crate::clock::BootTime;
use crate::decide::Question;
use crate::grant::{Basis, Grant, Live, Scope};
use crate::ids::{EndpointId, GrantId, Uid};

/// Names of the gate's counters, in the order of [`stile_common::fault`].
const FAULTS: [&str; stile_common::fault::COUNT as usize] = [
    "ring-full",
    "no-socket-state",
    "daemon-gone",
    "daemon-silent",
    "inconsistent-maps",
    "held-map-full",
    "unseen-socket",
    "unreadable-packet",
    "connection-not-recorded",
    "syn-not-captured",
    "throttled",
];

/// The name of a counter of the gate.
pub(super) fn fault_name(kind: usize) -> &'static str {
    FAULTS.get(kind).copied().unwrap_or("unknown")
}

/// The name of a disposition of the gate.
pub(super) fn disposition_name(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Granted(_) => "granted",
        Disposition::Held => "held",
        Disposition::Rejected => "rejected",
        Disposition::Observed => "observed",
        Disposition::Denied => "denied",
    }
}

/// The name of a protocol, or its number.
fn protocol_name(protocol: Protocol) -> String {
    match protocol {
        Protocol::Tcp => "tcp".to_owned(),
        Protocol::Udp => "udp".to_owned(),
        Protocol::Other(number) => number.to_string(),
    }
}

/// Longest path of a cgroup that is recorded; the kernel's own limit is 4096 bytes.
const CGROUP_CHARS: usize = 4096;

impl Pipeline {
    pub(super) fn subject(&self, uid: Uid) -> audit::Subject {
        audit::Subject {
            uid,
            user: self.subject_name(uid),
        }
    }

    /// A connection as the log tells it.
    pub(super) fn flow(&self, facts: &Classified) -> audit::Flow {
        let asked = facts.subject.uid().unwrap_or_else(|| facts.uid());
        let process = facts.process();
        let parent = process.and_then(|process| process.parent.as_ref());
        audit::Flow {
            socket: facts.cookie,
            subject: self.subject(asked),
            process: audit::ProcessFacts {
                pid: facts.attempt.pid,
                uid: facts.uid(),
                exe: process
                    .and_then(|process| process.program.as_ref())
                    .map(Program::shown),
                comm: facts.comm(),
                parent_pid: parent.map(|parent| parent.pid),
                parent_exe: parent
                    .and_then(|parent| parent.program.as_ref())
                    .map(Program::shown),
                cgroup: process
                    .and_then(|process| process.cgroup.as_ref())
                    .map(|path| escape::printable(path.as_os_str().as_bytes(), CGROUP_CHARS)),
            },
            destination: audit::Destination {
                address: facts.destination.ip().to_string(),
                port: facts.destination.port(),
                protocol: protocol_name(facts.protocol),
                endpoint: self.endpoint_name(facts.endpoint),
            },
        }
    }

    pub(super) fn grant_event(&self, grant: &Grant) -> audit::Event {
        let (factor, elevation) = factor_of(grant);
        let socket = match grant.target().scope {
            Scope::Socket(cookie) => Some(cookie),
            Scope::User => None,
        };
        audit::Event::Grant(audit::Grant {
            grant: grant.id(),
            subject: self.subject(grant.subject()),
            endpoint: self.endpoint_name(grant.target().endpoint),
            rule: grant.terms().rule.to_string(),
            scope: grant.target().scope.to_string(),
            socket,
            factor,
            elevation,
            expires_boot_ns: grant.expires(),
            ttl_seconds: grant.terms().given.ttl.as_secs(),
        })
    }

    pub(super) fn grant_end(&self, live: &Live) -> audit::GrantEnd {
        audit::GrantEnd {
            grant: live.grant.id(),
            subject: self.subject(live.grant.subject()),
            endpoint: self.endpoint_name(live.grant.target().endpoint),
            rule: live.grant.terms().rule.to_string(),
            connections: u32::try_from(live.flows.len()).unwrap_or(u32::MAX),
        }
    }

    /// The end of a grant of which only the kernel still knows.
    pub(super) fn kept_end(&self, key: &GrantKey, value: &GrantValue) -> audit::GrantEnd {
        // A socket's grant names no user; root alone ends those here.
        let owner = if key.scope == scope::USER { key.id } else { 0 };
        let uid = Uid(u32::try_from(owner).unwrap_or(u32::MAX));
        let endpoint = EndpointId(key.endpoint);
        audit::GrantEnd {
            grant: GrantId(value.grant),
            subject: self.subject(uid),
            endpoint: self.endpoint_name(endpoint),
            rule: self
                .terms_for(
                    Question {
                        subject: uid,
                        endpoint,
                    },
                    None,
                    Self::now(),
                )
                .first()
                .map_or_else(String::new, |terms| terms.rule.to_string()),
            connections: 0,
        }
    }

    pub(super) fn connection_event(
        &self,
        facts: &Classified,
        grant: &Grant,
        passage: audit::Passage,
        latency_us: Option<u64>,
    ) -> audit::Event {
        audit::Event::Connection(audit::Connection {
            flow: self.flow(facts),
            grant: grant.id(),
            rule: grant.terms().rule.to_string(),
            factor: factor_of(grant).0,
            passage,
            latency_us,
        })
    }

    pub(super) fn closed_event(
        &self,
        facts: &Classified,
        reason: audit::CloseReason,
        rule: Option<String>,
        now: BootTime,
    ) -> audit::Event {
        let flow = self.flow(facts);
        audit::Event::ConnectionClosedByStile(audit::Closed {
            socket: flow.socket,
            endpoint: flow.destination.endpoint.clone(),
            reason,
            subject: Some(flow.subject),
            process: Some(flow.process),
            destination: Some(flow.destination),
            grant: None,
            rule,
            latency_us: Some(audit::micros(now.since(facts.at))),
        })
    }
}

/// The factor and the elevation that earned a grant, if they are known.
pub(super) fn factor_of(
    grant: &Grant,
) -> (
    Option<crate::policy::Factor>,
    Option<crate::ids::ElevationId>,
) {
    match grant.basis() {
        Basis::Factor { factor, elevation } => (Some(factor.clone()), Some(*elevation)),
        Basis::Rule | Basis::Adopted => (None, None),
    }
}
