// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Other names of one address.

use super::*;

#[test]
fn every_spelling_of_this_host_is_the_same_address() {
    let loopback = Address::from_v4([127, 0, 0, 1]);
    assert_eq!(Address::from_v4([0; 4]), loopback);
    let mapped = [
        0,
        0,
        u32::from_be(0xffff),
        u32::from_ne_bytes([127, 0, 0, 1]),
    ];
    assert_eq!(Address::from_v6(mapped), loopback);
    assert_eq!(
        Address::from_v6([0; 4]),
        Address::from_v6([0, 0, 0, u32::from_be(1)])
    );
}
