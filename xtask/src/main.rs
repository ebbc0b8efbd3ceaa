// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Development tasks: `cargo xtask --help`.

mod ebpf;
mod host;
mod say;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask build-ebpf             build the kernel program, then `cargo build` works
  cargo xtask build-ebpf --yes       the same, and install what is missing without asking
";

/// Development tasks of stile.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", after_help = EXAMPLES)]
enum Task {
    /// Build the kernel program and put it where the agent's build looks for it.
    BuildEbpf {
        /// Install missing packages without asking.
        #[arg(long)]
        yes: bool,
    },
}

fn main() -> ExitCode {
    match run(Task::parse()) {
        Ok(code) => code,
        Err(error) => {
            say::failed(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::BuildEbpf { yes } => {
            ebpf::build(&Workspace::load()?, host::Consent::new(yes))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
