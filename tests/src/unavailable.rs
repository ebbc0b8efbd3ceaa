// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What tests say past the harness, which keeps the output of a test that passes to itself.

use std::fs;
use std::io::Write as _;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::sandbox::postgres_bin;

/// On the kernel's command line of a machine that ends with its tests.
const THROWAWAY: &str = "stile.throwaway=1";

/// Says that the test that calls it can't run here, and why: a kernel without MPTCP, say. The
/// test then returns. The runner takes it off the count of those that passed, and names it.
///
/// # Panics
/// Outside of a test's own thread, which has the test's name.
pub fn cannot_run(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap();
    // Not by a macro of the standard library, which the harness would keep back.
    let mut output = std::io::stdout().lock();
    writeln!(output, "\ntest {name} ... cannot run here: {why}").unwrap();
}

/// True on a machine that is made for tests and ends with them: its root cgroup is theirs.
#[must_use]
pub fn is_throwaway_machine() -> bool {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    line.split_whitespace().any(|word| word == THROWAWAY)
}

/// True if the kernel has MPTCP.
#[must_use]
pub fn has_mptcp() -> bool {
    let mptcp = Some(ipproto::MPTCP);
    let (family, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
    socket_with(family, SocketType::STREAM, flags, mptcp).is_ok()
}

/// True if PostgreSQL is installed.
#[must_use]
pub fn has_postgres() -> bool {
    postgres_bin("initdb").is_file()
}

/// Tells a number that a test has measured, which is no reason to fail: it depends on the machine.
///
/// # Panics
/// Outside of a test's own thread, which has the test's name.
pub fn measured(what: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap();
    let mut output = std::io::stdout().lock();
    writeln!(output, "\n{name}: {what}").unwrap();
}
