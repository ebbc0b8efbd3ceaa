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

/// `10.1.2.3` behind each length of prefix that RFC 6052 2.4 knows, written as its examples are.
#[test]
fn an_ipv4_address_behind_nat64_is_found_for_every_length() {
    let examples = [
        (32, [0x2001_0db8, 0x0a01_0203, 0, 0]),
        (40, [0x2001_0db8, 0x010a_0102, 0x0003_0000, 0]),
        (48, [0x2001_0db8, 0x0122_0a01, 0x0002_0300, 0]),
        (56, [0x2001_0db8, 0x0122_030a, 0x0001_0203, 0]),
        (64, [0x2001_0db8, 0x0122_0344, 0x000a_0102, 0x0300_0000]),
        (96, [0x2001_0db8, 0x0122_0344, 0, 0x0a01_0203]),
    ];
    for (len, words) in examples {
        let prefix = u128::from_be_bytes([
            0x20, 1, 0x0d, 0xb8, 1, 0x22, 3, 0x44, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        let cut = prefix & (u128::MAX << (128 - len));
        let mut nat64 = Nat64Prefix {
            len,
            ..Nat64Prefix::default()
        };
        for (word, bytes) in nat64
            .words
            .iter_mut()
            .zip(cut.to_be_bytes().chunks_exact(4))
        {
            *word = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
        }
        let address = Address::from_v6(words.map(u32::to_be));
        assert_eq!(
            address.behind(&nat64),
            Some(Address::from_v4([10, 1, 2, 3])),
            "/{len}"
        );
        let mut elsewhere = words.map(u32::to_be);
        elsewhere[if len == 32 { 0 } else { 1 }] ^= u32::from_be(0x8000_0000);
        assert_eq!(Address::from_v6(elsewhere).behind(&nat64), None, "/{len}");
    }
}

#[test]
fn a_protected_address_behind_nat64_is_protected() {
    let nat64 = Address::from_v6([u32::from_be(0x0064_ff9b), 0, 0, u32::from_be(0x0a01_0203)]);
    let to = Destination {
        address: nat64,
        ..v4([0; 4], 5432)
    };
    let model = one_database();
    assert_eq!(
        judge_connect(&model, &outside(ALICE), &to),
        ask(ALICE, first::HOLD)
    );
    let other = Destination { port: 80, ..to };
    assert_eq!(
        judge_connect(&model, &outside(ALICE), &other),
        Verdict::Unprotected
    );
}
