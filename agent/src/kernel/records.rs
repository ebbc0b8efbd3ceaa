// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what the gate reports. The rings carry bytes; nothing here trusts their length.

use stile_common::{Attempt, Cut, MAX_SYN, SynHeader, record_kind};
use zerocopy::FromBytes;

use crate::ids::SocketCookie;

/// One report of the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A connect to a protected endpoint.
    Attempt(Box<Attempt>),
    /// The SYN of a held socket: the IP packet.
    Syn {
        /// The socket.
        cookie: SocketCookie,
        /// The interface that it is bound to, or 0.
        interface: u32,
        /// The packet.
        packet: Vec<u8>,
    },
    /// A connection that was cut because its grant has ended.
    Cut(Cut),
}

/// A record that can't be read. The gate and the daemon are of one build, so this is a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too short for its kind.
    #[error("a record of {0} bytes is too short for its kind")]
    Short(usize),
    /// Not a kind of this version.
    #[error("there is no record of kind {0}")]
    UnknownKind(u32),
    /// A SYN that claims more bytes than it has, or more than one may have.
    #[error("a captured packet claims {0} bytes")]
    Length(u32),
}

/// Decodes one record.
///
/// # Errors
/// If the bytes are no record of this version.
pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let short = RecordError::Short(bytes.len());
    let kind = bytes
        .first_chunk::<4>()
        .map(|word| u32::from_ne_bytes(*word))
        .ok_or(short)?;
    match kind {
        record_kind::ATTEMPT => {
            let (attempt, _) = Attempt::read_from_prefix(bytes).map_err(|_| short)?;
            Ok(Record::Attempt(Box::new(attempt)))
        }
        record_kind::SYN => {
            let (header, rest) = SynHeader::read_from_prefix(bytes).map_err(|_| short)?;
            let wrong = RecordError::Length(header.len);
            let len = usize::try_from(header.len).map_err(|_| wrong)?;
            let packet = rest.get(..len).filter(|_| len <= MAX_SYN).ok_or(wrong)?;
            Ok(Record::Syn {
                cookie: SocketCookie(header.cookie),
                interface: header.interface,
                packet: packet.to_vec(),
            })
        }
        record_kind::CUT => {
            let (cut, _) = Cut::read_from_prefix(bytes).map_err(|_| short)?;
            Ok(Record::Cut(cut))
        }
        other => Err(RecordError::UnknownKind(other)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn syn(len: u32, packet: &[u8]) -> Vec<u8> {
        let mut bytes = record_kind::SYN.to_ne_bytes().to_vec();
        bytes.extend(len.to_ne_bytes());
        bytes.extend(7_u64.to_ne_bytes());
        bytes.extend(3_u64.to_le_bytes());
        bytes.extend(packet);
        bytes
    }

    #[test]
    fn a_syn_is_as_long_as_its_header_says() {
        assert_eq!(
            decode(&syn(2, &[1, 2, 3])),
            Ok(Record::Syn {
                cookie: SocketCookie(7),
                interface: 3,
                packet: vec![1, 2],
            })
        );
    }

    #[test]
    fn a_syn_that_claims_too_much_is_refused() {
        assert_eq!(decode(&syn(4, &[1, 2, 3])), Err(RecordError::Length(4)));
        assert_eq!(decode(&syn(600, &[0; 600])), Err(RecordError::Length(600)));
    }

    #[test]
    fn what_is_too_short_or_unknown_is_refused() {
        assert_eq!(decode(&[]), Err(RecordError::Short(0)));
        assert_eq!(
            decode(&record_kind::ATTEMPT.to_ne_bytes()),
            Err(RecordError::Short(4))
        );
        assert_eq!(
            decode(&99_u32.to_ne_bytes()),
            Err(RecordError::UnknownKind(99))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let _ = decode(&bytes);
        }
    }
}
