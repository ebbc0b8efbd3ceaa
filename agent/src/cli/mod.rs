// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `stile` command. It has no rights of its own: the agent judges what it asks for.

mod answer_args;
mod approve;
mod args;
mod audit;
mod break_glass;
mod deny;
mod detach;
mod doctor;
mod elevate;
mod enroll;
mod factor;
mod factor_args;
mod factor_import;
mod failure;
mod generate;
mod help;
mod ledger;
mod output;
mod policy;
mod policy_args;
mod proof;
mod qr;
mod reason;
mod reload;
mod revoke;
mod show;
mod table;
mod terminal;
mod text;
mod tokens;
mod top;
mod wait;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use tokens::fuzz as fuzz_tokens;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use args::{Audit, Cli, Command};
use factor_args::{Ledger, Secrets};
use failure::{Exit, Failure};
use policy_args::Policy;

/// Runs the command that this process was started as.
#[must_use]
pub fn main() -> ExitCode {
    // A usage error ends here, with clap's text and 2.
    let command = Cli::parse().command;
    let what = command.name();
    match run(command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report(what);
            failure.exit().into()
        }
    }
}

fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Status(args) => with_agent(show::status(args)),
        Command::Pending(args) => with_agent(show::pending(args)),
        Command::Approve(args) => with_agent(approve::run(args)),
        Command::Deny(args) => with_agent(deny::run(args)),
        Command::Grants(args) => with_agent(show::grants(args)),
        Command::Elevations(args) => with_agent(show::elevations(args)),
        Command::Top => with_agent(top::run()),
        Command::Revoke(args) => with_agent(revoke::run(args)),
        Command::Realms(args) => with_agent(elevate::realms(args)),
        Command::Elevate(args) => with_agent(elevate::run(args)),
        Command::Run(args) => with_agent(elevate::exec(args)),
        Command::BreakGlass(args) => with_agent(break_glass::run(args)),
        Command::Wait(args) => with_agent(wait::run(args)),
        Command::Prompters(args) => with_agent(show::prompters(args)),
        Command::Reload(args) => with_agent(reload::run(args)),
        Command::Enroll(args) => with_agent(enroll::run(args)),
        Command::Factor(args) => with_agent(factor::run(args)),
        Command::Unlock(args) => with_agent(factor::unlock(args)),
        Command::Ledger(Ledger::Check(args)) => with_agent(ledger::check(args)),
        Command::Ledger(Ledger::Export(args)) => with_agent(ledger::export(args)),
        Command::Secrets(Secrets::Rotate(args)) => with_agent(ledger::rotate(args)),
        Command::Policy(Policy::Check(args)) => policy::check(&args),
        Command::Policy(Policy::Explain(args)) => policy::explain(&args),
        Command::Policy(Policy::Schema) => policy::schema(),
        Command::Policy(Policy::Test(args)) => policy::test(&args),
        Command::Policy(Policy::Diff(args)) => policy::diff(&args),
        Command::Policy(Policy::Forecast(args)) => policy::forecast(&args),
        Command::Audit(Audit::Tail(args)) => audit::tail(&args),
        Command::Audit(Audit::Verify(args)) => audit::verify(&args),
        Command::Doctor(args) => with_agent(doctor::run(args)),
        Command::Detach(args) => detach::run(&args),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(dir.as_deref()),
    }
}

/// Runs what talks to the agent, until it is done or a signal ends it.
///
/// A signal drops `work`. A reader of the terminal notices that and puts the terminal back as
/// it was; the runtime waits for it before this returns.
fn with_agent(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Refused, format!("can't start: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            result = work => result,
            interrupted = interruption() => interrupted,
        }
    })
}

/// Waits for a signal that asks this process to end.
async fn interruption() -> Result<Exit, Failure> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Failure::new(Exit::Refused, format!("can't await signals: {error}")))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut quit = listen(SignalKind::quit())?;
    let kind = tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hangup.recv() => SignalKind::hangup(),
        _ = quit.recv() => SignalKind::quit(),
    };
    Ok(Exit::Signal(kind))
}
