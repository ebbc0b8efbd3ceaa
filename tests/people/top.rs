// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile top` on a real terminal, and what it needs of the agent.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Instant;

use nix::sys::signal::Signal;
use stile_tests::{ALICE, BOB, Host, ROOT, Screen, User, measured, patience, until};

const SIZE: (u16, u16) = (100, 24);
const CTRL_C: &str = "\x03";

fn top(host: &Host, user: User) -> Screen {
    let mut screen = host.on_screen(user, &["top"], SIZE, &[]);
    screen.shows("stile top");
    screen.shows("Waiting for an answer (0)");
    screen
}

#[test]
fn a_held_connect_appears_and_goes_on_with_a_code_that_nobody_sees() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut top = top(&host, ALICE);
    top.shows("nothing is pending");
    let begun = Instant::now();
    let mut client = host.connect(ALICE);
    let seen = top.shows("Waiting for an answer (1)");
    let took = begun.elapsed().as_millis();
    measured(&format!("a held connect was on the screen after {took} ms"));
    assert!(seen.contains("stile-test-client"), "{seen}");
    assert!(
        seen.contains(&host.server().address().to_string()),
        "{seen}"
    );

    let code = authenticator.fresh_code();
    top.types("a");
    top.shows("Started by");
    top.types(&code);
    let seen = top.shows("code: ******");
    assert!(!seen.contains(&code), "{seen}");
    client.still_waits();
    top.types("\r");
    client.connected();
    client.talks();
    top.shows("approved for");
    top.shows("Grants (1)");
    let seen = top.shows("with proof");
    assert!(seen.contains("Waiting for an answer (0)"), "{seen}");
    assert!(!top.has_written(&code));
}

#[test]
fn it_hears_what_happens_instead_of_asking() {
    let host = Host::start_usual();
    let mut top = top(&host, ALICE);
    let begun = Instant::now();
    for _ in 0..5 {
        let mut crowd = host.crowd(ALICE, host.server().address());
        assert_eq!(crowd.begin(1), 1);
        top.shows("Waiting for an answer (1)");
        drop(crowd);
        top.shows("Waiting for an answer (0)");
    }
    let took = begun.elapsed();
    measured(&format!("ten changes were on the screen within {took:?}"));
    // Asking would take 25 seconds, which is more than any of this waits for.
    assert!(took < patience() / 2, "{took:?}");
}

#[test]
fn a_wrong_code_opens_nothing_and_may_be_typed_again() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut top = top(&host, ALICE);
    let mut client = host.connect(ALICE);
    top.shows("Waiting for an answer (1)");
    top.types("a");
    top.types(&authenticator.wrong_code());
    top.types("\r");
    top.shows("wrong code; ");
    client.still_waits();
    top.shows("code: ");
    top.types(&authenticator.fresh_code());
    top.types("\r");
    client.connected();
    client.talks();
}

#[test]
fn d_refuses_the_connection_after_a_question() {
    let host = Host::start_usual();
    let mut top = top(&host, ALICE);
    let client = host.connect(ALICE);
    top.shows("Waiting for an answer (1)");
    top.types("d");
    top.shows("Deny? y/n");
    top.types("n");
    until("the question has gone", || {
        (!top.contents().contains("Deny?")).then_some(())
    });
    client.still_waits();
    top.types("d");
    top.shows("Deny? y/n");
    top.types("y");
    client.refused();
    top.shows("Waiting for an answer (0)");
    top.shows("not wanted");
}

#[test]
fn r_ends_a_grant_and_the_connection_under_it() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut top = top(&host, ALICE);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.listen();
    top.shows("Grants (1)");
    top.types("r");
    top.shows("Revoke? y/n");
    top.types("y");
    assert!(client.heard().is_err());
    top.shows("revoked: 1 grant");
    top.shows("Grants (0)");
}

