// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads files that decide who may do what: only if nobody but root could have written them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use super::collect::{FileId, Findings};

/// Largest file that is read. A policy of a hundred thousand hosts has a few MiB.
pub(crate) const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Whose files are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Files that root owns and only root may write: what a daemon obeys.
    RootOnly,
    /// Any file: for a check before it is installed. Never obey a policy read so.
    Anyone,
}

/// Reads a file of `findings`, into `findings`. `None` if it can't be read; the reason is in
/// `findings`. The caller decides beforehand whether a missing file is a mistake.
pub(crate) fn read_text(
    path: &Path,
    file: FileId,
    trust: Trust,
    findings: &mut Findings,
) -> Option<Arc<str>> {
    let (sound, bytes) = match open(path).and_then(|(opened, about)| {
        let sound = refuse_untrusted(path, &about, trust, file, findings);
        // It may grow while it is read; what is too large by now isn't read at all.
        let is_too_large = about.len() > MAX_FILE;
        let bytes = if is_too_large {
            None
        } else {
            Some(read_bounded(&opened)?).filter(|bytes| bytes.len() as u64 <= MAX_FILE)
        };
        Ok((sound, bytes))
    }) {
        Ok(read) => read,
        Err(error) => {
            findings.file_error(file, format!("can't be read: {error}"));
            return None;
        }
    };
    let Some(bytes) = bytes else {
        findings
            .file_error(file, "is larger than 16 MiB")
            .help("split it, or name networks instead of single addresses");
        return None;
    };
    if !sound {
        return None;
    }
    Some(decode(&bytes, file, findings))
}

/// Adds a mistake for each reason not to trust a file or directory; true if there is none.
pub(crate) fn refuse_untrusted(
    path: &Path,
    about: &Metadata,
    trust: Trust,
    file: FileId,
    findings: &mut Findings,
) -> bool {
    if trust == Trust::Anyone {
        return true;
    }
    let (owned, closed) = (about.uid() == 0, about.mode() & 0o022 == 0);
    if !owned {
        findings
            .file_error(
                file,
                format!("is owned by uid {}, not by root", about.uid()),
            )
            .help(format!("chown root {}", path.display()));
    }
    if !closed {
        let mode = about.mode() & 0o7777;
        findings
            .file_error(
                file,
                format!("can be written by others than root (mode {mode:04o})"),
            )
            .help(format!("chmod go-w {}", path.display()));
    }
    owned && closed
}

/// Opens a regular file. What is said about it is said of the open file, so that it can't be
/// exchanged in between.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // A named pipe would block an open without O_NONBLOCK.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok((file, about))
}

/// One byte more than allowed is enough to see that there are too many.
fn read_bounded(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn decode(bytes: &[u8], file: FileId, findings: &mut Findings) -> Arc<str> {
    let text: Arc<str> = Arc::from(String::from_utf8_lossy(bytes));
    findings.set_text(file, Arc::clone(&text));
    if let Err(error) = std::str::from_utf8(bytes) {
        // Up to here the lossy text is the same, and here it has U+FFFD, of three bytes.
        let at = error.valid_up_to();
        findings
            .syntax_error(file, Some(at..at + 3), "is not UTF-8".to_owned())
            .help("save the file as UTF-8, as TOML demands");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::Diagnostics;

    fn read(path: &Path, trust: Trust) -> Result<String, Diagnostics> {
        let mut findings = Findings::new(path);
        let text = read_text(path, findings.root(), trust, &mut findings);
        findings.finish(text).map(|(text, _)| text.to_string())
    }

    fn messages(path: &Path, trust: Trust) -> Vec<String> {
        let all = read(path, trust).unwrap_err();
        all.views().into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_with_the_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(0o664)).unwrap();
        let all = read(file.path(), Trust::RootOnly).unwrap_err();
        let helps: Vec<_> = all.views().into_iter().filter_map(|one| one.help).collect();
        let chmod = format!("chmod go-w {}", file.path().display());
        assert!(helps.contains(&chmod), "{helps:?}");
        assert!(read(file.path(), Trust::Anyone).is_ok());
    }

    #[test]
    fn a_file_that_root_does_not_own_is_refused_with_the_remedy() {
        let mut findings = Findings::new(Path::new("p.toml"));
        // /proc/self/… of another user can't be had everywhere: judge a made-up owner.
        let file = tempfile::NamedTempFile::new().unwrap();
        let owner = nix::unistd::Uid::from_raw(4711);
        if nix::unistd::chown(file.path(), Some(owner), None).is_err() {
            // Not root: then the file is not root's to begin with.
            assert!(!nix::unistd::geteuid().is_root());
        }
        let about = fs::metadata(file.path()).unwrap();
        let root = findings.root();
        let path = Path::new("p.toml");
        assert!(!refuse_untrusted(
            path,
            &about,
            Trust::RootOnly,
            root,
            &mut findings
        ));
        let all = findings.finish(Some(())).unwrap_err();
        assert_eq!(all.views()[0].help.as_deref(), Some("chown root p.toml"));
    }

    #[test]
    fn a_file_above_the_limit_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_FILE + 1).unwrap();
        assert_eq!(
            messages(file.path(), Trust::Anyone),
            ["is larger than 16 MiB"]
        );
    }

    #[test]
    fn a_pipe_or_a_directory_is_refused_and_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), dir.path()] {
            let messages = messages(path, Trust::Anyone);
            assert_eq!(messages, ["can't be read: not a regular file"]);
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"a = 1\nb = \"\xff\"\n").unwrap();
        let all = read(file.path(), Trust::Anyone).unwrap_err();
        let view = &all.views()[0];
        assert_eq!((view.line, view.column), (Some(2), Some(6)));
    }
}
