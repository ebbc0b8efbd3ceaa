// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other end of `org.stile.Factors1`.

use zeroize::Zeroizing;

use super::client::{AgentClient, ClientError};
use super::refused::Refused;
use super::wire::{CodeTestDict, EnrollmentDict, FactorDict, ImportDict, WishDict};
use crate::ids::Uid;
use crate::ledger::LedgerExport;
use crate::service::{CodeTestView, Enrollment, FactorView};

#[zbus::proxy(
    interface = "org.stile.Factors1",
    default_service = "org.stile.Agent1",
    default_path = "/org/stile/Agent1"
)]
trait Factors {
    #[zbus(no_autostart)]
    fn list(&self, uid: u32) -> Result<Vec<FactorDict>, Refused>;
    #[zbus(no_autostart)]
    fn add(&self, uid: u32, wish: WishDict) -> Result<EnrollmentDict, Refused>;
    #[zbus(no_autostart)]
    fn import(&self, uid: u32, token: ImportDict) -> Result<u64, Refused>;
    #[zbus(no_autostart)]
    fn import_all(
        &self,
        tokens: Vec<(u32, ImportDict)>,
        r#try: bool,
    ) -> Result<(Vec<u64>, Vec<(u32, String)>), Refused>;
    #[zbus(no_autostart)]
    fn rename(&self, uid: u32, id: u64, name: &str) -> Result<(), Refused>;
    #[zbus(no_autostart)]
    fn remove(&self, uid: u32, id: u64, code: &str) -> Result<(), Refused>;
    #[zbus(no_autostart)]
    fn test(&self, code: &str) -> Result<CodeTestDict, Refused>;
    #[zbus(no_autostart)]
    fn make_recovery_codes(&self, uid: u32, code: &str) -> Result<Vec<String>, Refused>;
    #[zbus(no_autostart)]
    fn unlock(&self, uid: u32) -> Result<bool, Refused>;
    #[zbus(no_autostart)]
    fn export_ledger(&self) -> Result<String, Refused>;
    #[zbus(no_autostart)]
    fn rotate_secrets(&self) -> Result<u64, Refused>;
}

/// A hardware token, as it is typed.
#[derive(Debug)]
pub struct Token {
    /// What to call it.
    pub name: Option<String>,
    /// Its secret in base 32.
    pub secret: Zeroizing<String>,
    /// `sha1`, `sha256` or `sha512`.
    pub algorithm: String,
    /// Digits of a code.
    pub digits: u32,
    /// Seconds of a step.
    pub period: u64,
}

impl Token {
    fn as_dict(&self) -> ImportDict {
        let mut dict = ImportDict::default();
        self.secret.as_str().clone_into(&mut dict.secret);
        dict.name.clone_from(&self.name);
        dict.algorithm = Some(self.algorithm.clone());
        dict.digits = Some(self.digits);
        dict.period = Some(self.period);
        dict
    }
}

/// What became of many tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedTokens {
    /// Their ids, in the same order; none if it was only tried.
    Done(Vec<u64>),
    /// Nothing has changed: which of them can't be taken over, and why.
    Mistakes(Vec<(usize, String)>),
}

impl AgentClient {
    async fn factors_proxy(&self) -> Result<FactorsProxy<'static>, ClientError> {
        let proxy = FactorsProxy::builder(self.bus())
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build();
        Ok(proxy.await.map_err(Refused::from)?)
    }

    /// The factors of a user.
    ///
    /// # Errors
    /// If the agent can't be asked, or refuses; so with all of these.
    pub async fn factors(&self, uid: Uid) -> Result<Vec<FactorView>, ClientError> {
        let dicts = self.factors_proxy().await?.list(uid.0).await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }

    /// Starts to enroll a further device; [`Self::enroll_confirm`] ends it.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn add_factor(
        &self,
        uid: Uid,
        name: Option<String>,
        replace: bool,
        code: Option<&Zeroizing<String>>,
    ) -> Result<Enrollment, ClientError> {
        let mut wish = WishDict::default();
        wish.name = name;
        wish.replace = Some(replace);
        wish.code = code.map(|code| code.as_str().to_owned());
        Ok(self.factors_proxy().await?.add(uid.0, wish).await?.into())
    }

    /// Takes a hardware token over, and tells its id.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn import_factor(&self, uid: Uid, token: &Token) -> Result<u64, ClientError> {
        let proxy = self.factors_proxy().await?;
        Ok(proxy.import(uid.0, token.as_dict()).await?)
    }

    /// Takes many tokens over, all of them or none; only tries that with `only_tried`.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn import_factors(
        &self,
        tokens: &[(Uid, Token)],
        only_tried: bool,
    ) -> Result<ImportedTokens, ClientError> {
        let dicts = tokens.iter().map(|(uid, token)| (uid.0, token.as_dict()));
        let proxy = self.factors_proxy().await?;
        let (ids, mistakes) = proxy.import_all(dicts.collect(), only_tried).await?;
        if mistakes.is_empty() {
            return Ok(ImportedTokens::Done(ids));
        }
        let mistakes = mistakes.into_iter();
        let mistakes = mistakes.map(|(at, why)| (usize::try_from(at).unwrap_or(usize::MAX), why));
        Ok(ImportedTokens::Mistakes(mistakes.collect()))
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn rename_factor(&self, uid: Uid, id: u64, name: &str) -> Result<(), ClientError> {
        Ok(self.factors_proxy().await?.rename(uid.0, id, name).await?)
    }

    /// Forgets a device, or with 0 all recovery codes.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn remove_factor(
        &self,
        uid: Uid,
        id: u64,
        code: Option<&Zeroizing<String>>,
    ) -> Result<(), ClientError> {
        let code = code.map_or("", |code| code.as_str());
        Ok(self.factors_proxy().await?.remove(uid.0, id, code).await?)
    }

    /// Tells which of the caller's devices made a code, and how far its clock is off.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn test_code(&self, code: &Zeroizing<String>) -> Result<CodeTestView, ClientError> {
        Ok(self.factors_proxy().await?.test(code).await?.into())
    }

    /// Makes fresh recovery codes.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn make_recovery_codes(
        &self,
        uid: Uid,
        code: Option<&Zeroizing<String>>,
    ) -> Result<Vec<Zeroizing<String>>, ClientError> {
        let code = code.map_or("", |code| code.as_str());
        let proxy = self.factors_proxy().await?;
        let codes = proxy.make_recovery_codes(uid.0, code).await?;
        Ok(codes.into_iter().map(Zeroizing::new).collect())
    }

    /// Forgets a user's wrong answers. False if there were none.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn unlock(&self, uid: Uid) -> Result<bool, ClientError> {
        Ok(self.factors_proxy().await?.unlock(uid.0).await?)
    }

    /// The whole ledger, without secrets.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn export_ledger(&self) -> Result<LedgerExport, ClientError> {
        let text = self.factors_proxy().await?.export_ledger().await?;
        serde_json::from_str(&text).map_err(|error| ClientError::Garbled(error.to_string()))
    }

    /// Seals all secrets with new keys. Says how many there are.
    ///
    /// # Errors
    /// See [`Self::factors`].
    pub async fn rotate_secrets(&self) -> Result<u64, ClientError> {
        Ok(self.factors_proxy().await?.rotate_secrets().await?)
    }
}
