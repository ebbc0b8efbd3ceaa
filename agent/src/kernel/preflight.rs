// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks, before anything is attached, whether this kernel can hold connections, and says
//! what is missing and what is lost by it.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::sys::sock_diag::{Transport, probe_destroy};

use super::needs::{Feature, lost_without};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Without it the gate can't stand.
    Missing,
    /// Without it the gate stands, but something is slower or rougher.
    Degraded,
}

/// Something that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What is missing, and why we think so.
    pub what: String,
    /// What is lost by it.
    pub lost: &'static str,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, lost, remedy, ..
        } = self;
        write!(f, "{what}: {lost}; {remedy}")
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// Everything that is missing, worst first.
    pub findings: Vec<Finding>,
}

impl Preflight {
    /// True if the gate can stand.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Missing)
    }
}

/// The questions to the machine. Each answers why not.
pub trait Probe {
    /// `major.minor` of the running kernel.
    fn kernel(&self) -> Result<(u32, u32), String>;
    /// Whether process ids mean to this process what they mean to the kernel.
    fn pid_namespace(&self) -> Result<(), String>;
    /// Whether the process has a capability, by its number (capabilities(7)).
    fn capability(&self, number: u32) -> Result<bool, String>;
    /// Whether a cgroup v2 hierarchy is mounted.
    fn cgroup2(&self) -> Result<(), String>;
    /// Whether a bpffs is mounted at or above a path.
    fn bpffs(&self, at: &Path) -> Result<(), String>;
    /// Whether the kernel describes its types.
    fn btf(&self) -> Result<(), String>;
    /// Whether sockets can be ended from outside.
    fn sock_destroy(&self) -> Result<(), String>;
    /// Whether raw packets can be sent.
    fn raw_sockets(&self) -> Result<(), String>;
}

/// Capabilities that the gate needs (capabilities(7)).
const CAPABILITIES: [(u32, &str); 3] =
    [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (39, "CAP_BPF")];
/// Stands for CAP_BPF where the kernel is older than it (before 5.8).
const CAP_SYS_ADMIN: u32 = 21;

/// Oldest kernel that the gate was run on: ring buffers and `bpf_get_netns_cookie` came with
/// 5.8, and 5.10 is the oldest that is still cared for.
pub(crate) const OLDEST: (u32, u32) = (5, 10);

/// Asks everything.
#[must_use]
pub fn preflight(probe: &impl Probe, pins: &Path) -> Preflight {
    let mut findings = Vec::new();
    check_capabilities(probe, &mut findings);
    check_kernel(probe, &mut findings);
    let mut look = |severity, feature, result: Result<(), String>| {
        if let Err(what) = result {
            findings.push(lack(severity, feature, what));
        }
    };
    use Severity::{Degraded, Missing};
    look(Missing, Feature::Cgroup2, probe.cgroup2());
    look(Missing, Feature::Bpffs, probe.bpffs(pins));
    look(Missing, Feature::PidNamespace, probe.pid_namespace());
    look(Missing, Feature::Btf, probe.btf());
    look(Degraded, Feature::DestroyTcp, probe.sock_destroy());
    look(Degraded, Feature::RawSockets, probe.raw_sockets());
    Preflight { findings }
}

fn lack(severity: Severity, feature: Feature, what: String) -> Finding {
    let (lost, remedy) = lost_without(feature);
    Finding {
        severity,
        what,
        lost,
        remedy: remedy.to_owned(),
    }
}

fn check_capabilities(probe: &impl Probe, findings: &mut Vec<Finding>) {
    for what in missing_capabilities(probe) {
        findings.push(lack(Severity::Missing, Feature::Capabilities, what));
    }
}

/// What this process lacks of [`CAPABILITIES`], or why that can't be told.
pub(crate) fn missing_capabilities(probe: &impl Probe) -> Vec<String> {
    let lacks = |(number, name): &(u32, &str)| {
        let has = probe.capability(*number).and_then(|has| {
            let stands_in = *number == 39 && probe.capability(CAP_SYS_ADMIN)?;
            Ok(has || stands_in)
        });
        match has {
            Ok(true) => None,
            Ok(false) => Some(format!("this process lacks {name}")),
            Err(what) => Some(what),
        }
    };
    CAPABILITIES.iter().filter_map(lacks).collect()
}

fn check_kernel(probe: &impl Probe, findings: &mut Vec<Finding>) {
    let what = match probe.kernel() {
        Ok(version) if version >= OLDEST => return,
        Ok((major, minor)) => format!("this is Linux {major}.{minor}"),
        Err(what) => what,
    };
    findings.push(lack(Severity::Missing, Feature::Kernel, what));
}

