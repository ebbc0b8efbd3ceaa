// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What lets user space write the maps.
#![expect(
    unsafe_code,
    reason = "aya::Pod is an unsafe trait; only this crate can say it of these types"
)]

use crate::{Attempt, Budget, Config, FirstKey, GrantKey, GrantValue, PortClass, SocketState};

/// Says that a type may be copied to and from a map byte by byte.
macro_rules! pod {
    ($($type:ty),+ $(,)?) => {$(
        // SAFETY: the type is repr(C), Copy, made of integers and arrays of them, so every
        // bit pattern is a value; its layout assertion shows that it has no hidden padding.
        unsafe impl aya::Pod for $type {}
    )+};
}

pod!(
    Attempt,
    Budget,
    Config,
    FirstKey,
    GrantKey,
    GrantValue,
    PortClass,
    SocketState
);
