// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The methods of `org.stile.Factors1`: what people do with their factors.

use std::sync::Arc;

use tokio::sync::Semaphore;
use zbus::message::Header;
use zbus::{Connection, interface};
use zeroize::Zeroizing;

use super::desk::Desk;
use super::interface::bounded;
use super::limit::InFlight;
use super::polkit::Action;
use super::refused::Refused;
use super::wire::{
    CodeTestDict, EnrollmentDict, FactorDict, ImportDict, WishDict, import_of, wish_of,
};
use crate::ids::{DeviceId, Uid};
use crate::ledger::RecoverySet;
use crate::service::{FactorRequest, ImportedAll, Refusal, Removed, Request};

/// Most tokens that are taken over at once: the pipeline does nothing else meanwhile, which takes
/// some tens of milliseconds for so many.
const MAX_IMPORT: usize = 1000;

/// The object on the bus.
pub(super) struct Factors {
    desk: Desk,
    /// Making recovery codes takes a good part of a second: one set at a time, in turn.
    making: Arc<Semaphore>,
    /// And one of each user, so that nobody has to wait for more than one of another's.
    wanting: InFlight<Uid>,
}

impl Factors {
    pub(super) fn new(desk: Desk) -> Self {
        Self {
            desk,
            making: Arc::new(Semaphore::new(1)),
            wanting: InFlight::new(1),
        }
    }
}

/// The factors of users: devices that make one-time codes, recovery codes. Users change their own
/// with a code of a factor that they have; administrators (root, and those whom polkit lets do
/// `org.stile.enroll-others`) change anybody's, without one.
#[interface(name = "org.stile.Factors1")]
impl Factors {
    /// The factors of this user. Ids are those of devices; 0 stands for what is no device.
    #[zbus(out_args("factors"))]
    async fn list(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
    ) -> Result<Vec<FactorDict>, Refused> {
        let uid = Uid(uid);
        let factors = self
            .desk
            .ask_about(&header, bus, uid, |caller, reply| {
                Request::Factors(caller, FactorRequest::List(uid, reply))
            })
            .await?;
        Ok(factors.into_iter().map(Into::into).collect())
    }

    /// Starts to enroll a further device; `EnrollConfirm` of `org.stile.Agent1` ends it. Keys of
    /// `wish`: `name`, `replace` (true if it takes the place of all others), `code`.
    #[zbus(out_args("enrollment"))]
    async fn add(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        wish: WishDict,
    ) -> Result<EnrollmentDict, Refused> {
        let (uid, wish) = (Uid(uid), wish_of(wish)?);
        let enrollment = self
            .desk
            .ask_about(&header, bus, uid, |caller, reply| {
                Request::Factors(caller, FactorRequest::Add(uid, wish, reply))
            })
            .await?;
        Ok(enrollment.into())
    }

    /// Takes a hardware token over whose secret is known. Keys of `token`: `secret` (base 32),
    /// `name`, `algorithm` (`sha1`, `sha256`, `sha512`), `digits` (6 to 8), `period` (seconds).
    /// For administrators.
    #[zbus(out_args("id"))]
    async fn import(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        token: ImportDict,
    ) -> Result<u64, Refused> {
        let (uid, import) = (Uid(uid), import_of(token)?);
        let id = self
            .desk
            .ask_as_admin(&header, bus, Action::EnrollOthers, |caller, reply| {
                Request::Factors(caller, FactorRequest::Import(uid, import, reply))
            })
            .await?;
        Ok(id.0)
    }

    /// Takes many tokens over, all of them or none: each with its user, and as `Import` has it. With
    /// `try` nothing changes. `mistakes` has the place of each that can't be taken over, from 0
    /// on, and why; `ids` is empty then, and where it was only tried. For administrators.
    #[zbus(out_args("ids", "mistakes"))]
    async fn import_all(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        tokens: Vec<(u32, ImportDict)>,
        r#try: bool,
    ) -> Result<(Vec<u64>, Vec<(u32, String)>), Refused> {
        if tokens.len() > MAX_IMPORT {
            let text = format!("that are more than {MAX_IMPORT} tokens; import them in parts");
            return Err(Refused::BadArgument(text));
        }
        let mut imports = Vec::with_capacity(tokens.len());
        let mut mistakes = Vec::new();
        for (at, (uid, token)) in (0..).zip(tokens) {
            match import_of(token) {
                Ok(import) => imports.push((Uid(uid), import)),
                Err(error) => mistakes.push((at, error.to_string())),
            }
        }
        let imported = self
            .desk
            .ask_as_admin(&header, bus, Action::EnrollOthers, |caller, reply| {
                // Whoever may not is told so, whatever is wrong with the tokens.
                let only_tried = r#try || !mistakes.is_empty();
                Request::Factors(caller, FactorRequest::ImportAll(imports, only_tried, reply))
            })
            .await?;
        Ok(match imported {
            ImportedAll::Done(ids) => (ids.into_iter().map(|id| id.0).collect(), mistakes),
            // Counted without those that are none.
            ImportedAll::Mistakes(_) if !mistakes.is_empty() => (Vec::new(), mistakes),
            ImportedAll::Mistakes(found) => {
                let found = found.into_iter();
                let found = found.map(|(at, why)| (u32::try_from(at).unwrap_or(u32::MAX), why));
                (Vec::new(), found.collect())
            }
        })
    }

