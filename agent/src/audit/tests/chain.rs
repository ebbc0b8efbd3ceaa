// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

#[test]
fn any_changed_byte_is_found() {
    let bytes = Fixture::with(&story()).bytes();
    assert_eq!(fault_of(&bytes), None);
    let mut changed = bytes.clone();
    for (at, &byte) in bytes.iter().enumerate() {
        for with in [byte ^ 1, byte ^ 0x20, b'\n', b'"'] {
            if with != byte {
                changed[at] = with;
                assert_ne!(fault_of(&changed), None, "byte {at} changed to {with:#x}");
            }
        }
        changed[at] = byte;
    }
}

#[test]
fn the_first_fault_is_named_with_its_line() {
    let lines = Fixture::with(&story()).lines();
    let check = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        fault_of(&changed.concat())
    };
    let text = |lines: &mut Vec<Vec<u8>>| lines[4][200] ^= 1;
    assert_eq!(check(&text), Some((5, Fault::Changed)));
    let form = |lines: &mut Vec<Vec<u8>>| {
        let at = lines[4].len() - 70;
        lines[4][at] = b' ';
    };
    assert_eq!(check(&form), Some((5, Fault::NotARecord)));
    let long = |lines: &mut Vec<Vec<u8>>| lines[7] = vec![b'x'; MAX_LINE + 10];
    assert_eq!(check(&long), Some((8, Fault::NotARecord)));
    let torn = |lines: &mut Vec<Vec<u8>>| {
        lines[30].pop();
    };
    assert_eq!(check(&torn), Some((31, Fault::Torn)));
    let empty = |lines: &mut Vec<Vec<u8>>| lines.clear();
    assert_eq!(check(&empty), Some((1, Fault::Empty)));
}

#[test]
fn a_removed_swapped_or_inserted_record_is_found() {
    let lines = Fixture::with(&story()).lines();
    for at in 0..lines.len() - 1 {
        let line = at as u64 + 1;
        let mut removed = lines.clone();
        removed.remove(at);
        let found = Seq(line + 1);
        assert_eq!(
            fault_of(&removed.concat()),
            Some((line, Fault::OutOfOrder { found }))
        );
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        assert_eq!(
            fault_of(&swapped.concat()),
            Some((line, Fault::OutOfOrder { found }))
        );
        let mut inserted = lines.clone();
        inserted.insert(at + 1, lines[at].clone());
        let found = Seq(line);
        assert_eq!(
            fault_of(&inserted.concat()),
            Some((line + 1, Fault::OutOfOrder { found }))
        );
    }
}

#[test]
fn a_record_with_the_right_number_from_another_log_is_found() {
    let one = Fixture::with(&story()).lines();
    let other = Fixture::with(&story()).lines();
    for at in 1..one.len() {
        let mut mixed = one.clone();
        mixed[at].clone_from(&other[at]);
        assert_eq!(
            fault_of(&mixed.concat()),
            Some((at as u64 + 1, Fault::Foreign))
        );
    }
    // A log that begins anew without its genesis.
    let (forged, _) = line::encode(Seq(1), Hash::ZERO, &fault_event("")).unwrap();
    assert_eq!(fault_of(&forged), Some((1, Fault::NotARecord)));
}
