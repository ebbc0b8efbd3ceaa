// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a cgroup's path says: the unit, and whose session it is.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use stile_common::{UID_ANY, UID_UNKNOWN};

use super::escape::printable;
use crate::ids::Uid;

/// Longest name of a unit that is shown; systemd's own limit is 255 (`UNIT_NAME_MAX`).
const UNIT_CHARS: usize = 255;

/// Who is asked for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The kernel knew.
    Known(Uid),
    /// The kernel knew only that it is somebody's session; the cgroup tells whose.
    Learned {
        /// The session's owner.
        uid: Uid,
        /// Their slice, as /proc/PID/cgroup writes paths. Tell the kernel its id, and it will
        /// know next time.
        slice: PathBuf,
    },
    /// Nobody can be asked. The attempt must be denied.
    Unknown,
}

impl Subject {
    /// Whom to ask, if anybody.
    #[must_use]
    pub fn uid(&self) -> Option<Uid> {
        match self {
            Self::Known(uid) | Self::Learned { uid, .. } => Some(*uid),
            Self::Unknown => None,
        }
    }

    /// The kernel's answer, completed by the process's cgroup.
    pub(super) fn new(said: u32, cgroup: Option<&Path>, user_slice: &Path) -> Self {
        match said {
            UID_UNKNOWN => cgroup
                .and_then(|cgroup| slice_owner(cgroup, user_slice))
                .map_or(Self::Unknown, |(uid, slice)| Self::Learned { uid, slice }),
            UID_ANY => Self::Unknown,
            uid => Self::Known(Uid(uid)),
        }
    }
}

/// The owner of the `user-UID.slice` right below `user_slice` that holds this cgroup, and the
/// path of that slice. Only root makes cgroups there; deeper down anybody may choose names.
pub(super) fn slice_owner(cgroup: &Path, user_slice: &Path) -> Option<(Uid, PathBuf)> {
    let mut below = cgroup.strip_prefix(user_slice).ok()?.components();
    let Component::Normal(name) = below.next()? else {
        return None;
    };
    // A path that climbs again may lead to anybody's slice.
    if below.any(|part| part == Component::ParentDir) {
        return None;
    }
    let digits = name
        .to_str()?
        .strip_prefix("user-")?
        .strip_suffix(".slice")?;
    let uid: u32 = digits.parse().ok()?;
    // One spelling for each uid: no sign, no leading zero; and none of the special values.
    let canonical = uid.to_string() == digits && uid != UID_ANY && uid != UID_UNKNOWN;
    canonical.then(|| (Uid(uid), user_slice.join(name)))
}

/// The path in the line of cgroup v2 (cgroups(7)): `0::/user.slice/...`.
pub(super) fn cgroup_path(content: &[u8]) -> Option<PathBuf> {
    let mut lines = content.split(|byte| *byte == b'\n');
    let path = lines.find_map(|line| line.strip_prefix(b"0::"))?;
    path.starts_with(b"/")
        .then(|| Path::new(std::ffi::OsStr::from_bytes(path)).to_owned())
}

/// The unit of a cgroup, escaped: the innermost service or scope, for services may divide
/// their cgroup further; or else the last name.
pub(super) fn unit_of(cgroup: &Path) -> Option<String> {
    let names = || cgroup.components().rev().filter_map(normal);
    let unit = names()
        .find(|name| name.ends_with(b".service") || name.ends_with(b".scope"))
        .or_else(|| names().next())?;
    Some(printable(unit, UNIT_CHARS))
}

/// The cgroup of the innermost service or scope that a cgroup is part of.
pub(crate) fn unit_cgroup(cgroup: &Path) -> Option<PathBuf> {
    let mut ancestors = cgroup.ancestors();
    let unit = ancestors.find(|path| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        name.ends_with(b".service") || name.ends_with(b".scope")
    })?;
    Some(unit.to_owned())
}

/// The unit that only root can have named: the outermost service or scope. What lies within a
/// user's service manager, a container or another service with a cgroup of its own is called
/// what they like; `systemd-run --user --unit=backup` is in `user@1000.service`.
pub(super) fn unit_of_root(cgroup: &Path, user_slice: &Path) -> Option<String> {
    let below = cgroup.strip_prefix(user_slice).unwrap_or(cgroup);
    if below.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let mut names = below.components().filter_map(normal);
    let unit = names.find(|name| !name.ends_with(b".slice"))?;
    let is_unit = unit.ends_with(b".service") || unit.ends_with(b".scope");
    is_unit.then(|| printable(unit, UNIT_CHARS))
}

