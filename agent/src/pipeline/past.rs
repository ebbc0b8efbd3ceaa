// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The challenges that were over last, for who answers too late.

use std::collections::VecDeque;

use crate::audit::ChallengeOutcome;
use crate::ids::{ChallengeId, Uid};
use crate::service::{Caller, Refusal};

/// How many are remembered.
const KEPT: usize = 1024;

/// How each of the last challenges ended, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<(ChallengeId, Uid, ChallengeOutcome)>);

impl Past {
    /// One is over.
    pub(super) fn note(&mut self, id: ChallengeId, uid: Uid, outcome: ChallengeOutcome) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((id, uid, outcome));
    }

    /// What the caller is told who answers a challenge that isn't pending. One of somebody else's
    /// is like one that never was (promise S7).
    pub(super) fn refusal(&self, id: ChallengeId, caller: Caller) -> Refusal {
        let own = |uid: Uid| caller.is_admin() || uid == caller.uid;
        let mut latest = self.0.iter().rev();
        match latest.find(|(past, uid, _)| *past == id && own(*uid)) {
            Some((_, _, outcome)) => Refusal::ChallengeOver(words(*outcome)),
            None => Refusal::NoSuchChallenge,
        }
    }
}

fn words(outcome: ChallengeOutcome) -> &'static str {
    match outcome {
        ChallengeOutcome::Approved => "it was approved already",
        ChallengeOutcome::Denied => "it was denied",
        ChallengeOutcome::TimedOut => "nobody answered in time",
        ChallengeOutcome::Withdrawn => "nobody waits for it any more",
        ChallengeOutcome::Failed => "stile could not carry it out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_asked_hears_how_it_ended() {
        let mut past = Past::default();
        past.note(ChallengeId(7), Uid(1000), ChallengeOutcome::TimedOut);
        let heard = |id, uid| past.refusal(ChallengeId(id), Caller::user(Uid(uid)));
        let over = Refusal::ChallengeOver("nobody answered in time");
        assert_eq!(heard(7, 1000), over);
        assert_eq!(heard(7, 0), over);
        assert_eq!(heard(7, 1001), Refusal::NoSuchChallenge);
        assert_eq!(heard(8, 1000), Refusal::NoSuchChallenge);
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut past = Past::default();
        for id in 0..=KEPT as u64 {
            past.note(ChallengeId(id), Uid(1000), ChallengeOutcome::Denied);
        }
        let caller = Caller::user(Uid(1000));
        let gone = past.refusal(ChallengeId(0), caller);
        assert_eq!(gone, Refusal::NoSuchChallenge);
        let known = past.refusal(ChallengeId(1), caller);
        assert_eq!(known, Refusal::ChallengeOver("it was denied"));
    }
}
