// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile`: see, answer and revoke what is your own, and check what an admin writes.

use std::process::ExitCode;

fn main() -> ExitCode {
    stile::cli::main()
}
