// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One code for two questions at once.

use std::thread;

use stile_tests::{ALICE, Client, Host, until};

use crate::scene::{import, outcomes, recovery_codes};

/// Gives one code to two challenges at once, and returns the clients, the one that got through
/// first.
fn race(host: &Host, code: &str) -> (Client, Client) {
    let clients = [host.connect(ALICE), host.connect(ALICE)];
    let ids: Vec<_> = host
        .wait_for_challenges(ALICE, 2)
        .iter()
        .map(|challenge| challenge["id"].as_u64())
        .collect();
    let said: Vec<_> = thread::scope(|scope| {
        let racing: Vec<_> = ids
            .iter()
            .map(|id| scope.spawn(move || host.answer(ALICE, *id, code)))
            .collect();
        racing.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let won: Vec<_> = said.iter().filter(|said| said.code == 0).collect();
    assert_eq!(won.len(), 1, "{said:?}");
    let lost = said.iter().find(|said| said.code != 0).unwrap();
    lost.failed(1, "wrong code");
    assert_eq!(won[0].json()["released"], 1);
    let first = until("one of them gets through", || {
        clients
            .iter()
            .position(|client| client.try_outcome().is_some())
    });
    let [one, other] = clients;
    match first {
        0 => (one, other),
        _ => (other, one),
    }
}

fn host() -> Host {
    Host::builder().scope("process").build()
}

#[test]
fn a_one_time_code_wins_one_of_two_races() {
    let host = host();
    let token = import(&host, "token");
    let (mut won, lost) = race(&host, &token.fresh_code());
    won.talks();
    lost.still_waits();
    assert_eq!(host.server().accepted(), 1);
    assert_eq!(outcomes(&host), ["accepted", "replayed"]);
}

#[test]
fn a_recovery_code_wins_one_of_two_races() {
    let host = host();
    let codes = recovery_codes(&host);
    let (mut won, lost) = race(&host, &codes[0]);
    won.talks();
    lost.still_waits();
    assert_eq!(host.server().accepted(), 1);
    assert_eq!(outcomes(&host), ["accepted", "wrong"]);
}
