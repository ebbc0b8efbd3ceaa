// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The root file system of a machine, and what it takes to boot one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::unistd::{Gid, Group, chown};

use crate::sandbox;

/// What of the packages goes where.
const PACKAGED: [(&str, &str); 2] = [
    (
        "dbus-1/org.stile.Agent1.conf",
        "usr/share/dbus-1/system.d/org.stile.Agent1.conf",
    ),
    (
        "polkit-1/actions/org.stile.policy",
        "usr/share/polkit-1/actions/org.stile.policy",
    ),
];
/// Services that such a root may have, and that nobody needs here.
const MASKED: [&str; 7] = [
    "postgresql",
    "redis-server",
    "etcd",
    "haproxy",
    "pgbouncer",
    "nats-server",
    "ssh",
];

/// What differs from this machine's own root.
pub(super) fn furnish(root: &Path) {
    for name in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(name), root.join("etc").join(name)).unwrap();
    }
    for service in MASKED {
        let unit = root.join(format!("etc/systemd/system/{service}.service"));
        let _ = fs::remove_file(&unit);
        symlink("/dev/null", unit).unwrap();
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    for (from, to) in PACKAGED {
        fs::copy(packaging.join(from), root.join(to)).unwrap();
    }
    let group = Group::from_name("stile-prompt").unwrap().unwrap();
    for (name, gid, mode) in [
        ("stile", Gid::from_raw(0), 0o755),
        ("stile-prompt", group.gid, 0o2755),
    ] {
        let path = root.join("usr/bin").join(name);
        fs::copy(sandbox::bin(name), &path).unwrap();
        chown(&path, None, Some(gid)).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
}

pub(super) fn mount_fs(kind: &str, at: &Path, data: &str) {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(data))
        .unwrap_or_else(|error| panic!("{kind} on {}: {error}", at.display()));
}

/// True if a login gets a session.
pub(super) fn has_pam_systemd() -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut folders = folders
        .map(|folder| folder.path())
        .chain([PathBuf::from("/usr/lib64")]);
    folders.any(|folder| folder.join("security/pam_systemd.so").is_file())
}

/// The init that nspawn has started. Another child of it comes before, and goes.
pub(super) fn init_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .find(|child: &u32| {
            let name = fs::read_to_string(format!("/proc/{child}/comm"));
            name.is_ok_and(|name| name.trim() == "systemd")
        })
}
