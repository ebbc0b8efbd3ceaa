// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gate's judgement over tables in memory.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Result, bail};
use stile::policy::{KernelTables, Policy, compile};
use stile_common::{
    Config, FirstKey, GrantKey, GrantValue, MAX_UID_RANGES, PortClass, Search, UidRange, protocol,
    search,
};
use stile_gate::{Address, Destination, Process, Tables, Verdict, judge_connect};

use super::names::OneGroup;
use super::{NOW, USER};

/// What the daemon would have written into the kernel's maps.
struct Model {
    tables: KernelTables,
    hosts: BTreeMap<[u8; 4], u32>,
    config: Config,
}

impl Tables for Model {
    fn filter_v4(&self, _: u32) -> Option<u64> {
        Some(u64::MAX)
    }
    fn filter_v6(&self, _: u32) -> Option<u64> {
        Some(u64::MAX)
    }
    fn host_v4(&self, octets: [u8; 4]) -> Option<u32> {
        self.hosts.get(&octets).copied()
    }
    fn host_v6(&self, _: [u8; 16]) -> Option<u32> {
        None
    }
    fn net_v4(&self, _: [u8; 4]) -> Option<u32> {
        None
    }
    fn net_v6(&self, _: [u8; 16]) -> Option<u32> {
        None
    }
    fn class(&self, class: u32) -> Option<&PortClass> {
        self.tables.classes.get(class as usize)
    }
    fn first(&self, key: &FirstKey) -> Option<u32> {
        let mut all = self.tables.first.iter();
        all.find_map(|(known, first)| (known == key).then_some(*first))
    }
    fn grant(&self, _: &GrantKey) -> Option<GrantValue> {
        None
    }
    fn slice_owner(&self, _: u64) -> Option<u32> {
        None
    }
    fn config(&self) -> Option<&Config> {
        Some(&self.config)
    }
    fn now(&self) -> u64 {
        NOW.boot.0
    }
}

/// A process of [`USER`] outside of a session.
struct Someone;

impl Process for Someone {
    fn uid(&self) -> u32 {
        USER
    }
    fn ancestor(&self, _: u32) -> u64 {
        1
    }
    fn cookie(&self) -> u64 {
        4711
    }
}

/// Judges so many attempts to reach a protected address without a grant.
pub(super) fn judge(policy: &Policy, count: u64) -> Result<()> {
    let tables = compile(policy, &OneGroup(String::new()))?;
    let hosts = tables.v4.iter();
    let hosts = hosts
        .map(|(net, class)| (net.addr().octets(), *class))
        .collect();
    let mut uids = [UidRange::default(); MAX_UID_RANGES];
    uids[0] = UidRange {
        first: 1000,
        last: 59_999,
    };
    let model = Model {
        tables,
        hosts,
        config: Config {
            user_slice: 0,
            patience_ns: 0,
            attempt_ns: 0,
            ahead_ns: 0,
            ahead_busy_ns: 0,
            epoch: 1,
            generation: 1,
            user_slice_level: 1,
            syn_count: 0,
            uid_ranges: 1,
            observes: 0,
            search: Search {
                v4: search::FILTERED,
                ..Search::default()
            },
            uids,
        },
    };
    let destination = Destination {
        address: Address::from_v4([192, 0, 2, 7]),
        port: 5432,
        protocol: protocol::TCP,
    };
    for _ in 0..count {
        let verdict = judge_connect(black_box(&model), &Someone, black_box(&destination));
        let Verdict::Ask { subject: USER, .. } = verdict else {
            bail!("the gate said {verdict:?}");
        };
    }
    Ok(())
}
