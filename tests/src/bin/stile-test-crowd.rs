// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many connections of one process, as a connection pool or a server has them.
//!
//! `stile-test-crowd ADDRESS:PORT` obeys lines from stdin, each with one line as answer:
//! `as UID` goes on with that real uid, and prints `became UID`, if root runs it;
//! `begin N` begins N connects without waiting for them, and prints `begun N refused N since NANOS`,
//! where NANOS is `CLOCK_BOOTTIME` before the first one;
//! `pass tcp|udp RATE MILLISECONDS` makes connects, one after the other, that many a second (0: as
//! many as it can) for that time, closes each, and prints `passed N refused N took NANOS`;
//! `settle` waits until none of them is under way, and prints `connected N failed N at NANOS`,
//! where NANOS is `CLOCK_BOOTTIME` when the last one was connected; `talk` sends a byte on each
//! connection, and prints `talked N`, which is how many came back; `leave` closes all, and
//! prints `left`.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// How long the answer to a byte may take before the connection counts as silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sockets, in the order in which they were made.
struct Crowd {
    to: SocketAddr,
    sockets: Vec<Option<OwnedFd>>,
    under_way: usize,
    connected: usize,
    failed: usize,
    events: Epoll,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = arguments.as_slice() else {
        return usage();
    };
    let Ok(to) = address.parse() else {
        return usage();
    };
    match obey(to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: stile-test-crowd ADDRESS:PORT");
    ExitCode::from(2)
}

fn obey(to: SocketAddr) -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut crowd = Crowd {
        to,
        sockets: Vec::new(),
        under_way: 0,
        connected: 0,
        failed: 0,
        events: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
    };
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("as", uid)) => become_user(uid.parse().unwrap_or(0))?,
            Some(("begin", count)) => crowd.begin(count.parse().unwrap_or(0))?,
            Some(("pass", how)) => Passing::parse(to, how)?.pass()?,
            None if line == "settle" => crowd.settle()?,
            None if line == "talk" => crowd.talk(),
            None if line == "leave" => crowd.leave(),
            _ => return Err(io::Error::other(format!("no order: {line}"))),
        }
    }
    Ok(())
}

impl Crowd {
    fn begin(&mut self, count: usize) -> io::Result<()> {
        let mut refused = 0;
        let since = now()?;
        for _ in 0..count {
            let family = family(self.to);
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
            match net::connect(&socket, &self.to) {
                Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
                Err(rustix::io::Errno::PERM) => {
                    refused += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let writable = EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT;
            let event = EpollEvent::new(writable, self.sockets.len() as u64);
            self.events.add(&socket, event)?;
            self.sockets.push(Some(socket));
            self.under_way += 1;
        }
        println!("begun {} refused {refused} since {since}", count - refused);
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        let mut last = 0;
        let mut events = [EpollEvent::empty(); 256];
        while self.under_way > 0 {
            let ready = match self.events.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            for event in &events[..ready] {
                self.under_way -= 1;
                if self.is_connected(event.data()) {
                    self.connected += 1;
                    last = now()?;
                } else {
                    self.failed += 1;
                }
            }
        }
        println!(
            "connected {} failed {} at {last}",
            self.connected, self.failed
        );
        Ok(())
    }

    /// Looks how a connect ended. A socket whose connect has failed is closed.
    fn is_connected(&mut self, index: u64) -> bool {
        let place = usize::try_from(index).ok();
        let Some(place) = place.and_then(|index| self.sockets.get_mut(index)) else {
            return false;
        };
        let error = place.as_ref().map(sockopt::socket_error);
        let connected = matches!(error, Some(Ok(Ok(()))));
        if !connected {
            *place = None;
        }
        connected
    }

    fn talk(&self) {
        let talks = self
            .sockets
            .iter()
            .flatten()
            .filter(|socket| answers(socket));
        println!("talked {}", talks.count());
    }

    fn leave(&mut self) {
        // With a reset, which leaves no port behind.
        for socket in self.sockets.drain(..).flatten() {
            let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        }
        (self.under_way, self.connected, self.failed) = (0, 0, 0);
        println!("left");
    }
}

/// Connects one after the other.
struct Passing {
    to: SocketAddr,
    udp: bool,
    /// Connects a second; 0 for as many as it can.
    rate: u32,
    time: Duration,
}

impl Passing {
    fn parse(to: SocketAddr, how: &str) -> io::Result<Self> {
        let words: Vec<&str> = how.split(' ').collect();
        let [protocol, rate, time] = words.as_slice() else {
            return Err(io::Error::other(format!("no order: pass {how}")));
        };
        Ok(Self {
            to,
            udp: *protocol == "udp",
            rate: rate.parse().map_err(io::Error::other)?,
            time: Duration::from_millis(time.parse().map_err(io::Error::other)?),
        })
    }

    fn pass(&self) -> io::Result<()> {
        let (mut passed, mut refused) = (0_u32, 0_u32);
        let began = Instant::now();
        loop {
            let made = passed + refused;
            let due = match self.rate {
                0 => Duration::ZERO,
                rate => Duration::from_secs(1) * made / rate,
            };
            let early = due.saturating_sub(began.elapsed());
            if early > Duration::from_millis(1) {
                std::thread::sleep(early);
            }
            if made.is_multiple_of(16) && began.elapsed() >= self.time {
                break;
            }
            match self.connect_and_close()? {
                Ok(()) => passed += 1,
                Err(rustix::io::Errno::PERM) => refused += 1,
                Err(error) => return Err(error.into()),
            }
        }
        let took = began.elapsed().as_nanos();
        println!("passed {passed} refused {refused} took {took}");
        Ok(())
    }

    fn connect_and_close(&self) -> io::Result<Result<(), rustix::io::Errno>> {
        let kind = match self.udp {
            true => SocketType::DGRAM,
            false => SocketType::STREAM,
        };
        let socket = net::socket(family(self.to), kind, None)?;
        let outcome = net::connect(&socket, &self.to);
        if self.udp {
            return Ok(outcome);
        }
        // With a reset, which leaves no port behind.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        Ok(outcome)
    }
}

fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// Takes another real uid; the effective one stays root's, so that it can take yet another.
fn become_user(uid: u32) -> io::Result<()> {
    let keep = nix::unistd::geteuid();
    nix::unistd::setresuid(uid.into(), keep, keep)?;
    println!("became {uid}");
    Ok(())
}

/// True if the server sends back what it gets.
fn answers(socket: &OwnedFd) -> bool {
    let blocking = rustix::io::ioctl_fionbio(socket, false);
    let patient = sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(PATIENCE));
    let mut byte = [0];
    blocking.is_ok()
        && patient.is_ok()
        && net::send(socket, b"x", SendFlags::NOSIGNAL) == Ok(1)
        && matches!(
            net::recv(socket, byte.as_mut_slice(), RecvFlags::empty()),
            Ok((1, _))
        )
}

fn now() -> io::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    let nanos = Duration::from(now).as_nanos();
    u64::try_from(nanos).map_err(io::Error::other)
}
