// SPDX-License-Identifier: Apache-2.0 OR MIT
//! This machine, asked. What can be tried is tried; a version is read only where a trial would
//! change something.

mod network;
mod pins;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported};

use super::{Feature, Found, Machine};
use crate::clock;
use crate::kernel::{Probe, SystemProbe, try_gate};
use crate::service::StatusView;
use crate::sys::cgroup::Cgroup2;
use crate::sys::{features, process};

/// 2024-01-01 in UTC: no host of this version has lived before.
const EARLIEST: u64 = 1_704_067_200;

/// The helpers that the gate can't do without, by hook.
const CONNECT_HELPERS: [BpfHelper; 4] = [
    BpfHelper::BPF_FUNC_sk_storage_get,
    BpfHelper::BPF_FUNC_get_netns_cookie,
    BpfHelper::BPF_FUNC_get_current_ancestor_cgroup_id,
    BpfHelper::BPF_FUNC_ktime_get_boot_ns,
];
const PACKET_HELPERS: [BpfHelper; 4] = [
    BpfHelper::BPF_FUNC_sk_fullsock,
    BpfHelper::BPF_FUNC_sk_storage_get,
    BpfHelper::BPF_FUNC_skb_ancestor_cgroup_id,
    BpfHelper::BPF_FUNC_ktime_get_boot_ns,
];

/// The machine that this process runs on.
pub struct System {
    pins: PathBuf,
    /// What the daemon says, or why it can't be asked.
    agent: Result<StatusView, String>,
}

impl System {
    /// `pins` is where the gate is pinned; `agent` what the daemon says of itself.
    #[must_use]
    pub fn new(pins: &Path, agent: Result<StatusView, String>) -> Self {
        // Old kernels charge maps to it, and a probe would take that for a lack.
        let _ = process::raise_memlock();
        let pins = pins.to_owned();
        Self { pins, agent }
    }
}

impl Machine for System {
    fn kernel(&self) -> String {
        nix::sys::utsname::uname().map_or_else(
            |error| format!("unknown: {error}"),
            |name| name.release().to_string_lossy().into_owned(),
        )
    }

    fn look(&self, feature: Feature) -> Found {
        match feature {
            Feature::Kernel => kernel(),
            Feature::Capabilities => capabilities(),
            Feature::PidNamespace => plain(SystemProbe.pid_namespace(), "the machine's own"),
            Feature::Cgroup2 => match Cgroup2::find() {
                Ok(found) => Found::Has(format!("at {}", found.root().display())),
                Err(error) => Found::Lacks(error.to_string()),
            },
            Feature::Bpffs => bpffs(&self.pins),
            Feature::Btf => plain(SystemProbe.btf(), "/sys/kernel/btf/vmlinux"),
            Feature::RingBuffer => map(MapType::RingBuf),
            Feature::LpmTrie => map(MapType::LpmTrie),
            Feature::SocketStorage => map(MapType::SkStorage),
            Feature::ProgramArray => map(MapType::ProgramArray),
            Feature::ConnectHook => hook(ProgramType::CgroupSockAddr, &CONNECT_HELPERS),
            Feature::PacketHook => hook(ProgramType::CgroupSkb, &PACKET_HELPERS),
            Feature::Links => match features::has_bpf_links() {
                Ok(true) => Found::Has("programs can be pinned to their hooks".to_owned()),
                Ok(false) => Found::Lacks("bpf(2) has no BPF_LINK_CREATE".to_owned()),
                Err(error) => unless_refused(&error),
            },
            Feature::Programs => programs(),
            Feature::BpfJit => bpf_jit(),
            // The mode that holds stands in brackets. The gate reads no kernel memory, so
            // that even "confidentiality" lets it be.
            Feature::Lockdown => security("lockdown").map_or_else(|found| found, Found::Has),
            Feature::Lsms => security("lsm").map_or_else(|found| found, Found::Has),
            Feature::UserNamespaces => user_namespaces(),
            Feature::BootClock => boot_clock(),
            Feature::WallClock => {
                let wall = clock::now().wall;
                let text = wall.to_string();
                if wall.seconds() < EARLIEST {
                    Found::Lacks(text)
                } else {
                    Found::Has(text)
                }
            }
            Feature::Pins => pins::version(&self.pins),
            Feature::Attached => pins::attached(&self.pins),
            Feature::Daemon => match &self.agent {
                Ok(status) => Found::Has(format!(
                    "stiled {} is {}, attached to {}",
                    status.version, status.state, status.cgroup
                )),
                Err(why) => Found::Lacks(why.clone()),
            },
            Feature::RawSockets
            | Feature::DestroyTcp
            | Feature::DestroyUdp
            | Feature::Mptcp
            | Feature::FastOpen
            | Feature::IoUring
            | Feature::UdpLite
            | Feature::Sctp
            | Feature::Dccp => network::look(feature),
        }
    }
}

