// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps the kernel's tables of protected prefixes equal to the policy, in place: nothing that
//! is protected before and after a reload is open in between.

use std::collections::{HashMap, HashSet};

use aya::Ebpf;
use aya::maps::{Array, HashMap as BpfHashMap, MapData};
use stile_common::{Config, FirstKey, MAX_CLASS_PORTS, MAX_NAT64, PortClass, Search, search};

use super::error::{GateError, ignore_absent, map_error, take};
use super::family::{Family, Names};
use crate::policy::KernelTables;

/// Capacities of the maps, as the kernel program declares them.
const MAX_PREFIXES: usize = 1 << 20;
const MAX_CLASSES: usize = 4096;
const MAX_FIRST: usize = 1 << 18;

/// Why tables can't be taken over. The running ones stay.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// More than the kernel's maps hold.
    #[error(
        "the policy needs {need} {what}, the kernel program has room for {room}; join prefixes or split the policy"
    )]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it needs.
        need: usize,
        /// How many there may be.
        room: usize,
    },
    /// A map can't be written. What was added stays; nothing was removed.
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// The tables.
pub struct Tables {
    v4: Family<[u8; 4]>,
    v6: Family<[u8; 16]>,
    classes: Array<MapData, PortClass>,
    first: BpfHashMap<MapData, FirstKey, u32>,
}

impl Tables {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, GateError> {
        let v4 = Names {
            nets: "PREFIX_V4",
            hosts: "HOST_V4",
            filter: "FILTER_V4",
        };
        let v6 = Names {
            nets: "PREFIX_V6",
            hosts: "HOST_V6",
            filter: "FILTER_V6",
        };
        Ok(Self {
            v4: Family::open(ebpf, v4)?,
            v6: Family::open(ebpf, v6)?,
            classes: take(ebpf, "CLASS")?,
            first: take(ebpf, "FIRST")?,
        })
    }

    /// Makes the kernel's tables equal to `wanted`: first what is new, then the way in which
    /// the gate looks, then away with what is old. Of the settings only the search is changed.
    ///
    /// # Errors
    /// If they don't fit, before anything is changed; or if a map can't be written.
    pub(super) fn sync(
        &mut self,
        wanted: &KernelTables,
        config: &mut Array<MapData, Config>,
    ) -> Result<(), TablesError> {
        room("prefixes", wanted.v4.len(), MAX_PREFIXES)?;
        room("prefixes", wanted.v6.len(), MAX_PREFIXES)?;
        room("first-attempt entries", wanted.first.len(), MAX_FIRST)?;
        let slots = self.place_classes(wanted)?;
        // A filter that an earlier daemon has left is written anew, and must not be asked
        // meanwhile.
        let mut search = config.get(&0, 0).map_err(map_error("CONFIG"))?.search;
        if !self.v4.knows_filter() {
            search.v4 &= !search::FILTERED;
        }
        if !self.v6.knows_filter() {
            search.v6 &= !search::FILTERED;
        }
        set_search(config, search)?;
        self.write_first(wanted)?;
        for (slot, class) in &slots.fresh {
            self.classes
                .set(*slot, class, 0)
                .map_err(map_error("CLASS"))?;
        }
        let v4 = wanted.v4.iter().map(|(net, class)| {
            let address = net.network().octets();
            (address, net.prefix_len(), slots.of(*class))
        });
        let v6 = wanted.v6.iter().map(|(net, class)| {
            let address = net.network().octets();
            (address, net.prefix_len(), slots.of(*class))
        });
        let v4 = self.v4.begin(v4)?;
        let v6 = self.v6.begin(v6)?;
        let search = Search {
            v4: v4.search,
            v6: v6.search,
            v6_levels: v6.levels,
            nat64_count: wanted.nat64.len().min(MAX_NAT64) as u32,
            nat64: nat64_of(wanted),
        };
        set_search(config, search)?;
        self.v4.finish(v4)?;
        self.v6.finish(v6)?;
        self.prune_first(wanted)?;
        Ok(())
    }

