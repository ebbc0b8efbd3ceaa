// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where PAM is asked, and how often at once.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::process::Helper;
use super::run::PamRun;
use super::service::{PamService, ServiceFileError};

/// Where a package installs `stile-pam`.
pub const HELPER: &str = "/usr/libexec/stile/stile-pam";
/// Where Linux-PAM looks for services first (pam.conf(5)).
pub const SERVICES: &str = "/etc/pam.d";
/// How many users may be asked at once. Each takes a process with a module's libraries in it.
pub const MAX_RUNS: usize = 16;
/// Longest name of a user, in bytes (`LOGIN_NAME_MAX`).
const MAX_USER: usize = 256;

/// Why PAM isn't asked.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The service has no file that can be trusted.
    #[error(transparent)]
    Service(#[from] ServiceFileError),
    /// Modules make paths and options of a user's name.
    #[error(
        "PAM isn't asked about a user called {0:?}: names with '/', control characters or a '-' \
         at their beginning are no names for modules"
    )]
    User(String),
    /// One at a time for each user.
    #[error("PAM is being asked about this user already; answer that, or cancel it")]
    Busy,
    /// As many as there may be.
    #[error("PAM is being asked about {MAX_RUNS} users already; try again soon")]
    Full,
    /// The kernel refused.
    #[error("can't start {}: {source}; is it installed?", helper.display())]
    Start {
        /// The program.
        helper: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// All questions to PAM that are under way: at most one for each user, and [`MAX_RUNS`].
#[derive(Debug)]
pub struct PamRuns {
    helper: PathBuf,
    services: PathBuf,
    users: Users,
}

/// Who is being asked about.
type Users = Arc<Mutex<BTreeSet<String>>>;

impl PamRuns {
    /// Of the program `helper` ([`HELPER`]), with the service files of a folder ([`SERVICES`]).
    #[must_use]
    pub fn new(helper: &Path, services: &Path) -> Self {
        Self {
            helper: helper.to_owned(),
            services: services.to_owned(),
            users: Users::default(),
        }
    }

    /// Asks the service about the user, for at most `limit`.
    ///
    /// The thread that calls this must live as long as the run is wanted
    /// ([`crate::sys::child::isolate`]).
    ///
    /// # Errors
    /// Why nobody is asked.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        &self,
        service: &PamService,
        user: &str,
        limit: Duration,
    ) -> Result<PamRun, StartError> {
        service.check(&self.services)?;
        if !is_name(user) {
            return Err(StartError::User(user.to_owned()));
        }
        let slot = Slot::take(&self.users, user)?;
        let helper =
            Helper::start(&self.helper, service, user).map_err(|source| StartError::Start {
                helper: self.helper.clone(),
                source,
            })?;
        let passed = (user.to_owned(), service.clone());
        Ok(PamRun::new(helper, passed, limit, slot))
    }
}

fn is_name(user: &str) -> bool {
    let is_fit = |c: char| c != '/' && !c.is_control();
    (1..=MAX_USER).contains(&user.len())
        && !user.starts_with('-')
        && !matches!(user, "." | "..")
        && user.chars().all(is_fit)
}

/// A user's place among the runs, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    users: Users,
    user: String,
}

impl Slot {
    fn take(users: &Users, user: &str) -> Result<Self, StartError> {
        let mut taken = users.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains(user) {
            return Err(StartError::Busy);
        }
        if taken.len() >= MAX_RUNS {
            return Err(StartError::Full);
        }
        taken.insert(user.to_owned());
        Ok(Self {
            users: Arc::clone(users),
            user: user.to_owned(),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.user);
    }
}
