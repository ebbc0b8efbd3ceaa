// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promise S5 over `kill -9` and power cuts: a step that the ledger has acknowledged is refused
//! from then on, and a wrong answer that it has counted stays counted, whatever ends the process or
//! the machine, and wherever its clock stands then.
//!
//! Each life of `stile-test-ledger` tries all steps again that were acknowledged in lives before,
//! and goes on with fresh ones until it is killed. Stores that say yes too early go through the
//! same: if none of their steps is accepted twice, this could not see it of the ledger either.

mod cycle;
mod said;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::cycle::{End, History, Life, random};
use self::world::{Machines, Processes, World};
use super::Options;
use super::libtest::Counts;
use super::suites::{Suite, TESTS};
use super::tally::Tally;
use crate::host::Consent;
use crate::kernels::PowerMachine;
use crate::say;
use crate::workspace::{self, Workspace};

const PROGRAM: &str = "stile-test-ledger";
const KILLS: &str = "no_code_is_accepted_twice_over_kills";
const KILLS_CONTROL: &str = "kills_are_seen_to_lose_what_was_not_written";
const CUTS: &str = "no_code_is_accepted_twice_over_power_cuts_and_wrong_clocks";
const CUTS_CONTROL: &str = "power_cuts_are_seen_to_lose_what_was_not_synced";
const FLUSH_CONTROL: &str = "power_cuts_are_seen_to_lose_what_was_not_flushed";
/// The tests, in their order.
pub(super) const NAMES: [&str; 5] = [KILLS_CONTROL, KILLS, CUTS_CONTROL, FLUSH_CONTROL, CUTS];

/// How many kills and power cuts, and how many in a quick run.
const MANY: Numbers = Numbers {
    kills: 100,
    cuts: 20,
};
const FEW: Numbers = Numbers { kills: 20, cuts: 2 };
/// A store that loses steps does so at the first cut. It is given some more.
const CONTROL: usize = 5;
#[derive(Clone, Copy, Debug)]
struct Numbers {
    kills: usize,
    cuts: usize,
}

