// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Both ends of the way of data: the gate in the kernel reports attempts, and takes grants.

mod error;
mod family;
mod filter;
mod gate;
mod needs;
mod pins;
mod preflight;
mod programs;
mod records;
mod tables;

pub use error::GateError;
pub use gate::{Gate, GateOptions, Rings};
pub use needs::Feature;
pub(crate) use needs::{NEEDS, Weight};
pub use pins::detach;
pub use preflight::{Finding, Preflight, Probe, Severity, SystemProbe, preflight};
pub(crate) use preflight::{OLDEST, missing_capabilities};
pub(crate) use programs::ATTACHED;
pub use programs::try_gate;
pub use records::{Record, RecordError, decode};
pub use tables::{Tables, TablesError};

/// The kernel program, built by `cargo xtask build-ebpf`.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/gate.o"));