/// The same below systemd's `user.slice` at the top.
pub(crate) fn unit_named_by_root(cgroup: &Path) -> Option<String> {
    unit_of_root(cgroup, Path::new("/user.slice"))
}

fn normal(component: Component<'_>) -> Option<&[u8]> {
    match component {
        Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(cgroup: &str) -> Subject {
        Subject::new(
            UID_UNKNOWN,
            Some(Path::new(cgroup)),
            Path::new("/user.slice"),
        )
    }

    #[test]
    fn the_slice_tells_whose_session_it_is() {
        for cgroup in [
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope",
            "/user.slice/user-1000.slice",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/user-0.slice",
        ] {
            assert_eq!(
                subject(cgroup),
                Subject::Learned {
                    uid: Uid(1000),
                    slice: PathBuf::from("/user.slice/user-1000.slice")
                }
            );
        }
    }

    #[test]
    fn a_slice_anywhere_else_or_of_another_name_is_nobodys() {
        for cgroup in [
            "/system.slice/user-1000.slice",
            "/user-1000.slice",
            "/user.slice",
            "/user.slice/a.slice/user-1000.slice",
            "/user.slice/user-.slice",
            "/user.slice/user-+5.slice",
            "/user.slice/user-01000.slice",
            "/user.slice/user-4294967295.slice",
            "/user.slice/user-4294967294.slice",
            "/user.slice/user-4294967296.slice",
            "/user.slice/user-1000.slice/../user-0.slice",
            "/user.slice/../user-1000.slice",
            "/user.slicer/user-1000.slice",
            "/",
        ] {
            assert_eq!(subject(cgroup), Subject::Unknown, "{cgroup}");
        }
    }

    #[test]
    fn what_the_kernel_knows_is_not_guessed_again() {
        let slice = Path::new("/user.slice");
        let cgroup = Path::new("/user.slice/user-1000.slice");
        assert_eq!(Subject::new(7, Some(cgroup), slice), Subject::Known(Uid(7)));
        assert_eq!(Subject::new(UID_ANY, Some(cgroup), slice), Subject::Unknown);
        assert_eq!(Subject::new(UID_UNKNOWN, None, slice), Subject::Unknown);
    }

    #[test]
    fn the_line_of_version_2_is_found_on_a_hybrid_host() {
        let content = b"12:cpu:/x\n1:name=systemd:/y\n0::/user.slice/a b\n";
        assert_eq!(cgroup_path(content), Some(PathBuf::from("/user.slice/a b")));
        for none in [&b""[..], b"1:name=systemd:/y\n", b"0::\n", b"0::relative"] {
            assert_eq!(cgroup_path(none), None);
        }
    }

    #[test]
    fn the_unit_is_the_innermost_service_or_scope() {
        for (cgroup, unit) in [
            (
                "/user.slice/user-1.slice/session-3.scope",
                Some("session-3.scope"),
            ),
            ("/system.slice/db.service/payload/x", Some("db.service")),
            ("/custom/\u{1b}[2J", Some(r"\x1b[2J")),
            ("/", None),
        ] {
            assert_eq!(unit_of(Path::new(cgroup)).as_deref(), unit);
        }
    }

    #[test]
    fn the_unit_that_counts_is_the_one_that_root_named() {
        for (cgroup, unit) in [
            (
                "/user.slice/user-1.slice/session-3.scope",
                Some("session-3.scope"),
            ),
            (
                "/user.slice/user-1.slice/user@1.service/app.slice/session-3.scope",
                Some("user@1.service"),
            ),
            (
                "/system.slice/db.service/backup.service",
                Some("db.service"),
            ),
            (
                "/machine.slice/libpod-1.scope/x.service",
                Some("libpod-1.scope"),
            ),
            ("/docker/1/system.slice/backup.service", None),
            ("/system.slice/../backup.service", None),
            ("/user.slice", None),
            ("/", None),
        ] {
            let found = unit_of_root(Path::new(cgroup), Path::new("/user.slice"));
            assert_eq!(found.as_deref(), unit, "{cgroup}");
        }
        let found = unit_of_root(
            Path::new("/t/user.slice/a.scope"),
            Path::new("/t/user.slice"),
        );
        assert_eq!(found.as_deref(), Some("a.scope"));
    }
}