    /// Gives a device another name.
    async fn rename(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        id: u64,
        name: &str,
    ) -> Result<(), Refused> {
        let (uid, id, name) = (Uid(uid), DeviceId(id), name.to_owned());
        self.desk
            .ask_about(&header, bus, uid, |caller, reply| {
                Request::Factors(caller, FactorRequest::Rename(uid, id, name, reply))
            })
            .await
    }

    /// Forgets a device, or with 0 all recovery codes. `code` is of a factor that the user has;
    /// empty from administrators.
    async fn remove(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        id: u64,
        code: &str,
    ) -> Result<(), Refused> {
        let (uid, code) = (Uid(uid), given(code)?);
        let what = match id {
            0 => Removed::Recovery,
            id => Removed::Device(DeviceId(id)),
        };
        self.desk
            .ask_about(&header, bus, uid, |caller, reply| {
                Request::Factors(caller, FactorRequest::Remove(uid, what, code, reply))
            })
            .await
    }

    /// Tells which of the caller's devices made this code, and how far its clock is off. The code
    /// is used up.
    #[zbus(out_args("test"))]
    async fn test(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        code: &str,
    ) -> Result<CodeTestDict, Refused> {
        let code = bounded(code)?;
        let test = self
            .desk
            .ask(&header, bus, |caller, reply| {
                Request::Factors(caller, FactorRequest::Test(code, reply))
            })
            .await?;
        Ok(test.into())
    }

    /// Makes fresh recovery codes in the place of older ones; they are told this once. `code` is
    /// of a factor that the user has; empty from administrators.
    #[zbus(out_args("codes"))]
    async fn make_recovery_codes(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        code: &str,
    ) -> Result<Vec<String>, Refused> {
        let (uid, code) = (Uid(uid), given(code)?);
        let call = self.desk.identify(&header, bus).await?;
        let wanted = self.wanting.begin(call.caller.uid).ok_or(Refusal::Busy)?;
        let turn = Arc::clone(&self.making).acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::Busy)?;
        let made = tokio::task::spawn_blocking(RecoverySet::generate).await;
        drop((turn, wanted, call));
        let set = made
            .map_err(|error| Refusal::Storage(error.to_string()))?
            .map_err(|error| Refusal::Storage(error.to_string()))?;
        let (codes, digests) = set.into_parts();
        self.desk
            .ask_about(&header, bus, uid, |caller, reply| {
                Request::Factors(caller, FactorRequest::Recovery(uid, code, digests, reply))
            })
            .await?;
        Ok(codes.iter().map(|code| code.as_str().to_owned()).collect())
    }

    /// Forgets a user's wrong answers, and so ends a lock-out. False if there were none. For
    /// administrators.
    #[zbus(out_args("unlocked"))]
    async fn unlock(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
    ) -> Result<bool, Refused> {
        self.desk
            .ask_as_admin(&header, bus, Action::EnrollOthers, |caller, reply| {
                Request::Factors(caller, FactorRequest::Unlock(Uid(uid), reply))
            })
            .await
    }

    /// The whole ledger as JSON, without secrets; every record is read and every secret opened
    /// for it. For administrators.
    #[zbus(out_args("ledger"))]
    async fn export_ledger(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<String, Refused> {
        let export = self
            .desk
            .ask_as_admin(&header, bus, Action::EnrollOthers, |caller, reply| {
                Request::Factors(caller, FactorRequest::Export(reply))
            })
            .await?;
        let text = serde_json::to_string(&export);
        Ok(text.map_err(|error| Refusal::Storage(error.to_string()))?)
    }

    /// Seals all secrets of the ledger with new keys. Says how many there are. For
    /// administrators.
    #[zbus(out_args("secrets"))]
    async fn rotate_secrets(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<u64, Refused> {
        self.desk
            .ask_as_admin(&header, bus, Action::EnrollOthers, |caller, reply| {
                Request::Factors(caller, FactorRequest::RotateKeys(reply))
            })
            .await
    }
}

/// A code that may be left out.
fn given(code: &str) -> Result<Option<Zeroizing<String>>, Refused> {
    match code {
        "" => Ok(None),
        code => bounded(code).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::interface::testing;
    use super::*;

    #[test]
    fn the_packaged_description_is_that_of_the_object() {
        let (requests, _requests) = mpsc::channel(1);
        testing::is_as_packaged("org.stile.Factors1", &Factors::new(Desk::new(requests)));
    }
}
