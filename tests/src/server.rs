// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that sends back what it gets, over TCP and UDP, and counts.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The connections that are open, by the order in which they came.
type Live = HashMap<usize, TcpStream>;

/// An echo server on one address, on one port of both protocols. It lives in threads of the
/// test, outside of the host's cgroup, and ends with it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    socket: UdpSocket,
    accepted: Arc<AtomicUsize>,
    datagrams: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    live: Arc<Mutex<Option<Live>>>,
}

impl Server {
    /// Starts one on this address, and a port of its choice if that is 0.
    #[must_use]
    pub fn start(address: IpAddr, port: u16) -> Self {
        let (listener, socket) = bind(address, port);
        let address = listener.local_addr().unwrap();
        let server = Self {
            address,
            socket: socket.try_clone().unwrap(),
            accepted: Arc::default(),
            datagrams: Arc::default(),
            bytes: Arc::default(),
            live: Arc::new(Mutex::new(Some(Live::new()))),
        };
        let (accepted, live) = (Arc::clone(&server.accepted), Arc::clone(&server.live));
        let bytes = Arc::clone(&server.bytes);
        std::thread::spawn(move || accept(&listener, &accepted, &bytes, &live));
        let (datagrams, alive) = (Arc::clone(&server.datagrams), Arc::downgrade(&server.live));
        let bytes = Arc::clone(&server.bytes);
        std::thread::spawn(move || {
            // Looks now and then whether anybody is left who might ask.
            socket
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let mut buffer = [0; 2048];
            while alive.strong_count() > 0 {
                if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    datagrams.fetch_add(1, Ordering::SeqCst);
                    bytes.fetch_add(length, Ordering::SeqCst);
                    let _ = socket.send_to(&buffer[..length], peer);
                }
            }
        });
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many TCP connections it has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Sends a line on every TCP connection, unasked.
    pub fn push(&self, text: &str) {
        let mut live = self.live.lock().unwrap();
        for stream in live.iter_mut().flat_map(HashMap::values_mut) {
            let _ = stream.write_all(format!("{text}\n").as_bytes());
        }
    }

    /// Sends a datagram to this address, unasked.
    ///
    /// # Panics
    /// If the kernel doesn't take it.
    pub fn send_to(&self, to: SocketAddr, text: &str) {
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }

    /// How many datagrams it has got so far.
    #[must_use]
    pub fn datagrams(&self) -> usize {
        self.datagrams.load(Ordering::SeqCst)
    }

    /// How many bytes of data it has got so far, over both protocols.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for stream in self
            .live
            .lock()
            .unwrap()
            .take()
            .unwrap_or_default()
            .values()
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts: it finds nobody who wants its connections.
        let _ = TcpStream::connect(self.address);
    }
}

/// Takes one port of both protocols.
fn bind(address: IpAddr, port: u16) -> (TcpListener, UdpSocket) {
    loop {
        let listener = TcpListener::bind((address, port)).unwrap();
        match UdpSocket::bind(listener.local_addr().unwrap()) {
            Ok(socket) => return (listener, socket),
            // The kernel chose a port of TCP's that somebody has of UDP's: another one.
            Err(error) if port == 0 && error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => panic!("{address} port {port}: {error}"),
        }
    }
}

fn accept(
    listener: &TcpListener,
    accepted: &AtomicUsize,
    bytes: &Arc<AtomicUsize>,
    shared: &Arc<Mutex<Option<Live>>>,
) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let mut live = shared.lock().unwrap();
        let Some(live) = live.as_mut() else { return };
        let number = accepted.fetch_add(1, Ordering::SeqCst);
        live.insert(number, stream.try_clone().unwrap());
        let (bytes, shared) = (Arc::clone(bytes), Arc::clone(shared));
        std::thread::spawn(move || {
            echo(stream, &bytes);
            shared
                .lock()
                .unwrap()
                .as_mut()
                .map(|live| live.remove(&number));
        });
    }
}

fn echo(mut stream: TcpStream, bytes: &AtomicUsize) {
    let mut buffer = [0; 2048];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        bytes.fetch_add(length, Ordering::SeqCst);
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
