// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What some kernels have and others don't, as far as it matters to stile.

use std::fs;
use std::path::Path;

/// Something that a kernel may lack. It is looked for by trying it, never by a version.
pub(in crate::kernels) struct Feature {
    /// What it is called.
    pub(in crate::kernels) name: &'static str,
    /// What is lost where it lacks.
    pub(in crate::kernels) lost: &'static str,
    /// Looks for it.
    pub(super) is_there: fn() -> bool,
}

/// All of them, in the order in which they came.
pub(in crate::kernels) const FEATURES: [Feature; 4] = [
    Feature {
        name: "MPTCP",
        lost: "nothing: no program can connect over it, so there is nothing to hold",
        is_there: has_mptcp,
    },
    Feature {
        name: "BPF LSM",
        lost: "nothing: the gate needs cgroup hooks only",
        is_there: has_bpf_lsm,
    },
    Feature {
        name: "cgroup.kill",
        lost: "nothing: only the tests end processes by it, and then do it one by one",
        is_there: has_cgroup_kill,
    },
    Feature {
        name: "types of modules (BTF)",
        lost: "nothing: the gate reads no types of modules",
        is_there: has_module_types,
    },
];

fn has_mptcp() -> bool {
    Path::new("/proc/sys/net/mptcp").exists()
}

fn has_bpf_lsm() -> bool {
    let active = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    active.split(',').any(|name| name.trim() == "bpf")
}

/// Every cgroup but the root has the file.
fn has_cgroup_kill() -> bool {
    let cgroup = Path::new("/sys/fs/cgroup/stile-feature");
    let made = fs::create_dir(cgroup).is_ok();
    let has = cgroup.join("cgroup.kill").exists();
    let _ = fs::remove_dir(cgroup);
    made && has
}

/// ext4 or a driver of the disk is a module everywhere, or built in.
fn has_module_types() -> bool {
    let files = fs::read_dir("/sys/kernel/btf").into_iter().flatten();
    files.count() > 1
}
