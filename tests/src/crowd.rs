// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Thousands of connections: programs that make them, and a server that takes them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, socket,
};

use crate::host::Host;
use crate::process::Running;
use crate::sandbox::{self, User};

/// How long a whole crowd may take: as many times longer than one connection as it is larger.
const PATIENCE: Duration = Duration::from_secs(180);

/// A program with thousands of connections (`tests/src/bin/stile-test-crowd.rs`).
#[derive(Debug)]
pub struct Crowd {
    process: Running,
    lines: Receiver<String>,
    since: u64,
}

/// What became of connects that were made one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// How many got through.
    pub passed: u64,
    /// How many got EPERM.
    pub refused: u64,
    /// How long all of it took.
    pub took: Duration,
}

/// What became of the connects of a crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// How many are connected.
    pub connected: u64,
    /// How many have failed.
    pub failed: u64,
    /// `CLOCK_BOOTTIME` in nanoseconds when the last one was connected; 0 if none was.
    pub at: u64,
}

impl Crowd {
    /// Begins this many more connects, without waiting for them. Returns how many were
    /// begun; the others got EPERM.
    #[track_caller]
    pub fn begin(&mut self, connects: u64) -> u64 {
        let names = ["begun", "refused", "since"];
        let [begun, refused, since] = self.ask(&format!("begin {connects}"), names);
        assert_eq!(begun + refused, connects);
        self.since = since;
        begun
    }

    /// `CLOCK_BOOTTIME` in nanoseconds before the connects that were begun last.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Goes on with this real uid. Only a crowd of root's can.
    #[track_caller]
    pub fn become_user(&mut self, uid: u32) {
        let [became] = self.ask(&format!("as {uid}"), ["became"]);
        assert_eq!(became, u64::from(uid));
    }

    /// Begins to connect over and over for this time, by UDP or TCP, closing each connection: so
    /// many a second, or with 0 as many as it can. [`Self::passed`] waits for what came of it.
    pub fn begin_passing(&mut self, udp: bool, rate: u32, time: Duration) {
        let protocol = if udp { "udp" } else { "tcp" };
        self.order(&format!("pass {protocol} {rate} {}", time.as_millis()));
    }

    /// Waits for what came of [`Self::begin_passing`].
    #[track_caller]
    pub fn passed(&mut self) -> Passed {
        let [passed, refused, took] = self.hear(["passed", "refused", "took"]);
        Passed {
            passed,
            refused,
            took: Duration::from_nanos(took),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until none of its connects is under way.
    #[track_caller]
    pub fn settle(&mut self) -> Settled {
        self.order("settle");
        self.settled()
    }

    /// Waits for what came of an ordered `settle`.
    #[track_caller]
    pub fn settled(&mut self) -> Settled {
        let [connected, failed, at] = self.hear(["connected", "failed", "at"]);
        Settled {
            connected,
            failed,
            at,
        }
    }

    /// Sends a byte on each connection. Returns how many came back.
    #[track_caller]
    pub fn talk(&mut self) -> u64 {
        let [talked] = self.ask("talk", ["talked"]);
        talked
    }

    /// Closes all its sockets.
    #[track_caller]
    pub fn leave(&mut self) {
        let [] = self.ask("leave", []);
    }

    /// Gives it an order without waiting for the answer.
    pub fn order(&mut self, line: &str) {
        let input = self.process.child().stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    #[track_caller]
    fn ask<const N: usize>(&mut self, line: &str, names: [&str; N]) -> [u64; N] {
        self.order(line);
        self.hear(names)
    }

    #[track_caller]
    fn hear<const N: usize>(&mut self, names: [&str; N]) -> [u64; N] {
        let line = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the crowd said nothing for {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the crowd has ended"),
        };
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(2 * at + 1).and_then(|word| word.parse().ok());
        std::array::from_fn(|at| match words.get(2 * at) {
            Some(word) if *word == names[at] => number(at),
            _ => None,
        })
        .map(|number| number.unwrap_or_else(|| panic!("the crowd said {line:?}")))
    }
}

impl Host {
    /// A program of this user that will have thousands of connections to this address.
    #[must_use]
    pub fn crowd(&self, user: User, to: SocketAddr) -> Crowd {
        let mut command = self.as_user(user, sandbox::bin("stile-test-crowd"));
        command
            .arg(to.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Running::new(&mut command);
        let output = BufReader::new(process.child().stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut written = output.lines().map_while(Result::ok);
            written.try_for_each(|line| sender.send(line))
        });
        Crowd {
            process,
            lines,
            since: 0,
        }
    }
}

/// An echo server for thousands of connections, in one thread. [`crate::Server`] has a thread
/// for each. It ends when this is dropped.
#[derive(Debug)]
pub struct CrowdServer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    end: Arc<EventFd>,
}

/// What the kernel calls the listening socket, and the wish to end, among a server's events.
const LISTENER: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

impl CrowdServer {
    /// Starts one.
    #[must_use]
    pub fn start(address: IpAddr, port: u16) -> Self {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        let address = SocketAddr::new(address, port);
        let listener = listener(address);
        let accepted = Arc::<AtomicUsize>::default();
        let end = Arc::new(EventFd::new().unwrap());
        let server = Self {
            address,
            accepted: Arc::clone(&accepted),
            end: Arc::clone(&end),
        };
        std::thread::spawn(move || serve(listener, &accepted, &end));
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for CrowdServer {
    fn drop(&mut self) {
        let _ = self.end.write(1);
    }
}

/// A listening socket with as long a queue as the kernel gives.
fn listener(address: SocketAddr) -> std::net::TcpListener {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener: OwnedFd = socket(family, SockType::Stream, flags, None).unwrap();
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    listen(&listener, Backlog::MAXALLOWABLE).unwrap();
    listener.into()
}

fn serve(listener: std::net::TcpListener, accepted: &AtomicUsize, end: &EventFd) {
    let events = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
    events.add(&listener, readable(LISTENER)).unwrap();
    events.add(end, readable(END)).unwrap();
    let mut streams: HashMap<u64, TcpStream> = HashMap::new();
    let mut last = 0;
    let mut ready = [EpollEvent::empty(); 256];
    loop {
        let count = match events.wait(&mut ready, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other.unwrap(),
        };
        for event in &ready[..count] {
            match event.data() {
                END => return,
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        stream.set_nonblocking(true).unwrap();
                        accepted.fetch_add(1, Ordering::SeqCst);
                        last += 1;
                        events.add(&stream, readable(last)).unwrap();
                        streams.insert(last, stream);
                    }
                }
                token => {
                    if !streams.get_mut(&token).is_some_and(echo) {
                        streams.remove(&token);
                    }
                }
            }
        }
    }
}

/// Sends back what there is. False at the end of the stream.
fn echo(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 2048];
    match stream.read(&mut buffer) {
        Ok(length) => length > 0 && stream.write_all(&buffer[..length]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
