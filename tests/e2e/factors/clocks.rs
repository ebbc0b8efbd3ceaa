// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile factor test`: which device made a code, and how far is its clock off?

use stile_tests::{ALICE, Said};

use crate::scene::{alarms, is_wrong, opens, outcomes, with_token};

const TEST: [&str; 4] = ["factor", "test", "--stdin", "--json"];

fn test(host: &stile_tests::Host, code: &str) -> Said {
    host.stile_typing(ALICE, &TEST, code)
}

#[test]
fn a_device_whose_clock_is_right_is_told_so_and_its_code_is_used_up() {
    let (host, token) = with_token();
    let code = token.fresh_code();
    let said = test(&host, &code);
    assert_eq!(said.succeeded().json()["name"], "token");
    assert_eq!(said.json()["accepted"], true);
    is_wrong(&host, &code);
    assert_eq!(outcomes(&host), ["tested", "replayed"]);
    assert!(host.grants(ALICE).is_empty());
}

/// Two steps ahead: one more than is let pass, so 31 to 60 s.
#[test]
fn a_clock_that_is_ahead_is_told_and_its_code_is_refused_also_when_its_time_comes() {
    let (host, token) = with_token();
    let said = test(&host, &token.code_far_away(2));
    said.failed(1, "");
    assert_eq!(said.json()["seconds_ahead"], 60);
    assert_eq!(said.json()["accepted"], false);
    assert_eq!(host.factors(ALICE)[0]["failures"], 1);
    let text = host.stile_typing(
        ALICE,
        &["factor", "test", "--stdin"],
        &token.code_far_away(4),
    );
    assert_eq!(text.code, 1, "{text:?}");
    assert!(text.stdout.contains("ahead of this computer's"), "{text:?}");
    // Whoever had guessed it would have it now.
    is_wrong(&host, &token.code_at(1));
    assert_eq!(outcomes(&host), ["wrong", "wrong", "replayed"]);
    assert!(alarms(&host).is_empty());
}

#[test]
fn a_clock_that_is_behind_is_told_and_costs_no_later_code() {
    let (host, token) = with_token();
    let said = test(&host, &token.code_far_away(-3));
    assert_eq!(said.json()["accepted"], false);
    assert_eq!(said.json()["seconds_ahead"], -90);
    opens(&host, &token.fresh_code());
}
