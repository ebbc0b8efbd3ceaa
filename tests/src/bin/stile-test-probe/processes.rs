// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways on which a socket meets other times, threads, processes and users.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, exit};

use nix::sched::{CloneFlags, unshare};
use rustix::io::{Errno, dup};
use rustix::net::{self, SendFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::set_thread_res_uid;

use crate::tcp::{begin, finish, tcp};
use crate::udp::udp;
use crate::{Done, PAYLOAD, connect_then_send, family, kept, send_to};

/// The first descriptor that a program opens by itself: the socket, in a probe that waits.
const FIRST_OPENED: i32 = 3;

/// `WAY:ID` gives a way a uid or a process id.
pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let &[to] = addresses else {
        return None;
    };
    let done = match way.split_once(':') {
        Some((way, id)) => with_id(way, id.parse().ok()?, to)?,
        None => match way {
            "tcp-later" => tcp_later(to),
            "udp-later" => udp_later(to),
            "tcp-send-later" => send_later(&tcp(to), to),
            "udp-send-later" => send_later(&udp(family(to)), to),
            "tcp-forked" => forked(to),
            "tcp-executed" => executed(to),
            "tcp-left" => left(to),
            "tcp-abandoned" => abandoned(to),
            "connect-stdin" => dup(io::stdin()).and_then(|socket| connect_then_send(&socket, to)),
            "finish-stdin" => dup(io::stdin()).and_then(finish),
            _ => return None,
        },
    };
    Some(done)
}

fn with_id(way: &str, id: u32, to: SocketAddr) -> Option<Done> {
    Some(match way {
        "tcp-thread-of" => in_a_thread_of(id, to),
        "tcp-inherited-by" => inherited_by(id, to),
        "tcp-taken-from" => taken_from(id, to),
        _ => return None,
    })
}

/// Ends the first step of a way, and waits for the word to go on.
fn step() -> Done {
    println!("sent");
    match io::stdin().read_line(&mut String::new()) {
        Ok(1..) => Ok(()),
        _ => exit(0),
    }
}

fn tcp_later(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    step()?;
    connect_then_send(&socket, to)
}

fn udp_later(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    step()?;
    send_to(socket, to)
}

/// Makes the socket, leaves its network namespace for an empty one, and connects.
fn left(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET;
    unshare(namespaces).map_err(|error| Errno::from_raw_os_error(error as i32))?;
    connect_then_send(&socket, to)
}

/// Connects first, sends later.
fn send_later(socket: &Result<OwnedFd, Errno>, to: SocketAddr) -> Done {
    let socket = socket.as_ref().map_err(|error| *error)?;
    net::connect(socket, &to)?;
    step()?;
    net::send(socket, PAYLOAD, SendFlags::NOSIGNAL)?;
    kept(dup(socket)?)
}

/// This program in a new process, about to go another way with this socket as its stdin.
fn successor(way: &str, to: SocketAddr, socket: OwnedFd) -> Result<Command, Errno> {
    let program = std::env::current_exe().map_err(|_| Errno::NOENT)?;
    let mut command = Command::new(program);
    command.args([way, &to.to_string()]).stdin(socket);
    Ok(command)
}

fn spawn(command: &mut Command) -> Result<Child, Errno> {
    command.spawn().map_err(|_| Errno::CHILD)
}

/// Leaves the rest, and what is to be said, to a child.
fn leave_to(mut child: Child) -> Done {
    let _ = child.wait();
    exit(0)
}

fn forked(to: SocketAddr) -> Done {
    leave_to(spawn(&mut successor("connect-stdin", to, tcp(to)?)?)?)
}

fn executed(to: SocketAddr) -> Done {
    let error = successor("connect-stdin", to, tcp(to)?)?.exec();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::NOEXEC))
}

/// Begins a connect that a child will finish, and ends when somebody says so.
fn abandoned(to: SocketAddr) -> Done {
    spawn(&mut successor("finish-stdin", to, begin(to)?)?)?;
    let _ = io::stdin().read_line(&mut String::new());
    exit(0)
}

/// Begins a connect that a child of another user's finishes.
fn inherited_by(uid: u32, to: SocketAddr) -> Done {
    let mut child = successor("finish-stdin", to, begin(to)?)?;
    leave_to(spawn(child.uid(uid))?)
}

/// Connects in a thread that has a uid of its own (the system call knows only threads).
fn in_a_thread_of(uid: u32, to: SocketAddr) -> Done {
    let uid = rustix::process::Uid::from_raw(uid);
    let thread = std::thread::spawn(move || {
        set_thread_res_uid(uid, uid, uid)?;
        connect_then_send(&tcp(to)?, to)
    });
    thread.join().unwrap_or(Err(Errno::SRCH))
}

/// Takes the socket out of a probe that waits before its second step.
fn taken_from(pid: u32, to: SocketAddr) -> Done {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = pidfd_open(pid.ok_or(Errno::SRCH)?, PidfdFlags::empty())?;
    let socket = pidfd_getfd(process, FIRST_OPENED, PidfdGetfdFlags::empty())?;
    connect_then_send(&socket, to)
}
