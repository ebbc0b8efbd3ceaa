// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The last good answers, on disk: so that what was known is protected from the first moment of
//! the next start, whether name servers answer or not.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::answer::wrong_with;
use super::seen::MAX_SEEN;
use crate::ledger::PrivateError;
use crate::ledger::private::{self, failed};
use crate::policy::{HostName, Learned};

/// The file below the state directory.
pub const FILE_NAME: &str = "hosts.json";

/// The most that is read: far more than the addresses of all names of a big policy.
const MAX_BYTES: u64 = 16 << 20;

/// Why the file isn't used, or could not be written. It can only add protection, so the agent
/// runs on without.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory.
    #[error("the known addresses of host names: {0}")]
    Private(#[from] PrivateError),
    /// It is broken, or another program's.
    #[error(
        "the known addresses of host names: {} is not used, {why}; it is written anew when names \
         are resolved", path.display()
    )]
    Broken {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

const VERSION: u32 = 1;

/// Reads what an earlier daemon knew; nothing if there was none.
///
/// # Errors
/// If the file isn't private or is broken.
pub fn read(state_dir: &Path) -> Result<Learned, StoreError> {
    let path = state_dir.join(FILE_NAME);
    let Some(file) = private::open_existing(&path)? else {
        return Ok(Learned::new());
    };
    let mut text = Vec::new();
    let mut limited = file.take(MAX_BYTES + 1);
    limited
        .read_to_end(&mut text)
        .map_err(failed("read", &path))?;
    parse(&text).map_err(|why| StoreError::Broken { path, why })
}

pub(super) fn parse(text: &[u8]) -> Result<Learned, String> {
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    let contents: Contents = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if contents.version != VERSION {
        return Err(format!(
            "its version is {}, not {VERSION}",
            contents.version
        ));
    }
    let known = contents.hosts.into_iter().map(|(name, addresses)| {
        let sound = addresses
            .into_iter()
            .filter(|one| wrong_with(*one).is_none());
        (name_of(&name), sound.take(MAX_SEEN).collect())
    });
    Ok(known.collect())
}

fn name_of(text: &str) -> HostName {
    match text.strip_prefix('*') {
        Some(suffix) => HostName::Below(suffix.into()),
        None => HostName::Exact(text.into()),
    }
}

/// Writes what is known, all or nothing: a crash leaves the file of before.
///
/// # Errors
/// If the disk refuses.
pub(super) fn write(state_dir: &Path, learned: &Learned) -> Result<(), StoreError> {
    let (path, unfinished) = (
        state_dir.join(FILE_NAME),
        state_dir.join(format!("{FILE_NAME}.new")),
    );
    let hosts = learned
        .iter()
        .map(|(name, addresses)| (name.to_string(), addresses.iter().copied().collect()));
    let contents = Contents {
        version: VERSION,
        hosts: hosts.collect(),
    };
    let mut text = serde_json::to_vec(&contents).map_err(|error| StoreError::Broken {
        path: path.clone(),
        why: error.to_string(),
    })?;
    text.push(b'\n');
    private::prepare_dir(state_dir)?;
    let file = private::open_file(&unfinished)?;
    fill(&file, &text).map_err(failed("write", &unfinished))?;
    fs::rename(&unfinished, &path).map_err(failed("rename", &unfinished))?;
    Ok(private::sync_dir(state_dir)?)
}

fn fill(mut file: &File, text: &[u8]) -> std::io::Result<()> {
    // One that a crash has left.
    file.set_len(0)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
