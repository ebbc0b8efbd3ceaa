// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measures stile: each thing with stile, without it, and with what a user would pick instead,
//! in turn. `cargo xtask bench` builds it and runs it in a sandbox.

mod lane;
mod report;
mod rounds;
mod sections;
mod stats;

fn main() {}
