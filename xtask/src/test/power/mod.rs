// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promise S5 over `kill -9` and power cuts: a step that the ledger has acknowledged is refused
//! from then on, whatever ends the process or the machine, and wherever its clock stands then.
//!
//! Each life of `stile-test-ledger` tries all steps again that were acknowledged in lives before,
//! and goes on with fresh ones until it is killed. Stores that say yes too early go through the
//! same: if none of their steps is accepted twice, this could not see it of the ledger either.

mod cycle;
mod said;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::cycle::{End, History, Life, random};
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
/// What the machine's clock shows: on, and back by a day, a month and several years.
const CLOCKS: [&str; 5] = [
    "2031-06-02T12:00:00",
    "2031-06-01T12:00:00",
    "2031-07-01T00:00:00",
    "2031-06-01T00:00:10",
    "2027-01-01T00:00:00",
];

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
        Ok(machine) => Machines { machine, boots: 0 },
        Err(error) => {
            for name in cuts {
                tally.blocked(&Suite::Power, &format!("{name}: {error:#}"));
            }
            return Ok(());
        }
    };
    say::done(format!(
        "a machine with Linux {}",
        machine.machine.release()
    ));
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

/// What lives begin in, and what outlives them.
trait World {
    /// How the end of a life is called.
    const END: &'static str;
    /// The number of acknowledgements before an end, and the time from there to it, are drawn
    /// below these.
    const LONGEST: (u64, Duration);

    /// Begins anew, with nothing that outlived anything.
    fn renew(&mut self) -> Result<()>;
    /// Begins a life with this store.
    fn begin(&mut self, store: &str, history: &History) -> Result<Child>;
    /// A life is over.
    fn over(&mut self) -> Result<()>;
    /// What helps to understand a failure.
    fn hint(&self) -> String;
    /// Makes sure that the clock went back between two lives, where it can be set.
    fn clocks(&self, lives: &[Life]) -> Result<()>;
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
        if let Some(step) = life.again.first() {
            bail!("{step} was accepted again after {} {}", W::END, number - 1);
        }
        lives.push(life);
    }
    // Nothing is lost in the last one either, and a fresh step of each user is accepted.
    let life = one_life(world, "ledger", &mut history, End::After(3), Duration::ZERO)?;
    if let Some(step) = life.again.first() {
        bail!("{step} was accepted again after the last {}", W::END);
    }
    lives.push(life);
    world.clocks(&lives)?;
    let tried: usize = lives.iter().filter_map(|life| life.checked).sum();
    say::done(format!(
        "{ends} times {}: {} steps acknowledged, {tried} tries to use one again, none accepted; {} s",
        W::END,
        history.len(),
        began.elapsed().as_secs()
    ));
    Ok(())
}

/// A store that acknowledges too early loses something.
fn must_lose<W: World>(world: &mut W, store: &str) -> Result<()> {
    world.renew()?;
    let mut history = History::default();
    for number in 1..=CONTROL {
        let (count, delay) = drawn::<W>();
        let life = one_life(world, store, &mut history, End::After(count), delay)?;
        show::<W>(number, CONTROL, &life);
        if !life.again.is_empty() {
            say::done(format!(
                "{store}: {} of {} acknowledged steps were accepted twice",
                life.again.len(),
                life.checked.unwrap_or_default()
            ));
            return Ok(());
        }
    }
    bail!("no step was lost of a store that is {store}: so none would be seen of the ledger")
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
        "{} {number} of {of}: {} tried again, {} accepted; then {} acknowledged, ended after {} µs more",
        W::END,
        life.checked.unwrap_or_default(),
        life.again.len(),
        life.fresh,
        life.kill.as_micros()
    ));
}

/// Processes that are killed, on this machine's disk.
struct Processes {
    program: PathBuf,
    folder: PathBuf,
}

impl Processes {
    fn new(workspace: &Workspace, program: &Path) -> Result<Self> {
        let processes = Self {
            program: program.to_owned(),
            folder: workspace.target().join("power"),
        };
        processes.remove()?;
        Ok(processes)
    }

    fn remove(&self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).context("could not remove an older store")?;
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // What stays is removed by the next run.
        let _ = self.remove();
    }
}

impl World for Processes {
    const END: &'static str = "kill";
    const LONGEST: (u64, Duration) = (8, Duration::from_millis(3));

    fn renew(&mut self) -> Result<()> {
        self.remove()?;
        fs::create_dir_all(&self.folder).context("could not make a folder for the store")
    }

    fn begin(&mut self, store: &str, history: &History) -> Result<Child> {
        let list = self.folder.join("acknowledged");
        fs::write(&list, history.list()).context("could not write the list of steps")?;
        let mut program = Command::new(&self.program);
        program.arg(store).arg(self.folder.join("state")).arg(&list);
        program.arg(history.from().to_string());
        program.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = program.spawn();
        child.with_context(|| format!("could not start `{}`", workspace::shown(&program)))
    }

    fn over(&mut self) -> Result<()> {
        Ok(())
    }

    fn hint(&self) -> String {
        format!("{PROGRAM} did not live until it was killed")
    }

    fn clocks(&self, _: &[Life]) -> Result<()> {
        Ok(())
    }
}

/// Machines whose power is cut. Each boots with another time on its clock.
struct Machines {
    machine: PowerMachine,
    boots: usize,
}

impl World for Machines {
    const END: &'static str = "power cut";
    const LONGEST: (u64, Duration) = (24, Duration::from_millis(40));

    fn renew(&mut self) -> Result<()> {
        self.boots = 0;
        self.machine.renew_disk()
    }

    fn begin(&mut self, store: &str, history: &History) -> Result<Child> {
        let clock = CLOCKS[self.boots % CLOCKS.len()];
        self.boots += 1;
        let (list, from) = (history.list(), history.from());
        self.machine.boot(store, &list, from, clock)
    }

    fn over(&mut self) -> Result<()> {
        self.machine.lose_unflushed()
    }

    fn hint(&self) -> String {
        let console = self.machine.console();
        format!("see what the kernel said in {}", console.display())
    }

    fn clocks(&self, lives: &[Life]) -> Result<()> {
        let went_back = lives
            .windows(2)
            .filter(|pair| pair[1].clock < pair[0].clock);
        let count = went_back.count();
        if count == 0 {
            bail!("the machine's clock never went back: it doesn't take the time it is given");
        }
        say::done(format!("its clock went back {count} times"));
        Ok(())
    }
}
