// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a secret crosses the bus unseen: GNOME's `sx-aes-1` (gcr, gcr/gcr-secret-exchange.c).
//!
//! A Diffie-Hellman exchange in the 1536-bit group of RFC 3526, HKDF-SHA256 (RFC 5869) without
//! salt and info, and AES-128 in CBC mode with the padding of PKCS #7. It hides the secret from
//! whoever watches the bus; it doesn't say who the other end is.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use cbc::Decryptor;
use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U256, U1536, const_monty_params};
use data_encoding::BASE64;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// The only protocol there is, as the group of a key file.
const PROTOCOL: &str = "[sx-aes-1]";
/// Bytes of a public key.
const PUBLIC: usize = 192;
/// Bytes of the key and of the first block.
const BLOCK: usize = 16;
/// The longest message that is looked at, in bytes: two numbers and a secret take 600.
const MAX_MESSAGE: usize = 4096;

const_monty_params!(
    Modp1536,
    U1536,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
     98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
     9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF",
    "The 1536-bit MODP group (RFC 3526, section 2); its generator is 2."
);
type Element = ConstMontyForm<Modp1536, { U1536::LIMBS }>;

/// What is wrong with a message of the other end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExchangeError {
    /// The kernel gives no random numbers.
    #[error("there are no random numbers")]
    NoRandomness,
    /// Not a message of this protocol.
    #[error("the prompter answered in an unknown form: {0}")]
    Unknown(&'static str),
    /// It can't be decrypted.
    #[error("the prompter's answer can't be decrypted")]
    Undecryptable,
}

/// Our half of one exchange.
pub(super) struct Exchange {
    /// RFC 3526 holds the group worth 120 bits at most, for which 240 bits of exponent do.
    private: Zeroizing<U256>,
}

impl Exchange {
    /// A fresh one.
    ///
    /// # Errors
    /// If the kernel gives no random numbers.
    pub(super) fn begin() -> Result<Self, ExchangeError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|_| ExchangeError::NoRandomness)?;
        Ok(Self {
            private: Zeroizing::new(U256::from_be_slice(&*bytes)),
        })
    }

    /// The message to the other end.
    pub(super) fn message(&self) -> String {
        let public = Element::new(&U1536::from(2_u32)).pow(&self.private);
        let bytes = public.retrieve().to_be_bytes();
        format!("{PROTOCOL}\npublic={}\n", BASE64.encode(bytes.as_ref()))
    }

    /// The secret in the other end's message.
    ///
    /// # Errors
    /// If it isn't one that answers ours.
    pub(super) fn secret(&self, message: &str) -> Result<Zeroizing<Vec<u8>>, ExchangeError> {
        if message.len() > MAX_MESSAGE || !message.trim_start().starts_with(PROTOCOL) {
            return Err(ExchangeError::Unknown("not sx-aes-1"));
        }
        let key = self.key(&field(message, "public")?)?;
        let first_block = field(message, "iv")?;
        let mut secret = field(message, "secret")?;
        let length = Decryptor::<Aes128>::new_from_slices(&*key, &first_block)
            .map_err(|_| ExchangeError::Unknown("a first block of another size"))?
            .decrypt_padded::<Pkcs7>(&mut secret)
            .map_err(|_| ExchangeError::Undecryptable)?
            .len();
        secret[length..].zeroize();
        secret.truncate(length);
        Ok(secret)
    }

    /// The key that both ends share.
    fn key(&self, theirs: &[u8]) -> Result<Zeroizing<[u8; BLOCK]>, ExchangeError> {
        let theirs = theirs.strip_prefix(&[0]).unwrap_or(theirs);
        if theirs.len() > PUBLIC {
            return Err(ExchangeError::Unknown("a public key that is too long"));
        }
        let mut bytes = [0; PUBLIC];
        bytes[PUBLIC - theirs.len()..].copy_from_slice(theirs);
        let theirs = U1536::from_be_slice(&bytes);
        // 0, 1 and p-1 would make a key that everybody knows (RFC 2631, section 2.1.5).
        let last = Element::ZERO - Element::ONE;
        if theirs <= U1536::ONE || theirs >= last.retrieve() {
            return Err(ExchangeError::Unknown("a public key that is none"));
        }
        let mut shared = Element::new(&theirs).pow(&self.private);
        let number = Zeroizing::new(shared.retrieve());
        shared.zeroize();
        let mut bytes = Zeroizing::new([0; PUBLIC]);
        bytes.copy_from_slice(number.to_be_bytes().as_ref());
        let mut key = Zeroizing::new([0; BLOCK]);
        Hkdf::<Sha256>::new(None, &*bytes)
            .expand(&[], &mut *key)
            .map_err(|_| ExchangeError::Undecryptable)?;
        Ok(key)
    }
}

