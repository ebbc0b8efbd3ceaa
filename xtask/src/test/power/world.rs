// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the program lives that uses up steps, and what ends it: a process on this machine, or an
//! emulated machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::PROGRAM;
use super::cycle::{History, Life};
use crate::kernels::PowerMachine;
use crate::say;
use crate::workspace::{self, Workspace};

/// What the machine's clock shows: on, and back by a day, a month and several years.
const CLOCKS: [&str; 5] = [
    "2031-06-02T12:00:00",
    "2031-06-01T12:00:00",
    "2031-07-01T00:00:00",
    "2031-06-01T00:00:10",
    "2027-01-01T00:00:00",
];

/// What lives begin in, and what outlives them.
pub(super) trait World {
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

/// Processes that are killed, on this machine's disk.
pub(super) struct Processes {
    program: PathBuf,
    folder: PathBuf,
}

impl Processes {
    pub(super) fn new(workspace: &Workspace, program: &Path) -> Result<Self> {
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
pub(super) struct Machines {
    machine: PowerMachine,
    boots: usize,
}

impl Machines {
    pub(super) fn new(machine: PowerMachine) -> Self {
        Self { machine, boots: 0 }
    }
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
