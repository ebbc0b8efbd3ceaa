// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which login session a process belongs to, and where that came from.
//!
//! A user must not be able to look as if they sat at the machine. So only what root alone
//! can choose counts: the cgroup right below the user's slice, and the file of logind. What a
//! user manager starts has no session, whatever the names of its cgroups say, and neither the
//! environment nor the uid of a process is asked. A session counts as local only if it has a
//! seat: what came over a network that PAM wasn't told of (a remote desktop) has none.

mod file;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;
use nix::unistd::geteuid;

use self::file::SessionFile;
use super::escape::printable;
use super::process::Process;
use super::session::{slice_owner, unit_of_root};
use crate::ids::Uid;
use crate::policy::SessionFacts;

/// A file has some 30 lines; the list of devices of a desktop is the longest.
const MAX_FILE: u64 = 64 * 1024;
/// Longest session id; logind counts.
const MAX_ID: usize = 64;
/// Longest path of a cgroup that is shown.
const PATH_CHARS: usize = 256;
/// Classes of sessions in which a person works (`org.freedesktop.login1`). Of the others,
/// cron has one on some systems, and so have the greeter and the user's service manager.
const CLASSES: [&str; 3] = ["user", "user-early", "user-light"];

/// Finds login sessions in the files of logind.
#[derive(Clone, Debug)]
pub struct Logins {
    /// `/run/systemd/sessions`.
    directory: PathBuf,
    user_slice: PathBuf,
    is_own: fn(IpAddr) -> bool,
}

/// Why the login session of a process can't be told.
#[derive(Debug, thiserror::Error)]
pub enum NoLogin {
    /// A service of the user.
    #[error("it runs in the user's service manager, not in a login session")]
    Manager,
    /// Cron, a system service, a container.
    #[error("it runs in {0}, not in a login session")]
    Elsewhere(String),
    /// The cgroup is not known.
    #[error("its cgroup can't be told, and so its login session can't")]
    NoCgroup,
    /// Where cgroups tell nothing, audit doesn't either.
    #[error("neither its cgroup nor audit tells its login session")]
    NoAudit,
    /// logind has forgotten it, or isn't there.
    #[error("logind knows of no session {0}")]
    NoSession(String),
    /// The file can't be read.
    #[error("can't read what logind knows of session {id}: {source}")]
    Unreadable {
        /// The session.
        id: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file isn't one of logind's.
    #[error("what logind knows of session {id} can't be understood: {why}")]
    Malformed {
        /// The session.
        id: String,
        /// What is wrong.
        why: &'static str,
    },
    /// It is the session of another one.
    #[error("session {id} is that of uid {uid}")]
    OtherUser {
        /// The session.
        id: String,
        /// Whose it is.
        uid: Uid,
    },
    /// No person works in it.
    #[error("session {id} is of class {class}: nobody sits at it")]
    Class {
        /// The session.
        id: String,
        /// Its class.
        class: String,
    },
    /// The user has logged out.
    #[error("session {0} has ended; what is left of it may be used from elsewhere")]
    Ended(String),
    /// Nothing says where the user is.
    #[error("session {0} has neither a seat nor a host that it came from")]
    Nowhere(String),
}

impl Logins {
    /// The sessions of this machine; `user_slice` as in [`super::Classifier::new`].
    #[must_use]
    pub fn new(user_slice: impl Into<PathBuf>) -> Self {
        Self::at(Path::new("/run"), user_slice)
    }

    /// Those of another `/run`.
    #[must_use]
    pub fn at(run: &Path, user_slice: impl Into<PathBuf>) -> Self {
        Self {
            directory: run.join("systemd/sessions"),
            user_slice: user_slice.into(),
            is_own: is_own_address,
        }
    }

    /// The login session of a process of `subject`.
    ///
    /// # Errors
    /// If there is none, or it can't be told for sure.
    pub fn of(&self, process: &Process, subject: Uid) -> Result<SessionFacts, NoLogin> {
        let cgroup = process.cgroup.as_deref().ok_or(NoLogin::NoCgroup)?;
        let (id, file) = if cgroup == Path::new("/") {
            self.by_audit(process)?
        } else {
            self.by_cgroup(cgroup)?
        };
        if file.uid != subject {
            let uid = file.uid;
            return Err(NoLogin::OtherUser { id, uid });
        }
        self.facts(id, file)
    }

    /// For people: logind's id of the session that a process of `subject` belongs to, and where
    /// that came from. What the user's service manager has started belongs to the session that
    /// audit numbers, if that is the user's.
    #[must_use]
    pub fn whereabouts(&self, process: &Process, subject: Uid) -> Option<(String, Option<IpAddr>)> {
        let by_cgroup = process.cgroup.as_deref().map(|it| self.by_cgroup(it));
        let found = match by_cgroup {
            Some(Ok(found)) => found,
            Some(Err(_)) | None => self.by_audit(process).ok()?,
        };
        let (id, file) = found;
        if file.uid != subject || !CLASSES.contains(&&*file.class) {
            return None;
        }
        Some((id, file.address.filter(|_| file.remote)))
    }

