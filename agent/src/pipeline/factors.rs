// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people do with their factors. Whoever changes them proves with one that they have, so
//! that malware can't put one of its own beside them; administrators need none.

use tracing::info;
use zeroize::Zeroizing;

use super::requests::{count, send};
use super::{Pipeline, StageError, write_down};
use crate::audit::{Event, FactorChange, FactorOutcome};
use crate::classify::escape::printable;
use crate::clock::Now;
use crate::ids::{DeviceId, Uid};
use crate::ledger::{
    Changes, Device, LedgerError, LedgerExport, NewDevice, RecoveryDigests, Throttle,
};
use crate::policy::{Assurance, Factor};
use crate::service::{
    Answer, Caller, CodeTestView, Enrollment, FactorRequest, FactorView, Import, Refusal, Removed,
    Wish, seconds_up,
};
use crate::verify::{checked_name, factor_of, test_code, verify_owner};

/// What a device is called if nobody says otherwise.
pub(super) const USUAL_NAME: &str = "authenticator";

impl Pipeline {
    pub(super) fn serve_factors(&mut self, caller: Caller, request: FactorRequest) {
        let now = Self::now();
        match request {
            FactorRequest::List(uid, reply) => {
                let factors = self.list_factors(caller, uid, now);
                self.finish(reply, factors);
            }
            FactorRequest::Add(uid, wish, reply) => {
                let begun = self.add_factor(caller, uid, wish, now);
                self.finish(reply, begun);
            }
            FactorRequest::Import(uid, import, reply) => {
                let imported = self.import_factor(caller, uid, import, now);
                self.finish(reply, imported);
            }
            FactorRequest::ImportAll(imports, only_tried, reply) => {
                let imported = self.import_all(caller, imports, only_tried, now);
                self.finish(reply, imported);
            }
            FactorRequest::Rename(uid, id, name, reply) => {
                let renamed = self.rename_factor(caller, uid, id, &name, now);
                self.finish(reply, renamed);
            }
            FactorRequest::Remove(uid, what, code, reply) => {
                let removed = self.remove_factor(caller, uid, what, code.as_ref(), now);
                self.finish(reply, removed);
            }
            FactorRequest::Test(code, reply) => {
                let tested = self.test_factor(caller, &code, now);
                self.finish(reply, tested);
            }
            FactorRequest::Recovery(uid, code, digests, reply) => {
                let made = self.new_recovery_codes(caller, uid, code.as_ref(), &digests, now);
                self.finish(reply, made);
            }
            FactorRequest::Unlock(uid, reply) => {
                let unlocked = self.unlock(caller, uid, now);
                self.finish(reply, unlocked);
            }
            FactorRequest::Export(reply) => send(reply, self.export(caller)),
            FactorRequest::RotateKeys(reply) => {
                let rotated = self.rotate_keys(caller, now);
                self.finish(reply, rotated);
            }
        }
    }

    fn list_factors(&self, caller: Caller, uid: Uid, now: Now) -> Result<Vec<FactorView>, Refusal> {
        if caller.uid != uid && !caller.is_admin() {
            return Err(Refusal::NotPermitted);
        }
        let mut views = Vec::new();
        for device in self.ledger.devices(uid).map_err(StageError::from)? {
            let parameters = device.parameters;
            views.push(FactorView {
                id: device.id.0,
                name: device.name,
                parameters: format!(
                    "{}, {} digits, {} s",
                    parameters.algorithm, parameters.digits, parameters.period
                ),
                enrolled: device.enrolled.seconds(),
                ..self.factor_view(uid, &Factor::Totp, now)?
            });
        }
        let left = self
            .ledger
            .recovery_codes_left(uid)
            .map_err(StageError::from)?;
        if left > 0 {
            views.push(FactorView {
                left: count(left),
                ..self.factor_view(uid, &Factor::Recovery, now)?
            });
        }
        Ok(views)
    }

