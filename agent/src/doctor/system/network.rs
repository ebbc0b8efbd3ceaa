// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways to reach a network, and what the gate makes of each.

use std::fs;
use std::io;
use std::path::Path;

use super::{Feature, Found, unless_refused};
use crate::sys::features;
use crate::sys::replay::{ReplayError, Replayer};
use crate::sys::sock_diag::{DiagError, Transport, probe_destroy};

/// Looks for one of them.
pub(super) fn look(feature: Feature) -> Found {
    match feature {
        Feature::RawSockets => raw_sockets(),
        Feature::DestroyTcp => destroy(Transport::Tcp),
        Feature::DestroyUdp => destroy(Transport::Udp),
        Feature::Mptcp => Found::Has(match read("/proc/sys/net/mptcp/enabled").as_deref() {
            Some("0") => "switched off".to_owned(),
            Some(_) => "on; each of its subflows passes the gate".to_owned(),
            None => "this kernel has none".to_owned(),
        }),
        Feature::FastOpen => Found::Has(match fast_open() {
            Some(true) => "clients may; data in a SYN is held back with it".to_owned(),
            Some(false) => "switched off for clients".to_owned(),
            None => "this kernel has none".to_owned(),
        }),
        Feature::IoUring => Found::Has(
            if features::has_io_uring() {
                "on; its connects pass the same hooks"
            } else {
                "not for this process"
            }
            .to_owned(),
        ),
        Feature::UdpLite => Found::Has(
            if is_registered("UDP-Lite") {
                "there; gated as UDP is"
            } else {
                "this kernel has none"
            }
            .to_owned(),
        ),
        Feature::Sctp => unhooked("SCTP", "sctp"),
        Feature::Dccp => unhooked("DCCP", "dccp"),
        _ => Found::Unseen("this is no way to reach a network".to_owned()),
    }
}

fn raw_sockets() -> Found {
    match Replayer::new() {
        Ok(_) => Found::Has("can be opened".to_owned()),
        Err(ReplayError::Open(error) | ReplayError::Send { source: error, .. }) => {
            unless_refused(&error)
        }
    }
}

fn destroy(transport: Transport) -> Found {
    match probe_destroy(transport) {
        Ok(()) => Found::Has("sockets can be ended".to_owned()),
        Err(DiagError::NotPermitted) => unless_refused(&io::Error::from_raw_os_error(libc::EPERM)),
        Err(error) => Found::Lacks(error.to_string()),
    }
}

/// The lowest bit is for clients (ip-sysctl.rst in the kernel's documentation).
fn fast_open() -> Option<bool> {
    let bits: u32 = read("/proc/sys/net/ipv4/tcp_fastopen")?.parse().ok()?;
    Some(bits & 1 == 1)
}

/// A protocol that has no connect hook. Opening a socket would load its module, so the
/// kernel's list of protocols is read, and that of its modules.
fn unhooked(name: &str, module: &str) -> Found {
    if is_registered(name) {
        return Found::Lacks("it is loaded".to_owned());
    }
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = Path::new("/lib/modules").join(release).join("modules.dep");
    let file = format!("/{module}.ko");
    match fs::read_to_string(modules) {
        Ok(list) if list.contains(&file) => {
            Found::Lacks("it isn't loaded, but any user can have it loaded".to_owned())
        }
        Ok(_) => Found::Has("this kernel has none".to_owned()),
        Err(_) => Found::Has("it isn't loaded, and no module of it is to be seen".to_owned()),
    }
}

fn is_registered(protocol: &str) -> bool {
    read("/proc/net/protocols").is_some_and(|list| {
        list.lines()
            .any(|line| line.split_whitespace().next() == Some(protocol))
    })
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
