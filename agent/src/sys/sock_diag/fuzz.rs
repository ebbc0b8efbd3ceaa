// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as an answer of the kernel's.

use super::netlink::messages;
use super::wire::{Message, SOCK_DESTROY, socket_request};

/// Reads them as one datagram. A socket in it must be asked for by the name that it has.
pub(crate) fn fuzz(data: &[u8]) {
    let mut read = 0;
    for framed in messages(data) {
        read += 1;
        // A message has a header of 16 bytes.
        assert!(
            16 * (read - 1) <= data.len(),
            "more messages than there are bytes"
        );
        let Ok(framed) = framed else { continue };
        if let Message::Socket(socket) = framed.message {
            let request = socket_request(SOCK_DESTROY, &socket, framed.sequence);
            assert_eq!(request.len(), 72);
            let id = &request[24..];
            assert_eq!(id[0..2], socket.local.port().to_be_bytes());
            assert_eq!(id[2..4], socket.remote.port().to_be_bytes());
            // The cookie, which lies in the answer as it lies in the request.
            assert!(data.windows(8).any(|bytes| bytes == &id[40..48]));
        }
    }
}
