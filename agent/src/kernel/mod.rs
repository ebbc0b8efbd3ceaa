// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Both ends of the way of data: the gate in the kernel reports attempts, and takes grants.

mod gate;
mod preflight;
mod records;
mod tables;

pub use gate::{Gate, GateError, GateOptions, Rings, detach};
pub use preflight::{Finding, Preflight, Probe, Severity, SystemProbe, preflight};
pub use records::{Record, RecordError, decode};
pub use tables::{Tables, TablesError};

/// The kernel program, built by `cargo xtask build-ebpf`.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/gate.o"));
