// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many hardware tokens at once: all of them, in one transaction, or none.

use tracing::info;

use super::factors::{bad_factor, free_name};
use super::{Pipeline, StageError, write_down};
use crate::audit::{Event, FactorChange};
use crate::clock::Now;
use crate::ids::{DeviceId, Uid};
use crate::ledger::{Changes, LedgerError, NewDevice};
use crate::policy::Factor;
use crate::service::{Caller, Import, ImportedAll, Refusal};

/// Why the transaction isn't kept.
enum Stopped {
    /// It was only to be tried.
    Tried,
    /// Some tokens can't be taken over.
    Mistakes(Vec<(usize, String)>),
    /// A fault of stile's.
    Failed(StageError),
}

impl<E: Into<StageError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Pipeline {
    pub(super) fn import_all(
        &mut self,
        caller: Caller,
        imports: Vec<(Uid, Import)>,
        only_tried: bool,
        now: Now,
    ) -> Result<ImportedAll, Refusal> {
        if !caller.is_admin() {
            return Err(Refusal::NotPermitted);
        }
        let subjects: Vec<_> = imports.iter().map(|(uid, _)| self.subject(*uid)).collect();
        let audit = &mut self.audit;
        let made = self.ledger.change(|changes| {
            let mut mistakes = Vec::new();
            let mut ids = Vec::new();
            let mut events = Vec::new();
            for (at, ((uid, import), subject)) in imports.into_iter().zip(subjects).enumerate() {
                match import_one(changes, uid, import, now)? {
                    Ok((id, name)) => {
                        ids.push(id);
                        events.push(Event::FactorChanged {
                            subject,
                            factor: Factor::Totp,
                            change: FactorChange::Imported,
                            device: Some(id),
                            name: Some(name),
                            by: caller.uid,
                        });
                    }
                    Err(why) => mistakes.push((at, why)),
                }
            }
            if !mistakes.is_empty() {
                return Err(Stopped::Mistakes(mistakes));
            }
            if only_tried {
                return Err(Stopped::Tried);
            }
            write_down(audit, now, events)?;
            Ok(ids)
        });
        match made {
            Ok(ids) => {
                info!(by = %caller.uid, "{} hardware tokens were taken over", ids.len());
                Ok(ImportedAll::Done(ids))
            }
            Err(Stopped::Tried) => Ok(ImportedAll::Done(Vec::new())),
            Err(Stopped::Mistakes(mistakes)) => Ok(ImportedAll::Mistakes(mistakes)),
            Err(Stopped::Failed(error)) => Err(error.into()),
        }
    }
}

/// Takes one over: its id and its name, or why it can't be.
fn import_one(
    changes: &Changes<'_>,
    uid: Uid,
    import: Import,
    now: Now,
) -> Result<Result<(DeviceId, String), String>, LedgerError> {
    let name = match free_name(&changes.devices(uid)?, import.name) {
        Ok(name) => name,
        Err(refusal) => return Ok(Err(refusal.to_string())),
    };
    let device = NewDevice {
        name: name.clone(),
        secret: import.secret,
        parameters: import.parameters,
    };
    match changes.enroll(uid, &device, None, now.wall, false) {
        Ok(id) => Ok(Ok((id, name))),
        Err(error @ (LedgerError::TooManyDevices | LedgerError::NameTaken { .. })) => {
            Ok(Err(bad_factor(error).to_string()))
        }
        Err(error) => Err(error),
    }
}
