// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who has the prompter's name: only GNOME's own programs are asked.
//!
//! Any program of the session can take the name away from GNOME Shell. This keeps out one that
//! does just that. It is no proof: a program of the same user can connect to the bus and then
//! become GNOME Shell by `execve(2)`, while another keeps the socket. Such a program can draw
//! any dialog it likes anyway.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::{BusName, OwnedUniqueName};

use super::super::children::Program;
use super::super::session_bus;
use crate::sys::group::as_the_person;
use crate::sys::pidfd::{PidFd, PidFdError};

/// The name, whoever has it.
const NAME: &str = "org.gnome.keyring.SystemPrompter";
/// Where distributions put the programs that may have it.
const PROMPTERS: [&str; 4] = [
    "/usr/bin/gnome-shell",
    "/usr/libexec/gcr-prompter",
    "/usr/lib/gcr-prompter",
    "/usr/lib/gcr/gcr-prompter",
];

/// Why nobody is asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnerError {
    /// The bus says so.
    #[error("there is no GNOME prompter: {0}")]
    Bus(#[from] zbus::Error),
    /// It ended just now.
    #[error("the GNOME prompter is gone: {0}")]
    Gone(#[from] PidFdError),
    /// Its program can't be told.
    #[error("can't tell which program the GNOME prompter is (process {pid}): {cause}")]
    Hidden {
        /// Its process id.
        pid: u32,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Somebody else has the name.
    #[error("{} poses as the GNOME prompter", .0.display())]
    Impostor(PathBuf),
}

/// The unique name of the prompter, started if need be.
pub(super) async fn owner(bus: &Connection) -> Result<OwnedUniqueName, OwnerError> {
    let owner = session_bus::owner(bus, NAME).await?;
    let pid = DBusProxy::new(bus)
        .await?
        .get_connection_unix_process_id(BusName::from(owner.as_ref()))
        .await
        .map_err(zbus::Error::from)?;
    // Held while it is looked at, so that no other process gets the id meanwhile.
    let process = PidFd::open(pid)?;
    check(pid)?;
    if !process.is_alive() {
        return Err(PidFdError::Gone(pid).into());
    }
    Ok(owner)
}

/// Passes if this process runs one of the prompters, and the very file that lies there: in a
/// mount namespace of its own, any file can lie at that path.
fn check(pid: u32) -> Result<(), OwnerError> {
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    let hidden = |cause| OwnerError::Hidden { pid, cause };
    let (path, runs) = as_the_person(|| Ok((link.read_link()?, link.metadata()?)))
        .flatten()
        .map_err(hidden)?;
    let genuine = PROMPTERS.iter().any(|known| path == Path::new(known))
        && Program::of_system(&path).is_some()
        && path
            .metadata()
            .is_ok_and(|lies| (lies.dev(), lies.ino()) == (runs.dev(), runs.ino()));
    if genuine {
        Ok(())
    } else {
        Err(OwnerError::Impostor(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_program_is_the_prompter() {
        let us = std::env::current_exe().unwrap();
        match check(std::process::id()) {
            Err(OwnerError::Impostor(path)) => assert_eq!(path, us),
            other => panic!("{other:?}"),
        }
    }
}
