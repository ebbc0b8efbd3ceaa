// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that are the daemon's alone: made so, and refused if they are not.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Why a directory or a file can't hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// The system refused.
    #[error("cannot {operation} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// It is a link, or of another type.
    #[error("{} is no {expected}; move it away, or name the real path", path.display())]
    Type {
        /// What was found.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// It is somebody else's.
    #[error(
        "{} belongs to uid {owner}; make sure that nobody has changed it, then run `chown {expected} {}`",
        path.display(),
        path.display()
    )]
    Owner {
        /// What was found.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        expected: u32,
    },
    /// Somebody else may read or write it.
    #[error(
        "{} has mode {mode:03o} and lets others in; make sure that nobody has used that, then run `chmod {expected:03o} {}`",
        path.display(),
        path.display()
    )]
    Mode {
        /// What was found.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be at most.
        expected: u32,
    },
}

/// Makes the directory, with mode 0700, if it is missing, and checks that it is private.
pub(crate) fn prepare_dir(path: &Path) -> Result<(), PrivateError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(failed("make", path))?;
    let metadata = path.symlink_metadata().map_err(failed("examine", path))?;
    if !metadata.is_dir() {
        return Err(wrong_type(path, "directory"));
    }
    check(path, &metadata, 0o700)
}

/// Opens a file in a private directory for reading and writing, makes it with mode 0600 if it
/// is missing, and checks that it is private. It is not followed if it is a link.
pub(crate) fn open_file(path: &Path) -> Result<File, PrivateError> {
    let file = options()
        .create(true)
        .open(path)
        .map_err(failed("open", path))?;
    check_file(path, &file)?;
    Ok(file)
}

/// Like [`open_file`], but makes none.
pub(crate) fn open_existing(path: &Path) -> Result<Option<File>, PrivateError> {
    match options().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
        Ok(file) => {
            check_file(path, &file)?;
            Ok(Some(file))
        }
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), PrivateError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync", path))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW);
    options
}

fn check_file(path: &Path, file: &File) -> Result<(), PrivateError> {
    let metadata = file.metadata().map_err(failed("examine", path))?;
    if !metadata.is_file() {
        return Err(wrong_type(path, "regular file"));
    }
    check(path, &metadata, 0o600)
}

fn check(path: &Path, metadata: &Metadata, expected: u32) -> Result<(), PrivateError> {
    let me = geteuid().as_raw();
    if metadata.uid() != me {
        return Err(PrivateError::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
            expected: me,
        });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateError::Mode {
            path: path.to_owned(),
            mode,
            expected,
        });
    }
    Ok(())
}

fn wrong_type(path: &Path, expected: &'static str) -> PrivateError {
    PrivateError::Type {
        path: path.to_owned(),
        expected,
    }
}

pub(crate) fn failed(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> PrivateError + use<> {
    let path = path.to_owned();
    move |cause| PrivateError::Io {
        operation,
        path,
        cause,
    }
}