    fn factor_view(&self, uid: Uid, factor: &Factor, now: Now) -> Result<FactorView, StageError> {
        let failures = self.ledger.failures(uid, factor)?;
        let throttle = self.ledger.throttle(uid, factor, now.boot, &self.boot)?;
        Ok(FactorView {
            uid,
            factor: factor.to_string(),
            id: 0,
            name: String::new(),
            parameters: String::new(),
            assurance: Assurance::LOW.level().into(),
            enrolled: 0,
            left: 0,
            failures: failures.map_or(0, |failures| failures.consecutive()),
            retry_seconds: match throttle {
                Throttle::Wait(left) => seconds_up(left),
                Throttle::Open | Throttle::Locked => 0,
            },
            locked: throttle == Throttle::Locked,
        })
    }

    fn add_factor(
        &mut self,
        caller: Caller,
        uid: Uid,
        wish: Wish,
        now: Now,
    ) -> Result<Enrollment, Refusal> {
        let first = !self.can_prove(uid)?;
        let name = self.device_name(uid, wish.name)?;
        if !(caller.is_admin() || first) {
            self.may_change(caller, uid, wish.code.as_ref(), now)?;
        }
        let proven = caller.is_admin() || !first;
        self.begin_enrolling(caller, uid, name, (wish.replace, proven), now)
    }

    /// True if the user has something to prove with that they may change their factors. Who has
    /// lost the only device still has recovery codes, so malware can't enroll one meanwhile.
    pub(super) fn can_prove(&self, uid: Uid) -> Result<bool, StageError> {
        Ok(self.ledger.is_enrolled(uid)? || self.ledger.recovery_codes_left(uid)? > 0)
    }

    fn import_factor(
        &mut self,
        caller: Caller,
        uid: Uid,
        import: Import,
        now: Now,
    ) -> Result<DeviceId, Refusal> {
        if !caller.is_admin() {
            return Err(Refusal::NotPermitted);
        }
        let name = self.device_name(uid, import.name)?;
        let device = NewDevice {
            name: name.clone(),
            secret: import.secret,
            parameters: import.parameters,
        };
        let id = self.change(caller, uid, Factor::Totp, now, |changes| {
            let id = changes.enroll(uid, &device, None, now.wall, false)?;
            Ok((id, (FactorChange::Imported, Some(id), Some(name))))
        })?;
        info!(%uid, by = %caller.uid, device = %id, "a hardware token was taken over");
        Ok(id)
    }

    fn rename_factor(
        &mut self,
        caller: Caller,
        uid: Uid,
        id: DeviceId,
        name: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        if caller.uid != uid && !caller.is_admin() {
            return Err(Refusal::NotPermitted);
        }
        let name = shown_name(name)?;
        self.change(caller, uid, Factor::Totp, now, |changes| {
            changes.rename_device(uid, id, &name)?;
            Ok(((), (FactorChange::Renamed, Some(id), Some(name))))
        })
    }

    fn remove_factor(
        &mut self,
        caller: Caller,
        uid: Uid,
        what: Removed,
        code: Option<&Zeroizing<String>>,
        now: Now,
    ) -> Result<(), Refusal> {
        // Looked for first, so that no code is used up for nothing.
        let (factor, device) = match what {
            Removed::Device(id) => (Factor::Totp, Some(id)),
            Removed::Recovery => (Factor::Recovery, None),
        };
        let own = caller.uid == uid || caller.is_admin();
        if own && !self.has(uid, what)? {
            return Err(bad_factor(LedgerError::NoSuchDevice));
        }
        self.may_change(caller, uid, code, now)?;
        self.change(caller, uid, factor.clone(), now, |changes| {
            match what {
                Removed::Device(id) => changes.remove_device(uid, id)?,
                Removed::Recovery => changes.remove_recovery(uid)?,
            };
            Ok(((), (FactorChange::Removed, device, None)))
        })?;
        info!(%uid, by = %caller.uid, %factor, "a factor was removed");
        Ok(())
    }

