// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes down what an answer was worth, whatever it was given for.

use super::{Pipeline, StageError};
use crate::audit::{Alarm, Event, FactorOutcome};
use crate::clock::Now;
use crate::ids::{ChallengeId, Uid};
use crate::ledger::{LedgerError, Throttle};
use crate::policy::Factor;
use crate::service::{Answer, Refusal, seconds_up};
use crate::verify::Verification;

impl Pipeline {
    /// Writes down what a code was worth. `Err` is what its user is told.
    pub(super) fn judged<T>(
        &mut self,
        subject: Uid,
        factor: &Factor,
        challenge: Option<ChallengeId>,
        verification: Result<Verification<T>, LedgerError>,
        now: Now,
    ) -> Result<Result<T, Answer>, Refusal> {
        match verification.map_err(StageError::from)? {
            Verification::Verified(verified) => Ok(Ok(verified)),
            Verification::Wrong {
                tries_left,
                replayed,
            } => {
                self.history.note_failure(subject, now);
                let outcome = if replayed {
                    FactorOutcome::Replayed
                } else {
                    FactorOutcome::Wrong
                };
                self.factor_used(subject, factor, outcome, challenge, now)?;
                self.alarm_if_locked(subject, factor, now)?;
                Ok(Err(Answer::Wrong { tries_left }))
            }
            Verification::Throttled { retry } => {
                self.factor_used(subject, factor, FactorOutcome::Throttled, challenge, now)?;
                Ok(Err(Answer::Throttled {
                    retry_seconds: seconds_up(retry),
                }))
            }
            Verification::Locked => {
                self.factor_used(subject, factor, FactorOutcome::Locked, challenge, now)?;
                Err(Refusal::Locked)
            }
            Verification::NotEnrolled => {
                self.factor_used(subject, factor, FactorOutcome::NotEnrolled, challenge, now)?;
                Err(match factor {
                    Factor::Recovery => Refusal::NoRecoveryCodes,
                    _ => Refusal::NotEnrolled,
                })
            }
        }
    }

    /// Says loudly that somebody has just been locked out.
    pub(super) fn alarm_if_locked(
        &mut self,
        subject: Uid,
        factor: &Factor,
        now: Now,
    ) -> Result<(), StageError> {
        let throttle = self
            .ledger
            .throttle(subject, factor, now.boot, &self.boot)?;
        if throttle != Throttle::Locked {
            return Ok(());
        }
        tracing::warn!(uid = %subject, %factor, "locked out after too many wrong answers");
        let alarm = Event::Alarm {
            subject: self.subject(subject),
            alarm: Alarm::LockedOut,
            detail: format!("too many wrong answers at {factor}"),
        };
        self.record(now, [alarm])
    }

    /// The alarm that goes with a recovery code.
    pub(super) fn recovery_alarm(&self, subject: Uid, left: Option<usize>) -> Option<Event> {
        let left = left?;
        tracing::warn!(uid = %subject, left, "a recovery code was used");
        Some(Event::Alarm {
            subject: self.subject(subject),
            alarm: Alarm::RecoveryCodeUsed,
            detail: format!("{left} left"),
        })
    }
}
