// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the audit log says.

use std::path::PathBuf;

use serde_json::Value;

use crate::wait::until;

/// The audit log of a host.
#[derive(Clone, Debug)]
pub struct AuditLog(pub(crate) PathBuf);

impl AuditLog {
    /// Its file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// All records so far.
    #[must_use]
    pub fn records(&self) -> Records {
        let text = std::fs::read_to_string(&self.0).unwrap();
        // The last line may be under way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Records(
            whole
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }

    /// Waits until the log has this many records of an event, and returns all records.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, event: &str, count: usize) -> Records {
        until(&format!("{count} records of {event}"), || {
            let records = self.records();
            (records.of(event).len() >= count).then_some(records)
        })
    }
}

/// Records, oldest first.
#[derive(Clone, Debug)]
pub struct Records(Vec<Value>);

impl Records {
    /// The names of the events.
    #[must_use]
    pub fn events(&self) -> Vec<&str> {
        self.0.iter().map(event_of).collect()
    }

    /// The names of the events since the daemon was ready and the users were enrolled.
    #[must_use]
    pub fn story(&self) -> Vec<&str> {
        let prologue = ["genesis", "daemon-started", "policy-loaded", "enrolled"];
        self.events()
            .into_iter()
            .skip_while(|event| prologue.contains(event))
            .collect()
    }

    /// The records of one event.
    #[must_use]
    pub fn of(&self, event: &str) -> Vec<&Value> {
        self.0
            .iter()
            .filter(|record| event_of(record) == event)
            .collect()
    }

    /// How much of any of these kinds was lost, as the log says.
    #[must_use]
    pub fn lost(&self, kinds: &[&str]) -> u64 {
        let lost = self.of("events-lost").into_iter();
        lost.filter(|record| kinds.iter().any(|kind| record["kind"] == *kind))
            .map(|record| record["count"].as_u64().unwrap())
            .sum()
    }

    /// The only record of an event.
    ///
    /// # Panics
    /// If there is none, or several.
    #[track_caller]
    #[must_use]
    pub fn the(&self, event: &str) -> &Value {
        match self.of(event).as_slice() {
            [one] => one,
            others => panic!(
                "{} records of {event}, not one, in {:#?}",
                others.len(),
                self.0
            ),
        }
    }
}

fn event_of(record: &Value) -> &str {
    record["event"].as_str().unwrap()
}
