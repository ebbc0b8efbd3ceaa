// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Clocks that are wrong: those of devices, as `stile factor test` tells it, and this host's.

use stile_tests::{ALICE, Host, Said, cannot_run};

use crate::scene::{alarms, is_wrong, opens, outcomes, with_token};

const TEST: [&str; 4] = ["factor", "test", "--stdin", "--json"];

fn test(host: &Host, code: &str) -> Said {
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

/// Ten steps of 30 seconds.
const AHEAD: (i64, i64) = (300, 10);

/// Has the daemon start anew with its clock so far ahead. False if that can't be done here.
fn restart_ahead(host: &mut Host, seconds: i64) -> bool {
    if let Err(why) = host.shift_clock(seconds) {
        cannot_run(why);
        return false;
    }
    host.restart();
    true
}

#[test]
fn a_clock_that_jumps_back_makes_no_used_code_good_again() {
    let (mut host, token) = with_token();
    let (seconds, steps) = AHEAD;
    if !restart_ahead(&mut host, seconds) {
        return;
    }
    // Of the time that the daemon believes in, and not of ours.
    is_wrong(&host, &token.code_far_away(0));
    opens(&host, &token.code_far_away(steps));
    // It goes back: neither that code nor one of the time between counts.
    restart_ahead(&mut host, 0);
    is_wrong(&host, &token.code_far_away(0));
    is_wrong(&host, &token.code_far_away(1));
    assert_eq!(
        outcomes(&host),
        ["wrong", "accepted", "replayed", "replayed"]
    );
    // And forward again, beyond what was used.
    restart_ahead(&mut host, seconds + 60);
    opens(&host, &token.code_far_away(steps + 2));
}

#[test]
fn a_clock_that_jumps_shortens_no_wait() {
    let (mut host, token) = with_token();
    for _ in 0..3 {
        is_wrong(&host, &token.wrong_code());
    }
    let (seconds, steps) = AHEAD;
    for (seconds, steps) in [(seconds, steps), (-seconds, -steps)] {
        if !restart_ahead(&mut host, seconds) {
            return;
        }
        let client = crate::scene::waiting(&host);
        let said = host.answer(ALICE, None, &token.code_far_away(steps));
        said.failed(1, "too many wrong codes");
        crate::scene::gives_up(&host, client);
    }
}
