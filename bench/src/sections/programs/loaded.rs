// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs that the kernel has.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramInfo, loaded_programs};
use stile_tests::Host;

/// What the gate's programs are called before their hooks.
const PREFIX: &str = "stile_";

/// A program.
pub(super) struct Loaded {
    /// The hook's name: `connect4`.
    pub(super) name: String,
    info: ProgramInfo,
}

/// How often a program has run, and for how long, while the kernel counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls {
    count: u64,
    time: Duration,
}

impl Calls {
    /// Nanoseconds for each call since then.
    pub(super) fn since(self, before: Self) -> Result<f64> {
        let count = self.count.saturating_sub(before.count);
        ensure!(count > 0, "the program was not called");
        Ok((self.time - before.time).as_nanos() as f64 / count as f64)
    }
}

impl Loaded {
    /// Any program.
    pub(super) fn new(info: ProgramInfo) -> Self {
        let name = info.name_as_str().unwrap_or_default();
        Self {
            name: name.strip_prefix(PREFIX).unwrap_or(name).to_owned(),
            info,
        }
    }

    /// The gate's program on this hook of a host.
    pub(super) fn on(host: &Host, hook: &str) -> Result<Self> {
        let attached = attached(host)?;
        attached
            .into_iter()
            .find(|program| program.name == hook)
            .with_context(|| format!("the gate has no program {hook}"))
    }

    /// As of now.
    pub(super) fn calls(&self) -> Result<Calls> {
        let id = self.info.id();
        let now = by_id(id)?;
        Ok(Calls {
            count: now.run_count(),
            time: now.run_time(),
        })
    }

    /// Since Linux 5.16.
    pub(super) fn verified(&self) -> Option<u32> {
        self.info.verified_instruction_count()
    }

    /// In bytes.
    pub(super) fn translated(&self) -> Option<u32> {
        self.info.size_translated()
    }

    /// In bytes.
    pub(super) fn machine(&self) -> Option<u32> {
        Some(self.info.size_jitted()).filter(|size| *size > 0)
    }
}

/// Every program of a host's gate: those on hooks, and those behind them.
pub(super) fn all(host: &Host) -> Result<Vec<Loaded>> {
    let mut programs = attached(host)?;
    let mut own = Vec::new();
    for program in &programs {
        own.extend(program.info.map_ids()?.unwrap_or_default());
    }
    for info in loaded_programs() {
        // One that ended meanwhile was not this gate's.
        let Ok(info) = info else { continue };
        let named = info.name_as_str().unwrap_or_default().starts_with(PREFIX);
        let is_known = programs.iter().any(|known| known.info.id() == info.id());
        // Another gate's have the same names, and other maps.
        if named && !is_known {
            let maps = info.map_ids().ok().flatten().unwrap_or_default();
            if maps.iter().any(|map| own.contains(map)) {
                programs.push(Loaded::new(info));
            }
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// The programs on the hooks of a host, by the links that its daemon has pinned.
fn attached(host: &Host) -> Result<Vec<Loaded>> {
    let mut programs = Vec::new();
    let mut folders = vec![host.pins().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if name.starts_with(PREFIX) {
                let link = FdLink::from(PinnedLink::from_pin(&path)?);
                let id = link.info()?.program_id();
                programs.push(Loaded::new(by_id(id)?));
            }
        }
    }
    if programs.is_empty() {
        bail!("{} has no links of a gate", host.pins().display());
    }
    Ok(programs)
}

fn by_id(id: u32) -> Result<ProgramInfo> {
    let found = loaded_programs().find(|info| info.as_ref().is_ok_and(|info| info.id() == id));
    found
        .and_then(Result::ok)
        .with_context(|| format!("the program {id} is gone"))
}
