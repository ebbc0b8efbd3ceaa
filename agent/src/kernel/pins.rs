// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the gate is pinned. Pins outlive the daemon, and end with a reboot or `stile detach`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stile_common::ABI_VERSION;

use super::error::GateError;
use super::gate::GateOptions;

/// Maps that outlive the daemon. The program arrays do not: that they are emptied with the
/// daemon's end is how the gate knows of it.
pub(super) const PINNED: [&str; 18] = [
    "FILTER_V4",
    "FILTER_V6",
    "HOST_V4",
    "HOST_V6",
    "PREFIX_V4",
    "PREFIX_V6",
    "CLASS",
    "FIRST",
    "SLICES",
    "GRANTS",
    "CONFIG",
    "SOCKETS",
    "HELD",
    "ATTEMPTS",
    "FLOWS",
    "BUDGETS",
    "UNREAD",
    "FAULTS",
];

/// Takes the gate down: every link, then every map. Protected endpoints are open afterwards.
/// Returns how many pins were removed; 0 if there was no gate.
///
/// # Errors
/// If a pin can't be removed.
pub fn detach(pins: &Path) -> Result<usize, GateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GateError::Pins { path, source }
    };
    let versions = match fs::read_dir(pins) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(pins)(error)),
    };
    let mut removed = 0;
    for version in versions {
        let version = version.map_err(failed(pins))?.path();
        removed += remove_tree(&version).map_err(failed(&version))?;
    }
    fs::remove_dir(pins).map_err(failed(pins))?;
    Ok(removed)
}

/// Removes a directory of pins, directories of links first.
fn remove_tree(directory: &Path) -> io::Result<usize> {
    let mut entries: Vec<_> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort_by_key(|path| !path.is_dir());
    let mut removed = 0;
    for path in entries {
        if path.is_dir() {
            removed += remove_tree(&path)?;
        } else {
            fs::remove_file(&path)?;
            removed += 1;
        }
    }
    fs::remove_dir(directory)?;
    Ok(removed)
}

/// The directory of this version's pins.
pub(super) fn version_directory(options: &GateOptions) -> Result<PathBuf, GateError> {
    let base = options.pins.join(own_version());
    make_directory(&options.pins)?;
    make_directory(&base)?;
    Ok(base)
}

fn own_version() -> String {
    format!("v{ABI_VERSION}")
}

/// The directories of gates that daemons with other map layouts have left. Refuses if there is
/// anything else.
pub(super) fn other_versions(options: &GateOptions) -> Result<Vec<PathBuf>, GateError> {
    let failed = |source| GateError::Pins {
        path: options.pins.clone(),
        source,
    };
    let own = own_version();
    let mut others = Vec::new();
    for entry in fs::read_dir(&options.pins).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name == *own {
            continue;
        }
        let number = name.to_str().and_then(|name| name.strip_prefix('v'));
        if number
            .and_then(|number| number.parse::<u32>().ok())
            .is_none()
        {
            return Err(GateError::ForeignPins(entry.path()));
        }
        others.push(entry.path());
    }
    Ok(others)
}

/// Takes down the gates of other versions, now that this one stands.
pub(super) fn remove_other_versions(options: &GateOptions) -> Result<usize, GateError> {
    let others = other_versions(options)?;
    for other in &others {
        remove_tree(other).map_err(|source| GateError::Pins {
            path: other.clone(),
            source,
        })?;
    }
    Ok(others.len())
}

pub(super) fn make_directory(path: &Path) -> Result<(), GateError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(GateError::Pins {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Removes links to another cgroup, after those to this one stand.
pub(super) fn remove_other_links(base: &Path, own: &Path) -> Result<(), GateError> {
    let failed = |source| GateError::Pins {
        path: base.to_owned(),
        source,
    };
    for entry in fs::read_dir(base).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && path != own {
            remove_tree(&path).map_err(failed)?;
        }
    }
    Ok(())
}