    fn has(&self, uid: Uid, what: Removed) -> Result<bool, StageError> {
        Ok(match what {
            Removed::Device(id) => self.ledger.devices(uid)?.iter().any(|it| it.id == id),
            Removed::Recovery => self.ledger.recovery_codes_left(uid)? > 0,
        })
    }

    fn test_factor(
        &mut self,
        caller: Caller,
        code: &Zeroizing<String>,
        now: Now,
    ) -> Result<CodeTestView, Refusal> {
        if !self.flood.admits(caller.uid, now.boot) {
            return Err(Refusal::Busy);
        }
        let tested = test_code(&mut self.ledger, caller.uid, code, now, &self.boot);
        let test = self
            .judged(caller.uid, &Factor::Totp, None, tested, now)?
            .map_err(as_refusal)?;
        let outcome = match test.accepted {
            true => FactorOutcome::Tested,
            false => FactorOutcome::Wrong,
        };
        self.factor_used(caller.uid, &Factor::Totp, outcome, None, now)?;
        if !test.accepted {
            self.alarm_if_locked(caller.uid, &Factor::Totp, now)?;
        }
        Ok(CodeTestView {
            id: test.device.id.0,
            name: test.device.name,
            seconds_ahead: test.seconds_ahead,
            accepted: test.accepted,
        })
    }

    fn new_recovery_codes(
        &mut self,
        caller: Caller,
        uid: Uid,
        code: Option<&Zeroizing<String>>,
        digests: &RecoveryDigests,
        now: Now,
    ) -> Result<(), Refusal> {
        self.may_change(caller, uid, code, now)?;
        self.change(caller, uid, Factor::Recovery, now, |changes| {
            changes.store_recovery(uid, digests, now.wall)?;
            Ok(((), (FactorChange::RecoveryCodesMade, None, None)))
        })?;
        info!(%uid, by = %caller.uid, "new recovery codes");
        Ok(())
    }

    fn unlock(&mut self, caller: Caller, uid: Uid, now: Now) -> Result<bool, Refusal> {
        if !caller.is_admin() {
            return Err(Refusal::NotPermitted);
        }
        let subject = self.subject(uid);
        let (by, audit) = (caller.uid, &mut self.audit);
        let unlocked = self.ledger.change(|changes| {
            let unlocked = changes.unlock(uid)?;
            let event = unlocked.then_some(Event::Unlocked { subject, by });
            write_down(audit, now, event).map(|()| unlocked)
        })?;
        if unlocked {
            info!(%uid, %by, "failures forgotten");
        }
        Ok(unlocked)
    }

    fn export(&self, caller: Caller) -> Result<LedgerExport, Refusal> {
        if !caller.is_admin() {
            return Err(Refusal::NotPermitted);
        }
        self.ledger
            .inspect()
            .map_err(|error| Refusal::BadFactor(error.to_string()))
    }

    fn rotate_keys(&mut self, caller: Caller, now: Now) -> Result<u64, Refusal> {
        if !caller.is_admin() {
            return Err(Refusal::NotPermitted);
        }
        let secrets = self.ledger.rotate_keys().map_err(StageError::from)?;
        info!(secrets, by = %caller.uid, "the secrets are sealed with new keys");
        let by = caller.uid;
        self.record(now, [Event::KeysReplaced { secrets, by }])?;
        Ok(secrets)
    }

