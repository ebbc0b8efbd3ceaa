// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which processes hold which sockets (`/proc/PID/fd`, proc_pid_fd(5)).

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A process for each socket that is wanted and held by one: the one with the lowest id. It looks
/// at every descriptor of the machine; what can't be read is passed over.
#[must_use]
pub fn holders_of(is_wanted: impl Fn(u32) -> bool) -> HashMap<u32, u32> {
    let mut holders = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let descriptors = fs::read_dir(entry.path().join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let target = fs::read_link(descriptor.path());
            if let Some(inode) = target.ok().as_deref().and_then(socket)
                && is_wanted(inode)
            {
                let holder = holders.entry(inode).or_insert(pid);
                *holder = pid.min(*holder);
            }
        }
    }
    holders
}

/// The inode in `socket:[4711]`.
fn socket(target: &Path) -> Option<u32> {
    let text = target.as_os_str().as_bytes();
    let digits = text.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn this_process_holds_its_own_socket() {
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd())).unwrap();
        let inode = socket(&link).unwrap();
        let holders = holders_of(|other| other == inode);
        assert_eq!(holders.get(&inode), Some(&std::process::id()));
    }

    #[test]
    fn other_descriptors_are_no_sockets() {
        for other in [
            "/etc/passwd",
            "pipe:[12]",
            "socket:[]",
            "socket:[x]",
            "socket:[1",
        ] {
            assert_eq!(socket(Path::new(other)), None, "{other}");
        }
    }
}
