// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which of the host's PAM services may be asked.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a service of stile's is called, or begins with.
const OWN: &str = "stile";
/// Longest name, in bytes: that of a file (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// The name of a PAM service that was made for stile: `stile`, or `stile-` and more.
///
/// Services that were made for something else take a password (`login`, `sudo`, `common-auth`)
/// or are what PAM falls back to (`other`). A second factor must be neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PamService(String);

/// Why a name is none of a service of stile's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceNameError {
    /// A service that was made for something else.
    #[error(
        "the PAM service must be called \"stile\" or begin with \"stile-\", so that none is \
         taken that was made for something else; make one, as /etc/pam.d/stile-stepup"
    )]
    NotOwn,
    /// No name of a file below /etc/pam.d.
    #[error(
        "the name of a PAM service has small ASCII letters, digits, '-', '_' and '.', at most \
         {MAX_NAME}"
    )]
    NotAName,
}

/// Why a service isn't asked, although its name is right.
#[derive(Debug, thiserror::Error)]
pub enum ServiceFileError {
    /// It can't be looked at; mostly there is none.
    #[error(
        "can't use the PAM service file {}: {source}; make it (PAM would take its service \
         \"other\" instead)", path.display()
    )]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is a link, a folder or something else.
    #[error(
        "the PAM service file {} is no regular file; put one there, and no link", path.display()
    )]
    NoFile {
        /// Where it is.
        path: PathBuf,
    },
    /// Somebody else than root could say who passes.
    #[error(
        "not only root can change {}, so it can't say who passes; chown root and chmod go-w it",
        path.display()
    )]
    NotRoots {
        /// The file, or the folder that it is in.
        path: PathBuf,
    },
}

impl PamService {
    /// The service of this name.
    ///
    /// # Errors
    /// If it can't be a service of stile's.
    pub fn new(name: &str) -> Result<Self, ServiceNameError> {
        // Linux-PAM makes small letters of large ones, and would look for another file.
        let is_fit = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_fit) {
            return Err(ServiceNameError::NotAName);
        }
        let more = name.strip_prefix(OWN).ok_or(ServiceNameError::NotOwn)?;
        let is_own = more.is_empty() || (more.starts_with('-') && more.len() > 1);
        if is_own {
            Ok(Self(name.to_owned()))
        } else {
            Err(ServiceNameError::NotOwn)
        }
    }

    /// Its name, which is that of its file below /etc/pam.d.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether its file is there and root's alone. PAM itself asks neither: without the file
    /// it takes the service `other`.
    ///
    /// # Errors
    /// What is wrong with it, or with the folder.
    pub fn check(&self, folder: &Path) -> Result<(), ServiceFileError> {
        let path = folder.join(&self.0);
        let look = |path: &Path| {
            path.symlink_metadata()
                .map_err(|source| ServiceFileError::Unreadable {
                    path: path.to_owned(),
                    source,
                })
        };
        let file = look(&path)?;
        if !file.is_file() {
            return Err(ServiceFileError::NoFile { path });
        }
        // Whoever can write to the folder can put another file there.
        for (path, found) in [(folder.to_owned(), look(folder)?), (path, file)] {
            if found.uid() != 0 || found.mode() & 0o022 != 0 {
                return Err(ServiceFileError::NotRoots { path });
            }
        }
        Ok(())
    }
}

impl fmt::Display for PamService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
