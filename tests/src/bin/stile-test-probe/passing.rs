// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets that another process has made.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType, ipproto,
};

use crate::{Done, connect_then_send, socket};

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("pass-a-socket", []) => pass_a_socket(),
        ("received-socket", &[to]) => connect_with_received(to),
        _ => return None,
    };
    Some(done)
}

fn connect_with_received(to: SocketAddr) -> Done {
    connect_then_send(&receive_a_socket()?, to)
}

/// Makes a TCP socket and sends it to whoever has the other end of stdin.
fn pass_a_socket() -> Done {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP))?;
    let sockets = [socket.as_fd()];
    let mut space = [const { std::mem::MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(Errno::NOBUFS);
    }
    let byte = [io::IoSlice::new(b"x")];
    net::sendmsg(io::stdin(), &byte, &mut message, SendFlags::empty())?;
    Ok(())
}

/// Takes the socket that [`pass_a_socket`] sends.
fn receive_a_socket() -> Result<OwnedFd, Errno> {
    let mut space = [const { std::mem::MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [io::IoSliceMut::new(&mut byte)];
    net::recvmsg(io::stdin(), &mut bytes, &mut message, RecvFlags::empty())?;
    for received in message.drain() {
        if let RecvAncillaryMessage::ScmRights(mut sockets) = received
            && let Some(socket) = sockets.next()
        {
            return Ok(socket);
        }
    }
    Err(Errno::BADMSG)
}
