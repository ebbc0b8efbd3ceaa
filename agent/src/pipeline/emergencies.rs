// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Emergencies: what the policy lets named users reach past its rules, with a proof, a reason, and
//! an alarm.

use std::sync::Arc;

use tracing::warn;
use zeroize::Zeroizing;

use super::{Pipeline, StageError, reasons};
use crate::audit::{self, Alarm, ChallengeOutcome, Event, FactorOutcome};
use crate::clock::{BootTime, Now};
use crate::decide::{Bound, Question, emergency_offer};
use crate::grant::{Grant, Scope, Target, Terms};
use crate::ids::{EndpointId, Uid};
use crate::ledger::StoredEmergency;
use crate::policy::{BreakGlass, Factor, Given, RuleName};
use crate::service::{Answer, Caller, Emergency, EmergencyView, ReasonView, Refusal, seconds_up};
use crate::verify::{Purpose, Verified, factor_of, verify_code};

/// An emergency that a user may have now.
pub(super) struct Opening {
    endpoint: EndpointId,
    entry: BreakGlass,
    realm: RuleName,
    bound: Bound,
    reason: String,
    until: BootTime,
    /// How many it makes within a day, with this one.
    number: u32,
}

impl Opening {
    /// What a right proof is to count for.
    pub(super) fn purpose(&self) -> Purpose<'_> {
        Purpose {
            until: Some(self.until),
            recovery: self.entry.proof.recovery,
            reason: Some(&self.reason),
            ..Purpose::new(self.realm.as_str(), &self.bound)
        }
    }

    /// When it ends at the latest.
    pub(super) fn until(&self) -> BootTime {
        self.until
    }
}

impl Pipeline {
    /// Opens an endpoint past the rules for a right code.
    pub(super) fn break_glass(
        &mut self,
        caller: Caller,
        wanted: &Emergency,
        code: &Zeroizing<String>,
        now: Now,
    ) -> Result<Answer, Refusal> {
        // What the gate reported before the answer counts as before it.
        self.drain_attempts();
        let factor = factor_of(code);
        let opening = self.opening(caller, wanted, &factor, now)?;
        let verification = verify_code(
            &mut self.ledger,
            caller.uid,
            opening.purpose(),
            code,
            now,
            &self.boot,
        );
        match self.judged(caller.uid, &factor, None, verification, now)? {
            Ok(verified) => self.break_open(&opening, verified, now),
            Err(answer) => Ok(answer),
        }
    }

    /// Whether the caller may have this emergency, by this factor; before any code is used up. A
    /// try that the policy doesn't let them have is an alarm.
    pub(super) fn opening(
        &mut self,
        caller: Caller,
        wanted: &Emergency,
        factor: &Factor,
        now: Now,
    ) -> Result<Opening, Refusal> {
        if !self.flood.admits(caller.uid, now.boot) {
            return Err(Refusal::Busy);
        }
        let found = self.find_opening(caller.uid, wanted, factor, now);
        if let Err(refusal @ (Refusal::NoEmergency | Refusal::TooManyEmergencies { .. })) = &found {
            let shown = wanted.endpoint.escape_debug().take(64).collect::<String>();
            warn!(uid = %caller.uid, endpoint = shown, "an emergency was refused: {refusal}");
            let alarm = Event::Alarm {
                subject: self.subject(caller.uid),
                alarm: Alarm::BreakGlassRefused,
                detail: format!("{shown}: {refusal}"),
            };
            self.record(now, [alarm])?;
        }
        found
    }