/// The machine itself.
pub struct SystemProbe;

impl Probe for SystemProbe {
    fn kernel(&self) -> Result<(u32, u32), String> {
        let release = nix::sys::utsname::uname().map_err(|error| format!("uname: {error}"))?;
        let release = release.release().to_string_lossy().into_owned();
        let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => Err(format!("the kernel calls itself {release:?}")),
        }
    }

    fn pid_namespace(&self) -> Result<(), String> {
        match crate::sys::process::is_in_initial_pid_namespace() {
            Ok(true) => Ok(()),
            Ok(false) => Err("this process is in a pid namespace of its own".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn capability(&self, number: u32) -> Result<bool, String> {
        let status = std::fs::read_to_string("/proc/self/status")
            .map_err(|error| format!("/proc/self/status: {error}"))?;
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .ok_or_else(|| "/proc/self/status names no capabilities".to_owned())?;
        Ok(effective >> number & 1 == 1)
    }

    fn cgroup2(&self) -> Result<(), String> {
        crate::sys::cgroup::Cgroup2::find()
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn bpffs(&self, at: &Path) -> Result<(), String> {
        let parent = at.ancestors().find(|path| path.exists()).unwrap_or(at);
        crate::sys::cgroup::bpffs_mounted_at(parent).map_err(|error| error.to_string())
    }

    fn btf(&self) -> Result<(), String> {
        match std::fs::metadata("/sys/kernel/btf/vmlinux") {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("/sys/kernel/btf/vmlinux: {error}")),
        }
    }

    fn sock_destroy(&self) -> Result<(), String> {
        probe_destroy(Transport::Tcp).map_err(|error| format!("SOCK_DESTROY: {error}"))
    }

    fn raw_sockets(&self) -> Result<(), String> {
        crate::sys::replay::Replayer::new()
            .map(drop)
            .map_err(|error| format!("a raw socket: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of which one thing can be taken away.
    struct Machine {
        without: &'static str,
    }

    impl Machine {
        fn has(&self, what: &'static str) -> Result<(), String> {
            if self.without == what {
                Err(format!("no {what}"))
            } else {
                Ok(())
            }
        }
    }

    impl Probe for Machine {
        fn kernel(&self) -> Result<(u32, u32), String> {
            Ok(if self.without == "kernel" {
                (5, 4)
            } else {
                (6, 1)
            })
        }
        fn pid_namespace(&self) -> Result<(), String> {
            self.has("pid_namespace")
        }
        fn capability(&self, number: u32) -> Result<bool, String> {
            let lost = match self.without {
                "CAP_NET_RAW" => number == 13,
                "root" => true,
                _ => number == CAP_SYS_ADMIN,
            };
            Ok(!lost)
        }
        fn cgroup2(&self) -> Result<(), String> {
            self.has("cgroup2")
        }
        fn bpffs(&self, _: &Path) -> Result<(), String> {
            self.has("bpffs")
        }
        fn btf(&self) -> Result<(), String> {
            self.has("btf")
        }
        fn sock_destroy(&self) -> Result<(), String> {
            self.has("sock_destroy")
        }
        fn raw_sockets(&self) -> Result<(), String> {
            self.has("raw_sockets")
        }
    }

    fn without(what: &'static str) -> Preflight {
        preflight(&Machine { without: what }, Path::new("/sys/fs/bpf/stile"))
    }

    #[test]
    fn a_machine_that_has_everything_passes() {
        assert_eq!(without("nothing"), Preflight::default());
    }

    #[test]
    fn what_the_gate_cannot_do_without_is_named_with_its_remedy() {
        for what in [
            "kernel",
            "CAP_NET_RAW",
            "root",
            "cgroup2",
            "bpffs",
            "pid_namespace",
            "btf",
        ] {
            let found = without(what);
            assert!(!found.passes(), "{what}");
            assert!(
                found
                    .findings
                    .iter()
                    .all(|finding| !finding.remedy.is_empty()),
                "{what}"
            );
        }
    }

    #[test]
    fn what_only_makes_it_rougher_does_not_stop_it() {
        for what in ["sock_destroy", "raw_sockets"] {
            let found = without(what);
            assert!(found.passes(), "{what}");
            assert_eq!(found.findings.len(), 1, "{what}");
            assert_eq!(found.findings[0].severity, Severity::Degraded);
        }
    }
}
