// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile`: see, answer and revoke what is your own, and check what an admin writes.

use std::process::ExitCode;

use stile::sys::wiping::Wiping;

/// Secrets that are shown and read pass through memory that nobody else wipes.
#[global_allocator]
static MEMORY: Wiping = Wiping;

fn main() -> ExitCode {
    stile::cli::main()
}
