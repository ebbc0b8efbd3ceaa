// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said on the terminal of a process that waits.

use std::collections::HashSet;

use tracing::debug;

use super::Pipeline;
use crate::audit::ChallengeOutcome;
use crate::challenge::Waiting;
use crate::classify::Process;
use crate::clock::Now;
use crate::config::format_duration;
use crate::ids::ChallengeId;
use crate::prompt::tty::{Event, Notice, notify};

impl Pipeline {
    /// Says that a connection waits, and how to let it go on.
    pub(super) fn tell_terminal(&self, id: ChallengeId, now: Now) {
        let first = self
            .challenges
            .get(id)
            .and_then(|challenge| challenge.waiting.first());
        if let Some(waiting) = first {
            let left = waiting.deadline.since(now.boot);
            self.tell(
                waiting,
                Event::NeedsApproval {
                    challenge: id,
                    left,
                },
            );
        }
    }

    /// Says why connections came to nothing, once for each process. Whoever has said no
    /// themselves knows.
    pub(super) fn tell_end(&self, waiting: &[Waiting], outcome: ChallengeOutcome) {
        if outcome != ChallengeOutcome::TimedOut {
            return;
        }
        let mut told = HashSet::new();
        for waiting in waiting {
            let process = waiting.facts.process().map(Process::id);
            if !told.insert(process) {
                continue;
            }
            let waited = format_duration(waiting.deadline.since(waiting.facts.at));
            let reason = format!("nobody answered within {waited}");
            self.tell(waiting, Event::Denied { reason: &reason });
        }
    }

    /// Says on the terminals of a grant's connections that it ends soon.
    pub(super) fn tell_endings(&mut self, now: Now) {
        for (id, witnesses) in self.grants.take_warnings(now.boot) {
            let Some(live) = self.grants.get(id) else {
                continue;
            };
            if !self.settings.terminal_notice {
                continue;
            }
            let endpoint = self.endpoint_name(live.grant.target().endpoint);
            let event = Event::Ends {
                left: live.grant.expires().since(now.boot),
                closes: !live.grant.terms().keeps(),
            };
            for witness in witnesses {
                let notice = Notice {
                    program: &witness.program,
                    endpoint: &endpoint,
                    destination: witness.destination,
                    event,
                };
                let outcome = notify(&self.procfs, &witness.process, &notice);
                debug!(pid = witness.process.pid, ?outcome, "terminal notice");
            }
        }
    }

    fn tell(&self, waiting: &Waiting, event: Event<'_>) {
        let Some(process) = waiting
            .facts
            .process()
            .filter(|_| self.settings.terminal_notice)
        else {
            return;
        };
        let notice = Notice {
            program: &waiting.facts.program_shown(),
            endpoint: &self.endpoint_name(waiting.facts.endpoint),
            destination: waiting.facts.destination,
            event,
        };
        let outcome = notify(&self.procfs, process, &notice);
        debug!(pid = process.pid, ?outcome, "terminal notice");
    }
}
