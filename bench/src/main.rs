// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measures stile: each thing with stile, without it, and with what a user would pick instead,
//! in turn. `cargo xtask bench` builds it and runs it in a sandbox.

mod contest;
mod lane;
mod machine;
mod prefixes;
mod report;
mod rounds;
mod run;
mod say;
mod sections;
mod server;
mod stats;
mod worker;

use std::process::ExitCode;

use clap::Parser;

const EXAMPLES: &str = "\
`cargo xtask bench` builds everything and runs this in a sandbox; alone it can only list.

Examples:
  stile-bench list                       what can be measured
  stile-bench run --quick                everything, in under 3 minutes
  stile-bench run --out report.json connect granted
                                         two sections in full, and the numbers as JSON
";

/// Measures stile beside what a user would pick instead.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
enum Task {
    /// Measure, and print what was found.
    Run(run::Options),
    /// Print the sections.
    List,
    /// A measuring client; the bench starts these itself.
    #[command(hide = true)]
    Worker(worker::Place),
    /// A server for such clients.
    #[command(hide = true)]
    Serve(server::Place),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Run(options) => run::run(&options),
        Task::List => {
            sections::ALL
                .iter()
                .for_each(|section| println!("{}", section.name));
            Ok(())
        }
        Task::Worker(place) => worker::run(&place),
        Task::Serve(place) => server::run(&place),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failed(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