    /// Users change their own factors with a code of one that they have.
    fn may_change(
        &mut self,
        caller: Caller,
        uid: Uid,
        code: Option<&Zeroizing<String>>,
        now: Now,
    ) -> Result<(), Refusal> {
        if caller.is_admin() {
            return Ok(());
        }
        if caller.uid != uid {
            return Err(Refusal::NotPermitted);
        }
        let code = code.ok_or(Refusal::NeedsCode)?;
        if !self.flood.admits(caller.uid, now.boot) {
            return Err(Refusal::Busy);
        }
        let factor = factor_of(code);
        let verification = verify_owner(&mut self.ledger, uid, code, now, &self.boot);
        let owner = self
            .judged(uid, &factor, None, verification, now)?
            .map_err(as_refusal)?;
        self.factor_used(uid, &factor, FactorOutcome::Accepted, None, now)?;
        let alarm = self.recovery_alarm(uid, owner.recovery_left());
        Ok(self.record(now, alarm)?)
    }

    /// A name that the user has no device of.
    pub(super) fn device_name(&self, uid: Uid, wanted: Option<String>) -> Result<String, Refusal> {
        let taken = self.ledger.devices(uid).map_err(StageError::from)?;
        free_name(&taken, wanted)
    }

    /// Changes a user's factors, and says how. What can't be recorded isn't done.
    fn change<T>(
        &mut self,
        caller: Caller,
        uid: Uid,
        factor: Factor,
        now: Now,
        make: impl FnOnce(&Changes<'_>) -> Result<(T, Changed), LedgerError>,
    ) -> Result<T, Refusal> {
        let subject = self.subject(uid);
        let audit = &mut self.audit;
        let made = self.ledger.change(|changes| {
            let (made, (change, device, name)) = make(changes)?;
            let event = Event::FactorChanged {
                subject,
                factor,
                change,
                device,
                name,
                by: caller.uid,
            };
            write_down(audit, now, [event]).map(|()| made)
        });
        made.map_err(bad_factor)
    }

    /// A refusal in the words for somebody who acts for another user.
    pub(super) fn told_who(&self, caller: Caller, uid: Uid, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Locked if caller.uid != uid => {
                let user = self.subject_name(uid).unwrap_or_else(|| uid.to_string());
                Refusal::OtherLocked { user }
            }
            refusal => refusal,
        }
    }
}

/// What was done with a factor, with which device, and what that is called.
type Changed = (FactorChange, Option<DeviceId>, Option<String>);

/// A name that none of these devices has.
pub(super) fn free_name(taken: &[Device], wanted: Option<String>) -> Result<String, Refusal> {
    let is_free = |name: &str| !taken.iter().any(|device| device.name == name);
    if let Some(wanted) = wanted {
        let name = shown_name(&wanted)?;
        return match is_free(&name) {
            true => Ok(name),
            false => Err(bad_factor(LedgerError::NameTaken { name })),
        };
    }
    let numbered = (2..).map(|number| format!("{USUAL_NAME} {number}"));
    let mut names = std::iter::once(USUAL_NAME.to_owned()).chain(numbered);
    Ok(names.find(|name| is_free(name)).unwrap_or_default())
}

fn shown_name(name: &str) -> Result<String, Refusal> {
    checked_name(name).ok_or_else(|| {
        let most = crate::verify::MAX_NAME;
        Refusal::BadFactor(format!(
            "{:?} is no name: 1 to {most} characters, without control characters",
            printable(name.as_bytes(), most)
        ))
    })
}

/// What is wrong with a factor is the caller's to mend; what is wrong with the disk isn't.
pub(super) fn bad_factor(error: impl Into<StageError>) -> Refusal {
    use LedgerError::{NameTaken, NoSuchDevice, TooManyDevices};
    match error.into() {
        StageError::Ledger(error @ (TooManyDevices | NameTaken { .. } | NoSuchDevice)) => {
            Refusal::BadFactor(error.to_string())
        }
        other => other.into(),
    }
}

fn as_refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Wrong { tries_left } => Refusal::WrongCode { tries_left },
        Answer::Throttled { retry_seconds } => Refusal::Throttled { retry_seconds },
        Answer::Accepted { .. } | Answer::More { .. } => Refusal::NeedsCode,
    }
}
