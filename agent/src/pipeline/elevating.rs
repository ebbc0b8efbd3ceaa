// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Proofs that users give before they connect.

use std::time::Duration;

use tracing::info;
use zeroize::Zeroizing;

use super::proving::Purposes;
use super::reasons::asked_beforehand;
use super::{Pipeline, StageError};
use crate::classify::Process;
use crate::clock::Now;
use crate::decide::Bound;
use crate::policy::{Realm, Scope, realms_of};
use crate::service::{Answer, Caller, Elevate, RealmView, Refusal, seconds_up};
use crate::verify::{Verified, factor_of, verify_code};

/// The longest time that a user may ask for. No rule gives more.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Pipeline {
    /// The realms in which the caller may have to prove who they are.
    pub(super) fn realms(&self, caller: Caller, now: Now) -> Result<Vec<RealmView>, Refusal> {
        let proofs = self
            .ledger
            .elevations(caller.uid, &self.boot)
            .map_err(StageError::from)?;
        let realms = realms_of(&self.policy, &self.names, caller.uid);
        let views = realms.into_iter().map(|(realm, found)| {
            let own = proofs.iter().filter(|proof| proof.realm() == realm);
            let left = own.map(|proof| {
                let until = proof.proven().boot.after(found.ttl);
                let until = proof.until().map_or(until, |end| until.min(end));
                seconds_up(until.since(now.boot))
            });
            let asked = asked_beforehand(&found.proofs);
            RealmView {
                seconds_left: left.max().unwrap_or(0),
                endpoints: found.endpoints.into_iter().collect(),
                scopes: found.scopes.iter().map(ToString::to_string).collect(),
                ttl_seconds: found.ttl.as_secs(),
                factors: self.factors_for(caller.uid, &found.proofs),
                reason: asked.demand,
                reason_name: asked.name,
                reason_pattern: asked.pattern,
                realm,
            }
        });
        Ok(views.collect())
    }

    /// Checks a code that is given before anything has connected. What waits for the same proof
    /// goes on with it.
    pub(super) fn elevate(
        &mut self,
        caller: Caller,
        wanted: &Elevate,
        code: &Zeroizing<String>,
        now: Now,
    ) -> Result<Answer, Refusal> {
        // What the gate reported before the answer counts as before it.
        self.drain_attempts();
        let purposes = self.purposes(caller, wanted, now)?;
        self.some_take(&purposes.explained()?, &factor_of(code))?;
        if !self.flood.admits(caller.uid, now.boot) {
            return Err(Refusal::Busy);
        }
        let purpose = purposes.purpose(&wanted.realm);
        let verification =
            verify_code(&mut self.ledger, caller.uid, purpose, code, now, &self.boot);
        match self.judged(caller.uid, &factor_of(code), None, verification, now)? {
            Ok(verified) => self.elevated(caller, wanted, &purposes, verified, now),
            Err(answer) => Ok(answer),
        }
    }

    /// For what a proof would count that the caller gives beforehand.
    pub(super) fn purposes(
        &self,
        caller: Caller,
        wanted: &Elevate,
        now: Now,
    ) -> Result<Purposes, Refusal> {
        let realms = realms_of(&self.policy, &self.names, caller.uid);
        let found = realms.get(&wanted.realm).ok_or(Refusal::NoSuchRealm)?;
        let (first, further) = self.bounds(caller, wanted, found)?;
        let limit = (wanted.seconds > 0).then(|| Duration::from_secs(wanted.seconds).min(LONGEST));
        Ok(Purposes {
            first,
            further,
            until: limit.map(|limit| now.boot.after(limit)),
            ttl: limit.map_or(found.ttl, |limit| found.ttl.min(limit)),
            proofs: found.proofs.clone(),
            reason: wanted.reason.as_deref().map(|text| text.trim().to_owned()),
        })
    }

    /// Lets through what waits for a proof that was given beforehand.
    pub(super) fn elevated(
        &mut self,
        caller: Caller,
        wanted: &Elevate,
        purposes: &Purposes,
        verified: Verified,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let bounds: Vec<&Bound> = [&purposes.first]
            .into_iter()
            .chain(&purposes.further)
            .collect();
        let met = self.met(caller.uid, &wanted.realm, None, &bounds, now)?;
        if let Some(missing) = self.missing_in(caller.uid, wanted, purposes, now)? {
            self.half_elevated(caller.uid, &wanted.realm, &verified, now)?;
            return Ok(Answer::More { factors: missing });
        }
        info!(uid = %caller.uid, realm = %wanted.realm, "elevated");
        let answer = self.approve_met(&met, verified, &wanted.realm, now)?;
        Ok(match answer {
            Answer::Accepted { released, .. } => Answer::Accepted {
                until_seconds: purposes.ttl.as_secs(),
                released,
            },
            other => other,
        })
    }

    /// For which connections such a proof counts: those that rules of the realm ask together.
    fn bounds(
        &self,
        caller: Caller,
        wanted: &Elevate,
        realm: &Realm,
    ) -> Result<(Bound, Vec<Bound>), Refusal> {
        // The bus tells the process only as it was; that it is the caller's own is what counts.
        let process = wanted
            .pid
            .and_then(|pid| Process::holding(&self.procfs, pid).ok())
            .filter(|process| process.uid == caller.uid);
        let of_scope = |scope: &Scope| match scope {
            Scope::User => Some(Bound::User),
            Scope::Unit => process.as_ref()?.unit_cgroup().map(Bound::Unit),
            Scope::Process if wanted.this_process => Some(Bound::Process(process.as_ref()?.id())),
            Scope::Process | Scope::Socket => None,
        };
        let mut bounds = realm.scopes.iter().filter_map(of_scope);
        let first = bounds.next().ok_or(Refusal::NotBeforehand)?;
        Ok((first, bounds.collect()))
    }
}
