// SPDX-License-Identifier: Apache-2.0 OR MIT
//! New factors.

use tracing::info;
use zeroize::Zeroizing;

use super::{Pipeline, StageError, write_down};
use crate::audit::{Event, FactorOutcome};
use crate::clock::Now;
use crate::ids::Uid;
use crate::policy::Factor;
use crate::service::{Answer, Caller, Enrollment, Refusal, seconds_up};
use crate::verify::{BeginError, EnrollOutcome, Wanted};

impl Pipeline {
    pub(super) fn enroll_begin(
        &mut self,
        caller: Caller,
        uid: Uid,
        now: Now,
    ) -> Result<Enrollment, Refusal> {
        self.may_enroll(caller, uid)?;
        // What is there already is given up: only root comes here then.
        let name = super::factors::USUAL_NAME.to_owned();
        let admin = caller.is_admin();
        self.begin_enrolling(caller, uid, name, (admin, admin), now)
    }

    /// Makes a fresh secret for somebody who may have one. `alone` if it takes the place of all
    /// others; `proven` if whoever asked has shown that they may change what is there.
    pub(super) fn begin_enrolling(
        &mut self,
        caller: Caller,
        uid: Uid,
        name: String,
        (alone, proven): (bool, bool),
        now: Now,
    ) -> Result<Enrollment, Refusal> {
        if !(caller.is_admin() || caller.uid == uid && self.settings.self_enroll) {
            return Err(Refusal::NotPermitted);
        }
        let account = self.subject_name(uid).unwrap_or_else(|| uid.to_string());
        let wanted = Wanted {
            account: &account,
            issuer: &self.settings.issuer,
            name,
            alone,
            by: caller.uid,
            proven,
        };
        let begun = self.enrollments.begin(uid, wanted, now);
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
        if self.can_prove(uid)? {
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
        let (by, proven) = self.enrollments.begun(uid).ok_or(Refusal::NoEnrollment)?;
        if by != caller.uid && !caller.is_admin() {
            return Err(Refusal::NoEnrollment);
        }
        // Somebody may have got a factor since.
        if !proven && self.can_prove(uid)? {
            return Err(Refusal::AlreadyEnrolled(uid));
        }
        let subject = self.subject(uid);
        let (audit, boot) = (&mut self.audit, &self.boot);
        let record = |device, name: &str| {
            let event = Event::Enrolled {
                subject,
                factor: Factor::Totp,
                device,
                name: name.to_owned(),
                by: caller.uid,
            };
            write_down(audit, now, [event])
        };
        let confirmed = self
            .enrollments
            .confirm(&mut self.ledger, uid, code, now, boot, record);
        match confirmed.map_err(super::factors::bad_factor)? {
            EnrollOutcome::Enrolled => {
                info!(%uid, by = %caller.uid, "enrolled");
                Ok(Answer::Accepted {
                    until_seconds: 0,
                    released: 0,
                })
            }
            EnrollOutcome::Wrong { tries_left } => {
                self.wrong_first_code(uid, now)?;
                Ok(Answer::Wrong { tries_left })
            }
            EnrollOutcome::Dropped => {
                self.wrong_first_code(uid, now)?;
                Err(Refusal::NoEnrollment)
            }
            EnrollOutcome::Throttled { retry } => Ok(Answer::Throttled {
                retry_seconds: seconds_up(retry),
            }),
            EnrollOutcome::Locked => Err(self.told_who(caller, uid, Refusal::Locked)),
            EnrollOutcome::NoEnrollment => Err(Refusal::NoEnrollment),
        }
    }

    fn wrong_first_code(&mut self, uid: Uid, now: Now) -> Result<(), StageError> {
        self.factor_used(uid, &Factor::Totp, FactorOutcome::Wrong, None, now)?;
        self.alarm_if_locked(uid, &Factor::Totp, now)
    }
}
