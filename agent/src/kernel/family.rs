// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The protected prefixes of one address family in the kernel: single addresses, networks, and
//! the filter in front of them.

use std::cmp::Ordering;
use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap as BpfHashMap, Map, MapData};
use stile_common::{FILTER_WORDS, search};

use super::error::{GateError, ignore_absent, map_error, take};
use super::filter::{Address, Filter};
use crate::sys::bpf_batch::write_words;

/// Up to so many prefixes the trie alone will do; with ten, it is 20 ns slower than the filter.
const FEW: usize = 8;
/// How many words of a filter are written by one call; a divisor of their number.
const BATCH: usize = 4096;
const _: () = assert!((FILTER_WORDS as usize).is_multiple_of(BATCH));

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
    /// How many single addresses there is room for.
    room: usize,
    filter: MapData,
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
        let room = match ebpf.map(names.hosts) {
            Some(Map::HashMap(map)) => map.info().map_err(map_error(names.hosts))?.max_entries(),
            _ => return Err(GateError::Missing(names.hosts)),
        };
        Ok(Self {
            room: room as usize,
            nets: take(ebpf, names.nets)?,
            hosts: take(ebpf, names.hosts)?,
            filter: take_array(ebpf, names.filter)?,
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
        after.sort_unstable_by(Entry::order);
        let is_large = after.len() > FEW;
        if is_large {
            place_hosts(self.room, &before, &mut after);
        }
        let filter = if is_large { filter_of(&after) } else { None };
        if let Some(new) = &filter {
            self.write_filter(old_filter.as_ref(), |at| {
                let old = old_filter.as_ref();
                old.map_or(0, |old| old.words()[at]) | new.words()[at]
            })?;
        }
        self.add(&before, &after)?;
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

    /// Writes what isn't there yet.
    fn add(&mut self, before: &[Entry<K>], after: &[Entry<K>]) -> Result<(), GateError> {
        let mut old = before.iter().peekable();
        for entry in after {
            while old
                .next_if(|old| Entry::order(old, entry) == Ordering::Less)
                .is_some()
            {}
            if old.peek() == Some(&entry) {
                continue;
            }
            if entry.is_host {
                self.hosts
                    .insert(entry.address, entry.slot, 0)
                    .map_err(map_error(self.names.hosts))?;
            } else {
                let key = Key::new(u32::from(entry.length), entry.address);
                self.nets
                    .insert(&key, entry.slot, 0)
                    .map_err(map_error(self.names.nets))?;
            }
        }
        Ok(())
    }

    /// Writes what differs from what is there; all of it if nobody knows that.
    fn write_filter(
        &mut self,
        there: Option<&Filter>,
        wanted: impl Fn(usize) -> u64,
    ) -> Result<(), GateError> {
        for start in (0..FILTER_WORDS).step_by(BATCH) {
            let range = start as usize..start as usize + BATCH;
            let words: Vec<u64> = range.clone().map(&wanted).collect();
            if there.is_some_and(|there| there.words()[range] == words) {
                continue;
            }
            write_words(self.filter.fd().as_fd(), start, &words).map_err(|source| {
                GateError::Words {
                    name: self.names.filter,
                    source,
                }
            })?;
        }
        Ok(())
    }
}

/// Takes the map of an array out of the object.
fn take_array(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, GateError> {
    match ebpf.take_map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => Err(GateError::Missing(name)),
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

/// Gives single addresses a place: that which they have, else one among the single ones as long
/// as there is room. What goes leaves its place only later.
fn place_hosts<K: Address>(room: usize, before: &[Entry<K>], after: &mut [Entry<K>]) {
    let taken = before.iter().filter(|entry| entry.is_host).count();
    let mut free = room.saturating_sub(taken);
    let mut old = before
        .iter()
        .filter(|entry| entry.length == K::LENGTH)
        .peekable();
    for entry in after.iter_mut().filter(|entry| entry.length == K::LENGTH) {
        while old.next_if(|old| old.address < entry.address).is_some() {}
        let known = old.next_if(|old| old.address == entry.address);
        entry.is_host = known.map_or(free > 0, |old| old.is_host);
        if known.is_none() {
            free = free.saturating_sub(1);
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Vec<Entry<[u8; 4]>>> {
        let length = prop::sample::select(vec![24, 32, 32, 32]);
        prop::collection::btree_map(0_u8..40, (length, any::<bool>()), 0..30).prop_map(|map| {
            let entry = |(last, (length, is_host))| Entry {
                address: [10, 0, 0, last],
                length,
                is_host: is_host && length == 32,
                slot: 0,
            };
            map.into_iter().map(entry).collect()
        })
    }

    proptest! {
        /// While both are there, before what goes has left.
        #[test]
        fn no_more_single_addresses_than_there_is_room_for(before in entries(), after in entries(), more in 0_usize..20) {
            let hosts = |entries: &[Entry<[u8; 4]>]| {
                let hosts = entries.iter().filter(|entry| entry.is_host);
                hosts.map(|entry| (entry.address, ())).collect::<BTreeMap<_, _>>()
            };
            let room = hosts(&before).len() + more;
            let mut after: Vec<_> = after.into_iter().map(|entry| Entry { is_host: false, ..entry }).collect();
            place_hosts(room, &before, &mut after);
            let mut both = hosts(&before);
            both.extend(hosts(&after));
            prop_assert!(both.len() <= room);
            for entry in &after {
                let old = before.iter().find(|old| (old.address, old.length) == (entry.address, entry.length));
                match old {
                    // Nothing moves.
                    Some(old) => prop_assert_eq!(old.is_host, entry.is_host),
                    None => prop_assert!(entry.is_host || entry.length < 32 || both.len() == room),
                }
            }
        }

        #[test]
        fn what_is_missing_is_what_lies_nowhere_any_more(before in entries(), after in entries()) {
            let place = |entry: &Entry<[u8; 4]>| (entry.address, entry.length, entry.is_host);
            let left: Vec<_> = missing(&before, &after).map(place).collect();
            let gone = before.iter().map(place).filter(|one| !after.iter().any(|new| place(new) == *one));
            prop_assert_eq!(left, gone.collect::<Vec<_>>());
        }

        #[test]
        fn a_look_is_left_out_only_where_nothing_lies(entries in entries()) {
            let flags = search_of(&entries, false);
            let has = |flag| flags & flag != 0;
            prop_assert_eq!(has(search::NOTHING), entries.is_empty());
            prop_assert_eq!(has(search::NO_HOSTS), !entries.iter().any(|entry| entry.is_host));
            prop_assert_eq!(has(search::NO_NETS), !entries.iter().any(|entry| !entry.is_host));
        }
    }
}
