// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root at the agent's door: enrolls users and answers for them, on one connection to the bus
//! that is there before anything is measured.

use anyhow::{Context, Result, bail};
use stile::bus::AgentClient;
use stile::ids::{ChallengeId, Uid};
use stile::service::{Answer, ChallengeView};
use stile_tests::{Authenticator, Host};
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

/// The uid of the first user of the bench; they have no names, and are gated as every login uid.
pub(crate) const FIRST_UID: u32 = 43_000;

/// Root, with a connection to the agent.
pub(crate) struct Admin {
    runtime: Runtime,
    client: AgentClient,
}

impl Admin {
    /// Joins the host's bus.
    ///
    /// # Errors
    /// If there is no bus.
    pub(crate) fn of(host: &Host) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(AgentClient::connect_to(host.bus()))?;
        Ok(Self { runtime, client })
    }

    /// Enrolls a user, and uses up the first of the three codes that the agent takes at once.
    ///
    /// # Errors
    /// If the agent refuses.
    pub(crate) fn enroll(&self, uid: u32) -> Result<Authenticator> {
        let uid = Uid(uid);
        let begun = self.runtime.block_on(self.client.enroll_begin(uid))?;
        let authenticator = Authenticator::new(&begun.secret);
        let code = Zeroizing::new(authenticator.fresh_code());
        let confirmed = self.client.enroll_confirm(uid, &code);
        match self.runtime.block_on(confirmed)? {
            Answer::Accepted { .. } => Ok(authenticator),
            other => bail!("enrolling {uid}: {other:?}"),
        }
    }

    /// What waits for an answer.
    ///
    /// # Errors
    /// If the agent doesn't say.
    pub(crate) fn pending(&self) -> Result<Vec<ChallengeView>> {
        Ok(self.runtime.block_on(self.client.pending())?)
    }

    /// Asks over and over until so many connections of this user wait on one challenge.
    ///
    /// # Errors
    /// If the agent doesn't say, or it takes half a minute.
    pub(crate) fn wait_for_waiting(&self, uid: u32, count: u64) -> Result<ChallengeId> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let pending = self.pending()?;
            let own = pending.iter().find(|view| view.uid == Uid(uid));
            match own.filter(|view| u64::from(view.waiting) >= count) {
                Some(challenge) => return Ok(challenge.id),
                None if std::time::Instant::now() > deadline => {
                    bail!("{count} connections of {uid} should wait: {pending:?}")
                }
                None => {}
            }
        }
    }

    /// Answers for a user. Returns how many connections go on.
    ///
    /// # Errors
    /// If the agent refuses.
    pub(crate) fn approve(&self, id: ChallengeId, code: String) -> Result<u32> {
        let code = Zeroizing::new(code);
        match self.runtime.block_on(self.client.answer(id, &code))? {
            Answer::Accepted { released, .. } => Ok(released),
            other => bail!("challenge {id}: {other:?}"),
        }
    }

    /// Ends all grants.
    ///
    /// # Errors
    /// If the agent refuses.
    pub(crate) fn revoke_all(&self) -> Result<u32> {
        Ok(self.runtime.block_on(self.client.revoke(None))?)
    }

    /// How often the agent has counted a fault of this kind.
    ///
    /// # Errors
    /// If the agent doesn't say.
    pub(crate) fn faults(&self, kind: &str) -> Result<u64> {
        let status = self.runtime.block_on(self.client.status());
        let status = status.context("the agent's status")?;
        let of = status.faults.iter().filter(|(name, _)| name == kind);
        Ok(of.map(|(_, count)| count).sum())
    }
}
