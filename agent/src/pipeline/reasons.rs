// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reasons: why people want through, where a rule asks for that.

use std::sync::Arc;

use super::meeting::as_given;
use super::{Pipeline, StageError};
use crate::challenge::Challenge;
use crate::clock::Now;
use crate::ids::ChallengeId;
use crate::policy::{Proof, ReasonAsked, ReasonRefused};
use crate::service::{Caller, ReasonView, Refusal};

impl Pipeline {
    /// Keeps the reason that the caller gives for a challenge of their own, if it is one that the
    /// rule takes. It counts with the next factor.
    pub(super) fn explain(
        &mut self,
        caller: Caller,
        id: ChallengeId,
        text: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        let challenge = self.answerable_by(id, caller, now)?;
        let wanted = self.reason_wanted(challenge, now)?;
        check(wanted.as_deref().unwrap_or(&ReasonAsked::FREE), text)?;
        self.challenges.note_reason(id, text.trim());
        Ok(())
    }

    /// The reason to keep with the next factor for a challenge.
    ///
    /// # Errors
    /// If the rule asks for one and it wasn't given: before a code is used up for nothing.
    pub(super) fn reason_for(
        &self,
        challenge: &Challenge,
        now: Now,
    ) -> Result<Option<Arc<str>>, Refusal> {
        if let Some(asked) = self.reason_wanted(challenge, now)? {
            check(&asked, challenge.reason.as_deref().unwrap_or_default())?;
        }
        Ok(challenge.reason.clone())
    }

    /// What people are asked as a reason for a challenge.
    pub(super) fn reason_view(&self, challenge: &Challenge, now: Now) -> ReasonView {
        let wanted = self.reason_wanted(challenge, now).unwrap_or_default();
        let given = challenge.reason.as_deref();
        let open = wanted.filter(|asked| given.is_none_or(|text| asked.check(text).is_err()));
        ReasonView::from(open.as_deref())
    }

    fn reason_wanted(
        &self,
        challenge: &Challenge,
        now: Now,
    ) -> Result<Option<Arc<ReasonAsked>>, StageError> {
        let given = self.given(challenge, now)?;
        let given: Vec<_> = given.iter().map(as_given).collect();
        let proof = &challenge.key.proof;
        Ok(proof.reason_wanted(&given, &self.policy.levels).cloned())
    }
}

/// The demands of a realm that this reason meets.
///
/// # Errors
/// If there is none of them.
pub(super) fn explained(proofs: &[Proof], reason: Option<&str>) -> Result<Vec<Proof>, Refusal> {
    let text = reason.unwrap_or_default();
    check(&ReasonAsked::FREE, text)?;
    let checked = |proof: &Proof| {
        proof
            .reason
            .as_ref()
            .map_or(Ok(()), |asked| check(asked, text))
    };
    let met: Vec<_> = proofs
        .iter()
        .filter(|proof| checked(proof).is_ok())
        .cloned()
        .collect();
    match proofs.first() {
        Some(first) if met.is_empty() => checked(first).map(|()| met),
        _ => Ok(met),
    }
}

/// What people are asked as a reason for a proof that is given beforehand: required if every demand
/// of the realm has one.
pub(super) fn asked_beforehand(proofs: &[Proof]) -> ReasonView {
    let mut asking = proofs.iter().filter_map(|proof| proof.reason.as_deref());
    let all = proofs
        .iter()
        .all(|proof| proof.reason.as_ref().is_some_and(|asked| asked.required));
    let view = ReasonView::from(asking.next());
    match all {
        true => view,
        false => view.optional(),
    }
}

pub(super) fn check(asked: &ReasonAsked, text: &str) -> Result<(), Refusal> {
    asked.check(text).map_err(|refused| {
        Refusal::BadReason(match refused {
            ReasonRefused::Missing => {
                format!("a reason is asked for ({asked}); `--reason` gives one")
            }
            other => other.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ReasonPattern;

    fn proof(pattern: Option<&str>, required: bool) -> Proof {
        let pattern = pattern.map(|text| ReasonPattern::new(text).unwrap());
        Proof {
            reason: Some(Arc::new(ReasonAsked {
                required,
                pattern,
                ..ReasonAsked::FREE
            })),
            ..Proof::default()
        }
    }

    #[test]
    fn beforehand_a_reason_is_for_those_demands_that_it_meets() {
        let ticket = proof(Some("[A-Z]+-[0-9]+"), true);
        let free = Proof::default();
        let both = [ticket.clone(), free.clone()];
        assert_eq!(explained(&both, None).unwrap(), std::slice::from_ref(&free));
        assert_eq!(explained(&both, Some("OPS-1")).unwrap(), both);
        let missing = explained(std::slice::from_ref(&ticket), None);
        assert!(matches!(missing, Err(Refusal::BadReason(_))), "{missing:?}");
        assert!(explained(&[ticket], Some("because")).is_err());
        assert!(explained(&[free], Some("two\nlines")).is_err());
    }

    #[test]
    fn a_reason_is_required_beforehand_where_nothing_goes_without() {
        let required = proof(None, true);
        let view = asked_beforehand(&[required.clone(), required.clone()]);
        assert_eq!(view.demand, "required");
        let view = asked_beforehand(&[required, Proof::default()]);
        assert_eq!(view.demand, "optional");
        assert_eq!(asked_beforehand(&[Proof::default()]).demand, "");
    }
}
