// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gate takes of the kernel's memory.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::MapData;

use crate::host::Host;

impl Host {
    /// The gate's maps by their names, and how many bytes of memory the kernel counts for each
    /// (`memlock` of their descriptors; proc_pid_fdinfo(5)).
    #[must_use]
    pub fn map_bytes(&self) -> Vec<(String, u64)> {
        let version = format!("v{}", stile_common::ABI_VERSION);
        let pins = fs::read_dir(self.pins().join(version)).unwrap();
        let files = pins
            .map(Result::unwrap)
            .filter(|pin| !pin.file_type().unwrap().is_dir());
        files
            .map(|pin| {
                let map = MapData::from_pin(pin.path()).unwrap();
                let fd = map.fd().as_fd().as_raw_fd();
                let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
                let bytes = info.lines().find_map(|line| line.strip_prefix("memlock:"));
                let name = pin.file_name().into_string().unwrap();
                (name, bytes.unwrap().trim().parse().unwrap())
            })
            .collect()
    }
}
