// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Process 1 on the root disk.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::tcdrain;
use nix::sys::wait::{WaitStatus, wait};

use super::{RESULTS, mount_kind};
use crate::kernels::protocol;
use crate::sandbox;

/// File systems, and where they belong. The gate is attached to the root of the cgroup2
/// hierarchy, and pinned in the bpffs.
const MOUNTS: [(&str, &str); 7] = [
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
    ("securityfs", "/sys/kernel/security"),
];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
/// How many times as patient as on a real machine tests are: emulation is about so much slower.
const PATIENCE: &str = "6";

/// Furnishes the machine, runs the suites, says how they ended, and ends the machine.
pub(super) fn run() -> Result<Infallible> {
    let own = std::env::current_exe().context("could not find xtask itself")?;
    for (kind, at) in MOUNTS {
        // The tests lie where they do on the host: nothing is put over them.
        if own.starts_with(at) {
            let anybody = PermissionsExt::from_mode(0o1777);
            fs::set_permissions(at, anybody).with_context(|| format!("could not open {at}"))?;
            continue;
        }
        // devtmpfs has none of these.
        if at.starts_with("/dev") {
            fs::create_dir_all(at).with_context(|| format!("could not make {at}"))?;
        }
        mount_kind(kind, at)?;
    }
    sandbox::loopback_up()?;
    let results = serial_line()?;
    let child = Command::new("/proc/self/exe")
        .args(["guest", "suites"])
        .env_clear()
        .envs([
            ("PATH", PATH),
            ("HOME", "/root"),
            ("NO_COLOR", "1"),
            ("STILE_TEST_PATIENCE", PATIENCE),
        ])
        .stdin(Stdio::null())
        .stdout(results.try_clone()?)
        .spawn()
        .context("could not start the suites")?;
    let success = ended_well(child.id())?;
    let mut results = results;
    writeln!(results, "{}", protocol::end(success)).context("could not write the result")?;
    end_machine(&results)
}

/// Ends the machine once all that was written to the serial line has gone out.
pub(super) fn end_machine(results: &File) -> Result<Infallible> {
    tcdrain(results).context("the result did not go out")?;
    // The emulator ends where another machine would start anew.
    reboot(RebootMode::RB_AUTOBOOT).context("could not end the machine")
}

pub(super) fn serial_line() -> Result<File> {
    File::options()
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(RESULTS)
        .with_context(|| format!("could not open {RESULTS}"))
}

/// Waits for a child's end, and for everything else that ends: orphans are process 1's.
pub(super) fn ended_well(child: u32) -> Result<bool> {
    loop {
        let ended = wait().context("could not wait for the suites")?;
        if ended.pid().map(|pid| pid.as_raw().unsigned_abs()) == Some(child) {
            return Ok(matches!(ended, WaitStatus::Exited(_, 0)));
        }
    }
}
