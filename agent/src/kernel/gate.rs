// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loads the gate, or adopts the one that an earlier daemon left running.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use aya::maps::{
    Array, HashMap as BpfHashMap, MapData, PerCpuArray, ProgramArray, RingBuf, SkStorage,
};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use stile_common::{
    Attempt, Budget, Config, ENDPOINT_ANY, GrantKey, GrantValue, SocketState, fault, scope, verdict,
};

use tracing::{info, warn};

use super::OBJECT;
use super::error::{GateError, ignore_absent, map_error, take};
use super::pins::{
    PINNED, make_directory, other_versions, remove_other_links, remove_other_versions,
    version_directory,
};
use super::programs::{ATTACHED, attach_one, fill_arrays, load_programs};
use super::tables::{Tables, TablesError};
use crate::decide::KeepPermit;
use crate::grant::Grant;
use crate::ids::{SocketCookie, Uid};
use crate::policy::KernelTables;

/// Where the gate is put.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// Directory for the pins, on a bpffs.
    pub pins: PathBuf,
    /// The cgroup below which everything passes the gate.
    pub cgroup: PathBuf,
    /// Its id, which names the pins of the links.
    pub cgroup_id: u64,
}

/// The gate, as the daemon holds it.
pub struct Gate {
    // Holds the programs; the arrays refer to them.
    _programs: Ebpf,
    asking: Vec<ProgramArray<MapData>>,
    tables: Tables,
    grants: BpfHashMap<MapData, GrantKey, GrantValue>,
    config: Array<MapData, Config>,
    slices: BpfHashMap<MapData, u64, u32>,
    held: BpfHashMap<MapData, u64, Attempt>,
    sockets: SkStorage<MapData, SocketState>,
    states: MapData,
    budgets: BpfHashMap<MapData, u64, Budget>,
    unread: Array<MapData, u64>,
    faults: PerCpuArray<MapData, u64>,
    adopted: bool,
}

/// The rings of a gate.
pub struct Rings {
    /// Attempts that need the daemon. Readable when there are some.
    pub attempts: RingBuf<MapData>,
    /// Connections under a grant. Readable when it passes its middle.
    pub flows: RingBuf<MapData>,
}

/// How large a map of single addresses is made for so many of them: the kernel takes 16 bytes
/// for each that there is room for, and the policy may grow.
fn room_for_hosts(hosts: usize) -> u32 {
    let room = hosts.saturating_mul(2).clamp(1 << 14, 1 << 20);
    u32::try_from(room).unwrap_or(1 << 20)
}

impl Gate {
    /// Puts up the gate, closed for nobody as long as its tables are empty. Where one stands
    /// already, its maps are kept and its programs are replaced without a gap. Where one with
    /// another map layout stands, its grants are taken over, and it goes on standing until
    /// [`Self::attach`] has put this one beside it. `wanted` are the tables to come; they tell how
    /// much room to make.
    ///
    /// # Errors
    /// If the kernel refuses a part of it. What was attached stays attached.
    pub fn open(options: &GateOptions, wanted: &KernelTables) -> Result<(Self, Rings), GateError> {
        let base = version_directory(options)?;
        let mut loader = EbpfLoader::new();
        loader.verifier_log_level(VerifierLogLevel::STATS);
        // A pinned one keeps its size; single addresses beyond it lie among the networks.
        let hosts = wanted.v4.iter().filter(|(net, _)| net.prefix_len() == 32);
        loader.map_max_entries("HOST_V4", room_for_hosts(hosts.count()));
        let hosts = wanted.v6.iter().filter(|(net, _)| net.prefix_len() == 128);
        loader.map_max_entries("HOST_V6", room_for_hosts(hosts.count()));
        for name in PINNED {
            loader.map_pin_path(name, base.join(name));
        }
        let mut ebpf = loader.load(OBJECT)?;
        load_programs(&mut ebpf)?;
        let arrays = fill_arrays(&mut ebpf)?;
        let mut gate = Self {
            tables: Tables::open(&mut ebpf)?,
            grants: take(&mut ebpf, "GRANTS")?,
            config: take(&mut ebpf, "CONFIG")?,
            slices: take(&mut ebpf, "SLICES")?,
            held: take(&mut ebpf, "HELD")?,
            sockets: take(&mut ebpf, "SOCKETS")?,
            states: MapData::from_pin(base.join("SOCKETS")).map_err(map_error("SOCKETS"))?,
            budgets: take(&mut ebpf, "BUDGETS")?,
            unread: take(&mut ebpf, "UNREAD")?,
            faults: take(&mut ebpf, "FAULTS")?,
            adopted: false,
            asking: arrays,
            _programs: ebpf,
        };
        let rings = Rings {
            attempts: take(&mut gate._programs, "ATTEMPTS")?,
            flows: take(&mut gate._programs, "FLOWS")?,
        };
        gate.mark_read()?;
        for other in other_versions(options)? {
            gate.take_over_grants(&other);
        }
        Ok((gate, rings))
    }

