// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealing of secrets: XChaCha20-Poly1305 with a random nonce of 192 bits. What a record is and
//! whose it is goes in as associated data, so that a record which was moved can't be opened.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::LedgerError;
use super::keys::Key;

/// The format of what is sealed.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals and opens with one key.
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(REDACTED)")
    }
}

impl Sealer {
    pub(super) fn new(key: &Key) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new((&**key).into()),
        }
    }

    /// The sealed form of `secret`, for the record that `place` names.
    pub(super) fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let payload = Payload {
            msg: secret,
            aad: place.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| LedgerError::Random {
                cause: "the cipher refused".to_owned(),
            })?;
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// What was sealed for `place`. `None` if the key is another one, or anything was changed or
    /// moved.
    pub(super) fn open(&self, place: &str, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let rest = bytes.strip_prefix(&[FORMAT])?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: sealed,
            aad: place.as_bytes(),
        };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.ok().map(Zeroizing::new)
    }
}

/// Random bytes of the kernel.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), LedgerError> {
    getrandom::fill(bytes).map_err(|cause| LedgerError::Random {
        cause: cause.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&Zeroizing::new([byte; 32]))
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_at_its_place_only() {
        let sealed = sealer(1).seal("totp/1000/1", b"secret").unwrap();
        let opened = sealer(1).open("totp/1000/1", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"secret");
        assert!(sealer(2).open("totp/1000/1", &sealed).is_none());
        assert!(sealer(1).open("totp/1001/1", &sealed).is_none());
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn no_byte_of_it_can_be_changed() {
        let sealed = sealer(1).seal("place", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer(1).open("place", &changed).is_none(), "byte {at}");
            assert!(
                sealer(1).open("place", &sealed[..at]).is_none(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let seal = || sealer(1).seal("place", b"secret").unwrap();
        assert_ne!(seal(), seal());
    }
}
