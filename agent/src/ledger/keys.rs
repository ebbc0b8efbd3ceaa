// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key that opens the ledger's secrets. It comes from systemd (`LoadCredentialEncrypted=`,
//! bound to the TPM where there is one), or else from a file that only root can read.
//!
//! Neither keeps anything from root. A credential keeps it from whoever has a copy of the disk or
//! of a backup; a file, only from whoever has the ledger alone.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::LedgerError;
use super::private::{self, failed};

/// The credential's name.
pub const CREDENTIAL: &str = "stile-key";
/// The name of the credential that was used before, while a key is replaced.
pub const PREVIOUS_CREDENTIAL: &str = "stile-key-previous";
/// The file below the state directory, where there is no credential.
pub const KEY_FILE: &str = "secrets.key";
/// A file that is about to take its place.
const NEXT_FILE: &str = "secrets.key.new";

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// A key in memory; wiped when dropped.
pub(super) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Where keys are looked for.
#[derive(Clone, Debug)]
pub struct KeyPlaces {
    /// The directory in which systemd puts credentials, if it started us with some.
    pub credentials: Option<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
}

impl KeyPlaces {
    /// The credentials that systemd gave this process, and the state directory.
    #[must_use]
    pub fn of_process(state: &Path) -> Self {
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            state: state.to_owned(),
        }
    }
}

/// Where the key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A credential of systemd.
    Credential,
    /// A file that lies beside the ledger.
    File(PathBuf),
}

/// The keys that there are, best first.
pub(super) struct Keys {
    pub(super) source: KeySource,
    pub(super) candidates: Vec<Key>,
}

impl Keys {
    /// Reads the keys. With `make`, a file with a new one is made if there are none.
    pub(super) fn find(places: &KeyPlaces, make: bool) -> Result<Self, LedgerError> {
        if let Some(dir) = &places.credentials
            && let Some(current) = read(&dir.join(CREDENTIAL))?
        {
            let mut candidates = vec![current];
            candidates.extend(read(&dir.join(PREVIOUS_CREDENTIAL))?);
            // Who turns from the file to a credential still has what the file sealed.
            candidates.extend(read_private(&places.state.join(KEY_FILE))?);
            candidates.extend(unfinished(&places.state)?);
            return Ok(Self {
                source: KeySource::Credential,
                candidates,
            });
        }
        let path = places.state.join(KEY_FILE);
        let mut candidates: Vec<Key> = read_private(&path)?.into_iter().collect();
        let next = unfinished(&places.state)?;
        if candidates.is_empty() && next.is_some() {
            // A crash before the first one took its place.
            Replacement::unfinished(&places.state).take_effect()?;
        }
        // A crash while the key was replaced: one of the two fits.
        candidates.extend(next);
        if candidates.is_empty() && make {
            let key = fresh_key()?;
            Replacement::write(&places.state, &key)?.take_effect()?;
            candidates.push(key);
        }
        Ok(Self {
            source: KeySource::File(path),
            candidates,
        })
    }
}

/// A new key file beside the one in force.
pub(super) struct Replacement {
    state: PathBuf,
}

impl Replacement {
    /// Writes it, durably, under a name of its own.
    pub(super) fn write(state: &Path, key: &Key) -> Result<Self, LedgerError> {
        let next = state.join(NEXT_FILE);
        remove(&next)?;
        let mut file = private::open_file(&next)?;
        let text = Zeroizing::new(hex::encode(key.as_slice()) + "\n");
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &next))?;
        private::sync_dir(state)?;
        Ok(Self {
            state: state.to_owned(),
        })
    }

    /// One that a crash left behind.
    pub(super) fn unfinished(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
        }
    }

    /// Removes one that a crash left behind before it was in force.
    pub(super) fn forget(state: &Path) -> Result<(), LedgerError> {
        remove(&state.join(NEXT_FILE))
    }

    /// Removes key files that a credential has taken the place of.
    pub(super) fn forget_file(state: &Path) -> Result<(), LedgerError> {
        remove(&state.join(NEXT_FILE))?;
        remove(&state.join(KEY_FILE))
    }

    /// Puts it in force.
    pub(super) fn take_effect(self) -> Result<(), LedgerError> {
        let next = self.state.join(NEXT_FILE);
        fs::rename(&next, self.state.join(KEY_FILE)).map_err(failed("rename", &next))?;
        Ok(private::sync_dir(&self.state)?)
    }
}

fn remove(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failed("remove", path)(error).into())
        }
        _ => Ok(()),
    }
}

/// A random key.
pub(super) fn fresh_key() -> Result<Key, LedgerError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    super::seal::random(key.as_mut_slice())?;
    Ok(key)
}

fn read_private(path: &Path) -> Result<Option<Key>, LedgerError> {
    match private::open_existing(path)? {
        None => Ok(None),
        Some(file) => parse(path, file).map(Some),
    }
}

/// A new key that a crash kept from its place. One that isn't whole never counted.
fn unfinished(state: &Path) -> Result<Option<Key>, LedgerError> {
    match read_private(&state.join(NEXT_FILE)) {
        Err(LedgerError::BadKey { .. }) => Ok(None),
        other => other,
    }
}

/// A credential. systemd gives its files modes of their own, which let in nobody else.
fn read(path: &Path) -> Result<Option<Key>, LedgerError> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error).into()),
        Ok(file) => parse(path, file).map(Some),
    }
}

/// 32 bytes as they are, or in hex with white space around it.
fn parse(path: &Path, file: File) -> Result<Key, LedgerError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 * KEY_BYTES));
    file.take(4 * KEY_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(|cause| LedgerError::from(failed("read", path)(cause)))?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let whole = bytes.len() == KEY_BYTES;
    if whole {
        key.copy_from_slice(&bytes);
    }
    if whole || hex::decode_to_slice(bytes.trim_ascii(), key.as_mut_slice()).is_ok() {
        return Ok(key);
    }
    Err(LedgerError::BadKey {
        path: path.to_owned(),
        bytes: bytes.len(),
    })
}
