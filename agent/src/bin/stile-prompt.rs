// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile-prompt`, the helper in a user's session: [`stile::prompter::helper`].

use std::process::ExitCode;

use stile::sys::wiping::Wiping;

/// What is typed passes through memory that nobody else wipes.
#[global_allocator]
static MEMORY: Wiping = Wiping;

fn main() -> ExitCode {
    stile::prompter::helper::main()
}
