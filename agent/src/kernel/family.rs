// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The protected prefixes of one address family in the kernel: single addresses, networks, and
//! the filter in front of them.

use std::cmp::Ordering;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap as BpfHashMap, MapData, MapError};
use stile_common::search;

use super::error::{GateError, ignore_absent, map_error, take};
use super::filter::{Address, Filter};

/// Up to so many prefixes the trie alone is as quick as filter and hash.
const FEW: usize = 64;

/// The names of a family's maps.
pub(super) struct Names {
    pub(super) nets: &'static str,
    pub(super) hosts: &'static str,
    pub(super) filter: &'static str,
}

/// A protected prefix and its class's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry<K> {
    pub(super) address: K,
    pub(super) length: u8,
    /// In the map of single addresses.
    pub(super) is_host: bool,
    pub(super) slot: u32,
}

impl<K: Ord> Entry<K> {
    /// By where it lies; the slot is what is there.
    fn order(&self, other: &Self) -> Ordering {
        let place = |entry: &Self| (entry.length, entry.is_host);
        self.address
            .cmp(&other.address)
            .then_with(|| place(self).cmp(&place(other)))
    }
}

/// What the kernel has, where that is known.
struct Known<K> {
    /// In order.
    entries: Vec<Entry<K>>,
    /// `None`: it has anything, and the gate doesn't ask it.
    filter: Option<Filter>,
}

/// The maps of a family.
pub(super) struct Family<K: Address> {
    names: Names,
    nets: LpmTrie<MapData, K, u32>,
    hosts: BpfHashMap<MapData, K, u32>,
    filter: Array<MapData, u64>,
    known: Option<Known<K>>,
}

/// A change that has been begun: what is new is there, what is old is there still.
pub(super) struct Change<K> {
    before: Vec<Entry<K>>,
    after: Vec<Entry<K>>,
    filter: Option<Filter>,
    /// What the gate may leave out from now on, and the levels of its filter.
    pub(super) search: u32,
    pub(super) levels: u32,
}

impl<K: Address> Family<K> {
    pub(super) fn open(ebpf: &mut Ebpf, names: Names) -> Result<Self, GateError> {
        Ok(Self {
            nets: take(ebpf, names.nets)?,
            hosts: take(ebpf, names.hosts)?,
            filter: take(ebpf, names.filter)?,
            known: None,
            names,
        })
    }

    /// Whether the filter in the kernel is what this daemon has written.
    pub(super) fn knows_filter(&self) -> bool {
        self.known
            .as_ref()
            .is_some_and(|known| known.filter.is_some())
    }

    /// Everything that the kernel has, in order.
    pub(super) fn entries(&mut self) -> Result<&[Entry<K>], GateError> {
        if self.known.is_none() {
            let entries = self.read()?;
            self.known = Some(Known {
                entries,
                filter: None,
            });
        }
        Ok(self.known.as_ref().map_or(&[], |known| &known.entries))
    }

    fn read(&self) -> Result<Vec<Entry<K>>, GateError> {
        let mut entries = Vec::new();
        for entry in self.nets.iter() {
            let (key, slot) = entry.map_err(map_error(self.names.nets))?;
            entries.push(Entry {
                address: key.data(),
                // Never more than 128.
                length: u8::try_from(key.prefix_len()).unwrap_or(u8::MAX),
                is_host: false,
                slot,
            });
        }
        for entry in self.hosts.iter() {
            let (address, slot) = entry.map_err(map_error(self.names.hosts))?;
            entries.push(Entry {
                address,
                length: K::LENGTH,
                is_host: true,
                slot,
            });
        }
        entries.sort_unstable_by(Entry::order);
        Ok(entries)
    }

    /// Adds what is new. Nothing that is there goes, so a failure opens nothing. The settings
    /// say afterwards what [`Change::search`] says, and then [`Self::finish`] is called.
    pub(super) fn begin(
        &mut self,
        wanted: impl Iterator<Item = (K, u8, u32)>,
    ) -> Result<Change<K>, GateError> {
        self.entries()?;
        // Unknown again if this fails half way.
        let known = self.known.take();
        let (before, old_filter) =
            known.map_or_else(Default::default, |known| (known.entries, known.filter));
        let mut after: Vec<_> = wanted
            .map(|(address, length, slot)| Entry {
                address,
                length,
                is_host: false,
                slot,
            })
            .collect();
        let is_large = after.len() > FEW;
        for entry in &mut after {
            entry.is_host = is_large && entry.length == K::LENGTH;
        }
        after.sort_unstable_by(Entry::order);
        let filter = if is_large { filter_of(&after) } else { None };
        if let Some(new) = &filter {
            self.write_filter(old_filter.as_ref(), |at| {
                let old = old_filter.as_ref();
                old.map_or(0, |old| old.words()[at]) | new.words()[at]
            })?;
        }
        self.add(&before, &mut after)?;
        // Those for which there was no room have moved.
        after.sort_unstable_by(Entry::order);
        Ok(Change {
            search: search_of(&after, filter.is_some()),
            levels: filter.as_ref().map_or(0, Filter::levels),
            // What the filter has now is not what it will have, but `finish` only takes away.
            filter: filter.map(|new| joined(old_filter, new)),
            before,
            after,
        })
    }

