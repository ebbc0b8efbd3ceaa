// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Factors on the bus.

use data_encoding::BASE32_NOPAD;
use zbus::{DeserializeDict, SerializeDict, Type};
use zeroize::{Zeroize, Zeroizing};

use crate::bus::interface::bounded;
use crate::bus::refused::Refused;
use crate::ids::Uid;
use crate::ledger::{TotpAlgorithm, TotpParameters, TotpSecret};
use crate::service::{CodeTestView, FactorView, Import, Wish};

dict! {
    /// [`FactorView`] on the bus.
    FactorDict of FactorView {
        factor: String,
        id: u64,
        name: String,
        parameters: String,
        assurance: u32,
        enrolled: u64,
        left: u32,
        failures: u32,
        retry_seconds: u64,
        locked: bool,
    }
    uid: Uid(u32),
}

dict! {
    /// [`CodeTestView`] on the bus.
    CodeTestDict of CodeTestView {
        id: u64,
        name: String,
        seconds_ahead: i64,
        accepted: bool,
    }
}

/// What a new device shall be.
#[derive(Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(in crate::bus) struct WishDict {
    pub(in crate::bus) name: Option<String>,
    pub(in crate::bus) replace: Option<bool>,
    pub(in crate::bus) code: Option<String>,
}

impl Drop for WishDict {
    fn drop(&mut self) {
        self.code.zeroize();
    }
}

/// A device whose secret is known.
#[derive(Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(in crate::bus) struct ImportDict {
    pub(in crate::bus) secret: String,
    pub(in crate::bus) name: Option<String>,
    pub(in crate::bus) algorithm: Option<String>,
    pub(in crate::bus) digits: Option<u32>,
    pub(in crate::bus) period: Option<u64>,
}

impl Drop for ImportDict {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

pub(in crate::bus) fn wish_of(dict: WishDict) -> Result<Wish, Refused> {
    Ok(Wish {
        name: dict.name.clone(),
        replace: dict.replace.unwrap_or(false),
        code: match dict.code.as_deref() {
            None | Some("") => None,
            Some(code) => Some(bounded(code)?),
        },
    })
}

pub(in crate::bus) fn import_of(dict: ImportDict) -> Result<Import, Refused> {
    let usual = TotpParameters::default();
    let algorithm = match dict.algorithm.as_deref() {
        None | Some("sha1") => TotpAlgorithm::Sha1,
        Some("sha256") => TotpAlgorithm::Sha256,
        Some("sha512") => TotpAlgorithm::Sha512,
        Some(_) => return Err(bad("the algorithm is sha1, sha256 or sha512")),
    };
    let digits = dict.digits.map_or(Ok(usual.digits), u8::try_from);
    let digits = digits.ok().filter(|it| TotpParameters::DIGITS.contains(it));
    let digits = digits.ok_or_else(|| bad("a code has 6 to 8 digits"))?;
    let period = dict.period.unwrap_or(usual.period);
    if !TotpParameters::PERIOD.contains(&period) {
        return Err(bad("a step takes 15 to 120 seconds"));
    }
    Ok(Import {
        name: dict.name.clone(),
        secret: secret_of(&dict.secret)?,
        parameters: TotpParameters {
            algorithm,
            digits,
            period,
        },
    })
}

/// A secret in base 32, as people have it: in any case, with spaces, dashes and padding.
fn secret_of(text: &str) -> Result<TotpSecret, Refused> {
    let most = TotpParameters::MAX_SECRET * 2;
    if text.len() > most * 2 {
        return Err(bad("the secret is too long"));
    }
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let letters = text.chars().filter(|c| !matches!(c, ' ' | '-' | '='));
    plain.extend(letters.map(|c| c.to_ascii_uppercase()));
    let bytes = BASE32_NOPAD.decode(plain.as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| bad("the secret is no base 32"))?;
    if !(TotpParameters::MIN_SECRET..=TotpParameters::MAX_SECRET).contains(&bytes.len()) {
        return Err(bad("a secret has 16 to 128 bytes"));
    }
    Ok(TotpSecret::new(&bytes))
}

fn bad(why: &str) -> Refused {
    Refused::BadArgument(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::carried;
    use super::*;

    fn token(secret: &str) -> ImportDict {
        let mut dict = ImportDict::default();
        secret.clone_into(&mut dict.secret);
        dict
    }

    #[test]
    fn a_secret_is_read_as_people_have_it() {
        for text in [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            "GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ==",
        ] {
            let import = import_of(carried(&token(text))).unwrap();
            assert_eq!(import.secret.as_bytes(), b"12345678901234567890");
            assert_eq!(import.parameters, TotpParameters::default());
        }
    }

    #[test]
    fn a_token_that_can_not_be_is_refused() {
        let good = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let long = "A".repeat(2000);
        for secret in ["", "GEZD", "not base 32!", long.as_str()] {
            assert!(import_of(token(secret)).is_err(), "{secret:?}");
        }
        let odd = |change: fn(&mut ImportDict)| {
            let mut dict = token(good);
            change(&mut dict);
            import_of(dict)
        };
        assert!(odd(|it| it.digits = Some(5)).is_err());
        assert!(odd(|it| it.digits = Some(262)).is_err());
        assert!(odd(|it| it.period = Some(0)).is_err());
        assert!(odd(|it| it.algorithm = Some("md5".into())).is_err());
        assert!(odd(|it| it.digits = Some(8)).is_ok());
    }
}
