// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A real terminal, on which a user is logged in.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::sandbox::User;
use crate::wait::until;

/// A pseudo-terminal that belongs to a user and takes messages, as login(1) leaves it.
#[derive(Debug)]
pub struct Terminal {
    screen: File,
    path: PathBuf,
    seen: String,
}

impl Terminal {
    /// Opens one.
    #[must_use]
    pub fn of(user: User) -> Self {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let master = posix_openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname_r(&master).unwrap());
        chown(&path, Some(user.uid), None).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o620)).unwrap();
        Self {
            screen: File::from(OwnedFd::from(master)),
            path,
            seen: String::new(),
        }
    }

    /// Where it is, as `/dev/pts/3`.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Waits until this text was shown, and returns everything that was.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> &str {
        until(&format!("the terminal shows {text:?}"), || {
            self.read();
            self.seen.contains(text).then_some(())
        });
        &self.seen
    }

    /// Types a line, once this text was shown.
    #[track_caller]
    pub fn type_at(&mut self, prompt: &str, line: &str) {
        self.shows(prompt);
        writeln!(self.screen, "{line}").unwrap();
    }

    /// Types a line, once this text was shown so many times.
    #[track_caller]
    pub fn type_at_nth(&mut self, times: usize, prompt: &str, line: &str) {
        until(
            &format!("the terminal shows {prompt:?} {times} times"),
            || {
                self.read();
                (self.seen.matches(prompt).count() >= times).then_some(())
            },
        );
        writeln!(self.screen, "{line}").unwrap();
    }

    fn read(&mut self) {
        let new = self.take();
        self.seen.push_str(&String::from_utf8_lossy(&new));
    }

    /// What was written to it since it was last read.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut taken = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.screen.read(&mut buffer) {
                Ok(length @ 1..) => taken.extend_from_slice(&buffer[..length]),
                Ok(_) => return taken,
                // EIO: nobody has the other end open.
                Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => return taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
                Err(error) => panic!("the terminal: {error}"),
            }
        }
    }

    /// Types these keys.
    pub(crate) fn send(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).unwrap();
    }
}
