// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tries one way to get data to an address, as a program might that knows all of them.
//!
//! `stile-test-probe WAY ADDRESS:PORT [FIRST:PORT]` prints `sent` once the kernel has taken
//! [`PAYLOAD`] for the address, or `error ERRNO`. Some ways use another address first.

mod ip_options;
mod load;
mod packet;
mod passing;
mod processes;
mod raw;
mod sys;
mod tcp;
mod tcp_options;
mod udp;
mod udp_options;
mod uring;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, Protocol, SendFlags, SocketFlags, SocketType};

/// What must not arrive.
const PAYLOAD: &[u8] = b"secret";

type Done = Result<(), Errno>;

/// `MSG_FASTOPEN` of tcp(7).
const FAST_OPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// Tries a way, if it is one of its own.
type Module = fn(&str, &[SocketAddr]) -> Option<Done>;

const MODULES: &[Module] = &[
    tcp::try_way,
    tcp_options::try_way,
    udp::try_way,
    udp_options::try_way,
    uring::try_way,
    ip_options::try_way,
    raw::try_way,
    passing::try_way,
    processes::try_way,
    load::try_way,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((way, addresses)) = arguments.split_first() else {
        return usage();
    };
    let Ok(addresses) = addresses.iter().map(|text| text.parse()).collect() else {
        return usage();
    };
    let addresses: Vec<SocketAddr> = addresses;
    match (way.as_str(), addresses.as_slice()) {
        ("tcp-loop", &[to]) => return load::tcp_loop(to),
        ("tcp-orphan", &[to]) => return load::orphan(to),
        _ => {}
    }
    let tried = MODULES.iter().find_map(|module| module(way, &addresses));
    match tried {
        Some(Ok(())) => println!("sent"),
        Some(Err(error)) => println!("error {}", error.raw_os_error()),
        None => return usage(),
    }
    // The socket lives until somebody says so.
    let _ = io::stdin().read_line(&mut String::new());
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: stile-test-probe WAY ADDRESS:PORT [FIRST:PORT]");
    ExitCode::from(2)
}

fn socket(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> Result<OwnedFd, Errno> {
    net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)
}

fn family(to: SocketAddr) -> AddressFamily {
    match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// Leaves a socket open until the process ends.
fn kept(socket: OwnedFd) -> Done {
    std::mem::forget(socket);
    Ok(())
}

fn connect_then_send(socket: &OwnedFd, to: SocketAddr) -> Done {
    net::connect(socket, &to)?;
    net::send(socket, PAYLOAD, SendFlags::NOSIGNAL)?;
    kept(rustix::io::dup(socket)?)
}

fn send_to(socket: OwnedFd, to: SocketAddr) -> Done {
    net::sendto(&socket, PAYLOAD, SendFlags::NOSIGNAL, &to)?;
    kept(socket)
}
