// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Grants that people look at, and end early.

use std::collections::HashSet;

use stile_common::{GrantKey, scope};

use super::endings::Why;
use super::requests::count;
use super::{Pipeline, StageError};
use crate::audit::Event;
use crate::clock::Now;
use crate::grant::{Basis, Grant};
use crate::ids::GrantId;
use crate::service::{Caller, GrantView, Refusal, seconds_up};
use crate::sys::sock_diag::{Family, Listing, list};

impl Pipeline {
    /// Forgets connections that are over. Those in other namespaces are counted on.
    pub(super) fn forget_closed(&mut self) {
        let listed = [Family::V4, Family::V6].map(|family| list(Listing::live_tcp(family)));
        let [Ok(v4), Ok(v6)] = listed else { return };
        let live: HashSet<_> = v4.iter().chain(&v6).map(|socket| socket.cookie).collect();
        for granted in self.grants.iter_mut() {
            granted
                .flows
                .retain(|cookie, netns| netns.is_some() || live.contains(cookie));
        }
    }

    pub(super) fn list_grants(&self, caller: Caller, now: Now) -> Vec<GrantView> {
        let visible = self
            .grants
            .iter()
            .filter(|live| caller.is_admin() || live.grant.subject() == caller.uid);
        visible
            .map(|live| GrantView {
                id: live.grant.id(),
                uid: live.grant.subject(),
                endpoint: self.endpoint_name(live.grant.target().endpoint),
                rule: live.grant.terms().rule.to_string(),
                scope: live.grant.target().scope.to_string(),
                factor: live.grant.basis().to_string(),
                seconds_left: seconds_up(live.grant.expires().since(now.boot)),
                connections: count(live.flows.len()),
            })
            .collect()
    }

    /// Ends grants early, with the elevation behind them: the next connection asks again.
    pub(super) fn revoke(
        &mut self,
        caller: Caller,
        id: Option<GrantId>,
        now: Now,
    ) -> Result<u32, Refusal> {
        self.drain_flows();
        let visible = self
            .grants
            .ids_of((!caller.is_admin()).then_some(caller.uid));
        let ids = match id {
            Some(id) if visible.contains(&id) => vec![id],
            Some(_) => return Err(Refusal::NoSuchGrant),
            None => visible,
        };
        let mut ended = 0;
        for id in ids {
            let Some(live) = self.grants.remove(id) else {
                continue;
            };
            let revoked = self.revoke_proofs(&live.grant);
            // Whatever the ledger says: the connections end.
            self.end_grant(live, Why::Revoked(caller.uid), now)?;
            revoked?;
            ended += 1;
        }
        if id.is_none() {
            ended += self.revoke_kept(caller, now)?;
        }
        Ok(ended)
    }

    /// Takes back every proof that would earn the grant again.
    fn revoke_proofs(&mut self, grant: &Grant) -> Result<(), StageError> {
        if *grant.basis() == Basis::Rule {
            return Ok(());
        }
        let Some(realm) = &grant.terms().realm else {
            return Ok(());
        };
        for proof in self.ledger.elevations(grant.subject(), &self.boot)? {
            if proof.realm() == realm.as_str() {
                self.ledger.revoke_elevation(proof.id())?;
            }
        }
        Ok(())
    }

    /// Ends connections that outlived their grant (`on_expiry = "keep"`). Returns how many grants
    /// those were.
    fn revoke_kept(&mut self, caller: Caller, now: Now) -> Result<u32, StageError> {
        let own = u64::from(caller.uid.0);
        let is_own = |key: &GrantKey| key.scope == scope::USER && key.id == own;
        let mut kept = self.gate.grants()?;
        kept.retain(|(key, _)| caller.is_admin() || is_own(key));
        let ends: Vec<_> = kept
            .iter()
            .map(|(key, value)| Event::GrantRevoked {
                end: self.kept_end(key, value),
                by: caller.uid,
            })
            .collect();
        if !ends.is_empty() {
            self.note(now, ends);
        }
        for (key, _) in &kept {
            self.gate.remove_grant(key)?;
        }
        if !kept.is_empty() {
            self.gate.bump_epoch()?;
        }
        Ok(u32::try_from(kept.len()).unwrap_or(u32::MAX))
    }
}