    /// Attaches the programs, or replaces those of an earlier daemon.
    ///
    /// # Errors
    /// If a program can't be attached; those before it are.
    pub fn attach(&mut self, options: &GateOptions) -> Result<(), GateError> {
        let base = version_directory(options)?;
        let links = base.join(format!("links-{}", options.cgroup_id));
        make_directory(&links)?;
        let cgroup = File::open(&options.cgroup).map_err(|source| GateError::Cgroup {
            path: options.cgroup.clone(),
            source,
        })?;
        for name in ATTACHED {
            self.adopted |= attach_one(&mut self._programs, name, &links.join(name), &cgroup)?;
        }
        remove_other_links(&base, &links)?;
        self.adopted |= remove_other_versions(options)? > 0;
        Ok(())
    }

    /// Takes over the grants of a gate with another map layout, if theirs is the same.
    /// Otherwise connections under them end, and their users step up again.
    fn take_over_grants(&mut self, other: &Path) {
        let pin = other.join("GRANTS");
        let taken = MapData::from_pin(&pin).and_then(|map| {
            let theirs: BpfHashMap<_, GrantKey, GrantValue> =
                aya::maps::Map::HashMap(map).try_into()?;
            let mut taken = 0;
            for entry in theirs.iter() {
                let (key, value) = entry?;
                self.grants.insert(key, value, 0)?;
                taken += 1;
            }
            Ok(taken)
        });
        match taken {
            Ok(grants) => info!(grants, from = %other.display(), "taking over another gate"),
            Err(error) => warn!("grants of {} are lost: {error}", other.display()),
        }
    }

    /// True if the gate stood before this daemon came.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// From now on nothing is held and nobody is asked: what is without a grant is refused at once.
    /// The kernel does the same a moment after the daemon's end; what began within that moment
    /// would wait for the next one.
    ///
    /// # Errors
    /// If the kernel doesn't empty an array.
    pub fn stop_asking(&mut self) -> Result<(), GateError> {
        let mut arrays = self.asking.iter_mut();
        arrays.try_for_each(|array| array.clear_index(&0).map_err(map_error("HOLD4")))
    }

    /// Writes a grant. There is no other way to open the gate (promise S2).
    ///
    /// # Errors
    /// If the map is full; the connection then stays held.
    pub fn put_grant(&mut self, grant: &Grant) -> Result<(), GateError> {
        self.grants
            .insert(grant.key(), grant.value(), 0)
            .map_err(map_error("GRANTS"))
    }

    /// Lets one connection be that is older than the gate. It opens nothing for another one.
    ///
    /// # Errors
    /// If the map is full; the connection then carries nothing more.
    pub fn keep(&mut self, permit: &KeepPermit, socket: SocketCookie) -> Result<(), GateError> {
        let key = GrantKey {
            id: socket.0,
            scope: scope::SOCKET,
            endpoint: permit.endpoint().0,
        };
        let value = GrantValue {
            expires_ns: 0,
            cut_ns: u64::MAX,
            grant: 0,
        };
        self.grants
            .insert(key, value, 0)
            .map_err(map_error("GRANTS"))
    }

