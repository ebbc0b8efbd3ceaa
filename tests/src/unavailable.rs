// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests that can't run where they are.

use std::io::Write as _;

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
