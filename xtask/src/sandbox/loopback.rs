// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Brings up the loopback interface of a new network namespace, without needing iproute2.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// `RTM_NEWLINK` of rtnetlink(7).
const NEW_LINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK` of netlink(7).
const REQUEST_ACK: u16 = 1 | 4;
/// `NLMSG_ERROR`, which also carries the acknowledgement, as error 0.
const ERROR: u16 = 2;
/// `IFF_UP` of netdevice(7).
const UP: u32 = 1;
/// The loopback interface is the first one of every network namespace.
const LOOPBACK: i32 = 1;

/// Brings it up; the kernel gives it 127.0.0.0/8 and ::1 by itself.
pub(crate) fn up() -> Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )
    .context("could not open a netlink socket")?;
    sendto(
        socket.as_raw_fd(),
        &request(),
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )
    .context("could not ask the kernel to bring up the loopback interface")?;

    // An acknowledgement has 16 + 4 bytes and the head of what it answers.
    let mut answer = [0; 256];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())
        .context("no answer from the kernel about the loopback interface")?;
    match error_of(&answer[..length]) {
        Some(0) => Ok(()),
        Some(error) => bail!(
            "could not bring up the loopback interface: {}",
            nix::errno::Errno::from_raw(-error)
        ),
        None => bail!("the kernel answered strangely about the loopback interface"),
    }
}

/// `struct nlmsghdr` and `struct ifinfomsg`, 16 bytes each.
fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes()); // sequence number
    message.extend(0_u32.to_ne_bytes()); // port: the kernel's
    message.extend([0; 4]); // any family, padding, any device type
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(UP.to_ne_bytes()); // flags
    message.extend(UP.to_ne_bytes()); // which of them change
    message
}

fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    let error = i32::from_ne_bytes(*answer.get(16..)?.first_chunk()?);
    (kind == ERROR).then_some(error)
}
