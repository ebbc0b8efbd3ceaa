// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets that another process has made.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType,
};

use crate::{Done, PAYLOAD, connect_then_send, kept, send_to, socket};

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("pass-a-socket", []) => pass_a_socket(SocketType::STREAM, None),
        ("pass-a-udp-socket", []) => pass_a_socket(SocketType::DGRAM, None),
        ("pass-a-connected-socket", &[to]) => pass_a_socket(SocketType::STREAM, Some(to)),
        ("pass-a-connected-udp-socket", &[to]) => pass_a_socket(SocketType::DGRAM, Some(to)),
        ("received-socket", &[to]) => connect_with_received(to),
        ("received-socket-reconnect", &[to]) => reconnect_received(to),
        ("received-socket-sendto", &[to]) => send_with_received(Some(to)),
        ("received-socket-send", []) => send_with_received(None),
        _ => return None,
    };
    Some(done)
}

fn connect_with_received(to: SocketAddr) -> Done {
    connect_then_send(&receive_a_socket()?, to)
}

fn reconnect_received(to: SocketAddr) -> Done {
    let socket = receive_a_socket()?;
    net::connect_unspec(&socket)?;
    connect_then_send(&socket, to)
}

/// Sends on the socket as it came, or to this address.
fn send_with_received(to: Option<SocketAddr>) -> Done {
    let socket = receive_a_socket()?;
    if let Some(to) = to {
        return send_to(socket, to);
    }
    net::send(&socket, PAYLOAD, SendFlags::NOSIGNAL)?;
    kept(socket)
}

/// Makes a socket, connects it if there is an address, and sends it to whoever has the other
/// end of stdin.
fn pass_a_socket(kind: SocketType, to: Option<SocketAddr>) -> Done {
    let socket = socket(AddressFamily::INET, kind, None)?;
    if let Some(to) = to {
        net::connect(&socket, &to)?;
    }
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
