// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server at the other end: this same program once more, in a network, as root and outside of
//! every gate. What it does with the bytes of a connection, the first one of each read says.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::lane::Network;
use crate::worker::enter;

/// The first byte of a connection that is bulk; anything else is sent back.
pub(crate) const BULK: u8 = b'B';
/// A byte that is sent back.
pub(crate) const ECHO: u8 = b'e';
/// Bytes of bulk data that the server acknowledges with one.
pub(crate) const MIB: usize = 1 << 20;

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server(Child);

/// Where a server serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The file of its network namespace.
    #[arg(long)]
    network: PathBuf,
    /// Its port, at every address.
    #[arg(long)]
    port: u16,
    /// The only processor that it runs on.
    #[arg(long)]
    cpu: Option<usize>,
}

impl Server {
    /// Starts one at every address of the network, on this port; on one processor if it is given.
    ///
    /// # Errors
    /// If it can't listen.
    pub(crate) fn start(network: &Network, port: u16, cpu: Option<usize>) -> Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg("serve")
            .arg("--network")
            .arg(network.path())
            .arg(format!("--port={port}"))
            .args(cpu.map(|cpu| format!("--cpu={cpu}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start a server")?;
        let mut said = String::new();
        if let Some(output) = child.stdout.as_mut() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let server = Self(child);
        ensure!(said == "ready\n", "a server can't listen on port {port}");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the kernel calls the listeners and the standard input among the events.
const LISTENERS: [u64; 2] = [u64::MAX, u64::MAX - 1];
const INPUT: u64 = u64::MAX - 2;

/// Serves until its standard input ends.
pub(crate) fn run(place: &Place) -> Result<()> {
    enter(&place.network, place.cpu)?;
    let addresses = [
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, place.port)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, place.port)),
    ];
    let events = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
    let mut listeners = HashMap::new();
    for (address, token) in addresses.into_iter().zip(LISTENERS) {
        let listener = TcpListener::from(crate::worker::listen(address)?);
        listener.set_nonblocking(true)?;
        events.add(&listener, readable(token))?;
        listeners.insert(token, listener);
    }
    events.add(std::io::stdin(), readable(INPUT))?;
    println!("ready");
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut buffer = vec![0; 256 << 10];
    let mut last = 0;
    let mut ready = [EpollEvent::empty(); 64];
    loop {
        let count = match events.wait(&mut ready, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        for event in &ready[..count] {
            let token = event.data();
            if token == INPUT {
                return Ok(());
            }
            if let Some(listener) = listeners.get(&token) {
                // One for each event: a client that waits for its answer has no other one.
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    last += 1;
                    events.add(&stream, readable(last))?;
                    connections.insert(last, Connection::new(stream));
                }
            } else if !connections
                .get_mut(&token)
                .is_some_and(|connection| connection.serve(&mut buffer))
            {
                connections.remove(&token);
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Bytes of bulk data that are not acknowledged.
    bulk: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, bulk: 0 }
    }

    /// Does what the bytes that have come say. False at the end of the stream.
    fn serve(&mut self, buffer: &mut [u8]) -> bool {
        let length = match self.stream.read(buffer) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        if buffer[0] != BULK {
            return self.stream.write_all(&buffer[..length]).is_ok();
        }
        self.bulk += length;
        let whole = self.bulk / MIB;
        self.bulk %= MIB;
        whole == 0 || self.stream.write_all(&vec![BULK; whole]).is_ok()
    }
}