/// Runs those of its tests whose name contains the filter.
///
/// # Errors
/// If the program can't be built, or a run can't be set up for another reason than that this
/// machine lacks what it takes.
pub(super) fn run(workspace: &Workspace, options: &Options, tally: &mut Tally) -> Result<()> {
    let filter = options.filter.as_deref();
    let is_wanted = |name: &str| filter.is_none_or(|part| name.contains(part));
    let program = build(workspace)?;
    let numbers = if options.quick { FEW } else { MANY };
    let mut processes = Processes::new(workspace, &program)?;
    if is_wanted(KILLS_CONTROL) {
        close(tally, KILLS_CONTROL, must_lose(&mut processes, "buffered"));
    }
    if is_wanted(KILLS) {
        close(tally, KILLS, must_keep(&mut processes, numbers.kills));
    }
    let cuts: Vec<&str> = [CUTS_CONTROL, FLUSH_CONTROL, CUTS]
        .into_iter()
        .filter(|it| is_wanted(it))
        .collect();
    if cuts.is_empty() {
        return Ok(());
    }
    say::step("looking for what power cuts take");
    let mut machine = match PowerMachine::prepare(workspace, &program, Consent::new(options.yes)) {
        Ok(machine) => {
            say::done(format!("a machine with Linux {}", machine.release()));
            Machines::new(machine)
        }
        Err(error) => {
            for name in cuts {
                tally.blocked(&Suite::Power, &format!("{name}: {error:#}"));
            }
            return Ok(());
        }
    };
    for name in cuts {
        let result = match name {
            CUTS_CONTROL => must_lose(&mut machine, "unsynced"),
            FLUSH_CONTROL => must_lose(&mut machine, "unflushed"),
            _ => must_keep(&mut machine, numbers.cuts),
        };
        close(tally, name, result);
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    say::step("building the program that uses up steps");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--package", TESTS, "--bin", PROGRAM]);
    let mut program = None;
    workspace::artifacts(&mut cargo, |message| {
        if let cargo_metadata::Message::CompilerArtifact(artifact) = message
            && artifact.target.name == PROGRAM
        {
            program = artifact.executable.map(|path| path.into_std_path_buf());
        }
    })?;
    program.with_context(|| format!("cargo built no {PROGRAM}"))
}

/// Counts a test, and says how it went as the harness of the other suites does.
fn close(tally: &mut Tally, name: &str, result: Result<()>) {
    match result {
        Ok(()) => {
            println!("test {name} ... ok");
            tally.add(Counts {
                passed: 1,
                failed: 0,
            });
        }
        Err(error) => {
            println!("test {name} ... FAILED: {error:#}");
            tally.add(Counts {
                passed: 0,
                failed: 1,
            });
            tally.failed(&Suite::Power, name);
        }
    }
}

/// The ledger keeps all, over so many ends.
fn must_keep<W: World>(world: &mut W, ends: usize) -> Result<()> {
    world.renew()?;
    let mut history = History::default();
    let mut lives = Vec::new();
    let began = Instant::now();
    for number in 1..=ends {
        let (count, delay) = drawn::<W>();
        // The first one hits while the store is made.
        let end = if number == 1 {
            End::Opening
        } else {
            End::After(count)
        };
        let life = one_life(world, "ledger", &mut history, end, delay)?;
        show::<W>(number, ends, &life);
        kept(&life).with_context(|| format!("after {} {}", W::END, number - 1))?;
        lives.push(life);
    }
    // Nothing is lost in the last one either, and a fresh step of each user is accepted.
    let life = one_life(world, "ledger", &mut history, End::After(3), Duration::ZERO)?;
    kept(&life).with_context(|| format!("after the last {}", W::END))?;
    lives.push(life);
    world.clocks(&lives)?;
    let (steps, wrong) = history.counts();
    let tried: usize = lives.iter().filter_map(|life| life.checked).sum();
    say::done(format!(
        "{ends} times {}: {steps} steps acknowledged and {wrong} wrong answers counted; looked back \
         {tried} times: no step was accepted again, no wrong answer forgotten; {} s",
        W::END,
        began.elapsed().as_secs()
    ));
    Ok(())
}

/// In this life everything was there that was acknowledged before.
fn kept(life: &Life) -> Result<()> {
    if let Some(step) = life.again.first() {
        bail!("{step} was accepted again");
    }
    if let Some(wrong) = life.lost.first() {
        bail!("{wrong} were forgotten");
    }
    Ok(())
}

/// A store that acknowledges too early loses something: of both.
fn must_lose<W: World>(world: &mut W, store: &str) -> Result<()> {
    world.renew()?;
    let mut history = History::default();
    let mut forgot = false;
    for number in 1..=CONTROL {
        let (count, delay) = drawn::<W>();
        let life = one_life(world, store, &mut history, End::After(count), delay)?;
        show::<W>(number, CONTROL, &life);
        forgot |= !life.lost.is_empty();
        if !life.again.is_empty() && forgot {
            say::done(format!(
                "{store}: {} of {} acknowledged steps were accepted twice, and wrong answers forgotten",
                life.again.len(),
                life.checked.unwrap_or_default()
            ));
            return Ok(());
        }
    }
    bail!("too little was lost of a store that is {store}: so none would be seen of the ledger")
}

fn drawn<W: World>() -> (usize, Duration) {
    let (count, delay) = W::LONGEST;
    let count = usize::try_from(random(count)).unwrap_or_default() + 1;
    let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    (count, Duration::from_micros(random(micros)))
}

fn one_life<W: World>(
    world: &mut W,
    store: &str,
    history: &mut History,
    end: End,
    kill: Duration,
) -> Result<Life> {
    let child = world.begin(store, history)?;
    let life = history.live(child, end, kill);
    let life = life.with_context(|| world.hint())?;
    world.over()?;
    Ok(life)
}

fn show<W: World>(number: usize, of: usize, life: &Life) {
    say::done(format!(
        "{} {number} of {of}: {} looked back at, {} lost; then {} acknowledged, ended after {} µs more",
        W::END,
        life.checked.unwrap_or_default(),
        life.again.len() + life.lost.len(),
        life.fresh,
        life.kill.as_micros()
    ));
}