    /// The systemd unit of a process, as far as its name is root's: the user's service manager
    /// for what that started.
    #[must_use]
    pub fn unit_of(&self, process: &Process) -> Option<String> {
        unit_of_root(process.cgroup.as_deref()?, &self.user_slice)
    }

    fn by_cgroup(&self, cgroup: &Path) -> Result<(String, SessionFile), NoLogin> {
        let (owner, id) = match place(cgroup, &self.user_slice) {
            Place::Session { owner, id } => (owner, id),
            Place::Manager => return Err(NoLogin::Manager),
            Place::Elsewhere => {
                let shown = printable(cgroup.as_os_str().as_bytes(), PATH_CHARS);
                return Err(NoLogin::Elsewhere(shown));
            }
        };
        let file = self.read(&id)?;
        if file.uid != owner {
            let uid = file.uid;
            return Err(NoLogin::OtherUser { id, uid });
        }
        Ok((id, file))
    }

    /// Where systemd keeps its units in another hierarchy (cgroup version 1), every process is
    /// in the root of this one. Audit's number is inherited, and only CAP_AUDIT_CONTROL changes
    /// it once it is set; logind uses it for its own.
    fn by_audit(&self, process: &Process) -> Result<(String, SessionFile), NoLogin> {
        let audit = process.audit_session.ok_or(NoLogin::NoAudit)?;
        let id = audit.to_string();
        let file = self.read(&id)?;
        if file.audit != Some(audit) || process.loginuid != Some(file.uid) {
            return Err(NoLogin::NoAudit);
        }
        Ok((id, file))
    }

    fn read(&self, id: &str) -> Result<SessionFile, NoLogin> {
        let id = id.to_owned();
        let content = match read_of_root(&self.directory.join(&id)) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NoLogin::NoSession(id));
            }
            Err(source) => return Err(NoLogin::Unreadable { id, source }),
        };
        SessionFile::parse(&content).map_err(|why| NoLogin::Malformed { id, why })
    }

    fn facts(&self, id: String, file: SessionFile) -> Result<SessionFacts, NoLogin> {
        if !CLASSES.contains(&&*file.class) {
            let class = file.class;
            return Err(NoLogin::Class { id, class });
        }
        if file.closing {
            return Err(NoLogin::Ended(id));
        }
        if !file.remote && file.seat.is_none() {
            return Err(NoLogin::Nowhere(id));
        }
        // From this host to this host: where the user was before is another session's.
        let address = file.address.filter(|address| !(self.is_own)(*address));
        Ok(SessionFacts {
            remote: file.remote,
            remote_address: address.filter(|_| file.remote),
            kind: file.kind,
            // Who logs in remotely may ask PAM for a seat where it reads their environment.
            seat: file.seat.filter(|_| !file.remote),
        })
    }
}

/// Where a cgroup lies.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Session { owner: Uid, id: String },
    Manager,
    Elsewhere,
}

fn place(cgroup: &Path, user_slice: &Path) -> Place {
    let Some((owner, slice)) = slice_owner(cgroup, user_slice) else {
        return Place::Elsewhere;
    };
    let unit = cgroup.strip_prefix(slice).ok();
    let unit = unit.and_then(|below| below.components().next());
    let Some(unit) = unit.and_then(|unit| unit.as_os_str().to_str()) else {
        return Place::Elsewhere;
    };
    if unit == format!("user@{owner}.service") {
        return Place::Manager;
    }
    let id = unit.strip_prefix("session-");
    let id = id.and_then(|id| id.strip_suffix(".scope"));
    match id.filter(|id| is_id(id)) {
        Some(id) => Place::Session {
            owner,
            id: id.to_owned(),
        },
        None => Place::Elsewhere,
    }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Reads a file that nobody but root can have written.
fn read_of_root(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let facts = file.metadata()?;
    // The daemon is root; so is logind.
    if !facts.is_file() || facts.uid() != geteuid().as_raw() || facts.mode() & 0o022 != 0 {
        let why = "others than root may write it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut content = Vec::new();
    if file.take(MAX_FILE + 1).read_to_end(&mut content)? as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

/// True for an address of this host; also if its addresses can't be told.
fn is_own_address(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    let Ok(interfaces) = getifaddrs() else {
        return true;
    };
    let addresses = interfaces.filter_map(|interface| interface.address);
    let mut addresses = addresses.filter_map(|found| {
        let v4 = found.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| found.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    addresses.any(|own| own == address)
}

/// The parser, for fuzzing: whatever it takes can be used.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(data: &[u8]) {
    let Ok(file) = SessionFile::parse(data) else {
        return;
    };
    assert!(file.uid.0 != u32::MAX);
    assert!(file.remote || file.address.is_none(), "a local address");
    let logins = Logins::at(Path::new("/nonexistent"), "/user.slice");
    if let Ok(facts) = logins.facts("1".to_owned(), file) {
        assert!(
            facts.remote != facts.seat.is_some(),
            "neither here nor there"
        );
        assert!(facts.remote || facts.remote_address.is_none());
    }
}
