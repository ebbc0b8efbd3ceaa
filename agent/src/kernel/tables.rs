// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps the kernel's tables of protected prefixes equal to the policy, in place: nothing that
//! is protected before and after a reload is open in between.

use std::collections::{HashMap, HashSet};

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap as BpfHashMap, MapData};
use stile_common::{FirstKey, MAX_CLASS_PORTS, PortClass};

use super::error::{GateError, ignore_absent, map_error, take};
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
    v4: LpmTrie<MapData, [u8; 4], u32>,
    v6: LpmTrie<MapData, [u8; 16], u32>,
    classes: Array<MapData, PortClass>,
    first: BpfHashMap<MapData, FirstKey, u32>,
}

impl Tables {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, GateError> {
        Ok(Self {
            v4: take(ebpf, "PREFIX_V4")?,
            v6: take(ebpf, "PREFIX_V6")?,
            classes: take(ebpf, "CLASS")?,
            first: take(ebpf, "FIRST")?,
        })
    }

    /// Makes the kernel's tables equal to `wanted`: first what is new, then away with what is
    /// old.
    ///
    /// # Errors
    /// If they don't fit, before anything is changed; or if a map can't be written.
    pub fn sync(&mut self, wanted: &KernelTables) -> Result<(), TablesError> {
        let slots = self.place_classes(wanted)?;
        room("prefixes", wanted.v4.len(), MAX_PREFIXES)?;
        room("prefixes", wanted.v6.len(), MAX_PREFIXES)?;
        room("first-attempt entries", wanted.first.len(), MAX_FIRST)?;
        self.write_first(wanted)?;
        for (slot, class) in &slots.fresh {
            self.classes
                .set(*slot, class, 0)
                .map_err(map_error("CLASS"))?;
        }
        let v4 = wanted
            .v4
            .iter()
            .map(|(net, class)| {
                (
                    u32::from(net.prefix_len()),
                    net.network().octets(),
                    slots.of(*class),
                )
            })
            .collect::<Vec<_>>();
        sync_trie("PREFIX_V4", &mut self.v4, &v4)?;
        let v6 = wanted
            .v6
            .iter()
            .map(|(net, class)| {
                (
                    u32::from(net.prefix_len()),
                    net.network().octets(),
                    slots.of(*class),
                )
            })
            .collect::<Vec<_>>();
        sync_trie("PREFIX_V6", &mut self.v6, &v6)?;
        self.prune_first(wanted)?;
        Ok(())
    }

    /// Finds a slot for each class: the one that has it already, else one that no prefix uses.
    fn place_classes(&self, wanted: &KernelTables) -> Result<Slots, TablesError> {
        let mut used = HashSet::new();
        for entry in self.v4.iter() {
            used.insert(entry.map_err(map_error("PREFIX_V4"))?.1);
        }
        for entry in self.v6.iter() {
            used.insert(entry.map_err(map_error("PREFIX_V6"))?.1);
        }
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

fn sync_trie<K: aya::Pod + Eq + std::hash::Hash>(
    name: &'static str,
    trie: &mut LpmTrie<MapData, K, u32>,
    wanted: &[(u32, K, u32)],
) -> Result<(), GateError> {
    for (length, address, class) in wanted {
        trie.insert(&Key::new(*length, *address), class, 0)
            .map_err(map_error(name))?;
    }
    let keep: HashSet<_> = wanted
        .iter()
        .map(|(length, address, _)| (*length, *address))
        .collect();
    let stale: Vec<_> = trie
        .keys()
        .filter(|key| {
            key.as_ref()
                .map_or(true, |key| !keep.contains(&(key.prefix_len(), key.data())))
        })
        .collect::<Result<_, _>>()
        .map_err(map_error(name))?;
    for key in stale {
        ignore_absent(trie.remove(&key)).map_err(map_error(name))?;
    }
    Ok(())
}