    fn find_opening(
        &self,
        uid: Uid,
        wanted: &Emergency,
        factor: &Factor,
        now: Now,
    ) -> Result<Opening, Refusal> {
        let named = |name: &str| name == wanted.endpoint;
        let mut endpoints = self.policy.endpoints.iter();
        let endpoint = endpoints.find(|endpoint| named(endpoint.name.as_str()));
        let endpoint = endpoint.ok_or(Refusal::NoEmergency)?.id;
        let entry = self
            .policy
            .break_glass_for(endpoint, uid, &self.names)
            .cloned()
            .ok_or(Refusal::NoEmergency)?;
        if let Some(asked) = &entry.proof.reason {
            reasons::check(asked, &wanted.reason)?;
        }
        let bound = Bound::Emergency(wanted.endpoint.clone());
        let own = self.ledger.emergencies(uid).map_err(StageError::from)?;
        let counted = self.counted(&own, &entry, now);
        let lasting = own
            .iter()
            .filter(|it| it.endpoint() == wanted.endpoint)
            .find_map(|it| it.ends(now.boot, &self.boot));
        let used = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        if lasting.is_none() && used >= u32::from(entry.per_day) {
            return Err(Refusal::TooManyEmergencies {
                per_day: entry.per_day.into(),
                retry_seconds: seconds_up(counted.into_iter().min().unwrap_or_default()),
            });
        }
        let given = self.given_in(uid, &bound, now)?;
        let given: Vec<_> = given.iter().map(|(it, _)| it.given()).collect();
        let one = std::slice::from_ref(factor);
        let levels = &self.policy.levels;
        if entry.proof.missing(&given, one, levels).is_empty() {
            return Err(Refusal::NotTaken {
                factor: factor.to_string(),
                proof: entry.proof.to_string(),
            });
        }
        Ok(Opening {
            endpoint,
            realm: RuleName::break_glass(),
            bound,
            reason: wanted.reason.trim().to_owned(),
            until: lasting.unwrap_or_else(|| now.boot.after(entry.ttl)),
            number: used + u32::from(lasting.is_none()),
            entry,
        })
    }

    /// For how long those emergencies of a user still count that an entry counts together.
    fn counted(
        &self,
        own: &[StoredEmergency],
        entry: &BreakGlass,
        now: Now,
    ) -> Vec<std::time::Duration> {
        own.iter()
            .filter(|it| {
                let id = EndpointId::from_name(it.endpoint());
                entry.endpoints.contains(&id)
            })
            .filter_map(|it| it.counts_for(now, &self.boot))
            .collect()
    }

    /// The proofs that were given for an emergency and still count, and until when.
    fn given_in(
        &self,
        uid: Uid,
        bound: &Bound,
        now: Now,
    ) -> Result<Vec<(crate::ledger::StoredElevation, BootTime)>, StageError> {
        let stored = self.ledger.elevations(uid, &self.boot)?;
        let live = stored.into_iter().filter_map(|it| {
            let until = it.until().filter(|until| now.boot < *until)?;
            (it.bound() == bound).then_some((it, until))
        });
        Ok(live.collect())
    }

    /// Lets through what a proof in an emergency opens, and says so loudly.
    pub(super) fn break_open(
        &mut self,
        opening: &Opening,
        verified: Verified,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let elevation = verified.elevation();
        let answer = self.break_open_by(opening, verified, now);
        answer.inspect_err(|_| {
            // What could not be recorded shall not let anybody through later either.
            let _ = self.ledger.revoke_elevation(elevation);
        })
    }

    /// Says loudly that an emergency opens its endpoint without having been asked for anew.
    pub(super) fn emergency_goes_on(
        &mut self,
        question: Question,
        now: Now,
    ) -> Result<(), StageError> {
        let endpoint = self.endpoint_name(question.endpoint);
        let uid = question.subject;
        warn!(%uid, endpoint, "BREAK GLASS: an emergency that lasts opens its endpoint again");
        let alarm = Event::Alarm {
            subject: self.subject(uid),
            alarm: Alarm::BreakGlassGoesOn,
            detail: endpoint,
        };
        self.record(now, [alarm])
    }

