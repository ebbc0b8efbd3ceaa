// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon's own process.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("can't {operation}: {source}")]
pub struct ProcessError {
    operation: &'static str,
    source: io::Error,
}

/// Keeps secrets of this process in it: no core dumps, no debugger of the same user
/// (`PR_SET_DUMPABLE`), and files that only root can read.
///
/// # Errors
/// The first step that the kernel refused.
pub fn harden() -> Result<(), ProcessError> {
    set_dumpable(false).map_err(failed("make the process undumpable"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("forbid core dumps"))?;
    umask(Mode::from_bits_truncate(0o077));
    Ok(())
}

/// Lifts the limit of open descriptors to what this process may have. A process with connections
/// that wait takes three, however many they are, and a host may have thousands of processes; the
/// usual limit is 1024 (systemd.exec(5)).
///
/// # Errors
/// If the kernel refuses.
pub fn raise_descriptors() -> Result<(), ProcessError> {
    let failed = || failed("lift the limit of open descriptors (RLIMIT_NOFILE)");
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(failed())
}

/// Lifts the limit of locked memory. Kernels before 5.11 charge eBPF maps to it; on later
/// ones it does not matter, so a refusal is no reason to stop.
///
/// # Errors
/// If the daemon may not (CAP_SYS_RESOURCE).
pub fn raise_memlock() -> Result<(), ProcessError> {
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
        .map_err(failed("lift the limit of locked memory (RLIMIT_MEMLOCK)"))
}

/// True in the machine's own pid namespace. The kernel reports pids as this namespace counts
/// them; a daemon in another one would look at the wrong processes.
///
/// # Errors
/// If /proc isn't mounted.
pub fn is_in_initial_pid_namespace() -> Result<bool, ProcessError> {
    /// `PROC_PID_INIT_INO` (include/linux/proc_ns.h), the same since Linux 3.8.
    const INITIAL: &str = "pid:[4026531836]";
    let ours = std::fs::read_link("/proc/self/ns/pid").map_err(|source| ProcessError {
        operation: "tell the pid namespace",
        source,
    })?;
    Ok(ours == Path::new(INITIAL))
}

fn failed(operation: &'static str) -> impl FnOnce(Errno) -> ProcessError {
    move |error| ProcessError {
        operation,
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sys::prctl::get_dumpable;

    use super::*;

    const CHILD: &str = "STILE_TEST_HARDENED_CHILD";

    /// The settings hold for a whole process, so they are tried in one of their own: this
    /// very test, run once more.
    #[test]
    fn a_hardened_process_leaves_no_core_and_no_open_files() {
        if std::env::var_os(CHILD).is_none() {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg(concat!(
                    "sys::process::tests::",
                    "a_hardened_process_leaves_no_core_and_no_open_files"
                ))
                .env(CHILD, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success(), "{said}");
            assert!(said.contains("1 passed"), "{said}");
            return;
        }
        harden().unwrap();
        assert!(!get_dumpable().unwrap());
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert_eq!(umask(Mode::empty()), Mode::from_bits_truncate(0o077));
        assert_eq!(raise_memlock().is_ok(), may_raise_limits());
        let unlimited =
            getrlimit(Resource::RLIMIT_MEMLOCK).unwrap() == (RLIM_INFINITY, RLIM_INFINITY);
        assert_eq!(unlimited, may_raise_limits());
    }

    #[test]
    fn a_process_in_a_pid_namespace_of_its_own_is_not_in_the_initial_one() {
        const TEST: &str = concat!(
            "sys::process::tests::",
            "a_process_in_a_pid_namespace_of_its_own_is_not_in_the_initial_one"
        );
        if std::env::var_os(CHILD).is_some() {
            assert!(!is_in_initial_pid_namespace().unwrap());
            return;
        }
        is_in_initial_pid_namespace().unwrap();
        let child = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", TEST])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("1 passed"), "{said}");
    }

    /// Root in a sandbox may lack CAP_SYS_RESOURCE (24).
    fn may_raise_limits() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:\t"));
        u64::from_str_radix(effective.unwrap(), 16).unwrap() & 1 << 24 != 0
    }
}