    /// What the gate remembers of sockets, for a listing of them.
    #[must_use]
    pub fn socket_states(&self) -> BorrowedFd<'_> {
        self.states.fd().as_fd()
    }

    /// Removes a grant. Connections under it find out when the epoch moves on.
    ///
    /// # Errors
    /// If the map can't be written. A grant that isn't there is no error.
    pub fn remove_grant(&mut self, key: &GrantKey) -> Result<(), GateError> {
        ignore_absent(self.grants.remove(key)).map_err(map_error("GRANTS"))
    }

    /// All grants in the kernel.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn grants(&self) -> Result<Vec<(GrantKey, GrantValue)>, GateError> {
        self.grants
            .iter()
            .collect::<Result<_, _>>()
            .map_err(map_error("GRANTS"))
    }

    /// The attempts that wait for a word.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn held(&self) -> Result<Vec<Attempt>, GateError> {
        let held: Result<Vec<_>, _> = self.held.iter().collect();
        Ok(held
            .map_err(map_error("HELD"))?
            .into_iter()
            .map(|(_, attempt)| attempt)
            .collect())
    }

    /// Strikes an attempt out: it waits no longer.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn forget_held(&mut self, cookie: SocketCookie) -> Result<(), GateError> {
        ignore_absent(self.held.remove(&cookie.0)).map_err(map_error("HELD"))
    }

    /// Writes the settings, and moves the epoch on, so that every connection asks for its
    /// grant again. If they have changed, sockets that weren't gated are judged again, too.
    /// `config.epoch`, `config.generation` and `config.search` are overwritten.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn configure(&mut self, mut config: Config) -> Result<(), GateError> {
        let before = self.config.get(&0, 0).map_err(map_error("CONFIG"))?;
        config.epoch = before.epoch;
        config.generation = before.generation;
        config.search = before.search;
        if config != before {
            config.generation = before.generation.wrapping_add(1);
        }
        config.epoch = before.epoch.wrapping_add(1);
        self.config.set(0, config, 0).map_err(map_error("CONFIG"))
    }

    /// Makes the tables equal to a policy's, and lets every socket be judged again by them.
    ///
    /// # Errors
    /// If they don't fit, or a map can't be written; see [`Tables::sync`].
    pub fn protect(&mut self, wanted: &KernelTables) -> Result<(), TablesError> {
        self.tables.sync(wanted, &mut self.config)?;
        let mut config = self.config.get(&0, 0).map_err(map_error("CONFIG"))?;
        config.generation = config.generation.wrapping_add(1);
        self.config
            .set(0, config, 0)
            .map_err(map_error("CONFIG"))
            .map_err(TablesError::Gate)
    }

    /// How many attempts of each subject were refused for want of a budget, by the keys of
    /// `BUDGETS`.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn throttled(&self) -> Result<HashMap<u64, u64>, GateError> {
        let mut throttled = HashMap::new();
        for entry in self.budgets.iter() {
            let (key, budget) = entry.map_err(map_error("BUDGETS"))?;
            if budget.refused > 0 {
                throttled.insert(key, budget.refused);
            }
        }
        Ok(throttled)
    }

    /// Lets every connection ask for its grant again.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn bump_epoch(&mut self) -> Result<(), GateError> {
        let config = self.config.get(&0, 0).map_err(map_error("CONFIG"))?;
        self.configure(config)
    }

    /// Says whose session a cgroup is.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn set_slice(&mut self, cgroup: u64, owner: Uid) -> Result<(), GateError> {
        self.slices
            .insert(cgroup, owner.0, 0)
            .map_err(map_error("SLICES"))
    }

    /// Lets a socket of the daemon's own send anywhere: the raw sockets of the replay, which
    /// would be gated where the daemon runs in a user's session.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn exempt(&mut self, socket: &impl AsRawFd) -> Result<(), GateError> {
        let state = SocketState {
            verdict: verdict::EXEMPT,
            endpoint: ENDPOINT_ANY,
            subject: 0,
            epoch: 0,
            cut_ns: 0,
            grant: 0,
            session: 0,
            captured: 0,
            reserved: 0,
        };
        self.sockets
            .insert(socket, state, 0)
            .map_err(map_error("SOCKETS"))
    }

    /// Tells the gate that nothing is unread. To be called after the rings were drained.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn mark_read(&mut self) -> Result<(), GateError> {
        self.unread.set(0, 0, 0).map_err(map_error("UNREAD"))
    }

    /// What went wrong in the kernel so far, by [`fault`], summed over the CPUs.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn faults(&self) -> Result<[u64; fault::COUNT as usize], GateError> {
        let mut sums = [0; fault::COUNT as usize];
        for (kind, sum) in (0_u32..).zip(&mut sums) {
            let per_cpu = self.faults.get(&kind, 0).map_err(map_error("FAULTS"))?;
            *sum = per_cpu.iter().sum();
        }
        Ok(sums)
    }
}
