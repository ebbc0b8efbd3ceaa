// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data key: it seals the secrets, and is itself sealed with the key that comes from outside.
//! So the outer key can be replaced without touching a secret, and the inner one with all of them
//! at once.

use redb::WriteTransaction;
use tracing::info;
use zeroize::Zeroizing;

use super::engine::{Engine, Fault};
use super::keys::{self, KEY_BYTES, Key, KeyPlaces, KeySource, Keys, Replacement};
use super::seal::Sealer;
use super::tables::{DATA_KEY, SEALING};
use super::{Ledger, LedgerError, devices};

/// Where the data key belongs.
const PLACE: &str = "stile/2|data-key";

/// The data key in use, and where the key that opens it came from.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sealer: Sealer,
    pub(super) source: KeySource,
}

/// A data key as the ledger has it: sealed.
pub(super) struct Wrapped(Vec<u8>);

impl Wrapped {
    /// Stores it in the place of any other.
    pub(super) fn store(&self, txn: &WriteTransaction) -> Result<(), Fault> {
        let bytes = self.0.as_slice();
        txn.open_table(SEALING)?.insert(DATA_KEY, bytes)?;
        Ok(())
    }
}

/// A fresh data key for a ledger that is being made.
pub(super) fn begin(places: &KeyPlaces) -> Result<(Opened, Wrapped), LedgerError> {
    let keys = Keys::find(places, true)?;
    let outer = first(&keys, places)?;
    let inner = keys::fresh_key()?;
    let wrapped = wrap(outer, &inner)?;
    let opened = Opened {
        sealer: Sealer::new(&inner),
        source: keys.source,
    };
    Ok((opened, wrapped))
}

/// Opens the data key of a ledger. If an older outer key was needed, the best one takes its place.
pub(super) fn open(engine: &Engine, places: &KeyPlaces) -> Result<Opened, LedgerError> {
    let keys = Keys::find(places, false)?;
    let best = first(&keys, places)?;
    let Some((at, inner)) = fitting(engine, &keys)? else {
        return Err(LedgerError::WrongKey {
            source_of_key: tell(&keys.source),
        });
    };
    match &keys.source {
        KeySource::File(path) if at > 0 => {
            Replacement::unfinished(&places.state).take_effect()?;
            info!(path = %path.display(), "the key of the secrets was being replaced; finished");
        }
        KeySource::File(_) => Replacement::forget(&places.state)?,
        KeySource::Credential => {
            if at > 0 {
                let wrapped = wrap(best, &inner)?;
                engine.write("replace the key of the secrets", |txn| wrapped.store(txn))?;
                info!("the secrets are sealed with the key from the credential now");
            }
            Replacement::forget_file(&places.state)?;
        }
    }
    Ok(Opened {
        sealer: Sealer::new(&inner),
        source: keys.source,
    })
}

/// Which of the keys opens the data key, and what that is.
fn fitting(engine: &Engine, keys: &Keys) -> Result<Option<(usize, Key)>, LedgerError> {
    let wrapped = engine.read("read the data key", |txn| {
        let table = txn.open_table(SEALING)?;
        Ok(table.get(DATA_KEY)?.map(|stored| stored.value().to_vec()))
    })?;
    let wrapped = wrapped.ok_or(LedgerError::NoDataKey)?;
    Ok(keys.candidates.iter().enumerate().find_map(|(at, key)| {
        let opened = Sealer::new(key).open(PLACE, &wrapped)?;
        Some((at, data_key(&opened)?))
    }))
}

impl Ledger {
    /// Where the key that opens the secrets came from.
    #[must_use]
    pub fn key_source(&self) -> &KeySource {
        &self.key_source
    }

    /// Makes a new data key and seals all secrets with it; where the outer key is a file, that is
    /// replaced too, also if it was lost since the start. Returns how many secrets there are.
    ///
    /// # Errors
    /// If a secret can't be opened, or something can't be written. Then the next start finds the
    /// keys that count.
    pub fn rotate_keys(&mut self) -> Result<u64, LedgerError> {
        let keys = Keys::find(&self.places, false)?;
        let inner = keys::fresh_key()?;
        let (outer, replacement) = match &keys.source {
            KeySource::Credential => (first(&keys, &self.places)?.clone(), None),
            KeySource::File(_) => {
                // The file that is about to be written anew may be the only one that fits.
                if fitting(&self.engine, &keys)?.is_some_and(|(at, _)| at > 0) {
                    Replacement::unfinished(&self.places.state).take_effect()?;
                }
                let key = keys::fresh_key()?;
                let replacement = Replacement::write(&self.places.state, &key)?;
                (key, Some(replacement))
            }
        };
        let wrapped = wrap(&outer, &inner)?;
        let sealer = Sealer::new(&inner);
        let count = self
            .engine
            .write("replace the keys of the secrets", |txn| {
                wrapped.store(txn)?;
                devices::reseal(txn, &self.sealer, &sealer)
            })?;
        // From here on only the new keys fit, also after a crash.
        self.sealer = sealer;
        if let Some(replacement) = replacement {
            replacement.take_effect()?;
        }
        Ok(count)
    }
}

fn wrap(outer: &Key, inner: &Key) -> Result<Wrapped, LedgerError> {
    Sealer::new(outer)
        .seal(PLACE, inner.as_slice())
        .map(Wrapped)
}

fn first<'k>(keys: &'k Keys, places: &KeyPlaces) -> Result<&'k Key, LedgerError> {
    keys.candidates.first().ok_or_else(|| LedgerError::NoKey {
        file: places.state.join(keys::KEY_FILE),
    })
}

fn data_key(bytes: &[u8]) -> Option<Key> {
    let bytes: &[u8; KEY_BYTES] = bytes.try_into().ok()?;
    Some(Zeroizing::new(*bytes))
}

fn tell(source: &KeySource) -> String {
    match source {
        KeySource::Credential => format!("the credential {:?}", keys::CREDENTIAL),
        KeySource::File(path) => path.display().to_string(),
    }
}