    /// Takes away what is not wanted any more.
    pub(super) fn finish(&mut self, change: Change<K>) -> Result<(), GateError> {
        let Change {
            before,
            after,
            filter,
            ..
        } = change;
        for stale in missing(&before, &after) {
            let removed = if stale.is_host {
                self.hosts.remove(&stale.address)
            } else {
                let key = Key::new(u32::from(stale.length), stale.address);
                self.nets.remove(&key)
            };
            ignore_absent(removed).map_err(map_error(self.names.nets))?;
        }
        let filter = match filter {
            Some(written) => {
                let exact = filter_of(&after).unwrap_or_else(Filter::empty);
                self.write_filter(Some(&written), |at| exact.words()[at])?;
                Some(exact)
            }
            None => None,
        };
        self.known = Some(Known {
            entries: after,
            filter,
        });
        Ok(())
    }

    /// Writes what isn't there yet. A single address for which there is no room goes to the
    /// networks.
    fn add(&mut self, before: &[Entry<K>], after: &mut [Entry<K>]) -> Result<(), GateError> {
        let mut old = before.iter().peekable();
        for entry in after {
            while old
                .next_if(|old| Entry::order(old, entry) == Ordering::Less)
                .is_some()
            {}
            if old.peek() == Some(&&*entry) {
                continue;
            }
            if entry.is_host {
                match self.hosts.insert(entry.address, entry.slot, 0) {
                    Err(error) if is_full(&error) => entry.is_host = false,
                    written => {
                        written.map_err(map_error(self.names.hosts))?;
                        continue;
                    }
                }
            }
            let key = Key::new(u32::from(entry.length), entry.address);
            self.nets
                .insert(&key, entry.slot, 0)
                .map_err(map_error(self.names.nets))?;
        }
        Ok(())
    }

    /// Writes the words that differ from what is there; all of them if nobody knows that.
    fn write_filter(
        &mut self,
        there: Option<&Filter>,
        wanted: impl Fn(usize) -> u64,
    ) -> Result<(), GateError> {
        for at in 0..self.filter.len() {
            let word = wanted(at as usize);
            if there.is_none_or(|there| there.words()[at as usize] != word) {
                self.filter
                    .set(at, word, 0)
                    .map_err(map_error(self.names.filter))?;
            }
        }
        Ok(())
    }
}

/// The filter of these prefixes; `None` if one of them has no place in it.
fn filter_of<K: Address>(entries: &[Entry<K>]) -> Option<Filter> {
    let mut filter = Filter::empty();
    entries
        .iter()
        .all(|entry| entry.address.admit(entry.length, &mut filter))
        .then_some(filter)
}

fn joined(old: Option<Filter>, new: Filter) -> Filter {
    match old {
        Some(old) => old.join(new),
        None => new,
    }
}

/// What the gate may leave out with these prefixes.
fn search_of<K>(entries: &[Entry<K>], is_filtered: bool) -> u32 {
    let mut flags = search::NOTHING | search::NO_HOSTS | search::NO_NETS;
    for entry in entries {
        flags &= !search::NOTHING;
        flags &= !if entry.is_host {
            search::NO_HOSTS
        } else {
            search::NO_NETS
        };
    }
    if is_filtered {
        flags |= search::FILTERED;
    }
    flags
}

/// The entries of which nothing lies in the same place.
fn missing<'a, K: Ord>(
    before: &'a [Entry<K>],
    after: &'a [Entry<K>],
) -> impl Iterator<Item = &'a Entry<K>> {
    let mut after = after.iter().peekable();
    before.iter().filter(move |entry| {
        while after
            .next_if(|new| Entry::order(new, entry) == Ordering::Less)
            .is_some()
        {}
        after
            .peek()
            .is_none_or(|new| Entry::order(new, entry) != Ordering::Equal)
    })
}

/// `E2BIG`: a hash has as many elements as it may (`htab_map_update_elem` in the kernel's
/// kernel/bpf/hashtab.c).
fn is_full(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(error)
        if error.io_error.raw_os_error() == Some(libc::E2BIG))
}