fn plain(result: Result<(), String>, has: &str) -> Found {
    result.map_or_else(Found::Lacks, |()| Found::Has(has.to_owned()))
}

/// An error of a probe: one of rights says nothing about the machine, if this isn't root.
fn unless_refused(error: &io::Error) -> Found {
    let refused = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    if refused && !is_root() {
        Found::NeedsRoot
    } else {
        Found::Lacks(error.to_string())
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn kernel() -> Found {
    match SystemProbe.kernel() {
        Ok((major, minor)) if (major, minor) >= crate::kernel::OLDEST => {
            Found::Has(format!("Linux {major}.{minor}"))
        }
        Ok((major, minor)) => Found::Lacks(format!("this is Linux {major}.{minor}")),
        Err(what) => Found::Lacks(what),
    }
}

fn capabilities() -> Found {
    if !is_root() {
        return Found::NeedsRoot;
    }
    let missing: Vec<_> = crate::kernel::missing_capabilities(&SystemProbe);
    if missing.is_empty() {
        Found::Has("CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF".to_owned())
    } else {
        Found::Lacks(missing.join("; "))
    }
}

fn bpffs(pins: &Path) -> Found {
    // Whoever may not enter the mount point may look at it.
    let at = pins
        .ancestors()
        .find(|path| fs::metadata(path).is_ok())
        .unwrap_or(pins);
    plain(SystemProbe.bpffs(at), &format!("at {}", at.display()))
}

fn map(kind: MapType) -> Found {
    match is_map_supported(kind) {
        Ok(true) => Found::Has("one was made".to_owned()),
        Ok(false) => Found::Lacks("this kernel doesn't know it".to_owned()),
        Err(error) => unless_refused(&error.io_error),
    }
}

fn hook(kind: ProgramType, helpers: &[BpfHelper]) -> Found {
    for helper in helpers {
        match is_helper_supported(kind, *helper) {
            Ok(true) => {}
            Ok(false) => {
                let name = format!("{helper:?}").replace("BPF_FUNC", "bpf");
                return Found::Lacks(format!("its programs can't call {name}"));
            }
            Err(aya::programs::ProgramError::SyscallError(error)) => {
                return unless_refused(&error.io_error);
            }
            Err(error) => return Found::Lacks(error.to_string()),
        }
    }
    Found::Has(format!(
        "with the {} helpers that the gate calls there",
        helpers.len()
    ))
}

fn programs() -> Found {
    if !is_root() {
        return Found::NeedsRoot;
    }
    match try_gate() {
        Ok(_) => Found::Has("the verifier takes them".to_owned()),
        Err(error) => Found::Lacks(error.to_string()),
    }
}

fn bpf_jit() -> Found {
    match fs::read_to_string("/proc/sys/net/core/bpf_jit_enable") {
        Ok(value) if value.trim() == "0" => Found::Lacks("it is switched off".to_owned()),
        Ok(_) => Found::Has("on".to_owned()),
        // Only the machine's own network namespace has the switch; a program shows it too.
        Err(_) if !is_root() => Found::NeedsRoot,
        Err(_) => match try_gate() {
            Ok(0) => Found::Lacks("this kernel interprets programs".to_owned()),
            Ok(bytes) => Found::Has(format!("on: {bytes} bytes of machine code for a connect")),
            Err(error) => Found::Unseen(error.to_string()),
        },
    }
}

/// A file of securityfs.
fn security(file: &str) -> Result<String, Found> {
    let path = Path::new("/sys/kernel/security").join(file);
    fs::read_to_string(&path).map_or_else(
        |error| match error.kind() {
            ErrorKind::NotFound => Err(Found::Unseen(format!("there is no {}", path.display()))),
            _ => Err(unless_refused(&error)),
        },
        |text| Ok(text.trim().to_owned()),
    )
}

fn user_namespaces() -> Found {
    let number = |path: &str| -> Option<u64> { fs::read_to_string(path).ok()?.trim().parse().ok() };
    let most = number("/proc/sys/user/max_user_namespaces").unwrap_or(0);
    // Debian's and Ubuntu's own switches.
    let closed = number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0)
        || number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1);
    Found::Has(if most == 0 || closed {
        "closed to users".to_owned()
    } else {
        "open to users; the gate stands in front of them all the same".to_owned()
    })
}

/// It counts suspended time, so it is never behind the clock that doesn't, and goes on.
fn boot_clock() -> Found {
    let (first, running, second) = (clock::now().boot, clock::running(), clock::now().boot);
    if second < running || second < first || second.0 == u64::MAX {
        return Found::Lacks(format!(
            "CLOCK_BOOTTIME says {} ns, CLOCK_MONOTONIC {} ns",
            second.0, running.0
        ));
    }
    Found::Has(format!(
        "up for {} s, suspended time included",
        second.0 / 1_000_000_000
    ))
}
