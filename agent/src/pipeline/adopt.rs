// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes over what an earlier daemon left in the kernel.

use std::collections::HashMap;

use stile_common::{GrantKey, GrantValue, scope};
use tracing::info;

use super::existing::is_kept_entry;
use super::{Pipeline, StageError};
use crate::audit::Event;
use crate::classify::{Process, ProcessId};
use crate::clock::Now;
use crate::decide::Question;
use crate::grant::Grant;
use crate::ids::{EndpointId, SocketCookie, Uid};

/// What becomes of a grant that was found.
enum Found {
    /// It goes on.
    Live(Grant),
    /// It is over, and its connections may outlive it; or a connection is older than the gate.
    Kept,
    /// Today's policy would not give it, or nobody knows whose it is.
    Unjustified,
}

impl Pipeline {
    /// Takes over grants that today's policy would still give, and connections that wait. No
    /// grant lasts longer than it would have.
    pub(super) fn adopt(&mut self) -> Result<(), StageError> {
        let now = Self::now();
        let grants = self.gate.grants()?;
        let found = self.find_sockets();
        let cgroups = self.cgroups();
        let owners = found
            .iter()
            .filter_map(|found| {
                let subject = self.subject_of(&found.socket, &cgroups)??;
                Some((found.socket.cookie, subject))
            })
            .collect();
        let any_single = grants.iter().any(|(key, _)| key.scope == scope::SOCKET);
        let holders = if any_single {
            self.holders(&found)
        } else {
            HashMap::new()
        };
        for (key, value) in grants {
            let maker = (key.scope == scope::SOCKET)
                .then(|| holders.get(&SocketCookie(key.id)).copied())
                .flatten();
            match self.judge_found(&key, &value, &owners, maker, now) {
                Found::Live(grant) => {
                    info!(grant = %grant.id(), uid = %grant.subject(), "adopted a grant");
                    let id = grant.id();
                    self.grants.insert(grant);
                    self.grants.set_maker(id, maker);
                }
                Found::Kept => {}
                Found::Unjustified => {
                    let end = self.kept_end(&key, &value);
                    self.note(now, [Event::GrantRevoked { end, by: Uid(0) }]);
                    self.gate.remove_grant(&key)?;
                }
            }
        }
        self.gate.bump_epoch()?;
        for attempt in self.gate.held()? {
            self.on_attempt(attempt);
        }
        self.classifier.forget();
        self.carry_out();
        self.judge_existing(found, now);
        Ok(())
    }

    fn judge_found(
        &self,
        key: &GrantKey,
        value: &GrantValue,
        owners: &HashMap<SocketCookie, Uid>,
        maker: Option<ProcessId>,
        now: Now,
    ) -> Found {
        if is_kept_entry(key, value) {
            return Found::Kept;
        }
        // A socket's grant names no user. One that is gone has no owner that could be found: its
        // grant ends.
        let owner = match key.scope {
            scope::USER => u32::try_from(key.id).ok().map(Uid),
            scope::SOCKET => owners.get(&SocketCookie(key.id)).copied(),
            _ => None,
        };
        let Some(owner) = owner else {
            return Found::Unjustified;
        };
        let question = Question {
            subject: owner,
            endpoint: EndpointId(key.endpoint),
        };
        let process = maker.and_then(|id| Process::again(&self.procfs, id).ok());
        // What is given to each connection by itself was never given to all of them.
        let mut terms = self.terms_for(question, process.as_ref(), now);
        let is_alone = key.scope == scope::SOCKET;
        terms.retain(|terms| is_alone || !terms.alone);
        terms.sort_by_key(|terms| terms.alone != is_alone);
        let Some(terms) = terms.into_iter().next() else {
            return Found::Unjustified;
        };
        if now.boot.0 < value.expires_ns {
            return Grant::adopt(key, value, owner, terms).map_or(Found::Unjustified, Found::Live);
        }
        if terms.keeps() && value.cut_ns == u64::MAX {
            Found::Kept
        } else {
            Found::Unjustified
        }
    }
}
