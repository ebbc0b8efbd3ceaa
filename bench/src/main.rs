// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measures stile: each thing with stile, without it, and with what a user would pick instead,
//! in turn. `cargo xtask bench` builds it and runs it in a sandbox.

mod admin;
mod contest;
mod database;
mod hot;
mod lane;
mod machine;
mod numbers;
mod peers;
mod prefixes;
mod prompter;
mod report;
mod rounds;
mod run;
mod say;
mod sections;
mod server;
mod show;
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
  stile-bench show report.json --html bench.html
                                         the same once more, and as a page
  stile-bench check --baseline bench/baseline.json report.json
                                         is anything worse than it was?
";

/// The exit code of a check that can't be made, as of a wrong command line.
const WRONG_USE: u8 = 2;

/// Measures stile beside what a user would pick instead.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
enum Task {
    /// Measure, and print what was found.
    Run(run::Options),
    /// Print the sections.
    List,
    /// Print the report of an earlier run.
    Show(show::Options),
    /// Hold a report against an earlier one: ratios and instructions, never times.
    ///
    /// Exit codes: 0 if nothing is worse than noise is, 1 if a row is worse or missing, 2 if the
    /// two can't be compared.
    Check(report::check::Options),
    /// One of the agent's hot paths and nothing else, for callgrind.
    #[command(hide = true)]
    Hot(hot::Options),
    /// A measuring client; the bench starts these itself.
    #[command(hide = true)]
    Worker(worker::Place),
    /// A server for such clients.
    #[command(hide = true)]
    Serve(server::Place),
    /// A prompter that shows nothing.
    #[command(hide = true)]
    Prompter(prompter::Place),
    /// A program that accepts what is queued.
    #[command(hide = true)]
    AcceptQueue(peers::nfqueue::Place),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Check(options) => {
            return report::check::run(&options).unwrap_or_else(|error| {
                say::failed(format!("{error:#}"));
                ExitCode::from(WRONG_USE)
            });
        }
        Task::Show(options) => show::run(&options),
        Task::Run(options) => run::run(&options),
        Task::List => {
            sections::ALL
                .iter()
                .for_each(|section| println!("{}", section.name));
            Ok(())
        }
        Task::Hot(options) => hot::run(&options),
        Task::Worker(place) => worker::run(&place),
        Task::Serve(place) => server::run(&place),
        Task::Prompter(place) => prompter::run(&place),
        Task::AcceptQueue(place) => peers::nfqueue::accept(&place),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failed(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