/// S7.
#[test]
fn a_user_sees_nothing_of_another_and_root_sees_both_with_their_names() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut bobs = top(&host, BOB);
    let mut roots = top(&host, ROOT);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    let seen = roots.shows("Grants (1)");
    assert!(seen.contains("alice"), "{seen}");

    // What bob's screen shows after this it has learnt after that.
    let _waits = host.connect(BOB);
    let seen = bobs.shows("Waiting for an answer (1)");
    assert!(seen.contains("Grants (0)"), "{seen}");
    assert!(seen.contains("Last decisions (1)"), "{seen}");
    assert!(!seen.contains("alice"), "{seen}");
    let seen = roots.shows("Waiting for an answer (1)");
    assert!(seen.contains("bob") && seen.contains("alice"), "{seen}");
    // Root's code is none of bob's.
    roots.types("a");
    roots.shows("only bob can answer that");
}

/// S7: the calls go to the agent itself.
#[test]
fn decisions_and_proofs_are_told_to_their_user_and_to_root_alone() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();

    for (member, word) in [("Recent", "approved"), ("Elevations", "totp")] {
        for user in [ALICE, ROOT] {
            let said = host.call(user, member, &[]);
            let uid = format!("uint32 {}", ALICE.uid);
            assert!(said.succeeded().stdout.contains(word), "{said:?}");
            assert!(said.stdout.contains(&uid), "{said:?}");
        }
        let said = host.call(BOB, member, &[]);
        assert!(!said.succeeded().stdout.contains("dict entry"), "{said:?}");
    }
    let proofs = |user| host.stile(user, &["elevations", "--json"]).json();
    assert_eq!(proofs(ALICE)[0]["scope"], "user");
    assert_eq!(proofs(ROOT)[0]["uid"], ALICE.uid);
    assert_eq!(proofs(BOB), serde_json::json!([]));
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    assert_eq!(proofs(ALICE), serde_json::json!([]));
}

#[test]
fn the_terminal_is_as_it_was_after_q_ctrl_c_and_sigterm() {
    let host = Host::start_usual();
    let _client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let on_screen = || {
        let mut screen = host.on_screen(ALICE, &["top"], SIZE, &[]);
        screen.shows("Waiting for an answer (1)");
        screen
    };

    let mut screen = on_screen();
    screen.types("q");
    assert_eq!(screen.ended().code(), Some(0));
    screen.is_as_before();

    // In the middle of a code, of which nothing reaches whoever reads next.
    let mut screen = on_screen();
    screen.types("a123");
    screen.shows("code: ***");
    screen.types(CTRL_C);
    assert_eq!(screen.ended().code(), Some(130));
    screen.is_as_before();

    let mut screen = on_screen();
    screen.types("a123");
    screen.shows("code: ***");
    screen.signal(Signal::SIGTERM);
    let status = screen.ended();
    assert_eq!((status.code(), status.signal()), (Some(143), None));
    screen.is_as_before();
}

#[test]
fn it_goes_on_when_the_agent_comes_back() {
    let mut host = Host::start_usual();
    let mut top = top(&host, ALICE);
    top.shows("nothing is pending");
    host.stop();
    top.shows("stiled isn't running");
    host.start();
    top.shows("nothing is pending");
    let _client = host.connect(ALICE);
    top.shows("Waiting for an answer (1)");
}

#[test]
fn without_a_terminal_it_says_what_programs_use() {
    let host = Host::start_usual();
    host.stile(ALICE, &["top"])
        .failed(2, "`stile pending --json`");
}

#[test]
fn a_small_screen_will_do_and_no_color_is_honoured() {
    let host = Host::start_usual();
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.stile(ALICE, &["deny"]).succeeded();
    client.refused();
    let mut plain = host.on_screen(ALICE, &["top"], (40, 10), &[("NO_COLOR", "1")]);
    plain.shows("denied");
    assert!(!plain.has_colour());
    let mut coloured = host.on_screen(ALICE, &["top"], (40, 10), &[]);
    coloured.shows("denied");
    assert!(coloured.has_colour());
}
