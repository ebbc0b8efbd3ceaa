// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with the gate, and what that means.

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError};

/// Why the gate can't be put up, or can't be written to.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The pins can't be made.
    #[error("{}: {source}; is a bpffs mounted there? (mount -t bpf bpf /sys/fs/bpf)", path.display())]
    Pins {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that is no gate's lies among the pins.
    #[error(
        "{} is no gate of stile's; remove it, or run `stile detach` (which opens the gate) before \
         stiled is started", .0.display()
    )]
    ForeignPins(PathBuf),
    /// The cgroup can't be opened.
    #[error("cgroup {}: {source}", path.display())]
    Cgroup {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel didn't take the object.
    #[error("the kernel refused the gate's maps: {0}")]
    Load(#[from] EbpfError),
    /// The kernel didn't take a program.
    #[error("the kernel refused the program {name}: {source}")]
    Program {
        /// Which.
        name: &'static str,
        /// Why.
        source: ProgramError,
    },
    /// A link could not be made, pinned or replaced.
    #[error("the program {name} can't be attached: {reason}")]
    Attach {
        /// Which.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The object lacks what this daemon needs.
    #[error("the kernel object has no {0}; it was built from other sources")]
    Missing(&'static str),
    /// A filter can't be written.
    #[error("kernel map {name}: {source}")]
    Words {
        /// Which.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A map can't be read or written.
    #[error("kernel map {name}: {source}")]
    Map {
        /// Which.
        name: &'static str,
        /// Why.
        source: MapError,
    },
}

/// Takes a map out of the object.
pub(super) fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, GateError>
where
    M: TryFrom<aya::maps::Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(GateError::Missing(name))?;
    M::try_from(map).map_err(map_error(name))
}

pub(super) fn map_error(name: &'static str) -> impl Fn(MapError) -> GateError {
    move |source| GateError::Map { name, source }
}

/// Turns "there was nothing to remove" into success.
pub(super) fn ignore_absent(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}