    fn break_open_by(
        &mut self,
        opening: &Opening,
        verified: Verified,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let uid = verified.uid();
        let given = self.given_in(uid, &opening.bound, now)?;
        let facts: Vec<Given<'_>> = given.iter().map(|(it, _)| it.given()).collect();
        let proof = &opening.entry.proof;
        let used = audit::FactorUse {
            elevation: Some(verified.elevation()),
            realm: Some(opening.realm.to_string()),
            reason: Some(opening.reason.clone()),
            ..self.factor_use(uid, verified.factor(), FactorOutcome::Accepted, None)
        };
        let alarm = self.recovery_alarm(uid, verified.recovery_left());
        let mut events: Vec<_> = [Event::Factor(used)].into_iter().chain(alarm).collect();
        if !proof.is_met(&facts, &self.policy.levels) {
            let missing = proof.missing(&facts, &self.at_hand(uid), &self.policy.levels);
            self.record(now, events)?;
            return Ok(Answer::More {
                factors: missing.iter().map(ToString::to_string).collect(),
            });
        }
        let elevation = verified.elevation();
        let id = self.ledger.next_grant_id().map_err(StageError::from)?;
        let target = Target {
            endpoint: opening.endpoint,
            scope: Scope::User,
        };
        let endpoint = self.endpoint_name(opening.endpoint);
        let left = opening.until.since(now.boot);
        warn!(
            %uid, endpoint, reason = ?opening.reason, number = opening.number,
            "BREAK GLASS: an endpoint is open past the rules"
        );
        events.push(Event::BreakGlass(audit::BreakGlass {
            subject: self.subject(uid),
            endpoint,
            reason: opening.reason.clone(),
            factor: verified.factor().clone(),
            elevation,
            grant: id,
            ttl_seconds: seconds_up(left),
            number: opening.number,
            per_day: opening.entry.per_day.into(),
        }));
        let terms = Terms::new(&emergency_offer(&opening.entry), Some(&opening.realm));
        let grants = Grant::from_verified(verified, [(id, target, Arc::new(terms))]);
        let waiting = self.taken_out(uid, opening.endpoint, &mut events, now);
        let released = self.put_in_force(grants, waiting, events, now)?;
        Ok(Answer::Accepted {
            until_seconds: seconds_up(left),
            released,
        })
    }

    /// The connections of a user to an endpoint that wait for an answer.
    fn taken_out(
        &mut self,
        uid: Uid,
        endpoint: EndpointId,
        events: &mut Vec<Event>,
        now: Now,
    ) -> Vec<crate::challenge::Waiting> {
        let goes_on = |waiting: &crate::challenge::Waiting| {
            waiting.facts.endpoint == endpoint && waiting.facts.subject.uid() == Some(uid)
        };
        let withdrawn = self.challenges.withdraw(goes_on);
        let mut waiting = Vec::new();
        for found in withdrawn {
            if found.ended {
                let outcome = ChallengeOutcome::Approved;
                events.extend(self.challenge_end(&found, outcome, now.boot));
                self.tell_over(found.id, uid, outcome);
            }
            waiting.extend(found.waiting);
        }
        waiting
    }

    /// What the caller may reach in an emergency.
    pub(super) fn list_emergencies(
        &self,
        caller: Caller,
        now: Now,
    ) -> Result<Vec<EmergencyView>, Refusal> {
        let own = self
            .ledger
            .emergencies(caller.uid)
            .map_err(StageError::from)?;
        let mut views = Vec::new();
        for endpoint in &self.policy.endpoints {
            let entry = self
                .policy
                .break_glass_for(endpoint.id, caller.uid, &self.names);
            let Some(entry) = entry else { continue };
            let used = u32::try_from(self.counted(&own, entry, now).len()).unwrap_or(u32::MAX);
            let name = endpoint.name.as_str();
            let ends = own
                .iter()
                .filter(|it| it.endpoint() == name)
                .find_map(|it| it.ends(now.boot, &self.boot));
            let asked = ReasonView::from(entry.proof.reason.as_deref());
            views.push(EmergencyView {
                endpoint: name.to_owned(),
                ttl_seconds: entry.ttl.as_secs(),
                per_day: entry.per_day.into(),
                left: u32::from(entry.per_day).saturating_sub(used),
                seconds_left: ends.map_or(0, |ends| seconds_up(ends.since(now.boot))),
                factors: self.factors_for(caller.uid, std::slice::from_ref(&entry.proof)),
                reason_name: asked.name,
                reason_pattern: asked.pattern,
            });
        }
        Ok(views)
    }

    /// What an emergency that lasts gives, for a grant that is held against today's policy.
    pub(super) fn emergency_terms(&self, question: Question, now: Now) -> Option<Terms> {
        let endpoint = self.policy.endpoint(question.endpoint)?;
        let bound = Bound::Emergency(endpoint.name.to_string());
        let entry =
            self.policy
                .break_glass_for(question.endpoint, question.subject, &self.names)?;
        let given = self.given_in(question.subject, &bound, now).ok()?;
        let given: Vec<_> = given.iter().map(|(it, _)| it.given()).collect();
        let met = entry.proof.is_met(&given, &self.policy.levels);
        met.then(|| Terms::new(&emergency_offer(entry), Some(&RuleName::break_glass())))
    }
}