    /// Finds a slot for each class: the one that has it already, else one that no prefix uses.
    fn place_classes(&mut self, wanted: &KernelTables) -> Result<Slots, TablesError> {
        let mut used = HashSet::new();
        used.extend(self.v4.entries()?.iter().map(|entry| entry.slot));
        used.extend(self.v6.entries()?.iter().map(|entry| entry.slot));
        let mut known = HashMap::new();
        for slot in &used {
            let class = self.classes.get(slot, 0).map_err(map_error("CLASS"))?;
            known.entry(identity(&class)).or_insert(*slot);
        }
        let mut free = (0..MAX_CLASSES as u32).filter(|slot| !used.contains(slot));
        let mut slots = Slots::default();
        for class in &wanted.classes {
            let slot = match known.get(&identity(class)) {
                Some(slot) => *slot,
                None => {
                    let need = used.len() + wanted.classes.len();
                    let full = TablesError::TooMany {
                        what: "port classes",
                        need,
                        room: MAX_CLASSES,
                    };
                    let slot = free.next().ok_or(full)?;
                    slots.fresh.push((slot, *class));
                    known.insert(identity(class), slot);
                    slot
                }
            };
            slots.by_class.push(slot);
        }
        Ok(slots)
    }

    fn write_first(&mut self, wanted: &KernelTables) -> Result<(), GateError> {
        for (key, mode) in &wanted.first {
            self.first
                .insert(key, mode, 0)
                .map_err(map_error("FIRST"))?;
        }
        Ok(())
    }

    fn prune_first(&mut self, wanted: &KernelTables) -> Result<(), GateError> {
        let keep: HashSet<_> = wanted.first.iter().map(|(key, _)| *key).collect();
        let stale: Vec<_> = self
            .first
            .keys()
            .filter(|key| key.as_ref().map_or(true, |key| !keep.contains(key)))
            .collect::<Result<_, _>>()
            .map_err(map_error("FIRST"))?;
        for key in stale {
            ignore_absent(self.first.remove(&key)).map_err(map_error("FIRST"))?;
        }
        Ok(())
    }
}

/// Sets what the gate may leave out when it looks for an address.
fn set_search(config: &mut Array<MapData, Config>, search: Search) -> Result<(), GateError> {
    let mut settings = config.get(&0, 0).map_err(map_error("CONFIG"))?;
    settings.search = search;
    config.set(0, settings, 0).map_err(map_error("CONFIG"))
}

/// The prefixes that the gate sees through, as it compares them.
fn nat64_of(wanted: &KernelTables) -> [[u32; 3]; MAX_NAT64] {
    let mut words = [[0; 3]; MAX_NAT64];
    for (words, prefix) in words.iter_mut().zip(&wanted.nat64) {
        let bits = prefix.network().to_bits();
        *words = [96, 64, 32].map(|shift| u32::to_be((bits >> shift) as u32));
    }
    words
}

/// Where each class of the policy lies in the kernel's array.
#[derive(Default)]
struct Slots {
    by_class: Vec<u32>,
    fresh: Vec<(u32, PortClass)>,
}

impl Slots {
    fn of(&self, class: u32) -> u32 {
        // A class that isn't there would be a fault of the compiler; the gate denies what has
        // no class.
        self.by_class
            .get(class as usize)
            .copied()
            .unwrap_or(u32::MAX)
    }
}

/// What makes two classes the same: the ranges that count.
fn identity(class: &PortClass) -> Vec<(u32, u16, u16, u8)> {
    let len = (class.len as usize).min(MAX_CLASS_PORTS);
    class.ranges[..len]
        .iter()
        .map(|range| (range.endpoint, range.first, range.last, range.protocol))
        .collect()
}

fn room(what: &'static str, need: usize, room: usize) -> Result<(), TablesError> {
    if need > room {
        Err(TablesError::TooMany { what, need, room })
    } else {
        Ok(())
    }
}