/// The bytes of this field of a message.
fn field(message: &str, name: &'static str) -> Result<Zeroizing<Vec<u8>>, ExchangeError> {
    let missing = ExchangeError::Unknown(name);
    let value = message
        .lines()
        .filter_map(|line| line.split_once('='))
        .find_map(|(key, value)| (key.trim() == name).then_some(value.trim()))
        .ok_or(missing)?;
    let bytes = BASE64
        .decode(value.as_bytes())
        .map_err(|_| ExchangeError::Unknown(name))?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use aes::cipher::BlockModeEncrypt;

    use super::*;

    const VECTOR_OURS: &str = "[sx-aes-1]\n\
        public=t50VB/Pt0LlK4kGs4quGip6JWN0TTlir+IqVqBQQJvceVKLtcEn7smolpQQ3ptDmUDnsPdmYk\
        pp8NsSMHCa5wshf/HsHAa/e3NSOKPkkUPAqJc/GF2Ncp9P3Is7njwfTx+DHcU8f/jqoHDEnOl6yzCZYr\
        Hh8c/9IP3pfhlywUmBgp+GrvV4pHlCDqGvWuuKxDxT6Ui0NzKgNpb1KP6b3M+TPH1mF6ak0JpspUrQqZ\
        arRTZn6NTyrGENtJ30yhbUK\n";
    const VECTOR_THEIRS: &str = "[sx-aes-1]\n\
        public=8UfeFxlu/CQIzhgDrcwjY4MC5ctX62oAiYIRCWvxc+4cNoAESYDesdr0sGV5oN+FRMko+pBwY\
        rSIOMLxYJnetUDOiI0F76Tdh+07ySU0yGk8VJqchtPakdTFawkRFtRxrLZFZG+PACHvuULssEidD5Db1\
        Vlcbvd77/UjVTjs2bufXfIQu34XW419bkX6vh2psF3llfqa+oLlcVa8fuoI8qft0W5E2bnBeS12UJyZT\
        5Nzp/Sw3xvFAXIBCgNfJAHP\n\
        secret=GIcm5gTAFA9okmEak5fXCA==\n\
        iv=AAECAwQFBgcICQoLDA0ODw==\n";

    /// The prompter's half: it answers a message with this secret.
    pub(in super::super) fn answer(message: &str, secret: &[u8]) -> String {
        let theirs = Exchange::begin().unwrap();
        let key = theirs.key(&field(message, "public").unwrap()).unwrap();
        let iv = [7; BLOCK];
        let mut buffer = [0; 128];
        buffer[..secret.len()].copy_from_slice(secret);
        let encrypted = cbc::Encryptor::<Aes128>::new_from_slices(&*key, &iv)
            .unwrap()
            .encrypt_padded::<Pkcs7>(&mut buffer, secret.len())
            .unwrap();
        format!(
            "{}secret={}\niv={}\n",
            theirs.message(),
            BASE64.encode(encrypted),
            BASE64.encode(&iv)
        )
    }

    #[test]
    fn a_secret_arrives_as_it_was_sent() {
        for secret in ["", "492817", "492 817-äö", &"x".repeat(100)] {
            let ours = Exchange::begin().unwrap();
            let message = answer(&ours.message(), secret.as_bytes());
            assert_eq!(ours.secret(&message).unwrap().as_slice(), secret.as_bytes());
        }
    }

    /// Made with Python's integers, its `hmac`, and `openssl enc -aes-128-cbc`.
    #[test]
    fn the_exchange_is_that_of_others() {
        let ours = Exchange {
            private: Zeroizing::new(U256::from_be_slice(&[0x11; 32])),
        };
        assert_eq!(ours.message(), VECTOR_OURS);
        let secret = ours.secret(VECTOR_THEIRS).unwrap();
        assert_eq!(secret.as_slice(), b"492817");
    }

    #[test]
    fn the_secret_of_another_exchange_stays_secret() {
        let message = answer(&Exchange::begin().unwrap().message(), b"492817");
        let other = Exchange::begin().unwrap().secret(&message);
        // One padding in 256 is right by chance.
        assert!(!other.is_ok_and(|secret| secret.as_slice() == b"492817"));
    }

    #[test]
    fn a_key_that_everybody_would_know_is_refused() {
        let ours = Exchange::begin().unwrap();
        let prime = Element::ZERO - Element::ONE;
        let last = prime.retrieve().to_be_bytes();
        let weak: [&[u8]; 4] = [&[], &[0], &[1], last.as_ref()];
        for public in weak {
            assert_eq!(
                ours.key(public).unwrap_err(),
                ExchangeError::Unknown("a public key that is none")
            );
        }
        assert!(ours.key(&[0xff; PUBLIC]).is_err());
        assert!(ours.key(&[0x7f; PUBLIC + 1]).is_err());
        assert!(ours.key(&[3]).is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        let ours = Exchange::begin().unwrap();
        let good = answer(&ours.message(), b"492817");
        assert!(ours.secret(&good).is_ok());
        for bad in [
            String::new(),
            good.replace("sx-aes-1", "sx-aes-2"),
            good.replace("public", "private"),
            good.replace("secret=", "secret=!"),
            good.replace("iv=", "iv=AAAA"),
            good.replace("secret=", "secret=AAAA\nsecret="),
            format!("{good}{}", "x".repeat(MAX_MESSAGE)),
        ] {
            assert!(ours.secret(&bad).is_err(), "{bad}");
        }
    }
}
