// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the daemon reaches the person: for now, by a line on their terminal.

pub mod tty;
