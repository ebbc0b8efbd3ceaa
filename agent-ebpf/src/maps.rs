// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The maps. All but the program arrays are pinned by the daemon.

use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf};
use stile_common::{
    Attempt, Budget, Config, FILTER_WORDS, FirstKey, GrantKey, GrantValue, PortClass, SocketState,
    fault,
};
use stile_gate::Tables;

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;

/// Which IPv4 networks of 24 bits have something protected in them; see `filter_v4` in
/// stile-common.
#[map]
static FILTER_V4: Array<u64> = Array::with_max_entries(FILTER_WORDS, 0);
/// The same for IPv6, with false alarms; see `filter_v6`.
#[map]
static FILTER_V6: Array<u64> = Array::with_max_entries(FILTER_WORDS, 0);
/// Protected single IPv4 addresses and their port classes. The daemon makes it larger for a
/// large policy.
#[map]
static HOST_V4: HashMap<[u8; 4], u32> = HashMap::with_max_entries(1 << 14, NO_PREALLOC);
/// Protected single IPv6 addresses.
#[map]
static HOST_V6: HashMap<[u8; 16], u32> = HashMap::with_max_entries(1 << 14, NO_PREALLOC);
/// Protected IPv4 prefixes and their port classes; also single addresses for which there is no
/// place in `HOST_V4`.
#[map]
static PREFIX_V4: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1 << 20, 0);
/// Protected IPv6 prefixes.
#[map]
static PREFIX_V6: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1 << 20, 0);
/// Port classes.
#[map]
static CLASS: Array<PortClass> = Array::with_max_entries(4096, 0);
/// What happens at a first attempt.
#[map]
static FIRST: HashMap<FirstKey, u32> = HashMap::with_max_entries(1 << 18, NO_PREALLOC);
/// Whose session a slice is.
#[map]
static SLICES: HashMap<u64, u32> = HashMap::with_max_entries(1 << 16, NO_PREALLOC);
/// Grants.
#[map]
pub static GRANTS: HashMap<GrantKey, GrantValue> = HashMap::with_max_entries(1 << 16, NO_PREALLOC);
/// The settings.
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
/// What the gate remembers of a socket.
#[btf_map]
pub static SOCKETS: SkStorage<SocketState> = SkStorage::new();
/// Attempts that wait for the daemon's word, so that the next daemon can take them over.
#[map]
pub static HELD: HashMap<u64, Attempt> = HashMap::with_max_entries(1 << 15, NO_PREALLOC);
/// Attempts that need the daemon: wakes it. Room for 4,000 attempts with their SYN. The ring is
/// mapped twice over into the daemon, and counts there.
#[map]
pub static ATTEMPTS: RingBuf = RingBuf::with_byte_size(ATTEMPTS_SIZE as u32, 0);
/// Its size in bytes.
pub const ATTEMPTS_SIZE: u64 = 1 << 20;
/// Connections that a grant let through: wakes it only when half full.
#[map]
pub static FLOWS: RingBuf = RingBuf::with_byte_size(FLOWS_SIZE as u32, 0);
/// Its size in bytes.
pub const FLOWS_SIZE: u64 = 1 << 19;
/// How much of the daemon's attention each subject has taken. One that is forgotten begins
/// anew.
#[map]
pub static BUDGETS: LruHashMap<u64, Budget> = LruHashMap::with_max_entries(1 << 14, 0);
/// Since when the daemon has left something unread; 0 if it hasn't.
#[map]
pub static UNREAD: Array<u64> = Array::with_max_entries(1, 0);
/// What went wrong.
#[map]
static FAULTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(fault::COUNT, 0);
/// Where `stile_connect4` goes on. The daemon alone holds it: when the daemon dies, however
/// it dies, the kernel empties it (`prog_array_map_clear` in kernel/bpf/arraymap.c).
#[map]
pub static HOLD4: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// Where `stile_connect6` goes on.
#[map]
pub static HOLD6: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// Where `stile_sendmsg4` goes on.
#[map]
pub static ASK4: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// Where `stile_sendmsg6` goes on.
#[map]
pub static ASK6: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Counts a fault.
#[inline(always)]
pub fn count(fault: u32) {
    if let Some(counter) = FAULTS.get_ptr_mut(fault) {
        // SAFETY: the pointer is this CPU's own element. A count that an interrupt takes in
        // between can be lost; what it stands for is denied all the same.
        unsafe { *counter += 1 };
    }
}

/// The maps as the decision sees them.
pub struct KernelTables;

impl Tables for KernelTables {
    #[inline(always)]
    fn filter_v4(&self, word: u32) -> Option<u64> {
        FILTER_V4.get(word).copied()
    }

    #[inline(always)]
    fn filter_v6(&self, word: u32) -> Option<u64> {
        FILTER_V6.get(word).copied()
    }

    #[inline(always)]
    fn host_v4(&self, octets: [u8; 4]) -> Option<u32> {
        // SAFETY: the value is one word and read once.
        unsafe { HOST_V4.get(octets) }.copied()
    }

    #[inline(always)]
    fn host_v6(&self, octets: [u8; 16]) -> Option<u32> {
        // SAFETY: the value is one word and read once.
        unsafe { HOST_V6.get(octets) }.copied()
    }

    #[inline(always)]
    fn net_v4(&self, octets: [u8; 4]) -> Option<u32> {
        PREFIX_V4.get(Key::new(32, octets)).copied()
    }

    #[inline(always)]
    fn net_v6(&self, octets: [u8; 16]) -> Option<u32> {
        PREFIX_V6.get(Key::new(128, octets)).copied()
    }

    #[inline(always)]
    fn class(&self, class: u32) -> Option<&PortClass> {
        CLASS.get(class)
    }

    #[inline(always)]
    fn first(&self, key: &FirstKey) -> Option<u32> {
        // SAFETY: the value is one word and read once.
        unsafe { FIRST.get(key) }.copied()
    }

    #[inline(always)]
    fn grant(&self, key: &GrantKey) -> Option<GrantValue> {
        // SAFETY: the daemon replaces whole elements of this map, so the value read is one
        // that it wrote; a deleted element stays readable until the program ends (RCU).
        unsafe { GRANTS.get(key) }.copied()
    }

    #[inline(always)]
    fn slice_owner(&self, cgroup: u64) -> Option<u32> {
        // SAFETY: the value is one word and read once.
        unsafe { SLICES.get(cgroup) }.copied()
    }

    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        CONFIG.get(0)
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_ktime_get_boot_ns() }
    }
}
