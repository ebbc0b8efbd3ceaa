// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile-prompt`, the helper in a user's session: [`stile::prompter::helper`].

use std::process::ExitCode;

fn main() -> ExitCode {
    stile::prompter::helper::main()
}
