// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Login sessions, as logind keeps them.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::User;
use crate::daemon::SESSIONS;

/// A session that ends when it is dropped.
#[derive(Debug)]
pub struct Login {
    id: String,
    user: User,
}

impl Login {
    /// One over ssh.
    #[must_use]
    pub fn from(user: User, address: IpAddr) -> Self {
        Self::new(
            user,
            &format!("REMOTE=1\nREMOTE_HOST={address}\nTYPE=tty\n"),
        )
    }

    /// One at the machine itself.
    #[must_use]
    pub fn at_seat(user: User) -> Self {
        Self::new(user, "REMOTE=0\nSEAT=seat0\nTYPE=wayland\n")
    }

    fn new(user: User, more: &str) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}t{number}", std::process::id());
        let login = Self { id, user };
        let uid = user.uid;
        let content = format!("UID={uid}\nSTATE=active\nCLASS=user\n{more}");
        fs::write(login.file(), content)
            .unwrap_or_else(|error| panic!("{}: {error}", login.file().display()));
        login
    }

    fn file(&self) -> PathBuf {
        PathBuf::from(SESSIONS).join(&self.id)
    }

    /// The cgroup of its processes, below the host's; for [`crate::Host::in_cgroup`].
    #[must_use]
    pub fn cgroup(&self) -> String {
        let (uid, id) = (self.user.uid, &self.id);
        format!("user.slice/user-{uid}.slice/session-{id}.scope")
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.file());
    }
}
