// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promises S1 and S8: whatever API a gated process uses, no byte of it reaches a protected
//! endpoint without a grant; and what isn't protected is none of the gate's business.
//!
//! Each way is tried twice: first without the gate, which shows that the way leads to the
//! server at all, then with it. `docs/security.md` has the table of all ways.

mod addresses;
mod addresses_nat64;
mod answering;
mod cgroups;
mod connecting;
mod datagrams;
mod handed;
mod io_uring;
mod ip_options;
mod namespaces;
mod network;
mod networks;
mod packets;
mod passing;
mod places;
mod processes;
mod protocols;
mod raw;
mod relays;
mod scene;
mod sink;
mod sockets;
mod ssh;
mod tcp_sockets;
mod topology;
mod udp_sockets;
mod ways;
