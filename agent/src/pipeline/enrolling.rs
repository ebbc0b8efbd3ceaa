// SPDX-License-Identifier: Apache-2.0 OR MIT
//! New factors.

use tracing::info;
use zeroize::Zeroizing;

use super::{Pipeline, StageError};
use crate::audit::{Event, FactorOutcome};
use crate::clock::Now;
use crate::ids::Uid;
use crate::policy::Factor;
use crate::service::{Answer, Caller, Enrollment, Refusal, seconds_up};
use crate::verify::{BeginError, EnrollOutcome};

impl Pipeline {
    pub(super) fn enroll_begin(
        &mut self,
        caller: Caller,
        uid: Uid,
        now: Now,
    ) -> Result<Enrollment, Refusal> {
        self.may_enroll(caller, uid)?;
        let account = self.subject_name(uid).unwrap_or_else(|| uid.to_string());
        let begun = self
            .enrollments
            .begin(uid, &account, &self.settings.issuer, now);
        begun.map_err(|error| match error {
            BeginError::TooMany => Refusal::Busy,
            name => Refusal::CannotEnroll(name.to_string()),
        })
    }

    /// Users may enroll themselves once, if the settings let them; what is there already is
    /// replaced by root only, so that malware can't swap a factor for its own.
    fn may_enroll(&self, caller: Caller, uid: Uid) -> Result<(), Refusal> {
        if caller.is_admin() {
            return Ok(());
        }
        if caller.uid != uid || !self.settings.self_enroll {
            return Err(Refusal::NotPermitted);
        }
        if self.ledger.is_enrolled(uid).map_err(StageError::from)? {
            return Err(Refusal::AlreadyEnrolled(uid));
        }
        Ok(())
    }

    pub(super) fn enroll_confirm(
        &mut self,
        caller: Caller,
        uid: Uid,
        code: &Zeroizing<String>,
        now: Now,
    ) -> Result<Answer, Refusal> {
        self.may_enroll(caller, uid)?;
        let confirmed = self
            .enrollments
            .confirm(&mut self.ledger, uid, code, now, &self.boot);
        match confirmed.map_err(StageError::from)? {
            EnrollOutcome::Enrolled => {
                info!(%uid, by = %caller.uid, "enrolled");
                let subject = self.subject(uid);
                let event = Event::Enrolled {
                    subject,
                    factor: Factor::Totp,
                    by: caller.uid,
                };
                self.record(now, [event])?;
                Ok(Answer::Accepted {
                    until_seconds: 0,
                    released: 0,
                })
            }
            EnrollOutcome::Wrong { tries_left } => {
                self.factor_used(uid, FactorOutcome::Wrong, None, now)?;
                Ok(Answer::Wrong { tries_left })
            }
            EnrollOutcome::Throttled { retry } => Ok(Answer::Throttled {
                retry_seconds: seconds_up(retry),
            }),
            EnrollOutcome::Locked => Err(Refusal::Locked),
            EnrollOutcome::NoEnrollment | EnrollOutcome::Dropped => Err(Refusal::NoEnrollment),
        }
    }
}
