// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Development tasks: `cargo xtask --help`.

mod bench;
mod demo;
mod ebpf;
mod fuzz;
mod host;
mod kernels;
mod sandbox;
mod say;
mod services;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask build-ebpf             build the kernel program, then `cargo build` works
  cargo xtask build-ebpf --yes       the same, and install what is missing without asking
  cargo xtask test                   every test; the end-to-end ones need root
  cargo xtask test --list            which suites and tests there are
  cargo xtask test --suite gate      one suite
  cargo xtask test --suite e2e hold  the end-to-end tests with `hold` in their names
  cargo xtask test --suite power     power cuts and kills, in minutes; --quick for some of them
  cargo xtask fuzz --seconds 60 syn  look for a minute for what breaks the reader of SYNs
  cargo xtask fuzz --replay          the committed corpus only
  cargo xtask bench --quick          measure it beside others, in three minutes; needs root
  cargo xtask kernels                some suites on the oldest and the newest kernel
  cargo xtask kernels --all          on all of them, and write docs/kernels.md
  cargo xtask demo                   a database behind the gate, in tmux, for you to play
  cargo xtask demo --auto            the same by itself, checked and measured
  cargo xtask demo --desktop         a dialog on a desktop, answered by xdotool; with pictures
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
    /// Run the tests; the end-to-end ones in a sandbox.
    Test(test::Options),
    /// Look for inputs that break what reads bytes of others.
    Fuzz(fuzz::Options),
    /// Run the tests of the crates without a kernel under Miri; needs a nightly toolchain.
    Miri,
    /// Measure it beside what else one could use, in a sandbox.
    Bench(bench::Options),
    /// Run end-to-end suites on other kernels, in emulated machines.
    Kernels(kernels::Options),
    /// Show it: a database behind the gate, and a person who answers for it.
    Demo(demo::Options),
    /// Furnish a sandbox and become a command; xtask calls this itself.
    #[command(hide = true)]
    InsideSandbox(sandbox::Inside),
    /// A stage of an emulated machine; xtask calls this itself.
    #[command(subcommand, hide = true)]
    Guest(kernels::Stage),
    /// A part of the demo that runs inside; xtask calls this itself.
    #[command(subcommand, hide = true)]
    DemoPart(demo::Part),
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
        Task::Test(options) => test::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Miri => fuzz::miri(),
        Task::Bench(options) => bench::run(&options),
        Task::Kernels(options) => kernels::run(&options),
        Task::Guest(stage) => kernels::run_stage(stage),
        Task::Demo(options) => demo::run(&options),
        Task::DemoPart(part) => demo::run_part(&part).map(|()| ExitCode::SUCCESS),
        Task::InsideSandbox(inside) => match sandbox::enter(&inside)? {},
    }
}
