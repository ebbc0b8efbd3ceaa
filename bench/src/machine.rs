// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine that the bench runs on.

use std::fs;

use crate::report::Machine;

impl Machine {
    /// This one, with the load that it has now. What it doesn't tell stays empty.
    pub(crate) fn here() -> Self {
        let load = read("/proc/loadavg");
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory: value(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            load: load
                .split(' ')
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(0.0),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
        }
    }
}

/// The processor that clients are kept on: the last one, because the first one has the
/// interrupts.
pub(crate) fn quiet_cpu() -> usize {
    std::thread::available_parallelism().map_or(0, |cpus| cpus.get() - 1)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `key : value`.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    let (_, value) = line.split_once(':')?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_stands_behind_its_key() {
        let text = "MemTotal:       24623456 kB\nMemFree: 1 kB\n";
        assert_eq!(value(text, "MemTotal").as_deref(), Some("24623456 kB"));
        assert_eq!(value(text, "SwapTotal"), None);
    }

    #[test]
    fn this_machine_tells_what_it_is() {
        let machine = Machine::here();
        assert!(machine.cpus > 0 && machine.memory > 0, "{machine:?}");
        assert!(!machine.kernel.is_empty(), "{machine:?}");
    }
}
