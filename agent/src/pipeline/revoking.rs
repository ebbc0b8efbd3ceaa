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
use crate::ids::{GrantId, Uid};
use crate::ledger::StoredElevation;
use crate::policy::Action;
use crate::service::{Caller, ElevationView, GrantView, Refusal, seconds_up};
use crate::sys::sock_diag::{Family, Listing, list};

/// Whose grants are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Of(Uid),
    Everybodys,
}

impl Whose {
    fn uid(self) -> Option<Uid> {
        match self {
            Self::Of(uid) => Some(uid),
            Self::Everybodys => None,
        }
    }
}

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
                connections: count(live.flows.len()),
                ..self.grant_view(&live.grant, now)
            })
            .collect()
    }

    pub(super) fn grant_view(&self, grant: &Grant, now: Now) -> GrantView {
        GrantView {
            id: grant.id(),
            uid: grant.subject(),
            endpoint: self.endpoint_name(grant.target().endpoint),
            rule: grant.terms().rule.to_string(),
            scope: grant.target().scope.to_string(),
            factor: grant.basis().to_string(),
            seconds_left: seconds_up(grant.expires().since(now.boot)),
            connections: 0,
        }
    }

    /// Ends grants of one user, for an administrator.
    pub(super) fn revoke_of(
        &mut self,
        caller: Caller,
        uid: Uid,
        id: Option<GrantId>,
        now: Now,
    ) -> Result<u32, Refusal> {
        if !caller.is_admin() && caller.uid != uid {
            return Err(Refusal::NotPermitted);
        }
        self.revoke_by(Whose::Of(uid), caller.uid, id, now)
    }

    /// The proofs that some rule still counts.
    pub(super) fn list_elevations(
        &self,
        caller: Caller,
        now: Now,
    ) -> Result<Vec<ElevationView>, Refusal> {
        let stored = if caller.is_admin() {
            self.ledger.all_elevations(&self.boot)
        } else {
            self.ledger.elevations(caller.uid, &self.boot)
        };
        let stored = stored.map_err(StageError::from)?;
        let live = stored.iter().filter(|proof| self.counts(proof, now));
        Ok(live
            .map(|proof| ElevationView {
                id: proof.id(),
                uid: proof.uid(),
                realm: proof.realm().to_owned(),
                factor: proof.factor().to_string(),
                scope: proof.bound().name().to_owned(),
                seconds_since: now.boot.since(proof.proven().boot).as_secs(),
            })
            .collect())
    }

    /// True while a rule of today's policy counts proofs of this realm and this age.
    fn counts(&self, proof: &StoredElevation, now: Now) -> bool {
        let age = now.boot.since(proof.proven().boot);
        if proof.until().is_some_and(|until| until <= now.boot) {
            return false;
        }
        if matches!(proof.bound(), crate::decide::Bound::Emergency(_)) {
            return true;
        }
        self.policy.rules.iter().any(|rule| match &rule.action {
            Action::StepUp { terms, realm, .. } => {
                realm.as_str() == proof.realm() && age < terms.ttl
            }
            Action::Allow { .. } | Action::Observe | Action::Deny => false,
        })
    }

    /// Ends grants early, with the elevation behind them: the next connection asks again.
    pub(super) fn revoke(
        &mut self,
        caller: Caller,
        id: Option<GrantId>,
        now: Now,
    ) -> Result<u32, Refusal> {
        let whose = match caller.is_admin() {
            true => Whose::Everybodys,
            false => Whose::Of(caller.uid),
        };
        self.revoke_by(whose, caller.uid, id, now)
    }

    fn revoke_by(
        &mut self,
        whose: Whose,
        by: Uid,
        id: Option<GrantId>,
        now: Now,
    ) -> Result<u32, Refusal> {
        self.drain_flows();
        let visible = self.grants.ids_of(whose.uid());
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
            self.end_grant(live, Why::Revoked(by), now)?;
            revoked?;
            ended += 1;
        }
        if id.is_none() {
            ended += self.revoke_kept(whose, by, now)?;
            ended += self.revoke_all_proofs(whose, now)?;
        }
        Ok(ended)
    }

    /// Takes back every proof, also one that nothing was granted for yet. Returns how many still
    /// counted.
    fn revoke_all_proofs(&mut self, whose: Whose, now: Now) -> Result<u32, StageError> {
        let proofs = match whose.uid() {
            Some(uid) => self.ledger.elevations(uid, &self.boot)?,
            None => self.ledger.all_elevations(&self.boot)?,
        };
        for proof in &proofs {
            self.ledger.revoke_elevation(proof.id())?;
        }
        Ok(count(
            proofs
                .iter()
                .filter(|proof| self.counts(proof, now))
                .count(),
        ))
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
    fn revoke_kept(&mut self, whose: Whose, by: Uid, now: Now) -> Result<u32, StageError> {
        let is_of =
            |key: &GrantKey, uid: Uid| key.scope == scope::USER && key.id == u64::from(uid.0);
        let mut kept = self.gate.grants()?;
        kept.retain(|(key, _)| whose.uid().is_none_or(|uid| is_of(key, uid)));
        let ends: Vec<_> = kept
            .iter()
            .map(|(key, value)| Event::GrantRevoked {
                end: self.kept_end(key, value),
                by,
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
