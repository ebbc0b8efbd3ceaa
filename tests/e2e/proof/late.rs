// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An answer that comes too late opens nothing, and uses no code up.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use stile_tests::{ALICE, BOB, Client, Host, until};

const OVER: &str = "org.stile.Agent1.Error.ChallengeOver";

/// A host on which a connection of alice's waits for two seconds.
fn waiting() -> (Host, stile_tests::Authenticator, Client, String) {
    let host = Host::builder().max_hold("2s").build();
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].to_string();
    (host, authenticator, client, id)
}

/// This code still counts.
fn is_unused(host: &Host, client: &mut Client, code: &str) {
    assert!(host.audit().records().of("factor").is_empty());
    client.again();
    host.wait_for_challenge(ALICE);
    host.answer(ALICE, None, code).succeeded();
    client.connected();
    client.talks();
}

#[test]
fn an_answer_after_the_deadline_is_told_so_and_its_code_still_counts() {
    let (host, authenticator, mut client, id) = waiting();
    assert_eq!(client.refused().0, Errno::ECONNABORTED);
    let code = authenticator.fresh_code();
    let arguments = [format!("uint64:{id}"), format!("string:{code}")];
    let arguments = arguments.each_ref().map(String::as_str);
    let said = host.call(ALICE, "Answer", &arguments);
    said.failed(1, OVER).failed(1, "nobody answered in time");
    said.failed(1, "The code was not used");
    // Nobody else learns that there was one.
    let said = host.call(BOB, "Answer", &arguments);
    said.failed(1, "org.stile.Agent1.Error.NoSuchChallenge");
    let said = host.answer(ALICE, Some(id.parse().unwrap()), &code);
    said.failed(3, &format!("no challenge {id} of yours is pending"));
    is_unused(&host, &mut client, &code);
}

#[test]
fn an_answer_that_waits_with_the_deadline_for_a_busy_agent_is_too_late() {
    let (host, authenticator, mut client, id) = waiting();
    let code = authenticator.fresh_code();
    let arguments = [format!("uint64:{id}"), format!("string:{code}")];
    let arguments = arguments.each_ref().map(String::as_str);
    let deadline = Instant::now() + Duration::from_secs(2);
    host.signal(Signal::SIGSTOP);
    let said = std::thread::scope(|scope| {
        let said = scope.spawn(|| host.call(ALICE, "Answer", &arguments));
        until("the deadline is over", || {
            (Instant::now() > deadline).then_some(())
        });
        host.signal(Signal::SIGCONT);
        said.join().unwrap()
    });
    said.failed(1, OVER).failed(1, "nobody answered in time");
    assert_eq!(client.refused().0, Errno::ECONNABORTED);
    is_unused(&host, &mut client, &code);
}

#[test]
fn an_answer_to_what_was_given_up_or_answered_already_says_so() {
    let host = Host::builder().max_hold("5m").build();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].to_string();
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    let late = |id: &str| {
        let id = format!("uint64:{id}");
        host.call(ALICE, "Answer", &[&id, "string:000000"])
    };
    late(&id).failed(1, OVER).failed(1, "approved already");
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    let gone = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].to_string();
    gone.kill();
    host.wait_for_challenges(ALICE, 0);
    late(&id).failed(1, OVER).failed(1, "nobody waits for it");
}
